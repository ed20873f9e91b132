package tree

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"diskwright/content"
	"diskwright/diskmap"
)

// testEpoch is the time of what is made.
var testEpoch = Time{Sec: 315532800}

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
	const block, window = 512, 256 << 10
	var zeros [block]byte
	p := make([]byte, window)
	next := int64(0) // first window that was not looked at
	for e := range diskmap.ExtentsOf(src) {
		for n := max(next, e.Offset/window); n*window < e.End(); n++ {
			size := min(window, src.Size()-n*window)
			if err := content.ReadFull(src, p[:size], n*window); err != nil {
				t.Fatal(err)
			}
			clear(p[size:])
			for off := range window / block {
				if b := p[off*block:][:block]; !bytes.Equal(b, zeros[:]) {
					fmt.Fprintf(h, "[%d]", n*window/block+int64(off))
					h.Write(b)
				}
			}
			next = n + 1
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

// describe says what an inode is, briefly.
func describe(t testing.TB, i *Inode) string {
	kind := map[uint32]string{TypeDir: "d", TypeRegular: "f", TypeSymlink: "l"}[i.Type()]
	d := fmt.Sprintf("%s%d:%d %o %d ", kind, i.UID, i.GID, i.Mode&PermMask, i.Mtime.Sec)
	switch {
	case i.IsRegular():
		d += text(t, i)
	case i.IsSymlink():
		d += "-> " + i.Target()
	}
	return d
}
