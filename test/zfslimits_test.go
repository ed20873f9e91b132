//go:build linux

package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/test/zfsrig"
)

// noLeaks has zdb count what is allocated in a pool that is alone in its directory.
func noLeaks(t testing.TB, image string) {
	t.Helper()
	if out := oracle.Run(t, "zdb", "-e", "-p", filepath.Dir(image), "-bcc", "tank"); !strings.Contains(out, "No leaks (block sum matches space maps exactly)") {
		t.Errorf("zdb -bcc:\n%s", clipped(out))
	}
}

var missing = regexp.MustCompile(`(\d+) bytes are missing`)

// A pool that is too small is told by how much, and the sum is enough; so it is at
// once, whatever the size was. It is about the least.
func TestZFSFull(t *testing.T) {
	t.Parallel()
	tree := scratch.Dir(t)
	files := map[string]string{"large": incompressible(40 << 20)}
	for i := range 200 {
		files[fmt.Sprintf("small/%03d", i)] = incompressible(i * 131)
	}
	write(t, tree, files)
	for _, args := range [][]string{
		{"-O", "compression=lz4", "--pool-property", "ashift=9"},
		{"-O", "recordsize=512", "-O", "compression=zstd", "--features", "openzfs-2.1"},
		{"-O", "recordsize=1M", "-O", "copies=3", "--features", "openzfs-2.1"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			args := append([]string{"mkfs", "zfs", tree, "--no-sync", "-q"}, args...)
			var needed int64
			for _, size := range []int64{64 << 20, 100 << 20} {
				message := fails(t, command(append(args, "-o", filepath.Join(scratch.Dir(t), "image"), "--size", fmt.Sprint(size))...), 1, "bytes are missing")
				n, err := strconv.ParseInt(missing.FindStringSubmatch(message)[1], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				if needed != 0 && needed != size+n {
					t.Errorf("%d bytes are enough, or %d", needed, size+n)
				}
				needed = size + n
			}
			image := filepath.Join(scratch.Dir(t), "image")
			must(t, append(args, "-o", image, "--size", fmt.Sprint(needed))...)
			noLeaks(t, image)
			// Metaslabs have sizes that the pool's size is not divided by.
			fails(t, command(append(args, "-o", image, "--size", fmt.Sprint(needed-needed/8))...), 1, "bytes are missing")
		})
	}
}

// incompressible returns bytes of no pattern that any compression knows.
func incompressible(size int) string {
	b := make([]byte, size)
	x := uint64(size)*2 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return string(b)
}

// A directory of many names is as it was when it is read again.
func TestZFSManyNames(t *testing.T) {
	t.Parallel()
	count := 10_000
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		count = 150_000
	}
	tree := scratch.Dir(t)
	dir := filepath.Join(tree, "directory")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		// Of all lengths that there are.
		name := fmt.Sprintf("%s%06d", strings.Repeat("\xff\n", i%125), i)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := mkfs(t, "zfs", tree, "-O", "compression=lz4")
	noLeaks(t, image)
	out := filepath.Join(scratch.Dir(t), "out")
	must(t, "extract", image, "-o", out)
	got, err := os.ReadDir(filepath.Join(out, "directory"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d names, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Name() != want[i].Name() {
			t.Fatalf("name %q, want %q", got[i].Name(), want[i].Name())
		}
	}
}

// Files that change between the time when they are summed and that when they are
// written make no pool, whether what is read then still fits or not.
func TestZFSSourceChanges(t *testing.T) {
	t.Parallel()
	const files = 20
	for name, change := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 1<<20) },
		"longer":    func(path string) error { return os.Truncate(path, 5<<20) },
		"removed":   os.Remove,
		"rewritten, time set back": func(path string) error {
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(path, bytes.Repeat([]byte("something new\n\n\n"), 1<<18), 0o644); err != nil {
				return err
			}
			return os.Chtimes(path, time.Time{}, fi.ModTime())
		},
	} {
		for _, compression := range []string{"off", "lz4"} {
			t.Run(name+", compression "+compression, func(t *testing.T) {
				tree := scratch.Dir(t)
				for i := range files {
					write(t, tree, map[string]string{fmt.Sprintf("file-%02d", i): strings.Repeat(fmt.Sprintf("%015d\n", i), 1<<18)})
				}
				time.Sleep(20 * time.Millisecond) // the clock's grain
				cmd := command("mkfs", "zfs", tree, "-q", "--workers", "1", "--size", "1G", "-O", "compression="+compression, "-o", "-")
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				pipe, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				// All are summed, most are not written yet: the pipe is full.
				if _, err := io.CopyN(io.Discard, pipe, 1<<16); err != nil {
					t.Fatal(err)
				}
				for i := range files {
					if err := change(filepath.Join(tree, fmt.Sprintf("file-%02d", i))); err != nil {
						t.Fatal(err)
					}
				}
				written, err := io.Copy(io.Discard, pipe)
				if err != nil {
					t.Fatal(err)
				}
				wait(t, cmd)
				checkFailure(t, cmd, stderr.String(), 1, tree+"/file-")
				if written+1<<16 >= 1<<30 {
					t.Error("the stream has the length of a complete pool")
				}
			})
		}
	}
}

// A pool that is as small as it can be is no dead end: what ZFS keeps free is, so
// that files can be removed, and then others written.
func TestZFSRigFull(t *testing.T) {
	rig := zfsrig.Need(t)
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"large": incompressible(30 << 20), "small": incompressible(1 << 20)})
	args := []string{"mkfs", "zfs", tree, "--no-sync", "-q", "-O", "mountpoint=legacy"}
	message := fails(t, command(append(args, "--size", "64M", "-o", filepath.Join(scratch.Dir(t), "image"))...), 1, "bytes are missing")
	n, err := strconv.ParseInt(missing.FindStringSubmatch(message)[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range zfsrig.Versions {
		t.Run(version.String(), func(t *testing.T) {
			image := filepath.Join(scratch.Dir(t), "vdev")
			must(t, append(args, "--size", fmt.Sprint(64<<20+n), "-o", image)...)
			// (To fill it takes OpenZFS minutes, in pools that it has made as well.)
			result := rig.Run(t, zfsrig.Guest{Version: version, Disks: []string{image}, Script: `set -ex
zpool import -d /dev tank
mount -t zfs tank /mnt
zfs list tank
zpool list tank
rm /mnt/small
zpool sync
head -c 100000 /mnt/large >/mnt/new
zpool sync
zfs list tank
rm /mnt/large
zpool sync
head -c 20000000 /dev/urandom >/mnt/large
zpool scrub -w tank
zpool status tank
umount /mnt
zpool export tank
`})
			if result.Status != "0" || !strings.Contains(result.Log, "with 0 errors") {
				t.Errorf("exit status %s:\n%s", result.Status, result.Log)
			}
		})
	}
}
