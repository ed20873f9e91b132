package fat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/finding"
	"diskwright/test/oracle"
)

func findings(t testing.TB, r io.ReaderAt, size int64) []finding.Finding {
	t.Helper()
	var list finding.List
	if err := Check(context.Background(), r, size, &list, nil); err != nil {
		t.Fatal(err)
	}
	found, _ := list.Findings()
	return found
}

// TestCheckOwn: nothing is wrong with what this package writes.
func TestCheckOwn(t *testing.T) {
	forKinds(t, func(t *testing.T, opts Options) {
		_, m := newMap(t, nastyTree(t), opts)
		for _, f := range findings(t, m, m.Size()) {
			t.Errorf("%v", f)
		}
	})
}

// foreignFAT makes a FAT with mkfs.vfat and mtools.
func foreignFAT(t testing.TB, size int64, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mkfs.vfat", append(append([]string{"-i", "12cea600"}, args...), path)...)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 30000), 0o666); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mmd", "-i", path, "::dir", "::dir/A longer name of a directory")
	for i := range 12 {
		oracle.Run(t, "mcopy", "-i", path, file, fmt.Sprintf("::dir/a file with a long name, number %d", i))
	}
	oracle.Run(t, "mcopy", "-i", path, file, "::SHORT.TXT")
	oracle.Run(t, "mdel", "-i", path, "::dir/a file with a long name, number 3")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var foreignFATs = []struct {
	name string
	size int64
	args []string
}{
	{"fat12", 2 << 20, []string{"-F", "12"}},
	{"fat12, one table", 2 << 20, []string{"-F", "12", "-f", "1"}},
	{"fat16", 20 << 20, []string{"-F", "16", "-n", "LABEL"}},
	{"fat32", 40 << 20, []string{"-F", "32", "-n", "ESP"}},
	{"fat32, sectors of 4096 bytes", 300 << 20, []string{"-F", "32", "-S", "4096", "-s", "1"}},
}

// TestCheckForeign: nothing is wrong with what mkfs.vfat and mtools make.
func TestCheckForeign(t *testing.T) {
	for _, c := range foreignFATs {
		t.Run(c.name, func(t *testing.T) {
			b := foreignFAT(t, c.size, c.args...)
			for _, f := range findings(t, bytes.NewReader(b), int64(len(b))) {
				t.Errorf("%v", f)
			}
		})
	}
}

// places are where the structures of a volume lie: name, offset, length.
type place struct {
	name       string
	at, length int64
}

func places(t testing.TB, image []byte) []place {
	t.Helper()
	v, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	list := []place{{"boot sector", 0, 90}, {"first FAT", v.tableOffset, 60}}
	if second := (v.rootOffset + v.tableOffset) / 2; image[16] == 2 {
		list = append(list, place{"second FAT", second, 60})
	}
	if v.bits == 32 {
		list = append(list, place{"backup", 6 * v.sectorSize, 90}, place{"FSInfo", v.sectorSize, 4}, place{"FSInfo's counts", v.sectorSize + 484, 28})
	}
	dirs := []DirEntry{v.Root()}
	for len(dirs) > 0 {
		d := dirs[0]
		dirs = dirs[1:]
		raw, err := v.readRaw(d)
		if err != nil {
			t.Fatal(err)
		}
		at := v.rootOffset
		if !d.root || v.bits == 32 {
			at = v.clusterOffset(d.first)
			raw = raw[:min(int64(len(raw)), v.clusterSize)]
		}
		used := int64(0)
		for range entriesOf(raw) {
			used += dirEntrySize
		}
		if used > 0 {
			list = append(list, place{"directory", at, used})
		}
		entries, err := v.List(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Dir {
				dirs = append(dirs, e)
			}
		}
	}
	return list
}

