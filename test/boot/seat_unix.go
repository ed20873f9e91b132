//go:build unix

package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// seat waits until fewer machines run than there are CPUs, over all programs of
// this user, and returns what ends the claim. A seat is a locked file, so those of
// programs that died are free.
func seat(t testing.TB) (leave func()) {
	t.Helper()
	for {
		for i := range runtime.NumCPU() {
			name := filepath.Join(os.TempDir(), fmt.Sprintf("diskwright-boot-%d-%d", os.Getuid(), i))
			f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				return func() { f.Close() }
			}
			f.Close()
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
