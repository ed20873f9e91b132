package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sync/errgroup"
)

// hostFile writes a file and returns its content as a walk sees it now.
func hostFile(t *testing.T, data string) (path string, f *HostFile) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	// Times of files advance with the kernel's clock tick only.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	f, err := StatHostFile(path)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	return path, f
}

func TestHostFileReads(t *testing.T) {
	path, f := hostFile(t, "some bytes of a file")
	if f.Path() != path {
		t.Errorf("path is %q, want %q", f.Path(), path)
	}
	if err := iotest.TestReader(io.NewSectionReader(f, 0, f.Size()), []byte("some bytes of a file")); err != nil {
		t.Error(err)
	}
	part := Section(Section(f, 5, 15), 0, 5)
	b, err := part.(Backed).Borrow()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, part.Size())
	if _, err := b.File.ReadAt(got, b.Offset); err != nil || string(got) != "bytes" {
		t.Errorf("borrowed file has %q, %v", got, err)
	}
	if err := b.Return(); err != nil {
		t.Error(err)
	}
	if _, err := b.File.Read(got); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is still open: %v", err)
	}
}

func TestStatHostFile(t *testing.T) {
	path, _ := hostFile(t, "x")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	f, err := StatHostFile(link)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1)
	if err := ReadFull(f, got, 0); err != nil || got[0] != 'x' {
		t.Errorf("through a link: %q, %v", got, err)
	}
	if _, err := StatHostFile(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := StatHostFile(path + "?"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

// A change is what may happen to a file of "0123456789" between the walk and
// its turn.
type change struct {
	name  string
	apply func(path string) error
	want  string
	// open says that a process that has the file open meets the change too.
	open bool
}

var changes = []change{
	{"shorter", func(path string) error { return os.Truncate(path, 4) }, "had 10 bytes and now has 4", true},
	{"empty", func(path string) error { return os.Truncate(path, 0) }, "had 10 bytes and now has 0", true},
	{"longer", func(path string) error { return appendTo(path, "+") }, "had 10 bytes and now has 11", true},
	{"gone", os.Remove, "is gone", false},
	{"parent gone", func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, "is gone", false},
	{"parent became a file", func(path string) error {
		dir := filepath.Dir(path)
		return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o644))
	}, "is gone", false},
	{"replaced", func(path string) error {
		return errors.Join(os.WriteFile(path+".new", []byte("9876543210"), 0o644), os.Rename(path+".new", path))
	}, "was replaced by another file", false},
	{"modified", func(path string) error { return os.WriteFile(path, []byte("9876543210"), 0o644) }, "was modified", true},
	{"replaced by a directory", func(path string) error {
		return errors.Join(os.Rename(path, path+".old"), os.Mkdir(path, 0o755))
	}, "was replaced", false},
}

func appendTo(path, data string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(data)
	return errors.Join(err, f.Close())
}

func (c change) check(t *testing.T, path string, err error) {
	t.Helper()
	if !errors.Is(err, ErrChanged) {
		t.Fatalf("got error %v, want one that is ErrChanged", err)
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
		t.Errorf("error %q does not have %q and %q", err, path, c.want)
	}
}

// TestChangedBefore: the file changed before it was opened.
func TestChangedBefore(t *testing.T) {
	for _, c := range append(changes, unixChanges...) {
		t.Run(c.name, func(t *testing.T) {
			path, f := hostFile(t, "0123456789")
			if err := c.apply(path); err != nil {
				t.Fatal(err)
			}
			n, err := f.ReadAt(make([]byte, 3), 0)
			if n != 0 {
				t.Errorf("read %d bytes", n)
			}
			c.check(t, path, err)
			_, err = Section(f, 2, 5).ReadAt(make([]byte, 3), 0)
			c.check(t, path, err)
			_, err = f.Borrow()
			c.check(t, path, err)
			_, err = Section(f, 2, 5).(Backed).Borrow()
			c.check(t, path, err)
		})
	}
}

