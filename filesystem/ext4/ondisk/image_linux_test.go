package ondisk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/oracle"

	"golang.org/x/sys/unix"
)

// TestKernelXattrs has the kernel write attributes that do not fit an inode: it
// alone fills in a block's hash.
func TestKernelXattrs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-O", "metadata_csum,64bit", path, "16m")
	dir := oracle.Mount(t, path, "ext4", "", 0, 0)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"user.one": 1001, "user.three": 1003, "user.two": 1002, "trusted.x": 500} {
		if err := unix.Setxattr(file, name, []byte(strings.Repeat("v", size)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(file, "security.small", []byte("value"), 0); err != nil {
		t.Fatal(err)
	}
	oracle.Unmount(t, dir)

	m := open(t, path)
	for ino := uint32(InoFirst); ino <= m.super.Inodes; ino++ {
		if inode, err := DecodeInode(m.inode(ino)); err == nil && inode.Links > 0 {
			m.attributes(m.inode(ino), inode)
		}
	}
	if m.counts["block hash"] != 1 || m.counts["attribute hash"] < 4 {
		t.Errorf("saw %v", m.counts)
	}
}
