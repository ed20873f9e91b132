package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFrom: a file without a name becomes the new file, once and where it can.
func TestFrom(t *testing.T) {
	dir := t.TempDir()
	begun := func() *os.File {
		t.Helper()
		f, err := createUnnamed(filepath.Join(dir, "begun"))
		if err != nil {
			t.Skipf("no files without names here: %v", err)
		}
		t.Cleanup(func() { f.Close() })
		if _, err := f.WriteString("begun"); err != nil {
			t.Fatal(err)
		}
		return f
	}
	from := begun()
	path := filepath.Join(dir, "image")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	aborted, err := Create(path, Options{From: from})
	if err != nil {
		t.Fatal(err)
	}
	aborted.Abort()
	wantContent(t, path, "")
	f, err := Create(path, Options{From: from})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("B"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "Begun")
	wantNames(t, dir, "image")
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o640 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if err := from.Close(); err != nil { // the file is there all the same
		t.Fatal(err)
	}
	wantContent(t, path, "Begun")

	// What cannot get the name is left alone.
	named, err := os.Create(filepath.Join(dir, "named"))
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	removed, err := os.Create(filepath.Join(dir, "removed"))
	if err != nil {
		t.Fatal(err)
	}
	defer removed.Close()
	if err := os.Remove(removed.Name()); err != nil {
		t.Fatal(err)
	}
	given := begun()
	if err := giveName(given, filepath.Join(dir, "given")); err != nil {
		t.Fatal(err)
	}
	memory, err := unix.MemfdCreate("elsewhere", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := os.NewFile(uintptr(memory), "elsewhere")
	defer elsewhere.Close()
	for name, from := range map[string]*os.File{"named": named, "removed": removed, "given": given, "elsewhere": elsewhere, "closed": closed(t)} {
		path := filepath.Join(dir, "new-"+name)
		f, err := Create(path, Options{From: from})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if fi, err := f.Stat(); err != nil || fi.Size() != 0 {
			t.Errorf("%s: %d bytes, %v", name, fi.Size(), err)
		}
		if err := f.Commit(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func closed(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return f
}
