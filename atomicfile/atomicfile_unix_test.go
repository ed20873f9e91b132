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

func TestModeIgnoresUmask(t *testing.T) {
	for _, umask := range []int{0, 0o077, 0o777} {
		for _, named := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "image")
			old := unix.Umask(umask)
			f := create(t, path, named, Options{NoSync: true})
			err := f.Commit()
			unix.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(path)
			if err != nil || fi.Mode() != 0o644 {
				t.Errorf("umask %o: mode %v, %v", umask, fi.Mode(), err)
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
	if err := create(t, link, false, Options{}).Commit(); err != nil {
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
		create(t, path, false, Options{})
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
