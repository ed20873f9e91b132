package zfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/raw"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

var testTime = tree.Time{Sec: 1<<32 + 12345, Nsec: 123456789}

func testOptions(size int64) Options {
	return Options{
		Size: size, Name: "tank", Seed: []byte("a seed"), Epoch: 315532800,
		PoolProperties: props{}, Properties: props{"mountpoint": "legacy"},
	}
}

type props = map[string]string

// plan is New that must succeed.
func plan(t testing.TB, root *tree.Inode, opts Options) *Pool {
	t.Helper()
	p, err := New(t.Context(), root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes a pool to a file that is alone in a directory, as zdb wants it.
func write(t testing.TB, p *Pool) (path string) {
	t.Helper()
	path = filepath.Join(scratch.Dir(t), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := raw.WriteFile(t.Context(), p.Map(), f, raw.Options{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// zdb runs zdb on the pool in a file that is not imported.
func zdb(t testing.TB, image string, args ...string) string {
	t.Helper()
	return oracle.Run(t, "zdb", append([]string{"-e", "-p", filepath.Dir(image)}, args...)...)
}

// check asks zdb, which must find every block, count what the space maps say, and
// have nothing to say of labels.
func check(t testing.TB, image string) {
	t.Helper()
	if out := oracle.Run(t, "zdb", "-l", image); !strings.Contains(out, "labels = 0 1 2 3") {
		t.Errorf("zdb -l:\n%s", clip(out))
	}
	if out := zdb(t, image, "-bcc", "tank"); !strings.Contains(out, "No leaks (block sum matches space maps exactly)") ||
		strings.Contains(out, "mismatch") {
		t.Errorf("zdb -bcc:\n%s", clip(out))
	}
	if out := zdb(t, image, "-y", "tank"); strings.Contains(out, "ERROR") {
		t.Errorf("zdb -y:\n%s", clip(out))
	}
}

func clip(s string) string {
	if len(s) > 8000 {
		return s[:8000] + "..."
	}
	return s
}

func file(src content.Source) *tree.Inode { return tree.NewFile(src, testTime) }

func dir() *tree.Inode { return tree.NewDir(testTime) }

func special(mode, major, minor uint32) *tree.Inode {
	return &tree.Inode{Mode: mode, Major: major, Minor: minor, Mtime: testTime}
}

// noise is content of size bytes that differs everywhere and does not compress.
func noise(size int64) content.Source {
	return &content.Generated{Length: size, Fill: func(p []byte, off int64) error {
		for i := range p {
			x := uint64(off+int64(i)) * 0x9e3779b97f4a7c15
			x ^= x >> 29
			x *= 0xbf58476d1ce4e5b9
			p[i] = byte(x >> 56)
		}
		return nil
	}}
}

// text is content of size bytes that compresses.
func text(size int64) content.Source {
	const line = 64
	return &content.Generated{Length: size, Fill: func(p []byte, off int64) error {
		var buffer [line]byte
		for len(p) > 0 {
			number := strconv.AppendInt(buffer[:0], off/line, 10)
			for i := len(number); i < line; i++ {
				buffer[i] = ' '
			}
			buffer[line-1] = '\n'
			n := copy(p, buffer[off%line:])
			p, off = p[n:], off+int64(n)
		}
		return nil
	}}
}

// sparse is a file of size bytes with noise at some places.
func sparse(t testing.TB, size int64, at ...int64) content.Source {
	t.Helper()
	var b diskmap.Builder
	for _, off := range at {
		b.Place(off, noise(min(3000, size-off)))
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// everything is a tree with all that a file system can hold.
func everything(t testing.TB) *tree.Inode {
	t.Helper()
	root := dir()
	sizes := dir()
	for _, n := range []int64{0, 1, 111, 113, 511, 512, 513, 4095, 4096, 4097, 16384, 131071, 131072, 131073, 262144, 3*mib + 5} {
		sizes.SetChild(fmt.Sprintf("noise-%d", n), file(noise(n)))
		sizes.SetChild(fmt.Sprintf("text-%d", n), file(text(n)))
		sizes.SetChild(fmt.Sprintf("zeros-%d", n), file(content.Bytes(make([]byte, n))))
	}
	root.SetChild("sizes", sizes)

	holes := dir()
	holes.SetChild("two-levels", file(sparse(t, 300*mib, 0, 150*mib, 299*mib)))
	holes.SetChild("nothing", file(sparse(t, 5*mib+1)))
	holes.SetChild("terabytes", file(sparse(t, 100*tib, 17, 3*tib, 100*tib-10)))
	holes.SetChild("unaligned", file(sparse(t, mib+1000, 130*kib, mib)))
	root.SetChild("holes", holes)

	links := dir()
	for _, n := range []int{1, 59, 136, 144, 145, 1000, 4095} {
		links.SetChild(fmt.Sprintf("to-%d", n), tree.NewSymlink(strings.Repeat("t", n), testTime))
	}
	hard := file(text(1000))
	links.SetChild("a", hard)
	links.SetChild("b", hard)
	sizes.SetChild("c", hard)
	root.SetChild("links", links)

	dev := dir()
	dev.Mode = tree.TypeDir | 0o1777
	dev.SetChild("null", special(tree.TypeChar|0o666, 1, 3))
	dev.SetChild("block", special(tree.TypeBlock|0o660, 259, 70000))
	dev.SetChild("fifo", special(tree.TypeFIFO|0o640, 0, 0))
	dev.SetChild("socket", special(tree.TypeSocket|0o755, 0, 0))
	root.SetChild("dev", dev)

	names := dir()
	for i := range 2500 {
		names.SetChild(fmt.Sprintf("entry-%05d", i), hard)
	}
	root.SetChild("many", names)
	long := dir()
	long.SetChild(strings.Repeat("m", 255), file(text(5)))
	long.SetChild("\xff not UTF-8\n", file(text(6)))
	root.SetChild("long", long)
	root.SetChild("empty", dir())

	attrs := dir()
	for _, n := range []int{0, 10, 100, 3000, 32768} {
		f := file(text(10))
		f.UID, f.GID = 1000, 4294967294
		f.Xattrs = []tree.Xattr{{Name: "user.a", Value: []byte("a")}, {Name: "user.note", Value: bytes.Repeat([]byte("x"), n)}}
		attrs.SetChild(fmt.Sprintf("file-%d", n), f)
	}
	link := tree.NewSymlink(strings.Repeat("t", 100), testTime)
	link.Xattrs = []tree.Xattr{{Name: "trusted.x", Value: make([]byte, 200)}}
	attrs.SetChild("link", link)
	null := special(tree.TypeChar|0o666, 1, 3)
	null.Xattrs = []tree.Xattr{{Name: "trusted.x", Value: make([]byte, 20)}}
	attrs.SetChild("null", null)
	attrs.Xattrs = []tree.Xattr{{Name: "user.dir", Value: []byte("d")}}
	root.SetChild("attrs", attrs)

	times := dir()
	for _, sec := range []int64{-86400, 0, 1, 4300000000} {
		f := file(nil)
		f.Mtime = tree.Time{Sec: sec, Nsec: 1}
		times.SetChild(fmt.Sprint(sec), f)
	}
	root.SetChild("times", times)
	root.SetChild("big", file(noise(9*mib)))
	return root
}

// contentOf returns all bytes of a file.
func contentOf(t testing.TB, i *tree.Inode) []byte {
	t.Helper()
	if i.Content == nil {
		return nil
	}
	p := make([]byte, i.Size())
	if _, err := i.Content.ReadAt(p, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return p
}
