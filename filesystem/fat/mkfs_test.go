package fat

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"diskwright/content"
	"diskwright/test/oracle"
	"diskwright/tree"
)

// What mkfs.vfat --invariant has in place of the clock.
var invariantTime = tree.Time{Sec: 1426325213}

// mkfsSizes are partition sizes in sectors: round ones, and those around every
// number on which the geometry depends.
func mkfsSizes() []int64 {
	sizes := []int64{1024, 1536, 2047, 2049, 2*1024 + 7, 1 << 16, 1<<16 - 1, 1<<16 + 17}
	around := func(sectors int64) {
		track := sectors / sectorsPerTrack * sectorsPerTrack
		sizes = append(sizes, sectors-1, sectors, sectors+1, track-1, track, track+sectorsPerTrack, track+2*sectorsPerTrack)
	}
	for mib := int64(1); mib <= 40<<10; mib = mib*5/4 + 1 {
		sizes = append(sizes, mib<<11)
	}
	around(unalignedSectors)
	around(1 << 16) // the total no longer fits into 16 bits
	for _, step := range clusterSteps32[1:] {
		around(int64(step.above))
	}
	around(40 << 21)
	// The sizes at which the kind of FAT or the size of clusters changes.
	var before geometry
	for sectors := int64(1024); sectors < 80<<11; sectors += sectorsPerTrack {
		g, _ := chooseGeometry(sectors*sectorSize, 0)
		if g.bits != before.bits || g.clusterSectors != before.clusterSectors {
			around(sectors)
		}
		before = g
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// TestMkfs compares whole images with what mkfs.vfat makes.
func TestMkfs(t *testing.T) {
	oracle.Need(t, "mkfs.vfat")
	for n, sectors := range mkfsSizes() {
		size := sectors * sectorSize
		compareMkfs(t, size, 0)
		if size <= 5<<30 {
			compareMkfs(t, size, []int{12, 16, 32}[n%3])
		}
	}
}

// compareMkfs makes an empty file system of size bytes here and there. With
// bits 0, mkfs.vfat is told to take the kind that New took.
func compareMkfs(t *testing.T, size int64, bits int) {
	t.Helper()
	opts := Options{Label: "ESP", VolumeID: 0x89abcdef, Size: size, HiddenSectors: uint32(size >> 12), Bits: bits, Time: invariantTime}
	what := fmt.Sprintf("%d sectors, FAT%d", size/sectorSize, bits)

	image := filepath.Join(t.TempDir(), "image")
	args := []string{"--invariant", "-i", "89abcdef", "-n", opts.Label,
		"-g", fmt.Sprintf("%d/%d", heads, sectorsPerTrack), "-h", strconv.FormatInt(size>>12, 10)}
	fs, failed := New(tree.NewDir(epoch), opts)
	if failed == nil && bits == 0 && fs.geo.bits == 32 {
		bits = 32
	}
	if bits != 0 {
		args = append(args, "-F", strconv.Itoa(bits))
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(image)
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	output, status := oracle.Exit(t, "mkfs.vfat", append(args, image)...)

	// mkfs.vfat only warns of a FAT32 that has not enough clusters.
	fewClusters := bytes.Contains([]byte(output), []byte("less then suggested minimum"))
	if refused := status != 0 || fewClusters; refused != (failed != nil) {
		t.Errorf("%s: %v, but mkfs.vfat gives %d: %s", what, failed, status, output)
		return
	}
	if failed != nil {
		return
	}
	m, err := fs.Map()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// mkfs.vfat writes nothing behind the root directory.
	n := size
	if size > 16<<20 {
		n = min(size, fs.geo.dataSector()*sectorSize+1<<20)
	}
	if off, same := compare(t, m, f, n); !same {
		t.Errorf("%s: byte %#x differs", what, off)
	}
}

// compare returns where the first n bytes of two images differ.
func compare(t *testing.T, m content.Source, f *os.File, n int64) (int64, bool) {
	t.Helper()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < n; off += int64(len(a)) {
		a, b = a[:min(int64(len(a)), n-off)], b[:min(int64(len(b)), n-off)]
		if err := content.ReadFull(m, a, off); err != nil {
			t.Fatal(err)
		}
		if err := content.ReadFull(f, b, off); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			for n := range a {
				if a[n] != b[n] {
					return off + int64(n), false
				}
			}
		}
	}
	return 0, true
}
