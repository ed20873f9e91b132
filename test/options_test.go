//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"

	"golang.org/x/sys/unix"
)

// mounted builds an image without a table and returns what the kernel finds in
// it, but lost+found.
func mounted(t *testing.T, args ...string) manifest.Manifest {
	t.Helper()
	l := findLayout("none")
	root := l.rootOf(t, build(t, append(args, "--partition-table-type", "none")...))
	root.fsck(t)
	dir := root.mount(t, "ro")
	defer oracle.Unmount(t, dir)
	return withoutLostFound(t, read(t, dir))
}

// From a directory, everything belongs to root, and the labels of the host's
// security modules stay outside; unless asked otherwise.
func TestOwnersAndAttributes(t *testing.T) {
	oracle.NeedRoot(t)
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"dir/file": "x"})
	file := filepath.Join(tree, "dir/file")
	if err := os.Chown(file, 1234, 5678); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"user.one", "user.two", "trusted.one"} {
		if err := unix.Setxattr(file, name, []byte(name), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args   []string
		uid    uint32
		xattrs []string
	}{
		{nil, 0, []string{"user.one", "user.two"}},
		{[]string{"--owners", "keep"}, 1234, []string{"user.one", "user.two"}},
		{[]string{"--xattrs", "*"}, 0, []string{"trusted.one", "user.one", "user.two"}},
		{[]string{"--xattrs", "trusted.*", "--xattrs", "user.t*"}, 0, []string{"trusted.one", "user.two"}},
	} {
		f := mounted(t, append(c.args, "--root", tree)...).Find("dir/file")
		var xattrs []string
		for _, x := range f.Xattrs {
			xattrs = append(xattrs, x.Name)
			if string(x.Value) != x.Name {
				t.Errorf("%q: %q is %q", c.args, x.Name, x.Value)
			}
		}
		if f.UID != c.uid || !slices.Equal(xattrs, c.xattrs) {
			t.Errorf("%q: owner %d, attributes %q", c.args, f.UID, xattrs)
		}
	}
}

// SOURCE_DATE_EPOCH clamps later times, and what we make ourselves carries it.
func TestEpoch(t *testing.T) {
	oracle.NeedRoot(t)
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"old": "", "new": "", "made": ""})
	const epoch = 1_500_000_000
	for name, sec := range map[string]int64{"old": 1_400_000_000, "new": 1_600_000_000} {
		if err := os.Chtimes(filepath.Join(tree, name), time.Time{}, time.Unix(sec, 5)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--root", tree, "--contents", "source=" + tree + "/old,target=/etc/new/old"}
	for _, c := range []struct {
		env            string
		old, new, made int64
	}{{"", 1_400_000_000, 1_600_000_000, 315_532_800}, {fmt.Sprint(epoch), 1_400_000_000, epoch, epoch}} {
		if c.env != "" {
			t.Setenv("SOURCE_DATE_EPOCH", c.env)
		}
		m := mounted(t, args...)
		for path, want := range map[string]int64{"old": c.old, "new": c.new, "etc/new": c.made, "etc/new/old": c.old} {
			if f := m.Find(path); f == nil || f.Sec != want {
				t.Errorf("SOURCE_DATE_EPOCH=%s: %s is %+v, want the time %d", c.env, path, f, want)
			}
		}
	}
}

// ext2 and ext3 map files with indirect blocks, to 4 TiB.
func TestOlderFileSystems(t *testing.T) {
	oracle.NeedRoot(t)
	tree := scratch.Dir(t)
	if err := nasty.Make(tree, nasty.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, fs := range []string{"ext2", "ext3"} {
		args := []string{"--root", tree, "--owners", "keep", "--fs-type", fs, "--partition-table-type", "none", "--disk-size", "450"}
		for _, name := range []string{"extents/extents-high", "sparse/largest"} {
			path := filepath.Join(tree, name)
			if _, err := os.Stat(path); err == nil {
				fails(t, command(append([]string{"plan"}, args...)...), 1, "/"+name)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		l := findLayout("none")
		root := l.rootOf(t, build(t, args...))
		root.fsck(t)
		features := strings.Fields(root.header(t)["Filesystem features"])
		if slices.Contains(features, "extent") || slices.Contains(features, "has_journal") != (fs == "ext3") {
			t.Errorf("%s has the features %q", fs, features)
		}
		dir := oracle.Mount(t, root.image, fs, "ro", 0, root.size)
		same(t, "an "+fs, read(t, tree), withoutLostFound(t, read(t, dir)))
		oracle.Unmount(t, dir)
	}
}

// The profile for old kernels and boot loaders.
func TestCompatibleProfile(t *testing.T) {
	oracle.NeedRoot(t)
	tree := nastyTree(t, nasty.Options{})
	l := findLayout("none")
	root := l.rootOf(t, build(t, "--root", tree, "--owners", "keep", "--fs-profile", "compatible", "--partition-table-type", "none", "--disk-size", "450"))
	root.fsck(t)
	features := root.header(t)["Filesystem features"]
	if strings.Contains(features, "metadata_csum_seed") || strings.Contains(features, "orphan_file") || !strings.Contains(features, "metadata_csum") {
		t.Errorf("features %s", features)
	}
	compareRoot(t, l, root, read(t, tree))
	// Its checksums are of the UUID, which tune2fs can change all the same.
	oracle.Run(t, "tune2fs", "-U", "11111111-2222-4333-8444-555555555555", root.image)
	root.fsck(t)
}

// File data is contiguous but where metadata is in its way.
func TestContiguous(t *testing.T) {
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"large": ""})
	f, err := os.OpenFile(filepath.Join(tree, "large"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const mib = 700
	for i := range mib {
		if _, err := f.WriteAt([]byte(strings.Repeat("x", 1<<20)), int64(i)<<20); err != nil {
			t.Fatal(err)
		}
	}
	image := build(t, "--root", tree, "--partition-table-type", "none", "--disk-size", "1000")
	output := oracle.Run(t, "debugfs", "-R", "dump_extents -l /large", image)
	extents := 0
	for line := range strings.Lines(output) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] != "Entries" {
			extents++
		}
	}
	// Backups in groups 1, 3, 5, 7, the tables at the start, the journal.
	if most := mib/128 + 1 + 4 + 2; extents == 0 || extents > most {
		t.Errorf("%d extents, want at most %d\n%s", extents, most, output)
	}
}
