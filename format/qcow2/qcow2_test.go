package qcow2

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/raw"
	"diskwright/test/maps"
	"diskwright/test/oracle"

	"pgregory.net/rapid"
)

// text returns n bytes that compress about as programs do.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	words := make([][]byte, 400)
	for i := range words {
		words[i] = make([]byte, 2+r.IntN(9))
		for j := range words[i] {
			words[i][j] = byte('a' + r.IntN(26))
		}
	}
	p := make([]byte, 0, n+10)
	for len(p) < n {
		p = append(append(p, words[int(r.ExpFloat64()*60)%len(words)]...), ' ')
	}
	return p[:n]
}

func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], r.Uint64())
	}
	return p
}

// mixedMap is a disk with everything in it: text, noise, zeros that are holes
// and zeros that are not, across clusters and tables.
func mixedMap(t testing.TB, size int64) *diskmap.Map {
	t.Helper()
	var b diskmap.Builder
	place := func(off int64, p []byte) {
		if off >= 0 && off < size {
			b.Place(off, content.Bytes(p[:min(int64(len(p)), size-off)]))
		}
	}
	place(0, []byte("boot"))
	place(64<<10, text(1, 700<<10))
	place(1<<20, make([]byte, 200<<10))
	place(1<<20+300<<10, noise(2, 333<<10))
	place(2<<20-5, text(3, 1000))
	place(3<<20+17, bytes.Repeat([]byte{7}, 130<<10))
	if size > 520<<20 {
		place(512<<20-70000, text(4, 140000))
	}
	if end := size - 1000; end > 520<<20 || end > 4<<20 && end < 500<<20 {
		place(end, text(5, 1000))
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// write returns the path of an image of m.
func write(t testing.TB, m *diskmap.Map, o Options) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(context.Background(), m, f, o); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func writeRaw(t testing.TB, m *diskmap.Map) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := raw.WriteFile(context.Background(), m, f, raw.Options{}); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func open(t testing.TB, path string) *Image {
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
	img, err := Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func mapOf(t testing.TB, img *Image) *diskmap.Map {
	t.Helper()
	m, err := img.Map()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same compares two maps, of which the second may be longer by zeros.
func same(t testing.TB, want, got *diskmap.Map) {
	t.Helper()
	if got.Size() != block.DivideUp(want.Size(), sectorSize)*sectorSize {
		t.Fatalf("the disk has %d bytes, want %d", got.Size(), want.Size())
	}
	next := int64(0)
	compare := func(from, to int64) {
		for ; from < to; from += 1 << 20 {
			n := min(1<<20, to-from)
			a, b := make([]byte, n), make([]byte, n)
			_, errA := want.ReadAt(a, from)
			_, errB := got.ReadAt(b, from)
			if errA != nil && errA != io.EOF || errB != nil {
				t.Fatal(errA, errB)
			}
			if !bytes.Equal(a, b) {
				t.Fatalf("the disks differ in the MiB at %d", from)
			}
		}
	}
	for _, m := range []*diskmap.Map{want, got} {
		next = 0
		for e := range m.Extents(0, m.Size()) {
			from := max(next, e.Offset)
			compare(from, e.End())
			next = e.End()
		}
	}
}

var compressions = []Compression{None, Zlib, Zstd}

// sizes are those around which something changes: sectors, clusters, tables.
var sizes = []int64{
	0, 512, 64<<10 - 512, 64 << 10, 64<<10 + 512, 5 << 20, 5<<20 + 512,
	512<<20 - 512, 512 << 20, 512<<20 + 512, 600 << 20, 1024 << 20, 2049 << 20, 5120 << 20, 4 << 40, 4<<40 + 512,
}

// TestQEMU: qemu-img finds no error in what we write, reads what we read, and
// writes the same without compression.
func TestQEMU(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	oracle.Need(t, "qemu-img")
	for _, size := range sizes {
		m := mixedMap(t, size)
		for _, c := range compressions {
			t.Run(fmt.Sprintf("%d%s", size, c), func(t *testing.T) {
				image := write(t, m, Options{Compression: c})
				oracle.Run(t, "qemu-img", "check", "-f", "qcow2", image)
				same(t, m, mapOf(t, open(t, image)))
				if size > 1<<40 {
					return // qemu-img looks for zeros in every cluster of a raw image
				}
				reference := writeRaw(t, m)
				oracle.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", reference, image)
				if c == None {
					theirs := filepath.Join(t.TempDir(), "theirs")
					oracle.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", reference, theirs)
					oracle.Run(t, "cmp", image, theirs)
				}
			})
		}
	}
}

// TestGoldens: what qemu-img says about our images is what it said about its
// own.
func TestGoldens(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	oracle.Need(t, "qemu-img")
	for _, mib := range []int64{600, 1024, 2049, 5120} {
		var golden struct {
			Formats map[string]struct {
				InfoJSON map[string]any `json:"infoJson"`
				Header   struct {
					L1Size               uint32 `json:"l1Size"`
					L1TableOffset        uint64 `json:"l1TableOffset"`
					RefcountTableOffset  uint64 `json:"refcountTableOffset"`
					RefcountTableEntries []uint64
					HeaderLength         uint32 `json:"headerLength"`
					Extensions           []struct{ Length uint32 }
				}
			}
		}
		data, err := os.ReadFile(fmt.Sprintf("testdata/qemuimg-10-%dM.json", mib))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &golden); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]Compression{"qcow2": None, "qcow2-compressed": Zlib} {
			image := write(t, mixedMap(t, mib<<20), Options{Compression: c})
			var info map[string]any
			if err := json.Unmarshal(oracle.Output(t, "qemu-img", "info", "--output", "json", image), &info); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"virtual-size", "cluster-size", "format", "format-specific", "dirty-flag"} {
				if got, want := fmt.Sprint(info[key]), fmt.Sprint(golden.Formats[name].InfoJSON[key]); got != want {
					t.Errorf("%s of %d MiB: %s is %s, want %s", name, mib, key, got, want)
				}
			}
			h, want := make([]byte, headerLength+8), golden.Formats[name].Header
			f, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.ReadAt(h, 0)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
			if get32(h[offL1Size:]) != want.L1Size || get64(h[offL1Offset:]) != want.L1TableOffset ||
				get64(h[offRefcountOffset:]) != want.RefcountTableOffset || get32(h[offHeaderLength:]) != want.HeaderLength ||
				get32(h[headerLength+4:]) != want.Extensions[0].Length {
				t.Errorf("%s of %d MiB: header %x", name, mib, h)
			}
		}
	}
}

// TestWindow: zlib with a window of 4 KiB and a small buffer for its output, as
// a reader may use it, decodes every compressed cluster.
func TestWindow(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	oracle.Need(t, "python3")
	img := open(t, write(t, mixedMap(t, 5<<20), Options{Compression: Zlib}))
	script, n := &strings.Builder{}, 0
	script.WriteString("import sys, zlib\nn = 0\nf = open(sys.argv[1], 'rb')\nfor off, size in [")
	for at := int64(0); at < img.size; at += clusterSize {
		if e, err := img.lookup(at); err != nil {
			t.Fatal(err)
		} else if e.kind == compressed {
			fmt.Fprintf(script, "(%d, %d),", e.offset, e.length)
			n++
		}
	}
	script.WriteString(`]:
    f.seek(off)
    p = f.read(size)
    d = zlib.decompressobj(-12)
    out = 0
    while not d.eof:
        q = d.decompress(p, 100)
        p = d.unconsumed_tail
        out += len(q)
        assert q or d.eof, off
    assert out == 65536, out
    n += 1
print(n)
`)
	path := img.r.(*os.File).Name()
	if got := strings.TrimSpace(oracle.Run(t, "python3", "-c", script.String(), path)); n < 10 || got != fmt.Sprint(n) {
		t.Errorf("%s clusters, want %d", got, n)
	}
}

// TestWorkers: the same bytes for any number of workers, and whatever clusters
// a compressor has seen before.
func TestWorkers(t *testing.T) {
	m := mixedMap(t, 600<<20)
	for _, c := range compressions {
		t.Run(string(c), func(t *testing.T) {
			maps.SameForWorkers(t, []int{1, 2, 3, 7}, func(workers int) string {
				return write(t, m, Options{Compression: c, Options: block.Options{Workers: workers}})
			})
		})
	}
}

// TestRandomMaps: any map comes back, through the file and through its layout.
func TestRandomMaps(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	data := append(append(text(1, 300<<10), make([]byte, 150<<10)...), noise(2, 300<<10)...)
	rapid.Check(t, func(rt *rapid.T) {
		var b diskmap.Builder
		pos := int64(0)
		edge := rapid.SampledFrom([]int64{0, 1, 511, 512, 4096, clusterSize - 1, clusterSize, clusterSize + 1, 3 * clusterSize, clusterSize * entriesInTable})
		for range rapid.IntRange(0, 6).Draw(rt, "extents") {
			pos += edge.Draw(rt, "gap")
			from := rapid.IntRange(0, len(data)).Draw(rt, "from")
			n := min(edge.Draw(rt, "length"), int64(len(data)-from))
			b.Place(pos, content.Bytes(data[from:from+int(n)]))
			pos += n
		}
		m, err := b.Map(pos + edge.Draw(rt, "tail"))
		if err != nil {
			rt.Fatal(err)
		}
		c := rapid.SampledFrom(compressions).Draw(rt, "compression")
		path := write(t, m, Options{Compression: c})
		same(t, m, mapOf(t, open(t, path)))
		if c == None {
			file, err := Layout(context.Background(), m, Options{})
			if err != nil {
				rt.Fatal(err)
			}
			p := make([]byte, file.Size())
			if _, err := file.ReadAt(p, 0); err != nil {
				rt.Fatal(err)
			}
			if got, _ := os.ReadFile(path); !bytes.Equal(got, p) {
				rt.Fatal("the file is not its layout")
			}
		}
	})
}

func TestErrors(t *testing.T) {
	var b diskmap.Builder
	broken := errors.New("the file changed")
	b.Place(0, content.Bytes(text(1, 10<<20)))
	b.Place(20<<20, &content.Generated{Length: 5, Fill: func([]byte, int64) error { return broken }})
	b.Place(30<<20, &content.Generated{Length: 5, Fill: func([]byte, int64) error { return errors.New("a later error") }})
	m, err := b.Map(40 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range compressions {
		for range 5 {
			f, err := os.Create(filepath.Join(t.TempDir(), "image"))
			if err != nil {
				t.Fatal(err)
			}
			if err := Write(context.Background(), m, f, Options{Compression: c}); !errors.Is(err, broken) {
				t.Errorf("%q: %v", c, err)
			}
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(io.ErrClosedPipe)
			if err := Write(ctx, m, f, Options{Compression: c}); c == None && err != io.ErrClosedPipe {
				t.Errorf("%q: %v", c, err)
			}
			f.Close()
		}
	}
	for _, o := range []Options{{Level: 3}, {Compression: Zlib, Level: 3}, {Compression: Zstd, Level: 23}, {Compression: "lzma"}} {
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(context.Background(), m, f, o); err == nil || !strings.HasPrefix(err.Error(), "qcow2: ") {
			t.Errorf("%+v: %v", o, err)
		}
		f.Close()
	}
}
