package oracle

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mounts holds the mount points that are to be unmounted at cleanup.
var mounts sync.Map

// Loop makes a loop device of size bytes of image from offset on; size 0
// reaches to the image's end. It is detached at cleanup. Needs root.
func Loop(t testing.TB, image string, offset, size int64) (device string) {
	t.Helper()
	NeedRoot(t)
	device = strings.TrimSpace(string(Output(t, "losetup", "--find", "--show",
		fmt.Sprintf("--offset=%d", offset), fmt.Sprintf("--sizelimit=%d", size), image)))
	t.Cleanup(func() {
		t.Helper()
		detach(t, device)
	})
	return device
}

// detach frees a loop device. A device that something still holds open (udev
// looks at every new one) is freed by the kernel when that closes it.
func detach(t testing.TB, device string) {
	t.Helper()
	if output, status := Exit(t, "losetup", "--detach", device); status != 0 {
		t.Errorf("losetup --detach %s: exit status %d\n%s", device, status, output)
	}
}

// Mount has the kernel mount size bytes of image from offset on (size 0: to
// the image's end) and returns the mount point. It is unmounted at cleanup, or
// before by [Unmount]. Options are those of mount -o and may be empty. A kernel
// without fstype is a missing oracle. Needs root.
func Mount(t testing.TB, image, fstype, options string, offset, size int64) (dir string) {
	t.Helper()
	// mount sets up a loop device that goes when the mount goes.
	loop := fmt.Sprintf("loop,offset=%d,sizelimit=%d", offset, size)
	if options != "" {
		loop += "," + options
	}
	return MountDevice(t, image, fstype, loop)
}

// MountDevice is Mount for a block device, as [Loop] makes one.
func MountDevice(t testing.TB, device, fstype, options string) (dir string) {
	t.Helper()
	NeedRoot(t)
	needFilesystem(t, fstype)
	dir = t.TempDir()
	args := []string{"-t", fstype}
	if options != "" {
		args = append(args, "-o", options)
	}
	args = append(args, device, dir)
	// A mount namespace that somebody made while this image was mounted before (Nix
	// does) has it mounted still, until it goes.
	readOnly := slices.Contains(strings.Split(options, ","), "ro")
	output, status := Exit(t, "mount", args...)
	busy := func() bool {
		if status == 0 && !readOnly && isReadOnly(t, dir) { // by the loop device of that mount
			Run(t, "umount", dir)
			return true
		}
		return strings.Contains(output, "already mounted")
	}
	for wait := 100 * time.Millisecond; busy() && wait < 3*time.Minute; wait *= 2 {
		time.Sleep(wait)
		output, status = Exit(t, "mount", args...)
	}
	if status != 0 {
		t.Fatalf("mount %q: exit status %d\n%s", args, status, output)
	}
	mounts.Store(dir, true)
	// Registered after t.TempDir's own cleanup, hence run before it: what is
	// mounted must not be removed file by file.
	t.Cleanup(func() {
		t.Helper()
		Unmount(t, dir)
	})
	return dir
}

// isReadOnly reports whether nothing can be written to the file system at dir.
func isReadOnly(t testing.TB, dir string) bool {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Flags&unix.ST_RDONLY != 0
}

// Unmount unmounts what Mount mounted. Doing so twice is no mistake. An error
// fails the test: what the image then holds says nothing.
func Unmount(t testing.TB, dir string) {
	t.Helper()
	if _, mounted := mounts.LoadAndDelete(dir); !mounted {
		return
	}
	// Somebody else on the machine (a file indexer) may look at a new mount.
	var err error
	for wait := 10 * time.Millisecond; wait < 5*time.Second; wait *= 2 {
		// Programs that have made themselves a mount namespace meanwhile (Nix does)
		// keep the file system mounted in it. Read-only, it is complete on the disk
		// all the same.
		if err = unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != unix.EBUSY {
			err = unix.Unmount(dir, 0)
		}
		if err == nil {
			return
		}
		if err != unix.EBUSY {
			break
		}
		time.Sleep(wait)
	}
	// Whatever happens, t.TempDir must not descend into it.
	if lazy := unix.Unmount(dir, unix.MNT_DETACH); lazy != nil {
		t.Fatalf("unmount %s: %v; and not lazily either: %v", dir, err, lazy)
	}
	t.Errorf("unmount %s: %v", dir, err)
}

// needFilesystem skips the test if the kernel cannot mount fstype. It may only
// have to load a module first.
func needFilesystem(t testing.TB, fstype string) {
	t.Helper()
	if known(t, fstype) {
		return
	}
	if Exit(t, "modprobe", "--quiet", fstype); !known(t, fstype) {
		absent(t, "this kernel cannot mount %s", fstype)
	}
}

func known(t testing.TB, fstype string) bool {
	t.Helper()
	list, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Fields(string(list)), fstype)
}
