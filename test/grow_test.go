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
				if online {
					growOnline(t, root)
				} else {
					growOffline(t, root)
				}
				root.size *= 10
				root.fsck(t)
				if got, least := number(t, root.header(t), "Block count")*4096, root.size/100*98; got < least {
					t.Errorf("grown to %d bytes, want at least %d", got, least)
				}
				compareRoot(t, l, root, want)
			})
		}
	}
}

func growOffline(t *testing.T, v volume) {
	if err := os.Truncate(v.image, v.offset+10*v.size); err != nil {
		t.Fatal(err)
	}
	device := oracle.Loop(t, v.image, v.offset, 10*v.size)
	oracle.Run(t, "resize2fs", device)
}

func growOnline(t *testing.T, v volume) {
	if err := os.Truncate(v.image, v.offset+10*v.size); err != nil {
		t.Fatal(err)
	}
	device := oracle.Loop(t, v.image, v.offset, 10*v.size)
	dir := oracle.MountDevice(t, device, "ext4", "")
	oracle.Run(t, "resize2fs", device)
	oracle.Unmount(t, dir)
}
