package tree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
	memory "diskwright/test/scratch"
)

// everyFile returns a tree with files of every kind, made on the host and walked.
func everyFile(t testing.TB) *Inode {
	t.Helper()
	dir := memory.Dir(t)
	if err := nasty.Make(dir, nasty.Options{Readable: os.Geteuid() != 0, Portable: true}); err != nil {
		t.Fatal(err)
	}
	root, err := FromDir(context.Background(), dir, DirOptions{KeepOwners: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, huge := range []string{"sparse", "extents"} { // terabytes of zeros, in a tar
		root.RemoveChild(huge)
	}
	return root
}

// withoutSockets removes what tar cannot hold.
func withoutSockets(i *Inode) {
	for n := len(i.Entries) - 1; n >= 0; n-- {
		if e := i.Entries[n]; e.Inode.Type() == TypeSocket {
			i.RemoveChild(e.Name)
		} else {
			withoutSockets(e.Inode)
		}
	}
}

// TestOut: a tree of everything goes into a directory and into an archive.
func TestOut(t *testing.T) {
	root := everyFile(t)
	t.Run("directory", func(t *testing.T) { testExtract(t, root) })
	root.RemoveChild("holes")
	t.Run("tar", func(t *testing.T) { testWriteTar(t, root) })
}

// testExtract: what is extracted is what was there.
func testExtract(t *testing.T, root *Inode) {
	b := new(diskmap.Builder)
	b.Place(3<<30+5, content.Bytes("at the end"))
	m, err := b.Map(4 << 30)
	if err != nil {
		t.Fatal(err)
	}
	root.SetChild("holes", NewFile(m, testEpoch))
	dir := filepath.Join(memory.Dir(t), "new")
	opts := ExtractOptions{Privileged: os.Geteuid() == 0, Skipped: func(path, why string) {
		if os.Geteuid() == 0 {
			t.Errorf("%q is skipped: %s", path, why)
		}
	}}
	if err := Extract(context.Background(), root, dir, opts); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return
	}
	got, err := FromDir(context.Background(), dir, DirOptions{KeepOwners: true})
	if err != nil {
		t.Fatal(err)
	}
	sameText(t, "extracted", dump(t, got), dump(t, root))
	if err := Extract(context.Background(), root, dir, opts); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("extracted over what is there: %v", err)
	}
}

// TestExtractStaysInside: names and links of a hostile tree, and links that
// are in the directory already, lead nowhere else.
func TestExtractStaysInside(t *testing.T) {
	for name, root := range map[string]*Inode{
		"dots":   {Mode: TypeDir | 0o755, Entries: []Entry{{"..", &Inode{Mode: TypeDir | 0o755, Entries: []Entry{{"f", NewFile(content.Bytes("x"), testEpoch)}}}}}},
		"slash":  {Mode: TypeDir | 0o755, Entries: []Entry{{"../f", NewFile(content.Bytes("x"), testEpoch)}}},
		"rooted": {Mode: TypeDir | 0o755, Entries: []Entry{{"/tmp/f", NewFile(content.Bytes("x"), testEpoch)}}},
		"planted": {Mode: TypeDir | 0o755, Entries: []Entry{{"planted", &Inode{Mode: TypeDir | 0o755, Entries: []Entry{
			{"f", NewFile(content.Bytes("x"), testEpoch)}}}}}},
		"twice": {Mode: TypeDir | 0o755, Entries: []Entry{{"l", NewSymlink("..", testEpoch)}, {"l", &Inode{Mode: TypeDir | 0o755, Entries: []Entry{
			{"f", NewFile(content.Bytes("x"), testEpoch)}}}}}},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "dir")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("..", filepath.Join(dir, "planted")); err != nil {
			t.Fatal(err)
		}
		if err := Extract(context.Background(), root, dir, ExtractOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if entries, err := os.ReadDir(outer); err != nil || len(entries) != 1 {
			t.Errorf("%s: outside of the directory are %v, %v", name, entries, err)
		}
	}
}

// testWriteTar: a tree that was written as a tar is the same when it is read, by
// us and by GNU tar.
func testWriteTar(t *testing.T, root *Inode) {
	archive := filepath.Join(memory.Dir(t), "archive.tar")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sockets := 0
	if err := WriteTar(context.Background(), f, root, func(string) { sockets++ }); err != nil {
		t.Fatal(err)
	}
	if sockets == 0 {
		t.Error("there was no socket to skip")
	}
	withoutSockets(root)
	want := dump(t, root)
	got, _, err := FromTar(context.Background(), archive, TarOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sameText(t, "read back", dump(t, got), want)

	if os.Geteuid() != 0 {
		return
	}
	dir := memory.Dir(t)
	oracle.Run(t, "tar", "--extract", "--file", archive, "--directory", dir, "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "--same-permissions")
	if got, err = FromDir(context.Background(), dir, DirOptions{KeepOwners: true}); err != nil {
		t.Fatal(err)
	}
	sameText(t, "extracted by tar", dump(t, got), want)
}

// TestWriteTarErrors: a source that fails, a context that ends, an output that is
// full.
func TestWriteTarErrors(t *testing.T) {
	root := NewDir(testEpoch)
	root.SetChild("f", NewFile(&content.Generated{Length: 5, Fill: func([]byte, int64) error { return fmt.Errorf("no such luck") }}, testEpoch))
	if err := WriteTar(context.Background(), io.Discard, root, nil); err == nil || !strings.Contains(err.Error(), `"./f": no such luck`) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(io.ErrClosedPipe)
	if err := WriteTar(ctx, io.Discard, root, nil); err != io.ErrClosedPipe {
		t.Errorf("got %v", err)
	}
	root.SetChild("a", NewFile(content.Bytes(bytes.Repeat([]byte("a"), 1<<20)), testEpoch))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if err := WriteTar(context.Background(), full, root, nil); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}
