package ext4

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/manifest"
	"diskwright/test/oracle"
	"diskwright/tree"
)

// openImage returns the volume in a file.
func openImage(t testing.TB, path string) *Volume {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	v, err := Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// treeOf returns the tree in a volume.
func treeOf(t testing.TB, v *Volume) *tree.Inode {
	t.Helper()
	root, err := v.Tree(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestReadBack: what was written is what is read, of every kind and profile.
// That what was written is right, other tests have the kernel say.
func TestReadBack(t *testing.T) {
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 128 * mib
		root := everything(t, opts.Kind)
		m := plan(t, root, opts).Map()
		v, err := Open(m, m.Size())
		if err != nil {
			t.Fatal(err)
		}
		got := treeOf(t, v)
		got.RemoveChild("lost+found")
		if diff := manifest.Diff(expected(t, root), expected(t, got)); diff != "" {
			t.Errorf("read back is another tree:\n%s", diff)
		}
	})
}

// foreignTree makes a tree on the host for mke2fs -d.
func foreignTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, size int) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name+"\n"), size/(len(name)+1)+1)[:size], 0o644))
	}
	for _, size := range []int{0, 1, 59, 60, 61, 100, 150, 1023, 1024, 4096, 12 << 10, 13 << 10, 300 << 10, 5 << 20} {
		write(filepath.Join("sizes", strings.Repeat("x", 1+size%13), "file"), size)
	}
	for i := range 700 {
		write(filepath.Join("many", strings.Repeat("y", i%200)+string(rune('a'+i%26))+strings.Repeat("z", i%7)+"-"+strings.Repeat("q", i/26)), i%3)
	}
	must(os.MkdirAll(filepath.Join(dir, "empty"), 0o700))
	must(os.MkdirAll(filepath.Join(dir, "few"), 0o700))
	write("few/a", 10)
	write("few/a name that does not fit beside the other in an inode of 256 bytes", 10)
	must(os.Symlink("short", filepath.Join(dir, "short")))
	must(os.Symlink(strings.Repeat("long/", 50), filepath.Join(dir, "long")))
	must(os.Symlink(strings.Repeat("longer/", 140), filepath.Join(dir, "longer")))
	must(os.Link(filepath.Join(dir, "few/a"), filepath.Join(dir, "few/linked")))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(err)
	defer sparse.Close()
	for i := range int64(500) {
		_, err := sparse.WriteAt([]byte{byte(i)}, i*12288+5)
		must(err)
	}
	return dir
}

// TestForeign: file systems that mke2fs made and the kernel wrote to, with
// every combination of features that matters to a reader, read as the kernel
// reads them.
func TestForeign(t *testing.T) {
	oracle.NeedRoot(t)
	source := foreignTree(t)
	t.Setenv("E2FSPROGS_FAKE_TIME", "1600000000")
	var plain manifest.Manifest // what the kernel reads in an ext4 of no particular kind
	for _, c := range foreignKinds {
		t.Run(c.name, func(t *testing.T) {
			image := foreignImage(t, source, c.kind, c.args, "64m")
			want := plain
			if c.name != "casefold" { // which few kernels are made with
				options := "ro"
				if c.kind != "ext2" {
					options += ",noload"
				}
				var err error
				if want, err = manifest.Read(oracle.Mount(t, image, c.kind, options, 0, 0)); err != nil {
					t.Fatal(err)
				}
			}
			if c.name == "ext4" {
				plain = want
			}
			if diff := manifest.Diff(want, expected(t, treeOf(t, openImage(t, image)))); diff != "" {
				t.Errorf("the kernel reads another tree:\n%s", diff)
			}
		})
	}
}

// smallImage is a file system with one of every structure, small enough to be
// broken thousands of times.
func smallImage(t testing.TB, kind Kind) []byte {
	t.Helper()
	root := dir()
	many := dir()
	for i := range 300 {
		many.SetChild(strings.Repeat("n", i%40)+string(rune('0'+i%10))+strings.Repeat("m", i/10), file(content.Bytes("x")))
	}
	root.SetChild("many", many)
	root.SetChild("fragments", file(everyOther(t, 400)))
	root.SetChild("link", tree.NewSymlink("many", testTime))
	root.SetChild("long-link", tree.NewSymlink(strings.Repeat("many/", 100), testTime))
	a := file(content.Bytes("hello"))
	a.Xattrs = []tree.Xattr{
		{Name: nameACLAccess, Value: []byte("\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x05\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff")},
		{Name: "user.large", Value: bytes.Repeat([]byte("v"), 2000)}, {Name: "user.small", Value: []byte("v")},
	}
	root.SetChild("a", a)
	root.SetChild("b", a)
	root.SetChild("device", &tree.Inode{Mode: tree.TypeChar | 0o600, Major: 259, Minor: 70000})
	m := plan(t, root, testOptions(kind, 8*mib)).Map()
	image := make([]byte, m.Size())
	if err := content.ReadFull(m, image, 0); err != nil {
		t.Fatal(err)
	}
	return image
}

