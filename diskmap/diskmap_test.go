package diskmap_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/diskmap"

	"pgregory.net/rapid"
)

// pattern fills p with bytes that depend on seed and offset, none of them
// zero, so that data is never taken for a hole.
func pattern(seed byte, p []byte, off int64) {
	for i := range p {
		n := off + int64(i)
		p[i] = byte(n^n>>8*31)*7 + seed | 1
	}
}

// generated returns metadata that is made on demand.
func generated(seed byte, n int64) *content.Generated {
	return &content.Generated{Length: n, Fill: func(p []byte, off int64) error {
		if off < 0 || off+int64(len(p)) > n || len(p) == 0 {
			return fmt.Errorf("fill [%d, +%d) outside of %d", off, len(p), n)
		}
		pattern(seed, p, off)
		return nil
	}}
}

func build(t testing.TB, size int64, b *diskmap.Builder) *diskmap.Map {
	t.Helper()
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawMap returns a map of random extents, some of them maps again, and its
// bytes.
func drawMap(t *rapid.T, size, depth int) (*diskmap.Map, []byte) {
	var b diskmap.Builder
	model := make([]byte, size)
	type placement struct {
		off int64
		src content.Source
	}
	var placements []placement
	for pos := 0; ; {
		pos += rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 30)).Draw(t, "gap")
		n := rapid.IntRange(0, 60).Draw(t, "length")
		if pos+n > size {
			break
		}
		part := model[pos : pos+n]
		seed := rapid.Byte().Draw(t, "seed")
		var src content.Source
		switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case kind == 0 && depth > 0:
			inner, bytes := drawMap(t, n, depth-1)
			copy(part, bytes)
			src = inner
		case kind == 1 && depth > 0:
			// A section of a map is not resolved into the map's extents.
			inner, bytes := drawMap(t, n+10, depth-1)
			copy(part, bytes[3:])
			src = content.Section(inner, 3, int64(n))
		case kind == 2:
			pattern(seed, part, 0)
			src = generated(seed, int64(n))
		default:
			pattern(seed, part, 0)
			src = content.Bytes(bytes.Clone(part))
		}
		placements = append(placements, placement{int64(pos), src})
		pos += n
		if rapid.IntRange(0, 9).Draw(t, "more") == 0 {
			break
		}
	}
	for _, i := range rapid.Permutation(indices(len(placements))).Draw(t, "order") {
		b.Place(placements[i].off, placements[i].src)
	}
	m, err := b.Map(int64(size))
	if err != nil {
		t.Fatal(err)
	}
	return m, model
}

func indices(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestMapIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 400).Draw(t, "size")
		m, model := drawMap(t, size, 3)
		if m.Size() != int64(size) {
			t.Fatalf("size is %d, want %d", m.Size(), size)
		}

		// Any range reads as the model does, whatever was in the buffer.
		for range 4 {
			off := rapid.IntRange(0, size).Draw(t, "off")
			p := bytes.Repeat([]byte{0xee}, rapid.IntRange(0, size+5).Draw(t, "n"))
			n, err := m.ReadAt(p, int64(off))
			want := model[off:min(off+len(p), size)]
			if n != len(want) || (err == io.EOF) != (n < len(p)) || err != nil && err != io.EOF {
				t.Fatalf("ReadAt(%d, %d) = %d, %v", len(p), off, n, err)
			}
			if !bytes.Equal(p[:n], want) {
				t.Fatalf("ReadAt(%d, %d) = %x, want %x", len(p), off, p[:n], want)
			}
		}

		// The extents of any range lie in it, in order, and together with
		// zeros they are the model.
		from := rapid.Int64Range(-5, int64(size)+5).Draw(t, "from")
		to := rapid.Int64Range(-5, int64(size)+5).Draw(t, "to")
		got := make([]byte, size)
		last := max(from, 0)
		for e := range m.Extents(from, to) {
			if e.Offset < last || e.End() > min(to, m.Size()) || e.Length <= 0 {
				t.Fatalf("extent [%d, %d) in [%d, %d) after %d", e.Offset, e.End(), from, to, last)
			}
			if _, nested := e.Source.(*diskmap.Map); nested {
				t.Fatalf("extent at %d is a map", e.Offset)
			}
			if _, err := e.ReadAt(got[e.Offset:e.End()], 0); err != nil {
				t.Fatal(err)
			}
			last = e.End()
		}
		lo, hi := min(max(from, 0), int64(size)), min(max(to, 0), int64(size))
		if lo < hi && !bytes.Equal(got[lo:hi], model[lo:hi]) {
			t.Fatalf("extents of [%d, %d) are %x, want %x", from, to, got[lo:hi], model[lo:hi])
		}

		n := int64(0)
		for e := range diskmap.ExtentsOf(m) {
			n += e.Length
		}
		if n != m.DataSize() {
			t.Fatalf("DataSize is %d, extents have %d", m.DataSize(), n)
		}
	})
}

