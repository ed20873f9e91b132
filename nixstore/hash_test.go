package nixstore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"diskwright/test/oracle"

	"pgregory.net/rapid"
)

func TestBase32(t *testing.T) {
	// printf "" | sha256sum, and nix-hash --to-base32 of it.
	sum := sha256.Sum256(nil)
	const want = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
	if got := EncodeBase32(sum[:]); got != want {
		t.Errorf("EncodeBase32 = %q, want %q", got, want)
	}
	for _, bad := range []string{"e", "0", "zz", "z" + want[1:], strings.ToUpper(want)} {
		if b, err := DecodeBase32(bad); err == nil {
			t.Errorf("DecodeBase32(%q) = %x", bad, b)
		}
	}
}

func TestBase32IsNix(t *testing.T) {
	oracle.Need(t, "nix-hash")
	for _, text := range []string{"a", "b", "c"} {
		sum := sha256.Sum256([]byte(text))
		want := strings.TrimSpace(oracle.Run(t, "nix-hash", "--type", "sha256", "--to-base32", hex.EncodeToString(sum[:])))
		if got := EncodeBase32(sum[:]); got != want {
			t.Errorf("EncodeBase32(%x) = %q, Nix has %q", sum, got, want)
		}
	}
}

func TestBase32RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "b")
		got, err := DecodeBase32(EncodeBase32(b))
		if err != nil || string(got) != string(b) {
			t.Fatalf("%x: %x, %v", b, got, err)
		}
	})
}

func TestParseHash(t *testing.T) {
	want := Hash(sha256.Sum256([]byte("x")))
	base16, base32 := hex.EncodeToString(want[:]), EncodeBase32(want[:])
	base64 := base64.StdEncoding.EncodeToString(want[:])
	for _, s := range []string{
		base16, base32, base64, "sha256:" + base16, "sha256:" + base32, "sha256:" + base64, "sha256-" + base64,
		want.String(), want.hex(),
	} {
		if got, err := ParseHash(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "sha256:", "sha1:" + base16, "md5:" + base32, base16[1:], base16 + "0", "g" + base16[1:], "z" + base32[1:],
		strings.TrimRight(base64, "="), strings.TrimRight(base64, "=") + "A", "sha512-" + base64,
	} {
		if got, err := ParseHash(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
