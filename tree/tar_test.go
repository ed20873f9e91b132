package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"diskwright/content"
)

// makeTar returns an archive of these members, as Go writes it.
func makeTar(t testing.TB, members ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		h.ModTime = time.Unix(7, 0)
		data := strings.Repeat("x", int(h.Size))
		must(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, data)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func readTarBytes(p []byte) (*Inode, error) {
	return readTar(context.Background(), bytes.NewReader(p), content.Bytes(p), TarOptions{Epoch: testEpoch})
}

func TestFromTarErrors(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1} }
	link := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
	}
	pax := func(name string, records map[string]string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, PAXRecords: records}
	}
	for _, c := range []struct {
		members []tar.Header
		want    string
	}{
		{[]tar.Header{file("a"), file("../b")}, `member "../b" at byte 1024: "../b" has a "..": want paths from the root of the archive`},
		{[]tar.Header{file("a/../b")}, `"a/../b" has a ".."`},
		{[]tar.Header{file("/a/..")}, `"/a/.." has a ".."`},
		{[]tar.Header{file(strings.Repeat("n", 256))}, "a name of 256 bytes: at most 255 are possible"},
		{[]tar.Header{file(strings.Repeat("n", 256) + "/a")}, "a name of 256 bytes: at most 255 are possible"},
		{[]tar.Header{file(".")}, "this is the root, and not a directory"},
		{[]tar.Header{file("a"), file("a/b")}, `member "a/b" at byte 1024: this is inside of "a", which is not a directory in the archive`},
		{[]tar.Header{{Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "usr/lib"}, file("lib/x")}, `this is inside of "lib", which is not a directory`},
		{[]tar.Header{link("b", "a"), file("a")}, `member "b" at byte 0: a hard link to "a", which the archive does not have before it`},
		{[]tar.Header{file("a"), link("b", "a/c")}, `a hard link to "a/c", which the archive does not have`},
		{[]tar.Header{file("d/a"), link("b", "d")}, `a hard link to "d", which is a directory`},
		{[]tar.Header{file("d/a"), link("b", "")}, `a hard link to "", which is a directory`},
		{[]tar.Header{link("b", "../a")}, `hard link: "../a" has a ".."`},
		{[]tar.Header{pax("a", map[string]string{"SCHILY.acl.access": "user::rwx,user:lisa:r,group::r,mask::r,other::r"})}, `no number for the name "lisa"`},
		{[]tar.Header{pax("a", map[string]string{"SCHILY.xattr.system.posix_acl_access": "junk"})}, `member "a" at byte 0: an ACL of version`},
	} {
		_, err := readTarBytes(makeTar(t, c.members...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// TestFromTarRefuses reads files that are no tar, and spools what it cannot.
func TestFromTarRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ data, want string }{
		"xz":        {"\xfd7zXZ\x00\x00\x00", "this is xz: want a tar, plain or compressed with gzip or zstd"},
		"bzip2":     {"BZh91AY&SY", "this is bzip2"},
		"zip":       {"PK\x03\x04....", "this is zip"},
		"text":      {strings.Repeat("text\n", 1000), "not a tar archive"},
		"empty":     {"", "it has no end mark: the archive is truncated"},
		"short":     {"x", "the archive is truncated"},
		"half gzip": {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "gzip: unexpected EOF"},
		"bad gzip":  {"\x1f\x8bjunkjunkjunkjunk", "gzip: "},
		"bad zstd":  {"\x28\xb5\x2f\xfdjunkjunkjunkjunkjunk", "zstd: "},
	} {
		path := dir + "/" + name
		write(t, path, c.data)
		_, _, err := FromTar(t.Context(), path, TarOptions{SpoolDir: dir})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	stream := func(opts TarOptions) error {
		_, _, err := FromTarStream(t.Context(), bytes.NewReader(makeTar(t)), "standard input", opts)
		return err
	}
	must(t, stream(TarOptions{SpoolDir: dir}))
	if err := stream(TarOptions{SpoolDir: dir + "/none"}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("spool directory %q: ", dir+"/none")) {
		t.Errorf("without a spool directory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := FromTarStream(ctx, bytes.NewReader(makeTar(t)), "standard input", TarOptions{SpoolDir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 9 {
		t.Errorf("left in the spool directory: %v", left)
	}
}

// TestSpoolWithName makes a spool as file systems need it that cannot make
// files without a name.
func TestSpoolWithName(t *testing.T) {
	dir := t.TempDir()
	f, clean, err := createAndRemove(dir)
	must(t, err)
	s := &Spool{file: f, clean: clean}
	_, err = f.WriteString("x")
	must(t, err)
	must(t, s.Close())
	must(t, (*Spool)(nil).Close())
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, _, err := createAndRemove(dir + "/none"); err == nil {
		t.Error("a spool without a directory")
	}
}

func TestFromTarRoot(t *testing.T) {
	root, err := readTarBytes(makeTar(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "./a//b/./c", Size: 3, Mode: 0o600, Uid: 1, Gid: 2},
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o700, Uid: 5, Gid: 6},
		tar.Header{Typeflag: tar.TypeDir, Name: "/a", Mode: 0o711},
		tar.Header{Typeflag: tar.TypeDir, Name: "..x/...", Mode: 0o700},
	))
	must(t, err)
	for path, want := range map[string]string{"": "d5:6 700 7 ", "a": "d0:0 711 7 ", "a/b": "d0:0 755 315532800 ", "a/b/c": "f1:2 600 7 xxx", "..x": "d0:0 755 315532800 ", "..x/...": "d0:0 700 7 "} {
		if got := describe(t, root.Lookup(path)); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}

// FuzzFromTar reads anything: the tree must be one.
func FuzzFromTar(f *testing.F) {
	f.Add(makeTar(f, tar.Header{Typeflag: tar.TypeDir, Name: "./"}, tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 600},
		tar.Header{Typeflag: tar.TypeLink, Name: "d/b", Linkname: "a"}, tar.Header{Typeflag: tar.TypeSymlink, Name: "d", Linkname: "a"}))
	f.Fuzz(func(t *testing.T, p []byte) {
		p = withChecksums(p)
		root, err := readTarBytes(p)
		if err != nil {
			return
		}
		if dump(t, root) == "" {
			t.Error("no tree")
		}
	})
}

// withChecksums makes the checksums of headers right: whoever mutates cannot.
func withChecksums(p []byte) []byte {
	p = bytes.Clone(p)
	for b := p; len(b) >= 512; b = b[512:] {
		if string(b[257:262]) != "ustar" {
			continue
		}
		sum := 8 * int(' ')
		for n, c := range b[:512] {
			if n < 148 || n >= 156 {
				sum += int(c)
			}
		}
		copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return p
}
