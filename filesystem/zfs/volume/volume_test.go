package volume_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/zfs"
	"diskwright/filesystem/zfs/volume"
	"diskwright/tree"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
)

var testTime = tree.Time{Sec: 1<<32 + 12345, Nsec: 123456789}

func file(src content.Source) *tree.Inode { return tree.NewFile(src, testTime) }

func dir() *tree.Inode { return tree.NewDir(testTime) }

// noise is content of size bytes that does not compress.
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
	return content.Bytes(bytes.Repeat([]byte("a line of text\n"), int(size/15)+1)[:size])
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
	for _, n := range []int64{0, 1, 112, 113, 511, 512, 513, 4096, 4097, 131072, 131073, 262144, mib + 5} {
		sizes.SetChild(fmt.Sprintf("noise-%d", n), file(noise(n)))
		sizes.SetChild(fmt.Sprintf("text-%d", n), file(text(n)))
		sizes.SetChild(fmt.Sprintf("zeros-%d", n), file(content.Bytes(make([]byte, n))))
	}
	root.SetChild("sizes", sizes)
	holes := dir()
	holes.SetChild("levels", file(sparse(t, 100<<40, 17, 3<<40, 100<<40-10)))
	holes.SetChild("nothing", file(sparse(t, 5*mib+1)))
	holes.SetChild("unaligned", file(sparse(t, mib+1000, 130*kib, mib)))
	root.SetChild("holes", holes)
	hard := file(text(1000))
	links := dir()
	for _, n := range []int{1, 144, 145, 4095} {
		links.SetChild(fmt.Sprintf("to-%d", n), tree.NewSymlink(strings.Repeat("t", n), testTime))
	}
	links.SetChild("a", hard)
	sizes.SetChild("hard", hard)
	links.SetChild("absolute", tree.NewSymlink("/sizes/../sizes", testTime))
	links.SetChild("relative", tree.NewSymlink("../sizes/hard", testTime))
	links.SetChild("loop", tree.NewSymlink("loop", testTime))
	root.SetChild("links", links)
	root.SetChild("null", &tree.Inode{Mode: tree.TypeChar | 0o666, Major: 259, Minor: 70000, Mtime: testTime})
	root.SetChild("fifo", &tree.Inode{Mode: tree.TypeFIFO | 0o640, Mtime: tree.Time{Sec: -86400, Nsec: 1}})
	root.SetChild("socket", &tree.Inode{Mode: tree.TypeSocket | 0o4755, Mtime: testTime})
	many := dir()
	for i := range 3000 {
		many.SetChild(fmt.Sprintf("entry-%05d", i), hard)
	}
	many.SetChild(strings.Repeat("m", 255), hard)
	many.SetChild("\xff not UTF-8\n", hard)
	root.SetChild("many", many)
	attrs := dir()
	for _, n := range []int{0, 100, 3000, 32768} {
		f := file(text(10))
		f.UID, f.GID = 1000, 4294967294
		f.Xattrs = []tree.Xattr{{Name: "security.a", Value: []byte("a")}, {Name: "user.note", Value: bytes.Repeat([]byte("x"), n)}}
		attrs.SetChild(fmt.Sprintf("file-%d", n), f)
	}
	attrs.Xattrs = []tree.Xattr{{Name: "user.dir", Value: []byte("d")}}
	root.SetChild("attrs", attrs)
	return root
}

func options(size int64) zfs.Options {
	return zfs.Options{Size: size, Name: "tank", Seed: []byte("a seed"), Epoch: 315532800}
}

