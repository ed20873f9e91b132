//go:build linux

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"

	"golang.org/x/sys/unix"
)

// A tar that GNU tar made of a tree gives the same bytes as the tree, whether
// it is read in place, from a pipe, or unpacked first.
func TestTar(t *testing.T) {
	tree := scratch.Dir(t)
	if err := nasty.Make(tree, nasty.Options{}); err != nil {
		t.Fatal(err)
	}
	removeWhatTarLacks(t, tree)
	layout := []string{"--partition-table-type", "efixbootldr", "--disk-size", "450", "--boot-size", "200M"}
	want := digest(t, build(t, append(layout, "--root", tree, "--owners", "keep")...))

	dir := scratch.Dir(t)
	plain := filepath.Join(dir, "tree.tar")
	oracle.Run(t, "tar", "--create", "--file", plain, "--format=pax", "--sparse", "--numeric-owner",
		"--acls", "--xattrs", "--xattrs-include=*", "--directory", tree, ".")
	oracle.Run(t, "gzip", "--keep", "--fast", plain)
	oracle.Run(t, "zstd", "--quiet", "-1", "--keep", plain)
	// What it is must not be told by the name.
	for from, to := range map[string]string{plain + ".gz": "compressed one way", plain + ".zst": "compressed another"} {
		if err := os.Rename(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tree.tar", "compressed one way", "compressed another"} {
		t.Run(name, func(t *testing.T) {
			if got := digest(t, build(t, append(layout, "--root", filepath.Join(dir, name))...)); got != want {
				t.Errorf("the image of the tar is %s, of the directory %s", got, want)
				compareImages(t, tree, filepath.Join(dir, name))
			}
		})
		t.Run("pipe of "+name, func(t *testing.T) {
			out, spool := scratch.Dir(t), scratch.Dir(t)
			cmd := command(append(layout, "build", "--no-sync", "-q", "-o", out, "--root", "-", "--spool", spool)...)
			// A pipe, not a file that could seek.
			cat := exec.Command("cat", filepath.Join(dir, name))
			pipe, err := cat.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = pipe
			if err := cat.Start(); err != nil {
				t.Fatal(err)
			}
			mustRun(t, cmd)
			if err := cat.Wait(); err != nil {
				t.Fatal(err)
			}
			if got := digest(t, only(t, out)); got != want {
				t.Errorf("the image of the pipe is %s, of the directory %s", got, want)
			}
			if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
				t.Errorf("the spool holds %v, %v", left, err)
			}
		})
	}
}

// compareImages says how the trees in the images of a directory and a tar
// differ.
func compareImages(t *testing.T, tree, tar string) {
	t.Helper()
	l := findLayout("none")
	image := build(t, "--partition-table-type", "none", "--disk-size", "450", "--root", tar)
	root := l.rootOf(t, image)
	dir := root.mount(t, "ro")
	defer oracle.Unmount(t, dir)
	same(t, "the tar's image", read(t, tree), withoutLostFound(t, read(t, dir)))
}

// removeWhatTarLacks removes what GNU tar does not store (sockets, second names of
// pipes) or stores otherwise (holes in files of less than a sector), and leaves no
// trace of it.
func removeWhatTarLacks(t *testing.T, tree string) {
	t.Helper()
	for _, name := range []string{"types/socket", "types/other name of the fifo", "sparse/one-hole-1"} {
		path := filepath.Join(tree, name)
		dir := filepath.Dir(path)
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := unix.UtimesNano(dir, []unix.Timespec{st.Mtim, st.Mtim}); err != nil {
			t.Fatal(err)
		}
	}
}
