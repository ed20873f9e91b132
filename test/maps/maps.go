// Package maps makes disk maps for tests of what writes and reads images, and
// compares them.
package maps

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/raw"
	"diskwright/test/oracle"
)

// Sizes are sizes of disks in bytes for tests: those of the goldens, a sector
// beside the boundaries of blocks of 64 KiB, 1 MiB, 2 MiB and 32 MiB, and 4 TiB,
// which takes other programs seconds: with DISKWRIGHT_LONG=1 also a sector less.
func Sizes() []int64 {
	const kib, mib = 1 << 10, 1 << 20
	sizes := []int64{512, 4096, 64*kib - 512, 64 * kib, 64*kib + 512, 600 * mib, 1024 * mib, 2049 * mib, 5120 * mib, 4 << 40}
	for _, edge := range []int64{mib, 2 * mib, 32 * mib, 128 * mib} {
		sizes = append(sizes, edge-512, edge, edge+512)
	}
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		sizes = append(sizes, 4<<40-512)
	}
	return sizes
}

// Random returns a sparse disk of size bytes. It has a few MiB of data, some of
// it compressible, some of it zeros that no map knows of, placed so that extents
// begin, end and lie within blocks of 64 KiB, 1 MiB and 2 MiB, and at the disk's
// end. A seed of zero has no data at all.
func Random(t testing.TB, seed uint64, size int64) *diskmap.Map {
	t.Helper()
	var b diskmap.Builder
	if seed != 0 {
		r := rand.New(rand.NewPCG(seed, uint64(size)))
		end := int64(0)
		place := func(off int64, p []byte) {
			if off >= end && off+int64(len(p)) <= size && len(p) > 0 {
				b.Place(off, content.Bytes(p))
				end = off + int64(len(p))
			}
		}
		place(0, data(r, 512))
		for range 40 {
			unit := int64(64<<10) << (r.IntN(3) * 2) // 64 KiB, 256 KiB, 1 MiB
			next := (end/unit + 1 + r.Int64N(4)) * unit
			if r.IntN(4) == 0 && size > end {
				next = end + r.Int64N(max(1, (size-end)/20))
			}
			place(max(end, next-int64(r.IntN(3))*int64(r.IntN(5000))), data(r, 1+r.IntN(1<<(3+r.IntN(16)))))
		}
		place(max(end, size-1000), data(r, int(min(1000, max(0, size-end)))))
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// data returns n bytes: random, repetitive, or zero.
func data(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	switch r.IntN(4) {
	case 0:
	case 1:
		for i := range p {
			p[i] = "diskwright "[i%11]
		}
	default:
		for i := range p {
			p[i] = byte(r.Uint32())
		}
	}
	return p
}

// Disk returns the disk in the image at path, which open opens until the test
// ends.
func Disk[I interface {
	Size() int64
	Map() (*diskmap.Map, error)
}](t testing.TB, path string, open func(r io.ReaderAt, size int64) (I, error)) *diskmap.Map {
	t.Helper()
	f, size := Open(t, path)
	image, err := open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.Map()
	if err != nil {
		t.Fatal(err)
	}
	if m.Size() != image.Size() {
		t.Fatalf("the map has %d bytes, the disk %d", m.Size(), image.Size())
	}
	return m
}

// SameForWorkers fails the test unless write, which returns the path of a file,
// writes the same bytes with any number of workers.
func SameForWorkers(t testing.TB, numbers []int, write func(workers int) string) {
	t.Helper()
	var first []byte
	for _, workers := range numbers {
		p, err := os.ReadFile(write(workers))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = p
		}
		if !bytes.Equal(p, first) {
			t.Errorf("%d workers write another file", workers)
		}
	}
}

// Allocates fails the test if do allocates more than limit bytes, freed or not. The
// race detector allocates as it likes: then it only calls do.
func Allocates(t testing.TB, limit uint64, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > limit && !raced {
		t.Errorf("%d bytes were allocated, want at most %d", n, limit)
	}
}

// Raw writes m as a raw image and returns its path.
func Raw(t testing.TB, m *diskmap.Map) string {
	t.Helper()
	return Write(t, "disk.img", func(f *os.File) error {
		return raw.WriteFile(context.Background(), m, f, raw.Options{})
	})
}

// Write has a new file of this name, in a directory of its own, written and
// returns its path.
func Write(t testing.TB, name string, write func(f *os.File) error) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := write(f); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// Open opens a file until the test ends.
func Open(t testing.TB, path string) (f *os.File, size int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, fi.Size()
}

// Equal fails the test unless both maps have the same size and bytes. What both
// know to be holes costs nothing.
func Equal(t testing.TB, got, want *diskmap.Map) {
	t.Helper()
	if got.Size() != want.Size() {
		t.Fatalf("the disk has %d bytes, want %d", got.Size(), want.Size())
	}
	EqualStart(t, got, want)
}

// EqualStart is Equal for a disk that may be longer than what is wanted, and
// has zeros there.
func EqualStart(t testing.TB, got, want *diskmap.Map) {
	t.Helper()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for _, m := range []*diskmap.Map{got, want} {
		for e := range m.Extents(0, m.Size()) {
			for off := e.Offset; off < e.End(); off += 1 << 20 {
				n := min(1<<20, e.End()-off)
				a, b = a[:n], b[:n]
				read(t, got, a, off)
				read(t, want, b, off)
				if !bytes.Equal(a, b) {
					i := 0
					for a[i] == b[i] {
						i++
					}
					t.Fatalf("byte %d of the disk is %#x, want %#x", off+int64(i), a[i], b[i])
				}
			}
		}
	}
}

// read reads zeros where the map has ended.
func read(t testing.TB, m *diskmap.Map, p []byte, off int64) {
	t.Helper()
	n := min(int64(len(p)), max(0, m.Size()-off))
	clear(p[n:])
	if err := content.ReadFull(m, p[:n], min(off, m.Size())); err != nil {
		t.Fatal(err)
	}
}

// QemuEqual has qemu-img compare the image at path with m, wholly if that has
// less than limit bytes. For some formats it reads every zero, or asks for every
// block: of larger disks it sees the beginning, the end, and what lies around
// the offsets.
func QemuEqual(t testing.TB, format, path string, m *diskmap.Map, limit int64, offsets ...int64) {
	t.Helper()
	if m.Size() < limit {
		oracle.Run(t, "qemu-img", "compare", "-f", "raw", "-F", format, Raw(t, m), path)
		return
	}
	const window = 8 << 20
	part := filepath.Join(t.TempDir(), "part.img")
	for _, off := range append(offsets, 0, m.Size()) {
		off = min(max(off-window/2, 0), m.Size()-window)
		// The driver raw cuts the window out; commas in values are doubled.
		oracle.Run(t, "qemu-img", "convert", "--image-opts", "-O", "raw",
			fmt.Sprintf("driver=raw,offset=%d,size=%d,file.driver=%s,file.file.driver=file,file.file.filename=%s", off, window, format, strings.ReplaceAll(path, ",", ",,")), part)
		got, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, window)
		read(t, m, want, off)
		if !bytes.Equal(got, want) {
			t.Errorf("qemu-img reads something else from byte %d on", off)
		}
	}
}

