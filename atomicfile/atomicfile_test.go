package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// names returns what is in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range entries {
		s = append(s, e.Name())
	}
	return s
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("the directory has %q, want %q", got, want)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%q has %q, %v, want %q", path, got, err, want)
	}
}

// create begins a file in either way and writes to it.
func begin(t *testing.T, path string, named bool, opts Options) *File {
	t.Helper()
	unnamed := createUnnamed
	if named {
		unnamed = func(string) (*os.File, error) { return nil, errors.ErrUnsupported }
	}
	f, err := create(path, opts, unnamed)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name() != path {
		t.Errorf("the file calls itself %q, want %q", f.Name(), path)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLife(t *testing.T) {
	for _, named := range []bool{false, true} {
		for _, opts := range []Options{{}, {NoSync: true}} {
			for _, replace := range []bool{false, true} {
				dir := t.TempDir()
				path := filepath.Join(dir, "image")
				var before []string
				if replace {
					before = []string{"image"}
					if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
						t.Fatal(err)
					}
				}

				f := begin(t, path, named, opts)
				if replace {
					wantContent(t, path, "old")
				}
				f.Abort()
				f.Abort()
				wantNames(t, dir, before...)
				if err := f.Commit(); !errors.Is(err, os.ErrClosed) {
					t.Errorf("Commit after Abort: %v", err)
				}

				f = begin(t, path, named, opts)
				if err := f.Commit(); err != nil {
					t.Fatal(err)
				}
				f.Abort()
				wantNames(t, dir, "image")
				wantContent(t, path, "new")
				if err := f.Commit(); !errors.Is(err, os.ErrClosed) {
					t.Errorf("second Commit: %v", err)
				}
			}
		}
	}
}

func TestPanicLeavesNothing(t *testing.T) {
	for _, named := range []bool{false, true} {
		dir := t.TempDir()
		func() {
			defer func() { _ = recover() }()
			f := begin(t, filepath.Join(dir, "image"), named, Options{})
			defer f.Abort()
			panic("in the middle")
		}()
		wantNames(t, dir)
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, Options{}); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Create(dir+"/", Options{}); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory with a slash: %v", err)
	}
	missing := filepath.Join(dir, "no", "image")
	if _, err := Create(missing, Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing directory: %v", err)
	}
	wantNames(t, dir)
}

// TestFailedCommit: what was to be replaced became a directory meanwhile.
func TestFailedCommit(t *testing.T) {
	for _, named := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "image")
		f := begin(t, path, named, Options{})
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
		wantNames(t, dir, "image")
	}
}

func TestLongestName(t *testing.T) {
	for _, named := range []bool{false, true} {
		dir := t.TempDir()
		name := strings.Repeat("n", 255)
		f := begin(t, filepath.Join(dir, name), named, Options{NoSync: true})
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		wantNames(t, dir, name)
	}
}

// TestRace: whoever commits last wins, and nobody is in another's way.
func TestRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	var running sync.WaitGroup
	for i := range 16 {
		running.Go(func() {
			f := begin(t, path, i%2 == 0, Options{NoSync: true})
			if err := f.Commit(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	wantNames(t, dir, "image")
	wantContent(t, path, "new")
}