// readAll reads everything there is, within bounds, and returns the first
// error.
func readAll(image []byte) error {
	v, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return err
	}
	root, err := v.Tree(context.Background())
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for _, i := range tree.Number(root) {
		if i.Content == nil {
			continue
		}
		for e := range diskmap.ExtentsOf(i.Content) {
			if _, err := e.ReadAt(buf[:min(e.Length, int64(len(buf)))], 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestHostile breaks a file system at random, thousands of times. With checksums
// every change of what is read is noticed; without, nothing breaks the
// reader. No error is anything but what it should be.
func TestHostile(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			image := smallImage(t, kind)
			if err := readAll(image); err != nil {
				t.Fatal(err)
			}
			used := usedBlocks(image)
			rng := rand.New(rand.NewPCG(1, uint64(kind)))
			broken := 0
			for range 1500 {
				at := used[rng.IntN(len(used))]*blockSize + rng.IntN(blockSize-1)
				before := [2]byte(image[at:])
				image[at] ^= byte(1 << rng.IntN(8))
				image[at+1] ^= byte(rng.IntN(256))
				err := readAll(image)
				copy(image[at:], before[:])
				if err == nil {
					continue
				}
				broken++
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrNotExt) {
					t.Fatalf("byte %d: %v", at, err)
				}
			}
			if kind == Ext4 && broken < 30 || broken == 0 {
				t.Errorf("%d of 1500 changes are noticed", broken)
			}
		})
	}
}

// usedBlocks returns the numbers of the blocks that are not all zero.
func usedBlocks(image []byte) (list []int) {
	zeros := make([]byte, blockSize)
	for i := 0; i < len(image); i += blockSize {
		if !bytes.Equal(image[i:i+blockSize], zeros) {
			list = append(list, i/blockSize)
		}
	}
	return list
}

// FuzzVolume: bytes at places of a small file system are replaced.
func FuzzVolume(f *testing.F) {
	images := map[byte][]byte{}
	for i, kind := range kinds {
		images[byte(i)] = smallImage(f, kind)
	}
	f.Add(byte(0), []byte{0, 4, 0, 1, 255})
	f.Fuzz(func(t *testing.T, which byte, patches []byte) {
		base := images[which%byte(len(images))]
		image := bytes.Clone(base)
		for ; len(patches) >= 5 && len(patches) < 500; patches = patches[5:] {
			at := int(patches[0])<<16 | int(patches[1])<<8 | int(patches[2])
			image[at%len(image)] = patches[3]
			image[(at+1)%len(image)] = patches[4]
		}
		_ = readAll(image)
	})
}

func TestLookup(t *testing.T) {
	root := dir()
	a := dir()
	a.SetChild("f", file(content.Bytes("hello")))
	a.SetChild("up", tree.NewSymlink("../a/./f", testTime))
	a.SetChild("root", tree.NewSymlink("/", testTime))
	a.SetChild("loop", tree.NewSymlink("loop", testTime))
	a.SetChild("nowhere", tree.NewSymlink("/b", testTime))
	root.SetChild("a", a)
	m := plan(t, root, testOptions(Ext4, 8*mib)).Map()
	v, err := Open(m, m.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		follow bool
		want   string // content, target, or names
	}{
		{"", true, "a lost+found"}, {"/", true, "a lost+found"}, {"/../..", true, "a lost+found"},
		{"a/f", true, "hello"}, {"/a/up", true, "hello"}, {"a/up", false, "../a/./f"},
		{"a/root/a/root/a", true, "f loop nowhere root up"}, {"a/root/a/f", false, "hello"},
		{"a/loop", false, "loop"}, {"a/loop", true, "more than 40 symbolic links"},
		{"a/nowhere", true, "file does not exist"}, {"a/f/g", true, "there is no directory"}, {"a/F", true, "file does not exist"},
	} {
		i, err := v.Lookup(c.path, c.follow)
		var got string
		switch {
		case err != nil:
			got = err.Error()
		case i.IsDir():
			names := []string{}
			for _, e := range i.Entries {
				names = append(names, e.Name)
			}
			got = strings.Join(names, " ")
		default:
			p := make([]byte, i.Size())
			if err := content.ReadFull(i.Content, p, 0); err != nil {
				t.Fatal(err)
			}
			got = string(p)
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%q, %v: %s, want %s", c.path, c.follow, got, c.want)
		}
	}
}

func TestNotExt(t *testing.T) {
	for _, image := range [][]byte{nil, make([]byte, 1000), make([]byte, 1<<20)} {
		if _, err := Open(bytes.NewReader(image), int64(len(image))); err != ErrNotExt {
			t.Errorf("%d bytes: %v", len(image), err)
		}
	}
	failing := io.NewSectionReader(bytes.NewReader(make([]byte, 1024)), 0, 1024)
	if _, err := Open(failing, 1<<20); err == nil || errors.Is(err, ErrNotExt) {
		t.Errorf("a short device: %v", err)
	}
}