func TestExtentsStop(t *testing.T) {
	var inner, outer diskmap.Builder
	inner.Place(1, content.Bytes("a"))
	inner.Place(3, content.Bytes("b"))
	outer.Place(10, build(t, 5, &inner))
	outer.Place(20, content.Bytes("c"))
	m := build(t, 30, &outer)
	for stop := 1; stop <= 3; stop++ {
		n := 0
		for range m.Extents(0, 30) {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("saw %d extents, want %d", n, stop)
		}
	}
}

func TestExtentsOf(t *testing.T) {
	for e := range diskmap.ExtentsOf(content.Bytes("")) {
		t.Errorf("an empty source has the extent %v", e)
	}
	n := 0
	for e := range diskmap.ExtentsOf(content.Bytes("abc")) {
		if n++; e.Offset != 0 || e.Length != 3 || e.SourceOffset != 0 {
			t.Errorf("extent %v", e)
		}
		if _, err := e.ReadAt(make([]byte, 2), 2); err == nil {
			t.Error("a read behind the extent's end succeeds")
		}
	}
	if n != 1 {
		t.Errorf("%d extents, want 1", n)
	}
}

func TestReadAtOutside(t *testing.T) {
	m := build(t, 10, new(diskmap.Builder))
	for _, off := range []int64{-1, 11, math.MaxInt64, math.MinInt64} {
		if _, err := m.ReadAt(make([]byte, 1), off); err == nil || err == io.EOF {
			t.Errorf("ReadAt(%d) = %v, want an error", off, err)
		}
	}
	if n, err := m.ReadAt(make([]byte, 3), 10); n != 0 || err != io.EOF {
		t.Errorf("ReadAt at the end = %d, %v", n, err)
	}
}

