package cpio

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/test/oracle"
	"diskwright/tree"
)

var epoch = tree.Time{Sec: 315532800}

func archiveOf(t *testing.T, root *tree.Inode) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, root); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sample has a file of each type, and of lengths around the alignment.
func sample(t *testing.T) *tree.Inode {
	root := tree.NewDir(epoch)
	put := func(path string, i *tree.Inode) {
		if err := tree.PutFile(root, path, i, epoch); err != nil {
			t.Fatal(err)
		}
	}
	program := tree.NewFile(content.Bytes("#!/bin/sh\n"), epoch)
	program.Mode = tree.TypeRegular | 0o755
	put("init", program)
	for _, text := range []string{"", "1", "12", "123", "1234", "12345"} {
		put("dir/deep/"+"n"+text, tree.NewFile(content.Bytes(text), epoch))
	}
	linked := tree.NewFile(content.Bytes("twice"), epoch)
	put("dir/a", linked)
	put("dir/b", linked)
	put("link", tree.NewSymlink("dir/deep", epoch))
	put("dev/console", &tree.Inode{Mode: tree.TypeChar | 0o600, Major: 5, Minor: 1, Mtime: epoch})
	return root
}

func TestHeader(t *testing.T) {
	root := tree.NewDir(epoch)
	root.SetChild("a", tree.NewFile(content.Bytes("hello"), epoch))
	want := "070701" + "00000002" + "000081A4" + "00000000" + "00000000" + "00000001" + "12CEA600" + "00000005" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000002" + "00000000" + "a\x00" + "hello\x00\x00\x00" +
		"070701" + "00000000" + "00000000" + "00000000" + "00000000" + "00000001" + "00000000" + "00000000" +
		"00000000" + "00000000" + "00000000" + "00000000" + "0000000B" + "00000000" + "TRAILER!!!\x00\x00\x00\x00"
	if got := string(archiveOf(t, root)); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// Another program finds in the archive what is in the tree.
func TestOracle(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "archive")
	if err := os.WriteFile(file, archiveOf(t, sample(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	list := oracle.Run(t, "cpio", "-tvn", "--quiet", "-F", file)
	for _, want := range []string{"crw-------   1 0        0          5,   1 Jan  1  1980 dev/console", "link -> dir/deep", "-rwxr-xr-x   1 0        0              10 Jan  1  1980 init"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q:\n%s", want, list)
		}
	}
	oracle.Run(t, "cpio", "-id", "--quiet", "-D", dir, "-F", file, "init", "dir*", "link")
	for name, want := range map[string]string{"init": "#!/bin/sh\n", "dir/a": "twice", "dir/b": "twice", "link/n123": "123", "link/n": "", "link/n1234": "1234"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	a, errA := os.Stat(filepath.Join(dir, "dir/a"))
	b, errB := os.Stat(filepath.Join(dir, "dir/b"))
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Errorf("two names of one file are two files: %v, %v", errA, errB)
	}
}

// Equal trees give equal archives.
func TestDeterminism(t *testing.T) {
	if !bytes.Equal(archiveOf(t, sample(t)), archiveOf(t, sample(t))) {
		t.Error("two archives of equal trees differ")
	}
}

// huge is a source that nobody reads.
type huge struct{ content.Bytes }

func (huge) Size() int64 { return 1 << 32 }

func TestTooLarge(t *testing.T) {
	root := tree.NewDir(epoch)
	root.SetChild("big", tree.NewFile(huge{}, epoch))
	if err := Write(&bytes.Buffer{}, root); err == nil || !strings.Contains(err.Error(), `"big": has 4294967296 bytes`) {
		t.Errorf("error is %v", err)
	}
}
