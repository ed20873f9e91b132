package tree

import (
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"diskwright/content"
)

func TestFS(t *testing.T) {
	root := NewDir(testEpoch)
	dir := NewDir(testEpoch)
	dir.SetChild("file", NewFile(content.Bytes("hello"), testEpoch))
	dir.SetChild("empty", NewFile(nil, testEpoch))
	dir.SetChild("\xff", NewFile(content.Bytes("no text"), testEpoch))
	root.SetChild("dir", dir)
	root.SetChild("link", NewSymlink("dir/file", testEpoch))
	root.SetChild("fifo", &Inode{Mode: TypeFIFO | 0o600})
	fsys := FS(root)
	// fstest follows links, and reads what is to be read only.
	checked := NewDir(testEpoch)
	checked.SetChild("dir", dir)
	if err := fstest.TestFS(FS(checked), "dir", "dir/file", "dir/empty"); err != nil {
		t.Error(err)
	}
	if b, err := fs.ReadFile(fsys, "dir/file"); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	list, err := fs.ReadDir(fsys, "dir")
	if err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	if target, err := fsys.ReadLink("link"); err != nil || target != "dir/file" {
		t.Errorf("%q, %v", target, err)
	}
	if info, err := fs.Stat(fsys, "fifo"); err != nil || info.Mode() != fs.ModeNamedPipe|0o600 || info.Sys() != root.Child("fifo") {
		t.Errorf("%v, %v", info, err)
	}
	f, err := fsys.Open("dir/file")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 2)
	if _, err := f.(io.ReaderAt).ReadAt(p, 3); err != nil || string(p) != "lo" {
		t.Errorf("%q, %v", p, err)
	}
	for name, want := range map[string]error{"nothing": fs.ErrNotExist, "dir/\xff": fs.ErrInvalid, "/dir": fs.ErrInvalid, "dir/file/x": fs.ErrNotExist} {
		if _, err := fsys.Open(name); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}
