package tree

import (
	"testing"

	"diskwright/content"

	"github.com/google/go-cmp/cmp"
)

// A clone has the same files and the same hard links, and nothing that is done to
// one is seen in the other.
func TestClone(t *testing.T) {
	root := NewDir(Time{Sec: 1})
	file := NewFile(content.Bytes("text"), Time{Sec: 2})
	file.Xattrs = []Xattr{{"user.x", []byte("y")}}
	for name, i := range map[string]*Inode{"/a/file": file, "/b/link": file, "/b/symlink": NewSymlink("x", Time{Sec: 3})} {
		if err := PutFile(root, name, i, Time{Sec: 4}); err != nil {
			t.Fatal(err)
		}
	}
	twin := Clone(root)
	if diff := cmp.Diff(root, twin); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	copied := twin.Lookup("a/file")
	if copied == file || copied != twin.Lookup("b/link") {
		t.Error("the clone has other hard links")
	}
	copied.UID, copied.Xattrs[0].Value = 7, nil
	twin.Lookup("b").RemoveChild("link")
	twin.Mtime.Sec = 9
	if file.UID != 0 || file.Xattrs[0].Value == nil || root.Lookup("b/link") != file || root.Mtime.Sec != 1 {
		t.Error("a change of the clone is one of the original")
	}
}