// QemuInfo fails the test unless qemu-img says of the image at path what want
// has. Newer versions say more than older ones.
func QemuInfo(t testing.TB, format, path string, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(oracle.Output(t, "qemu-img", "info", "-f", format, "--output", "json", path), &got); err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Error("nothing is wanted")
	}
	for key, value := range want {
		if !reflect.DeepEqual(got[key], value) {
			t.Errorf("qemu-img info says %v for %s, want %v", got[key], key, value)
		}
	}
}

// Seed cuts parts out of a file, for a fuzzer to change them.
func Seed(t testing.TB, path string, parts ...[2]int64) []byte {
	t.Helper()
	f, _ := Open(t, path)
	var seed []byte
	for _, part := range parts {
		p := make([]byte, part[1])
		if err := content.ReadFull(f, p, part[0]); err != nil {
			t.Fatal(err)
		}
		seed = append(seed, p...)
	}
	return seed
}

// Fuzzed is a file of size bytes that has only those parts, from what a fuzzer
// made of a seed, and zeros between them: so it need not change, nor copy, what
// means nothing. fix may correct a part's checksums. Parts may be longer in the
// file than in the seed.
func Fuzzed(t testing.TB, size int64, seed []byte, parts [][2]int64, fix func(at int64, part []byte) []byte) *diskmap.Map {
	t.Helper()
	var b diskmap.Builder
	for _, part := range parts {
		p := make([]byte, part[1])
		n := copy(p, seed)
		seed = seed[n:]
		if fix != nil {
			p = fix(part[0], p)
		}
		b.Place(part[0], content.Bytes(p))
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// CheckDisk reads a little of all extents of a disk that a fuzzer made, of size
// bytes, which may not have more data than limit.
func CheckDisk(t testing.TB, m *diskmap.Map, size, limit int64) {
	t.Helper()
	if m.Size() != size || m.DataSize() > limit {
		t.Errorf("%d bytes of data, a map of %d bytes; want at most %d, and %d", m.DataSize(), m.Size(), limit, size)
	}
	p := make([]byte, 4096)
	for e := range m.Extents(0, size) {
		_, _ = e.ReadAt(p[:min(e.Length, 4096)], 0)
	}
}
