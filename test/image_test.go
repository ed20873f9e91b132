//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"diskwright/test/manifest"
	"diskwright/test/oracle"
	"diskwright/test/scratch"

	"golang.org/x/sys/unix"
)

// A volume is a file system's place in an image. Where it lies is what sfdisk
// says, not what the program under test says.
type volume struct {
	image        string
	offset, size int64
	mountPoint   string
}

// layout says where each layout of the reference has its file systems.
type layout struct {
	name  string
	gpt   bool
	root  int            // number of the root partition; 0 without a table
	boots map[string]int // numbers of FAT partitions by mount point
}

var layouts = []layout{
	{name: "none"},
	{name: "legacy", root: 1},
	{name: "legacy+boot", root: 2, boots: map[string]int{"boot": 1}},
	{name: "legacy+gpt", gpt: true, root: 2},
	{name: "efi", gpt: true, root: 2, boots: map[string]int{"boot": 1}},
	{name: "efixbootldr", gpt: true, root: 3, boots: map[string]int{"efi": 1, "boot": 2}},
	{name: "hybrid", gpt: true, root: 3, boots: map[string]int{"boot": 1}},
}

func findLayout(name string) layout {
	for _, l := range layouts {
		if l.name == name {
			return l
		}
	}
	panic("no layout " + name)
}

// sfdiskTable is what sfdisk --json says of an image.
type sfdiskTable struct {
	PartitionTable struct {
		Label      string
		ID         string
		FirstLBA   int64
		LastLBA    int64
		Partitions []struct {
			Node        string
			Start, Size int64 // sectors
			Type        string
			UUID        string
			Name        string
			Bootable    bool
		}
	}
}

func sfdisk(t testing.TB, image string) sfdiskTable {
	t.Helper()
	var table sfdiskTable
	output := oracle.Output(t, "sfdisk", "--json", image)
	if err := json.Unmarshal(output, &table); err != nil {
		t.Fatalf("sfdisk --json: %v\n%s", err, output)
	}
	return table
}

// root returns the root file system of an image.
func (l layout) rootOf(t testing.TB, image string) volume {
	t.Helper()
	return l.volume(t, image, l.root, "")
}

// volume returns the file system in partition number n.
func (l layout) volume(t testing.TB, image string, n int, mountPoint string) volume {
	t.Helper()
	if n == 0 {
		fi, err := os.Stat(image)
		if err != nil {
			t.Fatal(err)
		}
		return volume{image, 0, fi.Size(), mountPoint}
	}
	for _, p := range sfdisk(t, image).PartitionTable.Partitions {
		if p.Node == fmt.Sprintf("%s%d", image, n) {
			return volume{image, p.Start * 512, p.Size * 512, mountPoint}
		}
	}
	t.Fatalf("%s has no partition %d", image, n)
	return volume{}
}

// name is how the tools of e2fsprogs call a file system inside an image.
func (v volume) name() string { return fmt.Sprintf("%s?offset=%d", v.image, v.offset) }

// mount has the kernel mount the volume.
func (v volume) mount(t testing.TB, options string) (dir string) {
	t.Helper()
	return oracle.Mount(t, v.image, "ext4", options, v.offset, v.size)
}

// quiet are the only lines that e2fsck may write about a sound file system.
var quiet = regexp.MustCompile(`^(e2fsck \d.*|Pass [1-5]: .*|` +
	`.*: \d+/\d+ files \(.*% non-contiguous\), \d+/\d+ blocks)$`)

// wide is what e2fsck says of files that the kernel has cut: it leaves the
// height of their extent tree as it was.
var wide = regexp.MustCompile(`^Inode \d+ extent tree \(at level \d\) could be (narrower|shorter)\.  Optimize\? no$`)

// fsck has e2fsck look for anything wrong.
func (v volume) fsck(t testing.TB) {
	t.Helper()
	v.fsckBut(t, regexp.MustCompile(`^$`))
}

// fsckWritten is fsck for a file system that the kernel has written to.
func (v volume) fsckWritten(t testing.TB) {
	t.Helper()
	v.fsckBut(t, wide)
}

func (v volume) fsckBut(t testing.TB, allowed *regexp.Regexp) {
	t.Helper()
	output, status := oracle.Exit(t, "e2fsck", "-fn", v.name())
	var loud []string
	for line := range strings.Lines(output) {
		if line = strings.TrimRight(line, "\n"); line != "" && !quiet.MatchString(line) && !allowed.MatchString(line) {
			loud = append(loud, line)
		}
	}
	if status != 0 || len(loud) > 0 {
		t.Errorf("e2fsck -fn %s: exit status %d\n%s", v.name(), status, strings.Join(loud[:min(len(loud), 60)], "\n"))
	}
}

// header returns the superblock's fields as dumpe2fs names them.
func (v volume) header(t testing.TB) map[string]string {
	t.Helper()
	fields := make(map[string]string)
	for line := range strings.Lines(oracle.Run(t, "dumpe2fs", "-h", v.name())) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return fields
}

// number returns a field of header that is a number.
func number(t testing.TB, header map[string]string, field string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(header[field], &n); err != nil {
		t.Fatalf("dumpe2fs says %s: %q: %v", field, header[field], err)
	}
	return n
}

// extract copies the volume into a file of its own, for tools that know no
// offset.
func (v volume) extract(t testing.TB) (path string) {
	t.Helper()
	in, err := os.Open(v.image)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	path = filepath.Join(scratch.Dir(t), "volume")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(v.size); err != nil {
		t.Fatal(err)
	}
	for at, end := v.offset, v.offset+v.size; at < end; {
		start, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO || start >= end {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if at, err = unix.Seek(int(in.Fd()), start, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		at = min(at, end)
		to := io.NewOffsetWriter(out, start-v.offset)
		if _, err := io.Copy(to, io.NewSectionReader(in, start, at-start)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// read returns the manifest of a tree.
func read(t testing.TB, dir string) manifest.Manifest {
	t.Helper()
	m, err := manifest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same fails the test if the manifests differ.
func same(t testing.TB, what string, want, got manifest.Manifest) {
	t.Helper()
	if diff := manifest.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

// inRoot returns what a root file system of the layout holds of a tree: all but
// what lies below the mount points of boot partitions.
func (l layout) inRoot(tree manifest.Manifest) manifest.Manifest {
	var points []string
	for point := range l.boots {
		points = append(points, point)
	}
	return tree.WithoutBelow(points...)
}
