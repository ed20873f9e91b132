package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/oracle"
)

func verified(t testing.TB, path string) *Result {
	t.Helper()
	r, err := File(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGPTMutations: what sgdisk finds wrong with a table of which a byte was
// changed, verify does.
func TestGPTMutations(t *testing.T) {
	count := 120
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		count = 2000
	}
	const size = 16 << 20
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "sgdisk", "--clear", "--new=1:2048:+2M", "--typecode=1:EF00", "--change-name=1:ESP", "--new=2:0:+4M", "--new=3:0:0", path)
	if r := verified(t, path); !r.OK {
		t.Fatalf("%+v", r.Findings)
	}
	places := []struct {
		name       string
		at, length int64
	}{
		{"protective MBR", 446, 66}, {"primary header", 512, 92}, {"entries", 1024, 3 * 128},
		{"backup header", size - 512, 92}, {"backup entries", size - 512 - 16384, 3 * 128},
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rng := rand.New(rand.NewPCG(6, 6))
	reported := 0
	for i := range count {
		p := places[i%len(places)]
		at := p.at + rng.Int64N(p.length)
		was, is := []byte{0}, []byte{0}
		if _, err := f.ReadAt(was, at); err != nil {
			t.Fatal(err)
		}
		if is[0] = was[0] ^ 1<<rng.IntN(8); rng.IntN(3) == 0 {
			is[0] = []byte{0, 0xff, 0x80, 1, 2}[rng.IntN(5)]
		}
		if _, err := f.WriteAt(is, at); err != nil {
			t.Fatal(err)
		}
		output, status := oracle.Exit(t, "sgdisk", "-v", path)
		bad := status != 0 || !strings.Contains(output, "No problems found")
		r := verified(t, path)
		if bad {
			reported++
		}
		if bad && r.OK {
			t.Errorf("%s, byte %d, %#x to %#x: only sgdisk says (%d):\n%s", p.name, at-p.at, was[0], is[0], status, output)
		}
		if _, err := f.WriteAt(was, at); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d mutations reported by sgdisk", reported, count)
}

// TestNamed reads the files of boot loaders.
func TestNamed(t *testing.T) {
	for _, c := range []struct{ text, keywords, relative, want string }{
		{"title x\nlinux /EFI/nixos/a.efi\ninitrd /EFI/nixos/b.efi\noptions init=/nix/store/x\n", " linux initrd ", "", "/EFI/nixos/a.efi /EFI/nixos/b.efi"},
		{"  linux ($drive1)/nix/store/k/bzImage init=/x\n  initrd ($drive1)/a ($drive1)//b\n", " linux initrd ", "", "/nix/store/k/bzImage /a //b"},
		{"linux $prefix/k\nlinux /$k\n", " linux ", "", ""},
		{"LABEL a\n  LINUX ../nixos/k\n  INITRD ../nixos/i\n", " linux initrd ", "/extlinux", "/nixos/k /nixos/i"},
	} {
		if got := strings.Join(named([]byte(c.text), c.keywords, c.relative), " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// TestUnreadable: what cannot be opened is an error or a finding, never a panic.
func TestUnreadable(t *testing.T) {
	if _, err := File(context.Background(), filepath.Join(t.TempDir(), "nothing"), Options{}); err == nil {
		t.Error("a file that is not there")
	}
	for name, text := range map[string]string{"qcow2": "QFI\xfb\x00\x00\x00\x03", "vdi": "x", "empty": ""} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text+strings.Repeat("\x00", min(1, len(text))*600)), 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := File(context.Background(), path, Options{})
		if name != "vdi" && err == nil && r.OK {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// TestCancelled: a cancelled context ends it.
func TestCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", path, "8m")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := File(ctx, path, Options{}); err == nil {
		t.Error(fmt.Errorf("it goes on"))
	}
}
