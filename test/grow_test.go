//go:build linux

package test

import (
	"fmt"
	"os"
	"testing"

	"diskwright/test/nasty"
	"diskwright/test/oracle"
)

// Cloud images grow: a partition is made larger, and resize2fs fills it, mounted
// or not.
func TestGrow(t *testing.T) {
	oracle.NeedRoot(t)
	tree := nastyTree(t, nasty.Options{})
	want := read(t, tree)
	for _, c := range []struct {
		layout  string
		mib     int64
		profile string
		long    bool
	}{
		{"none", 320, "upstream", false},
		{"efi", 700, "upstream", false},
		{"none", 320, "compatible", true},
		{"legacy", 512, "upstream", true},
		{"hybrid", 2049, "upstream", true},
		{"none", 8192, "upstream", true},
		{"none", 40960, "upstream", true},
	} {
		for _, online := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-%d-%s-online=%v", c.layout, c.mib, c.profile, online), func(t *testing.T) {
				if c.long {
					long(t)
				}
				l := findLayout(c.layout)
				image := build(t, "--root", tree, "--owners", "keep", "--partition-table-type", c.layout,
					"--disk-size", fmt.Sprint(c.mib), "--fs-profile", c.profile)
				root := l.rootOf(t, image)
				if err := os.Truncate(image, root.offset+10*root.size+1<<20); err != nil {
					t.Fatal(err)
				}
				if online {
					growOnline(t, l, root)
				} else {
					oracle.Run(t, "resize2fs", oracle.Loop(t, image, root.offset, 10*root.size))
				}
				least := 10 * root.size / 100 * 98
				if root.size *= 10; online {
					root = l.rootOf(t, image)
				}
				root.fsck(t)
				if got := number(t, root.header(t), "Block count") * 4096; got < least {
					t.Errorf("grown to %d bytes, want at least %d", got, least)
				}
				compareRoot(t, l, root, want.Without("."))
			})
		}
	}
}

// growOnline does what a cloud image does when it boots on a larger disk: the
// partition grows to the disk's end, and then the mounted file system.
func growOnline(t *testing.T, l layout, v volume) {
	t.Helper()
	device := "/dev/ubda"
	if l.root == 0 {
		if err := os.Truncate(v.image, 10*v.size); err != nil {
			t.Fatal(err)
		}
	} else {
		device += fmt.Sprint(l.root)
		oracle.Run(t, "sh", "-c", `echo ", +" | sfdisk --quiet --no-reread --no-tell-kernel -N "$0" "$1"`, fmt.Sprint(l.root), v.image)
	}
	oracle.Guest(t, "mount -t ext4 "+device+` /mnt/a
resize2fs `+device+`
dd if=/dev/urandom of=/mnt/a/new bs=1M count=10
rm /mnt/a/new
umount /mnt/a
`, v.image)
}
