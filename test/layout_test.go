//go:build linux

package test

import (
	"slices"
	"strings"
	"testing"

	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
)

// Every layout, from a nasty tree, before every tool that has an opinion.
func TestLayouts(t *testing.T) {
	oracle.NeedRoot(t) // the tree has devices and owners
	tree := nastyTree(t, nasty.Options{})
	want := read(t, tree)
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			image := build(t, "--root", tree, "--owners", "keep", "--partition-table-type", l.name, "--disk-size", "700")
			checkTable(t, l, image)
			root := l.rootOf(t, image)
			root.fsck(t)
			checkHeader(t, root)
			compareRoot(t, l, root, want)
			for point, n := range l.boots {
				checkFAT(t, l.volume(t, image, n, point), want)
			}
			// The kernels take longer, and the file systems are the same in all layouts.
			if l.name == "efixbootldr" || l.name == "legacy+boot" {
				checkFATKernel(t, l, image, want)
			}
			if l.name == "none" || l.name == "hybrid" {
				writeAndCheck(t, l, root, want)
			}
		})
	}
}

// The largest trees that ext4 can hold: 100,000 names, 70,000 subdirectories,
// 60,000 links, 1,000 levels.
func TestFullTree(t *testing.T) {
	oracle.NeedRoot(t)
	long(t)
	tree := nastyTree(t, nasty.Options{Scale: nasty.Full})
	l := findLayout("efi")
	image := build(t, "--root", tree, "--owners", "keep", "--partition-table-type", l.name, "--disk-size", "4096")
	root := l.rootOf(t, image)
	root.fsck(t)
	want := read(t, tree)
	compareRoot(t, l, root, want)
	writeAndCheck(t, l, root, want)
}

// writeAndCheck has the kernel write into the root file system, and looks at it
// again.
func writeAndCheck(t *testing.T, l layout, root volume, want manifest.Manifest) {
	t.Helper()
	dir := root.mount(t, "")
	changed := mutate(t, dir)
	oracle.Unmount(t, dir)
	root.fsckWritten(t)
	dir = root.mount(t, "ro")
	same(t, "after the kernel wrote into it", l.inRoot(want).Without(changed...), withoutLostFound(t, read(t, dir)).Without(changed...))
}

// Paths longer than PATH_MAX, which only openat reaches: either they are stored,
// or refused by name.
func TestBeyondPathMax(t *testing.T) {
	oracle.NeedRoot(t)
	tree := nastyTree(t, nasty.Options{Beyond: true})
	args := []string{"--root", tree, "--owners", "keep", "--partition-table-type", "none", "--disk-size", "600"}
	if command(append([]string{"plan"}, args...)...).Run() != nil {
		fails(t, command(append([]string{"plan"}, args...)...), 1, tree+"/deep/beyond", "file name too long")
		return
	}
	l := findLayout("none")
	root := l.rootOf(t, build(t, args...))
	root.fsck(t)
	compareRoot(t, l, root, read(t, tree))
}

// compareRoot has the kernel mount the root file system and compares what it
// finds with the tree that it was made from.
func compareRoot(t *testing.T, l layout, root volume, want manifest.Manifest) {
	t.Helper()
	dir := root.mount(t, "ro")
	defer oracle.Unmount(t, dir)
	got := withoutLostFound(t, read(t, dir))
	if want.Find(".") == nil { // its time is another after every change
		got = got.Without(".")
	}
	same(t, "the kernel's view of the root file system", l.inRoot(want), got)
}

// withoutLostFound takes the one directory away that mkfs puts into every ext4,
// after a look at it.
func withoutLostFound(t testing.TB, m manifest.Manifest) manifest.Manifest {
	t.Helper()
	f := m.Find("lost+found")
	if f == nil || f.Mode != 0o040700 || f.UID != 0 || f.GID != 0 {
		t.Errorf("lost+found is %+v, want a directory of root, 0700", f)
	}
	return m.Without("lost+found")
}

// checkTable asks the partitioners.
func checkTable(t *testing.T, l layout, image string) {
	t.Helper()
	if l.root == 0 {
		if output := oracle.Run(t, "wipefs", image); !strings.Contains(output, "ext4") || strings.Contains(output, "PMBR") {
			t.Errorf("wipefs finds\n%s", output)
		}
		return
	}
	if l.gpt {
		if output := oracle.Run(t, "sgdisk", "-v", image); !strings.Contains(output, "No problems found") {
			t.Errorf("sgdisk -v:\n%s", output)
		}
	}
	if output := oracle.Run(t, "sfdisk", "--verify", image); !strings.Contains(output, "No errors detected") {
		t.Errorf("sfdisk --verify:\n%s", output)
	}
	table := sfdisk(t, image).PartitionTable
	label := "dos"
	if l.gpt {
		label = "gpt"
	}
	if table.Label != label {
		t.Errorf("sfdisk finds a table of type %q, want %q", table.Label, label)
	}
	output := oracle.Run(t, "parted", "--script", image, "unit", "s", "print")
	if strings.Contains(output, "Error") || strings.Contains(output, "Warning") {
		t.Errorf("parted:\n%s", output)
	}
	if l.gpt {
		oracle.Run(t, "parted", "--script", image, "align-check", "optimal", string(rune('0'+l.root)))
	}
}

// checkHeader compares the superblock with what the reference's tools leave.
func checkHeader(t *testing.T, root volume) {
	t.Helper()
	header := root.header(t)
	for field, want := range map[string]string{
		"Filesystem volume name":  "nixos",
		"Filesystem UUID":         "f222513b-ded1-49fa-b591-20ce86a2fe7f",
		"Filesystem magic number": "0xEF53",
		"Filesystem state":        "clean",
		"Errors behavior":         "Continue",
		"Filesystem OS type":      "Linux",
		"Default mount options":   "user_xattr acl",
		"Inode size":              "256",
		"Block size":              "4096",
		"Mount count":             "0",
		"Maximum mount count":     "-1",
		"Last mount time":         "n/a",
		"Last mounted on":         "<not available>",
		"Last checked":            "Thu Jan  1 00:00:00 1970",
		"Check interval":          "0 (<none>)",
		"Filesystem created":      "Tue Jan  1 00:00:00 1980",
		"Default directory hash":  "half_md4",
		"Checksum type":           "crc32c",
		"Journal inode":           "8",
		"First inode":             "11",
	} {
		if header[field] != want {
			t.Errorf("dumpe2fs -h: %s: %q, want %q", field, header[field], want)
		}
	}
	got := strings.Fields(header["Filesystem features"])
	want := strings.Fields("has_journal ext_attr resize_inode dir_index orphan_file filetype extent 64bit flex_bg " +
		"metadata_csum_seed sparse_super large_file huge_file dir_nlink extra_isize metadata_csum")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("features %v, want %v", got, want)
	}
}
