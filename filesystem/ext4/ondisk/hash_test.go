package ondisk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/oracle"

	"github.com/google/uuid"
)

// hashSeed is the seed of the tests' directories.
var hashSeed = uuid.MustParse("8a547512-4065-4128-904d-c095b637c729")

// TestDirHash compares with values that libext2fs 1.47.2 gives.
func TestDirHash(t *testing.T) {
	const longName = "\xff\xfe\x80 0123456789 0123456789 0123456789 \xff"
	for _, test := range []struct {
		version      HashVersion
		seed         [16]byte
		name         string
		major, minor uint32
	}{
		{HashLegacy, uuid.UUID{}, "lost+found", 0x5e2aba24, 0x00000000},
		{HashLegacy, uuid.UUID{}, "été", 0x70d7b7fc, 0x00000000},
		{HashLegacy, uuid.UUID{}, longName, 0xfd82a842, 0x00000000},
		{HashHalfMD4, uuid.UUID{}, "lost+found", 0x591de422, 0x6ffc56e0},
		{HashHalfMD4, uuid.UUID{}, "été", 0xa69a4d3a, 0x22bac128},
		{HashHalfMD4, uuid.UUID{}, longName, 0xa3557bac, 0x42556800},
		{HashHalfMD4, hashSeed, "lost+found", 0x3c63909c, 0x8a41df48},
		{HashHalfMD4, hashSeed, "été", 0x9b7666f4, 0x07ecfa26},
		{HashHalfMD4, hashSeed, longName, 0x9e73d2d8, 0xae32dc70},
		{HashTEA, uuid.UUID{}, "lost+found", 0x2dbf9e80, 0xbfebee4f},
		{HashTEA, uuid.UUID{}, "été", 0x04d337a6, 0x0615a017},
		{HashTEA, uuid.UUID{}, longName, 0x3c537ce4, 0x09c03a99},
		{HashTEA, hashSeed, "lost+found", 0x9fc2adf6, 0xbad09154},
		{HashTEA, hashSeed, "été", 0xcb41ba86, 0x21831335},
		{HashTEA, hashSeed, longName, 0x9f9fb328, 0x9396185e},
		{HashLegacyUnsigned, uuid.UUID{}, "lost+found", 0x5e2aba24, 0x00000000},
		{HashLegacyUnsigned, uuid.UUID{}, "été", 0x40d0f40c, 0x00000000},
		{HashLegacyUnsigned, uuid.UUID{}, longName, 0xcb769b98, 0x00000000},
		{HashHalfMD4Unsigned, uuid.UUID{}, "lost+found", 0x591de422, 0x6ffc56e0},
		{HashHalfMD4Unsigned, uuid.UUID{}, "été", 0x3eb35f16, 0x634a9ed3},
		{HashHalfMD4Unsigned, uuid.UUID{}, longName, 0xa20981d4, 0x8102bf09},
		{HashHalfMD4Unsigned, hashSeed, "lost+found", 0x3c63909c, 0x8a41df48},
		{HashHalfMD4Unsigned, hashSeed, "été", 0xe3915a58, 0x49819e41},
		{HashHalfMD4Unsigned, hashSeed, longName, 0x6d2c14ee, 0x5c9aef8d},
		{HashTEAUnsigned, uuid.UUID{}, "lost+found", 0x2dbf9e80, 0xbfebee4f},
		{HashTEAUnsigned, uuid.UUID{}, "été", 0x2ed2feac, 0x3a9221a3},
		{HashTEAUnsigned, uuid.UUID{}, longName, 0x6a986462, 0x4c7446ff},
		{HashTEAUnsigned, hashSeed, "lost+found", 0x9fc2adf6, 0xbad09154},
		{HashTEAUnsigned, hashSeed, "été", 0x8a9f1e9c, 0xd214e7e3},
		{HashTEAUnsigned, hashSeed, longName, 0x65c9f9a4, 0x4c2b79ca},
	} {
		major, minor, ok := DirHash(test.version, test.seed, []byte(test.name))
		if !ok || major != test.major || minor != test.minor {
			t.Errorf("DirHash(%d, %x, %q) = %#08x, %#08x, want %#08x, %#08x",
				test.version, test.seed, test.name, major, minor, test.major, test.minor)
		}
	}
}

// TestDirHashOracle asks debugfs, which knows signed bytes only. It takes names as command line words, so they
// have no quotes, blanks or newlines.
func TestDirHashOracle(t *testing.T) {
	names := []string{"a", "ab", "abc", "abcd", "abcde", "lost+found", "README.md", "\xe9t\xe9", "\xff\xfe\x80", "Ünïcödé"}
	for n := 27; n < 70; n++ {
		names = append(names, strings.Repeat("\x81", n), strings.Repeat("x", n))
	}
	names = append(names, strings.Repeat("n", 254), strings.Repeat("\xc3", 255))
	var script strings.Builder
	hashes := map[string]HashVersion{
		"legacy": HashLegacy, "half_md4": HashHalfMD4, "tea": HashTEA,
	}
	var want []string
	for hash, version := range hashes {
		for _, seed := range []uuid.UUID{{}, hashSeed} {
			for _, name := range names {
				fmt.Fprintf(&script, "dx_hash -h %s -s %s %s\n", hash, seed, name)
				major, minor, _ := DirHash(version, seed, []byte(name))
				want = append(want, fmt.Sprintf("Hash of %s is %#x (minor %#x)", name, major, minor))
			}
		}
	}
	commands := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(commands, []byte(script.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.SplitSeq(oracle.Run(t, "debugfs", "-f", commands), "\n") {
		if strings.HasPrefix(line, "Hash of") {
			got = append(got, line)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("debugfs gave %d hashes of %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %q\nwant %q", want[i], got[i])
		}
	}
}