func TestBuilderRefuses(t *testing.T) {
	type at struct{ off, n int64 }
	for _, c := range []struct {
		name    string
		size    int64
		extents []at
		want    string // "": accepted
	}{
		{"nothing", 0, nil, ""},
		{"empty extent outside", 10, []at{{99, 0}}, ""},
		{"neighbours", 10, []at{{0, 5}, {5, 5}}, ""},
		{"unordered neighbours", 10, []at{{5, 5}, {0, 5}}, ""},
		{"largest", diskmap.MaxSize, []at{{diskmap.MaxSize - 1, 1}}, ""},
		{"negative size", -1, nil, "size -1"},
		{"too large", diskmap.MaxSize + 1, nil, "is not in [0, 1152921504606846976]"},
		{"overlap by one", 10, []at{{0, 5}, {4, 1}}, "extent of 1 bytes at 4 overlaps one that ends at 5"},
		{"same place", 10, []at{{3, 1}, {3, 1}}, "overlaps"},
		{"overlap unordered", 10, []at{{4, 2}, {0, 5}}, "overlaps"},
		{"behind the end", 10, []at{{10, 1}}, "extent of 1 bytes at 10 outside of 10 bytes"},
		{"across the end", 10, []at{{8, 3}}, "outside of 10 bytes"},
		{"negative", 10, []at{{-1, 3}}, "extent of 3 bytes at -1 outside of 10 bytes"},
		{"longer than the map", 10, []at{{0, 11}}, "outside of 10 bytes"},
		{"wraps", diskmap.MaxSize, []at{{math.MaxInt64 - 1, 10}}, "outside of"},
		{"wraps, large", diskmap.MaxSize, []at{{0, 1}, {1 << 59, math.MaxInt64}}, "outside of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b diskmap.Builder
			for _, e := range c.extents {
				b.Place(e.off, generated(1, e.n))
			}
			_, err := b.Map(c.size)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestReserveKeepsExtents(t *testing.T) {
	var b diskmap.Builder
	b.Place(1, content.Bytes("x"))
	b.Reserve(100)
	b.Place(2, content.Bytes("y"))
	p := make([]byte, 4)
	if _, err := build(t, 4, &b).ReadAt(p, 0); err != nil || string(p) != "\x00xy\x00" {
		t.Errorf("read %q, %v", p, err)
	}
}

// TestReadAtErrors: an error of a source comes through, wherever it is nested.
func TestReadAtErrors(t *testing.T) {
	broken := &content.Generated{Length: 4, Fill: func([]byte, int64) error { return io.ErrClosedPipe }}
	var inner, outer diskmap.Builder
	inner.Place(2, broken)
	outer.Place(10, build(t, 10, &inner))
	m := build(t, 30, &outer)
	if _, err := m.ReadAt(make([]byte, 30), 0); err != io.ErrClosedPipe {
		t.Errorf("got %v", err)
	}
	if _, err := m.ReadAt(make([]byte, 12), 0); err != nil {
		t.Errorf("in front of the broken extent: %v", err)
	}
}

// TestHugeMap: a disk of 64 TiB with a million files is ordinary.
func TestHugeMap(t *testing.T) {
	const (
		size    = 64 << 40
		extents = 1_000_000
		stride  = size / extents
	)
	sources := make([]content.Source, 16)
	for i := range sources {
		sources[i] = generated(byte(i), 4096+int64(i))
	}
	before := heap()
	start := time.Now()
	var b diskmap.Builder
	b.Reserve(extents)
	for i := range int64(extents) {
		b.Place(i*stride, sources[i%16])
	}
	partition := build(t, size, &b)
	var disk diskmap.Builder
	disk.Place(1<<20, partition)
	m := build(t, size+2<<20, &disk)
	took := time.Since(start)
	perExtent := float64(heap()-before) / extents
	t.Logf("built in %v, %.1f bytes for each extent", took, perExtent)
	if took > time.Second {
		t.Errorf("building took %v, want less than 1s", took)
	}
	if perExtent > 32 {
		t.Errorf("%.1f bytes of memory for each extent, want at most 32", perExtent)
	}

	rng := rand.New(rand.NewPCG(1, 2))
	const reads = 100_000
	p, want := make([]byte, 16), make([]byte, 16)
	start = time.Now()
	for range reads {
		i, off := rng.Int64N(extents), rng.Int64N(4096-16)
		if _, err := m.ReadAt(p, 1<<20+i*stride+off); err != nil {
			t.Fatal(err)
		}
		if pattern(byte(i%16), want, off); !bytes.Equal(p, want) {
			t.Fatalf("extent %d at %d: %x, want %x", i, off, p, want)
		}
	}
	each := time.Since(start) / reads
	t.Logf("%v for each random read", each)
	if each > 100*time.Microsecond {
		t.Errorf("a random read takes %v", each)
	}
	runtime.KeepAlive(m)
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func TestConcurrentReadAt(t *testing.T) {
	var inner, outer diskmap.Builder
	for i := range int64(50) {
		inner.Place(i*100, generated(byte(i), 70))
	}
	outer.Place(7, build(t, 5000, &inner))
	outer.Place(5100, content.Bytes(bytes.Repeat([]byte("x"), 300)))
	m := build(t, 6000, &outer)
	model := make([]byte, 6000)
	if _, err := m.ReadAt(model, 0); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for g := range uint64(8) {
		running.Go(func() {
			rng := rand.New(rand.NewPCG(g, 0))
			p := make([]byte, 500)
			for range 500 {
				off := rng.IntN(5500)
				if _, err := m.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, model[off:off+500]) {
					t.Errorf("read at %d: %v or wrong bytes", off, err)
					return
				}
			}
		})
	}
	running.Wait()
}

func BenchmarkReadAtRandom(b *testing.B) {
	const extents = 1_000_000
	var builder diskmap.Builder
	builder.Reserve(extents)
	for i := range int64(extents) {
		builder.Place(i<<16, content.Bytes("sixteen bytes in"))
	}
	m := build(b, extents<<16, &builder)
	p := make([]byte, 16)
	rng := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.ReadAt(p, rng.Int64N(extents)<<16); err != nil {
			b.Fatal(err)
		}
	}
}
