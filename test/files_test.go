//go:build linux

package test

import (
	"os"
	"path/filepath"
	"testing"

	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// TestFilesOfImage: what is read out of an image without mounting it is what the
// kernel reads: extracted, all equals the mount; and GNU tar finds no difference
// between the archive and the mount.
func TestFilesOfImage(t *testing.T) {
	oracle.NeedRoot(t)
	tree := nastyTree(t, nasty.Options{})
	image := build(t, "--root", tree, "--owners", "keep", "--partition-table-type", "legacy", "--disk-size", "4096")
	mnt := findLayout("legacy").rootOf(t, image).mount(t, "ro,noload")
	want, err := manifest.Read(mnt)
	if err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(scratch.Dir(t), "extracted")
	must(t, "extract", image, "-o", dir)
	got, err := manifest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := manifest.Diff(want, got); diff != "" {
		t.Errorf("extracted is another tree:\n%s", diff)
	}

	// Without the files of terabytes of holes, which a tar holds as zeros.
	args := []string{"tar", image}
	for _, e := range entriesOf(t, mnt) {
		if e != "sparse" && e != "extents" {
			args = append(args, e)
		}
	}
	archive := filepath.Join(scratch.Dir(t), "archive.tar")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := command(args...)
	cmd.Stdout = f
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "tar", "--compare", "--file", archive, "--directory", mnt, "--numeric-owner")
}

// entriesOf returns the names in a directory.
func entriesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