// TestChangedMeanwhile: the file changed while it was open.
func TestChangedMeanwhile(t *testing.T) {
	for _, c := range append(changes, unixChanges...) {
		if !c.open {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			path, f := hostFile(t, "0123456789")
			h, err := f.open()
			if err != nil {
				t.Fatal(err)
			}
			defer h.close()
			b, err := f.Borrow()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.apply(path); err != nil {
				t.Fatal(err)
			}
			c.check(t, path, f.read(h, make([]byte, 5), 5))
			c.check(t, path, b.Return())
		})
	}
}

// TestReplacedWhileOpen: who has the file open still has the right bytes; the
// link count is part of what a change of the inode's ctime tells.
func TestReplacedWhileOpen(t *testing.T) {
	path, f := hostFile(t, "0123456789")
	h, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("9876543210"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	// Renaming sets the ctime on some file systems, and leaves it on others.
	if err := f.read(h, p, 0); err == nil && !bytes.Equal(p, []byte("0123456789")) || err != nil && !errors.Is(err, ErrChanged) {
		t.Errorf("read %q, %v", p, err)
	}
}

func TestDirPath(t *testing.T) {
	root := NewDir("/")
	usr := root.Sub("usr")
	bin, below := usr.Sub("bin"), NewDir("a/b").Sub("c")
	for _, c := range []struct{ got, want string }{
		{root.Path(), "/"},
		{usr.Path(), "/usr"},
		{bin.Path(), "/usr/bin"},
		{below.Path(), "a/b/c"},
		{NewHostFile(root, "f", Identity{}).Path(), "/f"},
		{NewHostFile(NewDir("."), "f", Identity{}).Path(), "./f"},
		{NewHostFile(&bin, "\xff\n", Identity{}).Path(), "/usr/bin/\xff\n"},
		{NewHostFile(nil, "/x/y", Identity{}).Path(), "/x/y"},
	} {
		if c.got != c.want {
			t.Errorf("path is %q, want %q", c.got, c.want)
		}
	}
}

// TestManyDirs reads from more directories than are held open, by several
// workers, and while some are replaced.
func TestManyDirs(t *testing.T) {
	top := t.TempDir()
	root := NewDir(top)
	var files []*HostFile
	for n := range 50 {
		dir := root.Sub(fmt.Sprint(n))
		if err := os.Mkdir(dir.Path(), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			path := filepath.Join(dir.Path(), name)
			if err := os.WriteFile(path, fmt.Append(nil, n, name), 0o644); err != nil {
				t.Fatal(err)
			}
			fi, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, NewHostFile(&dir, name, IdentityOf(fi)))
		}
	}
	read := func(n int) error {
		p := make([]byte, files[n].Size())
		if err := ReadFull(files[n], p, 0); err != nil {
			return err
		}
		if want := fmt.Sprint(n/2, []string{"a", "b"}[n%2]); string(p) != want {
			return fmt.Errorf("%q, want %q", p, want)
		}
		return nil
	}
	var workers errgroup.Group
	for w := range 4 {
		workers.Go(func() error {
			for i := range 4 * len(files) {
				if err := read((i*(2*w+1) + w) % len(files)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		t.Fatal(err)
	}
	// Another directory of that name, with another file in it.
	if err := errors.Join(os.Rename(top+"/7", top+"/x"), os.Mkdir(top+"/7", 0o755), os.WriteFile(top+"/7/a", []byte("8a"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for n := range 32 { // 7 is not held any more
		if err := read(16 + n); err != nil {
			t.Error(err)
		}
	}
	if err := read(14); !errors.Is(err, ErrChanged) {
		t.Errorf("a replaced directory: %v", err)
	}
}

func BenchmarkReadSmall(b *testing.B) {
	path := filepath.Join(b.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 2000), 0o644); err != nil {
		b.Fatal(err)
	}
	f, err := StatHostFile(path)
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 2000)
	b.ReportAllocs()
	for b.Loop() {
		if err := ReadFull(f, p, 0); err != nil {
			b.Fatal(err)
		}
	}
}
