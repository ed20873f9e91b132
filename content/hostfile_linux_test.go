package content

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnreadable: a file that may not be read is named, and so is the reason.
func TestUnreadable(t *testing.T) {
	path, _ := hostFile(t, "0123456789")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	f, err := StatHostFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unprivileged(func() {
		_, err := f.ReadAt(make([]byte, 1), 0)
		if !errors.Is(err, fs.ErrPermission) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("got %v", err)
		}
		if _, err = f.Borrow(); !errors.Is(err, fs.ErrPermission) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("got %v", err)
		}
	})
}

// unprivileged calls f as somebody who is not root, in the eyes of file
// systems, on a thread that ends with it.
func unprivileged(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends
		if os.Geteuid() == 0 {
			_ = unix.Setfsuid(65534)
		}
		f()
	}()
	<-done
}
