//go:build unix

package atomicfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMode: a new file has the mode that any new file has, and one that replaces
// another has that one's.
func TestMode(t *testing.T) {
	for _, test := range []struct {
		umask     int
		old, want os.FileMode // old is 0 if there is no file before
	}{
		{0, 0, 0o666}, {0o022, 0, 0o644}, {0o077, 0, 0o600},
		{0o022, 0o640, 0o640}, {0o077, 0o666, 0o666}, {0, 0o600, 0o600},
	} {
		for _, named := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "image")
			if test.old != 0 {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, test.old); err != nil {
					t.Fatal(err)
				}
			}
			umask := unix.Umask(test.umask)
			f := begin(t, path, named, Options{NoSync: true})
			err := f.Commit()
			unix.Umask(umask)
			if err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(path)
			if err != nil || fi.Mode() != test.want {
				t.Errorf("umask %o, %v before: mode %v, %v; want %v", test.umask, test.old, fi.Mode(), err, test.want)
			}
		}
	}
}

func TestRefusesSpecialFiles(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, os.DevNull} {
		if _, err := Create(path, Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestReplacesLink: the link goes, not what it leads to.
func TestReplacesLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if err := begin(t, link, false, Options{}).Commit(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, target, "old")
	wantContent(t, link, "new")
	if fi, err := os.Lstat(link); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

// TestKilled: on Linux even a process that is killed leaves nothing, where
// the file system has files without names.
func TestKilled(t *testing.T) {
	const variable = "ATOMICFILE_TEST_CREATE"
	if path := os.Getenv(variable); path != "" {
		begin(t, path, false, Options{})
		os.Stdout.WriteString("created\n")
		select {} // until killed
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	if f, err := createUnnamed(path); err != nil {
		t.Skipf("no files without names here (%s): %v", runtime.GOOS, err)
	} else {
		f.Close()
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), variable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	wantNames(t, dir)
}
