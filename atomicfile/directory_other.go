//go:build !unix

package atomicfile

import (
	"io/fs"
	"os"
)

// openExclusive creates the file temp, and cannot make it call itself name.
func openExclusive(temp, _ string) (*os.File, error) {
	return os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
}

// chmod does nothing: modes here are no more than a read-only bit.
func chmod(*os.File, fs.FileMode) error { return nil }

// SyncDir does nothing: directories cannot be synced here.
func SyncDir(string) error { return nil }
