//go:build linux

package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"diskwright/test/nasty"
	"diskwright/test/oracle"

	"golang.org/x/sys/unix"
)

// mutate does to a mounted nasty tree what a running system does, aiming at
// every structure that the planner laid out: it splits and shrinks hashed
// directories, writes into holes of deep extent trees, cuts them, unshares
// attribute blocks, takes links away, fills inodes' spare room. It returns the
// paths whose manifest is now another.
func mutate(t testing.TB, dir string) (changed []string) {
	t.Helper()
	path := func(name string) string { return filepath.Join(dir, name) }
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	many, err := os.ReadDir(path("directories/many"))
	try(err)
	for i, e := range many {
		if i%3 == 0 {
			try(os.Remove(path("directories/many/" + e.Name())))
		}
	}
	for i := range 4000 {
		try(os.WriteFile(path(fmt.Sprintf("directories/many/new name %d", i)), nil, 0o600))
	}
	for i := range 30 {
		try(os.WriteFile(path(fmt.Sprintf("directories/long-names-015/%0255d", i)), nil, 0o600))
		try(os.WriteFile(path(fmt.Sprintf("directories/long-names-200/%0255d", i)), nil, 0o600))
		try(os.Mkdir(path(fmt.Sprintf("subdirectories/new %d", i)), 0o700))
		try(os.Remove(path(fmt.Sprintf("subdirectories/%05d", i))))
	}

	// Into holes, behind the end, cut in the middle.
	for _, n := range []int{4, 5, 340, 341, 1360, 1361} {
		f, err := os.OpenFile(path(fmt.Sprintf("extents/extents-%05d", n)), os.O_RDWR, 0)
		try(err)
		for i := range n {
			if i%2 == 0 {
				_, err := f.WriteAt(bytes.Repeat([]byte{'x'}, 4096), int64(2*i+1)*4096)
				try(err)
			}
		}
		_, err = f.WriteAt([]byte("end"), int64(4*n)*4096)
		try(err)
		if n%2 == 0 {
			try(f.Truncate(int64(n) * 4096))
		}
		try(f.Close())
	}
	f, err := os.OpenFile(path("sparse/60G"), os.O_RDWR, 0)
	try(err)
	_, err = f.WriteAt([]byte("in the hole"), 45<<30)
	try(err)
	try(f.Close())

	// One of many that share a block of attributes; one with a full inode.
	try(unix.Setxattr(path("xattrs/shared/file-0007"), "user.more", bytes.Repeat([]byte{'m'}, 500), 0))
	try(unix.Removexattr(path("xattrs/shared/file-0008"), "user.same"))
	try(os.Remove(path("xattrs/shared/file-0009")))
	try(unix.Setxattr(path("xattrs/value-0060"), "user.more", []byte("more"), 0))
	try(unix.Removexattr(path("xattrs/value-4000"), "user.a"))
	try(unix.Setxattr(path("xattrs/many"), "user.3", []byte("another length"), 0))
	try(unix.Removexattr(path("acls/file-050"), "system.posix_acl_access"))

	// Fewer names of a file, then more.
	for i := range 100 {
		try(os.Remove(path(fmt.Sprintf("links/a/link-a-%05d", i))))
		try(os.Link(path("links/original"), path(fmt.Sprintf("links/b/new %d", i))))
	}
	try(os.Rename(path("names/every byte"), path("renamed directory")))
	try(os.RemoveAll(path("deep")))
	try(os.WriteFile(path("new large file"), bytes.Repeat([]byte("large"), 1<<20), 0o644))
	try(os.Symlink(string(bytes.Repeat([]byte{'s'}, 100)), path("new symlink")))
	try(unix.Mkfifo(path("new fifo"), 0o600))
	return []string{".", "directories/many", "directories/long-names-015", "directories/long-names-200", "subdirectories", "extents", "sparse/60G",
		"xattrs/shared", "xattrs/value-0060", "xattrs/value-4000", "xattrs/many", "acls/file-050", "links", "names",
		"renamed directory", "deep", "new large file", "new symlink", "new fifo"}
}

// A file system that is filled to the last block, emptied, and filled again.
func TestFill(t *testing.T) {
	oracle.NeedRoot(t)
	tree := nastyTree(t, nasty.Options{})
	for _, name := range []string{"none", "hybrid"} {
		t.Run(name, func(t *testing.T) {
			if name != "none" {
				long(t)
			}
			l := findLayout(name)
			image := build(t, "--root", tree, "--owners", "keep", "--partition-table-type", name, "--disk-size", "512", "--boot-size", "64M")
			root := l.rootOf(t, image)
			dir := root.mount(t, "")
			fillUp(t, filepath.Join(dir, "fill"))
			for i := range 50 {
				if err := os.Remove(filepath.Join(dir, "fill", fmt.Sprint(2*i+1))); err != nil {
					t.Fatal(err)
				}
			}
			fillUp(t, filepath.Join(dir, "again"))
			oracle.Unmount(t, dir)
			root.fsckWritten(t)
			dir = root.mount(t, "ro")
			same(t, "after filling", l.inRoot(read(t, tree)).Without("."), withoutLostFound(t, read(t, dir)).Without("fill", "again", "."))
			oracle.Unmount(t, dir)
			dir = root.mount(t, "")
			for _, name := range []string{"fill", "again"} {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			oracle.Unmount(t, dir)
			root.fsckWritten(t)
		})
	}
}

// fillUp makes a directory and writes files of growing size into it until
// nothing more fits.
func fillUp(t testing.TB, dir string) {
	t.Helper()
	err := os.Mkdir(dir, 0o755)
	for i, data := 0, bytes.Repeat([]byte("full"), 1<<20); err == nil; i++ {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), data[:min(len(data), 1<<(i%23))], 0o600)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling ended with %v", err)
	}
}