// TestCheckMutations: what fsck.vfat finds wrong with an image of which a byte
// was changed, Check does.
func TestCheckMutations(t *testing.T) {
	count := 120
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		count = 800
	}
	images := map[string][]byte{}
	for _, c := range foreignFATs[:4] {
		images[c.name] = foreignFAT(t, c.size, c.args...)
	}
	for _, bits := range []int{12, 16, 32} {
		size := map[int]int64{12: 12 << 20, 16: 24 << 20, 32: 48 << 20}[bits]
		_, m := newMap(t, nastyTree(t), Options{Bits: bits, Size: size, Label: "ESP", VolumeID: 0x12cea600, Time: epoch})
		b := make([]byte, m.Size())
		if err := content.ReadFull(m, b, 0); err != nil {
			t.Fatal(err)
		}
		images[fmt.Sprintf("own FAT%d", bits)] = b
	}
	for name, image := range images {
		t.Run(name, func(t *testing.T) { compareMutations(t, image, count) })
	}
}

func compareMutations(t *testing.T, original []byte, count int) {
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, original, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rng := rand.New(rand.NewPCG(6, uint64(len(original))))
	list := places(t, original)
	image := bytes.Clone(original)
	reported := 0
	for i := range count {
		p := list[i%len(list)]
		at := p.at + rng.Int64N(p.length)
		was := original[at]
		switch rng.IntN(4) {
		case 0:
			image[at] ^= 1 << rng.IntN(8)
		case 1:
			image[at] = byte(rng.Uint32())
		case 2:
			image[at]++
		default:
			image[at] = []byte{0, 0xff, 0x80, 1}[rng.IntN(4)]
		}
		is := image[at]
		if _, err := f.WriteAt(image[at:at+1], at); err != nil {
			t.Fatal(err)
		}
		output, status := oracle.Exit(t, "fsck.vfat", "-n", path)
		if _, err := f.WriteAt(original[at:at+1], at); err != nil {
			t.Fatal(err)
		}
		var found finding.List
		err := Check(context.Background(), bytes.NewReader(image), int64(len(image)), &found, nil)
		image[at] = was
		if status == 0 {
			continue
		}
		reported++
		if err == nil && found.Total() == 0 {
			t.Errorf("%s, byte %d, %#x to %#x: only fsck.vfat says (%d):\n%s", p.name, at-p.at, was, is, status, strings.TrimSpace(output))
		}
	}
	t.Logf("%d of %d mutations reported by fsck.vfat", reported, count)
}

// TestCheckFlips: whatever bits flip, there is an answer soon.
func TestCheckFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range foreignFATs[:3] {
		original := foreignFAT(t, c.size, c.args...)
		list := places(t, original)
		image := bytes.Clone(original)
		for range 100 {
			copy(image, original)
			for range 1 + rng.IntN(20) {
				p := list[rng.IntN(len(list))]
				image[p.at+rng.Int64N(p.length)] ^= 1 << rng.IntN(8)
			}
			var found finding.List
			start := time.Now()
			_ = Check(context.Background(), bytes.NewReader(image), int64(len(image)), &found, nil)
			if d := time.Since(start); d > 10*time.Second {
				t.Fatalf("it takes %v", d)
			}
		}
	}
}

// FuzzCheck checks images in which some bytes were replaced.
func FuzzCheck(f *testing.F) {
	_, m := newMap(f, nastyTree(f), Options{Bits: 12, Size: 12 << 20, Time: epoch})
	original := make([]byte, m.Size())
	if err := content.ReadFull(m, original, 0); err != nil {
		f.Fatal(err)
	}
	list := places(f, original)
	f.Add(uint16(0), uint16(13), []byte{8})
	f.Add(uint16(1), uint16(3), []byte{3, 0x40})
	f.Add(uint16(3), uint16(26), []byte{2, 0})
	f.Fuzz(func(_ *testing.T, number, at uint16, data []byte) {
		p := list[int(number)%len(list)]
		image := bytes.Clone(original)
		copy(image[p.at+int64(at)%p.length:], data)
		var found finding.List
		_ = Check(context.Background(), bytes.NewReader(image), int64(len(image)), &found, nil)
	})
}
