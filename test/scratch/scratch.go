// Package scratch gives tests directories for trees and images.
//
// Trees of ten thousand files are made and removed all the time. ext4 is slow at
// making files where many were removed within the last seconds, so memory is
// the default where there is enough of it.
package scratch

import (
	"os"
	"testing"
)

// memory is where Debian mounts a tmpfs that everybody may write to.
const memory = "/dev/shm"

// enough is how many bytes of memory must be free to use it.
const enough = 3 << 30

// Dir returns a new directory, removed at cleanup, in memory if the machine has
// some gigabytes for it, else where t.TempDir has it. Other users may enter it.
func Dir(t testing.TB) string {
	t.Helper()
	if free(memory) < enough {
		return OnDisk(t)
	}
	return in(t, memory)
}

// Keep is Dir for a directory that outlives the test. The caller removes it.
func Keep(t testing.TB) string {
	t.Helper()
	parent := memory
	if free(memory) < enough {
		parent = os.TempDir()
	}
	return create(t, parent)
}

// OnDisk returns a new directory where t.TempDir has its, removed at cleanup.
// Other users may enter it.
func OnDisk(t testing.TB) string {
	t.Helper()
	return in(t, os.TempDir())
}

func in(t testing.TB, parent string) string {
	t.Helper()
	dir := create(t, parent)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func create(t testing.TB, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "diskwright-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
