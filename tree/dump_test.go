package tree

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"diskwright/content"
	"diskwright/diskmap"
)

// dump describes a tree, a line for each name: everything that an image shows
// of it. Hard links are the same ordinal.
func dump(t testing.TB, root *Inode) string {
	t.Helper()
	var b strings.Builder
	Number(root)
	dumpInto(t, &b, "", root)
	return b.String()
}

func dumpInto(t testing.TB, b *strings.Builder, path string, i *Inode) {
	fmt.Fprintf(b, "%q %06o %d:%d %d.%09d #%d*%d", path, i.Mode, i.UID, i.GID, i.Mtime.Sec, i.Mtime.Nsec, i.Ordinal, i.Links)
	for _, x := range i.Xattrs {
		fmt.Fprintf(b, " %s=%q", x.Name, x.Value)
	}
	switch i.Type() {
	case TypeRegular:
		fmt.Fprintf(b, " %d bytes %x", i.Size(), digest(t, i.Content))
	case TypeSymlink:
		fmt.Fprintf(b, " -> %q", i.Target())
	case TypeBlock, TypeChar:
		fmt.Fprintf(b, " %d,%d", i.Major, i.Minor)
	}
	b.WriteString("\n")
	for n, e := range i.Entries {
		if n > 0 && i.Entries[n-1].Name >= e.Name {
			t.Fatalf("%q: %q is behind %q", path, e.Name, i.Entries[n-1].Name)
		}
		dumpInto(t, b, path+"/"+e.Name, e.Inode)
	}
}

// digest returns a hash of the content, whatever of its zeros are holes.
func digest(t testing.TB, src content.Source) []byte {
	if src == nil {
		return nil
	}
	h := sha256.New()
	const block = 512
	var zeros, p [block]byte
	for e := range diskmap.ExtentsOf(src) {
		first, last := e.Offset/block, (e.End()+block-1)/block
		for n := first; n < last; n++ {
			size := min(block, src.Size()-n*block)
			if err := content.ReadFull(src, p[:size], n*block); err != nil {
				t.Fatal(err)
			}
			if p != zeros {
				fmt.Fprintf(h, "[%d]%s", n, p[:size])
			}
			clear(p[:])
		}
	}
	return h.Sum(nil)[:8]
}

// sameText fails the test if two texts differ, showing where.
func sameText(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: -want +got\n%s", what, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
	}
}