// plan returns a pool as it lies on its device.
func plan(t testing.TB, root *tree.Inode, opts zfs.Options) *diskmap.Map {
	t.Helper()
	p, err := zfs.New(t.Context(), root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p.Map()
}

func open(t testing.TB, disk content.Source) *volume.Pool {
	t.Helper()
	p, err := volume.Open(disk, disk.Size())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// same compares a tree that was read with the one that was written.
func same(t testing.TB, path string, want, got *tree.Inode) {
	t.Helper()
	if got == nil {
		t.Errorf("%q: it is not there", path)
		return
	}
	w, g := *want, *got
	w.Entries, g.Entries, w.Content, g.Content, w.Links, g.Links, w.Ordinal, g.Ordinal = nil, nil, nil, nil, 0, 0, 0, 0
	if a, b := fmt.Sprintf("%+v", w), fmt.Sprintf("%+v", g); a != b {
		t.Errorf("%q: %s, want %s", path, b, a)
	}
	if want.Size() != got.Size() && !want.IsDir() {
		t.Errorf("%q: %d bytes, want %d", path, got.Size(), want.Size())
		return
	}
	for off := int64(0); off < want.Size(); {
		n := min(mib, want.Size()-off)
		a, b := make([]byte, n), make([]byte, n)
		if err := errors.Join(content.ReadFull(want.Content, a, off), content.ReadFull(got.Content, b, off)); err != nil {
			t.Errorf("%q: %v", path, err)
			return
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%q: the bytes from %d on differ", path, off)
			return
		}
		if off += n; off == 4*mib && want.Size() > 10*mib {
			off = want.Size() - mib
		}
	}
	if len(want.Entries) != len(got.Entries) {
		t.Errorf("%q: %d names, want %d", path, len(got.Entries), len(want.Entries))
	}
	for _, e := range want.Entries {
		same(t, path+"/"+e.Name, e.Inode, got.Child(e.Name))
	}
}

// shallow returns a copy without what is below the entries.
func shallow(i *tree.Inode) *tree.Inode {
	c := *i
	c.Entries = slices.Clone(i.Entries)
	for k, e := range c.Entries {
		entry := *e.Inode
		entry.Entries = nil
		c.Entries[k].Inode = &entry
	}
	return &c
}

// What the writer of package zfs writes is read as it was.
func TestTree(t *testing.T) {
	root := everything(t)
	for _, properties := range []map[string]string{
		nil,
		{"compression": "off", "checksum": "sha256", "copies": "2"},
		{"compression": "gzip", "recordsize": "4096"},
		{"compression": "zle"},
	} {
		t.Run(fmt.Sprint(properties), func(t *testing.T) {
			t.Parallel()
			opts := options(gib)
			opts.Properties = properties
			p := open(t, plan(t, root, opts))
			if p.Name != "tank" || p.State != "exported" || p.Allocated == 0 || p.Size == 0 {
				t.Errorf("%+v", p.Info)
			}
			files, err := p.Dataset("tank").Files()
			if err != nil {
				t.Fatal(err)
			}
			got, err := files.Tree(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, "", root, got)
			if got.Lookup("links/a") != got.Lookup("many/entry-00000") {
				t.Error("a file with two names became two")
			}
			if m, ok := got.Lookup("holes/levels").Content.(*diskmap.Map); !ok || m.DataSize() > mib {
				t.Error("holes are not holes")
			}
		})
	}
}

func TestLookup(t *testing.T) {
	root := everything(t)
	p := open(t, plan(t, root, options(gib)))
	files, err := p.Dataset("tank").Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path   string
		follow bool
		want   string
	}{
		{"/", true, ""}, {"/sizes/hard", true, "sizes/hard"}, {"sizes//./text-513", true, "sizes/text-513"},
		{"/links/relative", true, "sizes/hard"}, {"/links/relative", false, "links/relative"},
		{"/links/absolute/hard", false, "sizes/hard"}, {"/many/entry-02999", true, "many/entry-02999"},
		{"/../../null", true, "null"}, {"/attrs", true, "attrs"},
	} {
		got, err := files.Lookup(test.path, test.follow)
		if err != nil {
			t.Errorf("%q: %v", test.path, err)
			continue
		}
		same(t, test.path, shallow(root.Lookup(test.want)), shallow(got))
	}
	for _, path := range []string{"/nothing", "/null/x", "/sizes/hard/", "/many/entry", "/nowhere/x"} {
		if _, err := files.Lookup(path, true); err == nil && path != "/sizes/hard/" || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := files.Lookup("/links/loop", true); err == nil || !strings.Contains(err.Error(), "40 symbolic links") {
		t.Error(err)
	}
}

// Datasets are where their mount points say; see docs/looking.md for the rules.
func TestMounts(t *testing.T) {
	one := func(name string) *tree.Inode {
		root := dir()
		root.SetChild(name, file(text(5)))
		return root
	}
	prop := func(kv ...string) map[string]string {
		m := make(map[string]string)
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	opts := options(gib)
	opts.Properties = prop("mountpoint", "none")
	rootTree := one("in-root")
	rootTree.SetChild("nix", tree.NewSymlink("elsewhere", testTime))
	opts.Datasets = []zfs.Dataset{
		{Name: "system/root", Root: rootTree, Properties: prop("mountpoint", "/", "canmount", "noauto")},
		{Name: "system/old", Root: one("in-old"), Properties: prop("mountpoint", "/", "canmount", "noauto")},
		{Name: "system/var", Root: one("in-var"), Properties: prop("mountpoint", "/var")},
		{Name: "system/var/log", Root: one("in-log")},
		{Name: "local/nix", Root: one("in-nix"), Properties: prop("mountpoint", "legacy")},
		{Name: "local/store", Root: one("in-store"), Properties: prop("mountpoint", "legacy")},
		{Name: "off", Root: one("in-off"), Properties: prop("mountpoint", "/off", "canmount", "off")},
	}
	p := open(t, plan(t, one("in-tank"), opts))
	mounts := p.Mounts(map[string]string{"tank/local/nix": "/nix"})
	var got []string
	for _, m := range mounts {
		got = append(got, m.Path+" "+m.Dataset.Name)
	}
	want := []string{
		"/ tank/system/old", "/nix tank/local/nix",
		"/tank/system/root tank/system/root", "/var tank/system/var", "/var/log tank/system/var/log",
	}
	if !slices.Equal(got, want) {
		t.Errorf("mounts:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all := p.Mounts(nil); len(all) != len(want)+1 || !slices.ContainsFunc(all, func(m volume.Mount) bool { return m.Path == "/tank/local/store" }) {
		t.Errorf("mounts where nobody knows of legacy ones: %v", all)
	}
	mounts[0].Dataset, mounts[2].Dataset = mounts[2].Dataset, mounts[0].Dataset
	files, err := p.Files(mounts)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := files.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"in-root", "nix/in-nix", "var/in-var", "var/log/in-log", "tank/system/root/in-old"} {
		if whole.Lookup(path) == nil {
			t.Errorf("the tree has no %s", path)
		}
		if _, err := files.Lookup("/"+path, true); err != nil {
			t.Error(err)
		}
	}
	root, err := files.Lookup("/", true)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range root.Entries {
		names = append(names, e.Name)
	}
	if want := []string{"in-root", "nix", "tank", "var"}; !slices.Equal(names, want) || !root.Child("nix").IsDir() {
		t.Errorf("names in the root: %q, want %q", names, want)
	}
}

// Open says what is no pool, and what is a damaged one.
func TestNoPool(t *testing.T) {
	for _, size := range []int64{0, 100, 5 * mib} {
		if _, err := volume.Open(bytes.NewReader(make([]byte, size)), size); !errors.Is(err, volume.ErrNotZFS) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
	disk := image(t, plan(t, dir(), options(64*mib)))
	for i := 16 << 10; i < len(disk); i += 256 << 10 {
		disk[i+100]++ // of each list
	}
	if _, err := volume.Open(bytes.NewReader(disk), int64(len(disk))); !errors.Is(err, volume.ErrCorrupt) {
		t.Error(err)
	}
}

// image returns all bytes of a disk.
func image(t testing.TB, disk content.Source) []byte {
	t.Helper()
	p, err := io.ReadAll(io.NewSectionReader(disk, 0, disk.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Names of which case does not matter are found exactly, in directories of any size.
func TestNamesWithoutCase(t *testing.T) {
	root := dir()
	for i := range 3000 {
		root.SetChild(fmt.Sprintf("Entry-%05d", i), file(text(int64(i%7))))
	}
	opts := options(gib)
	opts.Properties = map[string]string{"casesensitivity": "insensitive", "normalization": "formD"}
	files, err := open(t, plan(t, root, opts)).Files(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/Entry-00000", "/Entry-02999"} {
		if _, err := files.Lookup(path, true); err != nil {
			t.Error(err)
		}
	}
	if _, err := files.Lookup("/entry-00000", true); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
