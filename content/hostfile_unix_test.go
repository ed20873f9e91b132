//go:build linux || darwin

package content

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var unixChanges = []change{
	{"became a FIFO", func(path string) error {
		return errors.Join(os.Rename(path, path+".old"), unix.Mkfifo(path, 0o644))
	}, "was replaced by another file", false},
	{"became a symbolic link", func(path string) error {
		return errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path))
	}, "was replaced by a symbolic link", false},
	{"became a socket", func(path string) error {
		// The path of a test may be too long for a socket's address.
		short := path[:strings.LastIndexByte(path, '/')] + "/s"
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		return errors.Join(l.Close(), os.Rename(short, path))
	}, "was replaced by a socket", false},
	{"mode", func(path string) error { return os.Chmod(path, 0o600) }, "had its owner, mode, links or attributes changed", true},
	{"linked", func(path string) error { return os.Link(path, path+".2") }, "had its owner, mode, links or attributes changed", true},
	{"modified, time restored", func(path string) error {
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(path, []byte("9876543210"), 0o644), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
	}, "had its owner, mode, links or attributes changed", true},
}

// TestTooManyOpenFiles: what is wrong with us, not with the file, is not
// ErrChanged, and names the file too.
func TestTooManyOpenFiles(t *testing.T) {
	path, f := hostFile(t, "0123456789")
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Skip(err)
	}
	low := old
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Skip(err)
	}
	_, err := f.ReadAt(make([]byte, 1), 0)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EMFILE) || errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
