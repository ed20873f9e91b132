package zfs

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/test/zfsrig"
	"diskwright/tree"
)

// kernelScript imports the pool, reads all of it, and writes to every file system.
const kernelScript = `
set -ex
zpool import -d /dev -N tank
mkdir /m
for d in $(zfs list -H -o name | sort); do
	mkdir -p /m/$d
	mount -t zfs $d /m/$d
done
cd /m/tank
find . -type f -print0 | sort -z | xargs -0 sha256sum >/out/sums
stat -c %s nocase/TEXT-5000 >/out/nocase
! stat mixedcase/TEXT-5000 2>/dev/null
zfs get -H -o name,property,value -s local all >/out/properties
zpool status tank >/out/status-before
zpool upgrade >/out/upgrade 2>&1
for d in $(zfs list -H -o name | sort); do
	cp /m/$d/text-131073 /m/$d/copy
	dd if=/dev/urandom of=/m/$d/copy bs=1000 count=5 seek=3 conv=notrunc 2>/dev/null
	rm -f /m/$d/noise-131073
	mkdir /m/$d/new
	touch /m/$d/new/README
done
cd /
zpool scrub -w tank
zpool status -v tank >/out/status-after
umount -a -t zfs
zpool export tank
`

// The file systems of [storages], read and written by the kernel modules of both
// versions of OpenZFS.
func TestKernel(t *testing.T) {
	if !long {
		t.Skip("takes minutes; DISKWRIGHT_LONG=1 runs it")
	}
	rig := zfsrig.Need(t)
	for _, v := range zfsrig.Versions {
		t.Run(v.String(), func(t *testing.T) {
			opts := testOptions(2 * gib)
			opts.Features = "openzfs-2." + string(v[1])
			opts.Properties["compression"] = "lz4"
			roots := map[string]*tree.Inode{".": various(t), "./zstd/inherits": various(t)}
			for _, s := range storages {
				d := Dataset{Name: s.name, Root: various(t), Properties: s.props}
				roots["./"+s.name] = d.Root
				opts.Datasets = append(opts.Datasets, d)
			}
			opts.Datasets = append(opts.Datasets, Dataset{Name: "zstd/inherits", Root: roots["./zstd/inherits"]})
			image := write(t, plan(t, roots["."], opts))
			result := rig.Run(t, zfsrig.Guest{Version: v, Script: kernelScript, Disks: []string{image}, Timeout: time.Hour})
			if result.Status != "0" {
				t.Fatalf("the script ends with %s:\n%s", result.Status, clip(result.Log))
			}
			out := func(name string) string { return readText(t, result.Out, name) }
			if got := strings.TrimSpace(out("nocase")); got != "5000" {
				t.Errorf("the file in other case has %q bytes", got)
			}
			for _, want := range []string{"state: ONLINE", "errors: No known data errors", "repaired 0B"} {
				if s := out("status-after"); !strings.Contains(s, want) {
					t.Errorf("zpool status does not say %q:\n%s", want, s)
				}
			}
			if s := out("status-before"); strings.Contains(s, "status:") {
				t.Errorf("zpool status has something to say:\n%s", s)
			}
			if s := out("upgrade"); !strings.Contains(s, "Every feature flags pool has all supported and requested features enabled") {
				t.Errorf("zpool upgrade has something to say:\n%s", s)
			}
			properties := out("properties")
			for _, s := range storages {
				for name, value := range s.props {
					if name == "casesensitivity" || name == "normalization" || name == "utf8only" {
						continue // they have no source
					}
					if want := fmt.Sprintf("tank/%s\t%s\t%s\n", s.name, name, value); !strings.Contains(properties, want) {
						t.Errorf("zfs get does not say %q:\n%s", want, properties)
					}
				}
			}
			sums := make(map[string]string)
			for s := bufio.NewScanner(strings.NewReader(out("sums"))); s.Scan(); {
				sum, path, _ := strings.Cut(s.Text(), "  ")
				sums[path] = sum
			}
			for dir, root := range roots {
				for _, e := range root.Entries {
					if !e.Inode.IsRegular() {
						continue
					}
					path := dir + "/" + e.Name
					if want := sumOf(t, e.Inode); sums[path] != want {
						t.Errorf("%s: SHA-256 %s, want %s", path, sums[path], want)
					}
				}
			}
			if out, status := rig.ZDB(t, v, "-e", "-p", strings.TrimSuffix(image, "/image"), "-bcc", "tank"); status != 0 ||
				!strings.Contains(out, "No leaks (block sum matches space maps exactly)") {
				t.Errorf("zdb -bcc after that:\n%s", clip(out))
			}
		})
	}
}

func readText(t testing.TB, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sumOf returns the SHA-256 of a file.
func sumOf(t testing.TB, i *tree.Inode) string {
	t.Helper()
	h := sha256.New()
	buffer := make([]byte, mib)
	for off := int64(0); off < i.Size(); {
		n, err := i.Content.ReadAt(buffer[:min(mib, i.Size()-off)], off)
		if n == 0 {
			t.Fatal(err)
		}
		h.Write(buffer[:n])
		off += int64(n)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
