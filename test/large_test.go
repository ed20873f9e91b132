//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// Disks of terabytes are planned at once, and cost only their descriptors.
func TestTerabytes(t *testing.T) {
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"etc/hostname": "example\n", "boot/loader": "loader"})
	for _, c := range []struct {
		layout string
		mib    int64
		costs  int64 // bytes
		long   bool
	}{
		{"efi", 4 << 20, 100 << 20, false},
		{"none", 16 << 20, 240 << 20, true},
		{"hybrid", 3 << 20, 100 << 20, true},
		{"legacy", 2 << 20, 60 << 20, true},
	} {
		t.Run(fmt.Sprintf("%s-%d", c.layout, c.mib), func(t *testing.T) {
			l := findLayout(c.layout)
			args := []string{"--root", tree, "--partition-table-type", c.layout, "--disk-size", fmt.Sprint(c.mib)}
			start := time.Now()
			if got := plan(t, args...); got.DiskSize != c.mib<<20 {
				t.Errorf("planned %d bytes", got.DiskSize)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("planning took %v", took)
			}
			if c.long {
				long(t)
			}
			image := build(t, args...)
			root := l.rootOf(t, image)
			checkTable(t, l, image)
			header := root.header(t)
			if got := number(t, header, "Block count") * 4096; got > root.size || got < root.size-128<<20 {
				t.Errorf("the file system has %d bytes of %d", got, root.size)
			}
			var st syscall.Stat_t
			if err := syscall.Stat(image, &st); err != nil {
				t.Fatal(err)
			}
			if st.Blocks*512 > c.costs {
				t.Errorf("the image takes %d bytes, want at most %d", st.Blocks*512, c.costs)
			}
			if os.Getenv("DISKWRIGHT_LONG") != "" {
				root.fsck(t)
			}
			if os.Geteuid() == 0 {
				dir := root.mount(t, "")
				write(t, dir, map[string]string{"new": "new"})
				if got, err := os.ReadFile(filepath.Join(dir, "etc/hostname")); err != nil || string(got) != "example\n" {
					t.Errorf("read %q, %v", got, err)
				}
				oracle.Unmount(t, dir)
			}
		})
	}
}

// A million files: in linear time, in at most 400 MiB.
func TestMillionFiles(t *testing.T) {
	long(t)
	tree := scratch.Dir(t)
	for d := range 1000 {
		dir := filepath.Join(tree, fmt.Sprintf("directory %03d", d))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for f := range 1000 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file %03d", f)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := scratch.Dir(t)
	cmd := command("build", "-q", "--no-sync", "-o", out, "--root", tree, "--partition-table-type", "none")
	start := time.Now()
	mustRun(t, cmd)
	took := time.Since(start)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	t.Logf("%v, %d MiB", took, usage.Maxrss>>10)
	if usage.Maxrss > 400<<10 {
		t.Errorf("it took %d MiB of memory, want at most 400", usage.Maxrss>>10)
	}
	root := findLayout("none").rootOf(t, only(t, out))
	root.fsck(t)
	header := root.header(t)
	if used := number(t, header, "Inode count") - number(t, header, "Free inodes"); used < 1_001_000 {
		t.Errorf("%d inodes are used", used)
	}
}

// A directory of a million names, each of which the kernel looks up.
func TestMillionNames(t *testing.T) {
	long(t)
	oracle.NeedRoot(t)
	tree := scratch.Dir(t)
	if err := os.Mkdir(filepath.Join(tree, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(tree, "directory", "0")
	write(t, tree, map[string]string{"directory/0": ""})
	for i := 1; i < 1_000_000; i++ {
		name := filepath.Join(tree, "directory", fmt.Sprint(i))
		if i%60_000 == 0 { // a file has at most 65,000 names
			first = name
			write(t, tree, map[string]string{"directory/" + fmt.Sprint(i): ""})
			continue
		}
		if err := os.Link(first, name); err != nil {
			t.Fatal(err)
		}
	}
	l := findLayout("none")
	root := l.rootOf(t, build(t, "--root", tree, "--partition-table-type", "none"))
	root.fsck(t)
	compareRoot(t, l, root, read(t, tree))
}
