//go:build linux

package test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// mkfs makes a file system of a tree and returns its path.
func mkfs(t testing.TB, kind, tree string, args ...string) (image string) {
	t.Helper()
	image = filepath.Join(scratch.Dir(t), "image")
	must(t, append([]string{"mkfs", kind, tree, "--no-sync", "-q", "-o", image}, args...)...)
	return image
}

// File systems that stand alone hold the whole tree, at every size that
// diskwright chooses, and e2fsck and the kernel find nothing wrong.
func TestMkfsExt(t *testing.T) {
	oracle.NeedRoot(t)
	for kind, below := range map[string]string{"ext4": "", "ext3": "directories", "ext2": "sizes"} { // files of the others are smaller
		tree := filepath.Join(nastyTree(t, nasty.Options{Portable: true}), below)
		want := read(t, tree)
		for _, size := range []string{"auto", "min", "3G"} {
			t.Run(kind+" "+size, func(t *testing.T) {
				image := mkfs(t, kind, tree, "--owners", "keep", "--size", size)
				v := volume{image: image, size: fileSize(t, image)}
				v.fsck(t)
				if journal := v.header(t)["Journal inode"] != ""; journal != (kind != "ext2") && size != "min" { // which may be too small for one
					t.Errorf("%s has a journal: %v", kind, journal)
				}
				dir := v.mount(t, "ro")
				same(t, "what the kernel reads", want, withoutLostFound(t, read(t, dir)))
				oracle.Unmount(t, dir)
			})
		}
	}
}

// The same of FAT, for fsck.vfat and mtools.
func TestMkfsFAT(t *testing.T) {
	tree := nastyTree(t, nasty.Options{Readable: true})
	files := read(t, tree)
	for _, size := range []string{"auto", "min", "64M"} {
		t.Run(size, func(t *testing.T) {
			image := mkfs(t, "fat", filepath.Join(tree, "boot"), "--size", size)
			checkFAT(t, volume{image: image, size: fileSize(t, image), mountPoint: "boot"}, files)
		})
	}
}

// A pool holds the tree divided at mount points, in a partition and on a disk of
// its own, for zdb and for GRUB.
func TestMkfsZFS(t *testing.T) {
	oracle.NeedRoot(t) // for what the tree has
	tree := nastyTree(t, nasty.Options{Portable: true})
	args := []string{
		"--owners", "keep", "--pool", "data", "-O", "compression=lz4",
		"--dataset", "data/var,mount=/sizes,recordsize=16K", "--dataset", "data/var/new,mount=/sizes/new", "--dataset", "data/empty,atime=off",
	}
	for _, further := range [][]string{nil, {"--whole-disk", "--features", "openzfs-2.1", "--size", "20G"}} {
		t.Run(strings.Join(further, " "), func(t *testing.T) {
			image := mkfs(t, "zfs", tree, append(args, further...)...)
			pool, device := image, "(loop0)"
			if slices.Contains(further, "--whole-disk") {
				pool, device = findLayout("none").volume(t, image, 1, "").extract(t), "(loop0,gpt1)"
			}
			if out := oracle.Run(t, "zdb", "-e", "-p", filepath.Dir(pool), "-bcc", "data"); !strings.Contains(out, "No leaks (block sum matches space maps exactly)") {
				t.Errorf("zdb -bcc:\n%s", out)
			}
			for path, file := range map[string]string{
				"/@/boot/size-32769":  "boot/size-32769",
				"/var@/bytes-4194305": "sizes/bytes-4194305",
			} {
				got := oracle.Output(t, "grub-fstest", image, "cat", device+path)
				if want, err := os.ReadFile(filepath.Join(tree, file)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: GRUB reads %d bytes, want %d (%v)", path, len(got), len(want), err)
				}
			}
		})
	}
}
