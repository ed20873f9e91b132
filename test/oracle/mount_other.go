//go:build !linux

package oracle

import "testing"

// Loop makes a loop device of size bytes of image from offset on. Only Linux
// has them.
func Loop(t testing.TB, image string, offset, size int64) (device string) {
	t.Helper()
	absent(t, "needs Linux")
	return ""
}

// Mount has the kernel mount size bytes of image from offset on. Only Linux
// can.
func Mount(t testing.TB, image, fstype, options string, offset, size int64) (dir string) {
	t.Helper()
	absent(t, "needs Linux")
	return ""
}

// MountDevice is Mount for a block device.
func MountDevice(t testing.TB, device, fstype, options string) (dir string) {
	t.Helper()
	absent(t, "needs Linux")
	return ""
}

// Unmount unmounts what Mount mounted.
func Unmount(t testing.TB, dir string) {}

// Guest runs a script in a user-mode Linux. Only Linux has one.
func Guest(t testing.TB, script string, disks ...string) (out string) {
	t.Helper()
	absent(t, "needs Linux")
	return ""
}
