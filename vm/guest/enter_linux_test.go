package guest

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMountPoints(t *testing.T) {
	const text = `22 1 0:21 / / rw - rootfs rootfs rw
30 22 254:2 / /mnt rw,relatime - ext4 /dev/vda2 rw
31 30 254:1 / /mnt/boot rw - vfat /dev/vda1 rw
32 30 0:5 / /mnt/a\040b\134c rw - tmpfs tmpfs rw
33 22 0:5 / /mntx rw - tmpfs tmpfs rw
short
`
	if diff := cmp.Diff([]string{"/mnt", "/mnt/boot", `/mnt/a b\c`}, mountPoints(text)); diff != "" {
		t.Error(diff)
	}
}

// A program that is run by people is no guest.
func TestRunning(t *testing.T) {
	if Running() {
		t.Error("this test believes to be /init")
	}
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = []string{Init}
	if Running() {
		t.Error("with another process id, it believes to be /init")
	}
}

func TestCheckLink(t *testing.T) {
	for _, link := range []string{"/etc/passwd", "/dev/../etc/passwd", "sda"} {
		if err := checkLink(link); err == nil {
			t.Errorf("%q is accepted", link)
		}
	}
	if err := checkLink("/dev/disk/by-id/x"); err != nil {
		t.Error(err)
	}
}
