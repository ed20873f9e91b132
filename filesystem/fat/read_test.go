package fat

import (
	"bytes"
	"os"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// fatTime returns what is left of a time, in seconds.
func fatTime(t tree.Time) int64 { return min(max(t.Sec, minTime), maxTime) / 2 * 2 }

func readAll(t testing.TB, src content.Source) []byte {
	t.Helper()
	if src == nil {
		return nil
	}
	b := make([]byte, src.Size())
	if err := content.ReadFull(src, b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

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

// compareVolume compares a tree with what Walk finds. Tools that change a
// volume change times.
func compareVolume(t testing.TB, root *tree.Inode, v *Volume, times bool) {
	t.Helper()
	want := map[string]*tree.Inode{}
	var collect func(dir *tree.Inode, path string)
	collect = func(dir *tree.Inode, path string) {
		for _, e := range dir.Entries {
			want[path+"/"+e.Name] = e.Inode
			if e.Inode.IsDir() {
				collect(e.Inode, path+"/"+e.Name)
			}
		}
	}
	collect(root, "")
	err := v.Walk(func(path string, e DirEntry) error {
		node := want[path]
		delete(want, path)
		switch {
		case node == nil:
			t.Errorf("%q is not in the tree", path)
			return nil
		case node.IsDir() != e.Dir || !e.Dir && node.Size() != e.Size:
			t.Errorf("%q: %+v", path, e)
			return nil
		case times && e.Mtime != tree.Time{Sec: fatTime(node.Mtime)}:
			t.Errorf("%q: time %d, want %d", path, e.Mtime.Sec, fatTime(node.Mtime))
		}
		if e.Dir {
			return nil
		}
		src, err := v.Content(e)
		if err != nil {
			return err
		}
		if !bytes.Equal(readAll(t, src), readAll(t, node.Content)) {
			t.Errorf("%q: the content differs", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for path := range want {
		t.Errorf("%q is missing", path)
	}
}

// TestTree: the tree of a volume is that which was written, as far as FAT can
// hold it, and a lookup finds the same.
func TestTree(t *testing.T) {
	root := nastyTree(t)
	_, m := newMap(t, root, Options{Size: 64 << 20, Bits: 32})
	v, err := Open(m, m.Size())
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var compare func(path string, want, got *tree.Inode)
	compare = func(path string, want, got *tree.Inode) {
		one, err := v.LookupInode(path)
		if err != nil {
			t.Fatal(err)
		}
		mode := tree.TypeRegular | uint32(0o644)
		if want.IsDir() {
			mode = tree.TypeDir | 0o755
		}
		if got.Mode != mode || one.Mode != mode || len(got.Entries) != len(want.Entries) || len(one.Entries) != len(want.Entries) {
			t.Errorf("%q: %o with %d names, looked up %o with %d, want %o with %d", path,
				got.Mode, len(got.Entries), one.Mode, len(one.Entries), mode, len(want.Entries))
			return
		}
		if !bytes.Equal(readAll(t, got.Content), readAll(t, want.Content)) {
			t.Errorf("%q: the content differs", path)
		}
		for _, e := range want.Entries {
			if child := got.Child(e.Name); child == nil || one.Child(e.Name) == nil {
				t.Errorf("%q has no %q", path, e.Name)
			} else {
				compare(path+"/"+e.Name, e.Inode, child)
			}
		}
	}
	compare("", root, got)
}

// TestRoundTrip reads back what was written.
func TestRoundTrip(t *testing.T) {
	forKinds(t, func(t *testing.T, opts Options) {
		root := nastyTree(t)
		fs, m := newMap(t, root, opts)
		v, err := Open(m, m.Size())
		if err != nil {
			t.Fatal(err)
		}
		compareVolume(t, root, v, true)
		info, err := v.Info()
		if err != nil || info != fs.Info() {
			t.Errorf("%+v, %v, want %+v", info, err, fs.Info())
		}
	})
}
