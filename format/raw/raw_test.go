package raw

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/diskmap"

	"pgregory.net/rapid"
)

// noise returns n bytes, none of them zero.
func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = rng.Read(p) // never fails
	for i := range p {
		p[i] |= 1
	}
	return p
}

// hostFile writes data to a new file and returns it as a source.
func hostFile(t testing.TB, dir string, data []byte) *content.HostFile {
	t.Helper()
	f, err := os.CreateTemp(dir, "source")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	src, err := content.StatHostFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func build(t testing.TB, size int64, b *diskmap.Builder) *diskmap.Map {
	t.Helper()
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// output returns a new empty file.
func output(t testing.TB) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// mixedMap returns a map of everything that occurs: extents of all kinds and
// sizes, at aligned and odd offsets, side by side and far apart.
func mixedMap(t testing.TB, seed uint64) *diskmap.Map {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(seed, 0))
	large := hostFile(t, dir, noise(seed, 9<<20+123))
	small := make([]*content.HostFile, 20)
	for i := range small {
		small[i] = hostFile(t, dir, noise(seed+uint64(i), 1+rng.IntN(20000)))
	}
	var b diskmap.Builder
	pos := int64(0)
	for range 60 {
		switch rng.IntN(6) {
		case 0: // side by side
		case 1:
			pos += rng.Int64N(100)
		case 2:
			pos = blockCeil(pos)
		case 3:
			pos = blockCeil(pos) + blockSize*rng.Int64N(4)
		case 4:
			pos += rng.Int64N(2 * regionSize)
		case 5:
			pos += max(0, regionSize-pos%regionSize-rng.Int64N(2)*rng.Int64N(5000))
		}
		var src content.Source
		switch rng.IntN(8) {
		case 0:
			n := 1 + rng.IntN(3*blockSize)
			data := noise(rng.Uint64(), n)
			src = &content.Generated{Length: int64(n), Fill: func(p []byte, off int64) error {
				copy(p, data[off:])
				return nil
			}}
		case 1:
			from := rng.Int64N(large.Size())
			src = content.Section(large, from, 1+rng.Int64N(large.Size()-from))
		case 2:
			src = content.Bytes(noise(rng.Uint64(), 1+rng.IntN(100)))
		default:
			src = small[rng.IntN(len(small))]
		}
		b.Place(pos, src)
		pos += src.Size()
	}
	partition := build(t, pos+12345, &b)
	var disk diskmap.Builder
	disk.Place(0, content.Bytes(noise(1, 440)))
	disk.Place(1<<20, partition)
	return build(t, partition.Size()+2<<20+77, &disk)
}

func digestOf(t testing.TB, r io.Reader) [sha256.Size]byte {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(3) {
		m := mixedMap(t, seed)
		want, err := m.SHA256(context.Background(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{0, 1, 2, 8} {
			name := fmt.Sprintf("seed %d, %d workers", seed, workers)
			var progress atomic.Int64
			opts := Options{Workers: workers, Progress: func(n int64) { progress.Add(n) }}

			for _, way := range []way{writing, mapping, sharing} {
				f := output(t)
				if err := writeFile(context.Background(), m, f, way, opts); err != nil {
					t.Fatal(err)
				}
				if digestOf(t, io.NewSectionReader(f, 0, 1<<62)) != want {
					t.Errorf("%s: way %d: the file has other bytes than the map", name, way)
				}
				if n := progress.Swap(0); n != m.DataSize() {
					t.Errorf("%s: way %d: progress of the file adds up to %d, want %d", name, way, n, m.DataSize())
				}
				checkSparse(t, m, f)
			}

			h := sha256.New()
			if err := WriteStream(context.Background(), m, h, opts); err != nil {
				t.Fatal(err)
			}
			if [sha256.Size]byte(h.Sum(nil)) != want {
				t.Errorf("%s: the stream has other bytes than the map", name)
			}
			if n := progress.Load(); n != m.Size() {
				t.Errorf("%s: progress of the stream adds up to %d, want %d", name, n, m.Size())
			}
		}
	}
}

// TestRegions: extents around the edges of blocks, pieces and regions.
func TestRegions(t *testing.T) {
	dir := t.TempDir()
	data := noise(7, 6*pieceSize)
	backed := hostFile(t, dir, data)
	rapid.Check(t, func(rt *rapid.T) {
		edge := rapid.SampledFrom([]int64{0, 1, 100, blockSize - 1, blockSize, blockSize + 1, 2 * blockSize,
			2*blockSize - 1, pieceSize - blockSize, pieceSize - 1, pieceSize, pieceSize + 1, 2*pieceSize + 1, shareMin})
		var b diskmap.Builder
		model := make([]byte, rapid.SampledFrom([]int64{0, 5, regionSize - pieceSize, regionSize - 1, regionSize}).Draw(rt, "start"))
		for range rapid.IntRange(0, 6).Draw(rt, "extents") {
			gap := edge.Draw(rt, "gap")
			from := edge.Draw(rt, "from")
			n := edge.Draw(rt, "length")
			src := content.Section(backed, from, n)
			if rapid.Bool().Draw(rt, "in memory") {
				src = content.Bytes(data[from : from+n])
			}
			b.Place(int64(len(model))+gap, src)
			model = append(append(model, make([]byte, gap)...), data[from:from+n]...)
		}
		model = append(model, make([]byte, edge.Draw(rt, "tail"))...)
		m, err := b.Map(int64(len(model)))
		if err != nil {
			rt.Fatal(err)
		}
		path := filepath.Join(dir, "image")
		f, err := os.Create(path)
		if err != nil {
			rt.Fatal(err)
		}
		defer f.Close()
		if err := WriteFile(context.Background(), m, f, Options{Workers: rapid.IntRange(1, 3).Draw(rt, "workers")}); err != nil {
			rt.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, model) {
			rt.Fatalf("the file differs from its model at %d of %d: %v", firstDifference(got, model), len(model), err)
		}
	})
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestHugeMap: 64 TiB of hole with a hundred thousand files cost the files.
func TestHugeMap(t *testing.T) {
	const extents, stride = 100_000, 15 << 40 / 100_000
	var b diskmap.Builder
	for i := range int64(extents) {
		if i%1000 < 10 {
			b.Place(i*stride, content.Bytes("x"))
		}
	}
	m := build(t, 15<<40, &b)
	f := output(t)
	start := time.Now()
	if err := WriteFile(context.Background(), m, f, Options{}); err != nil {
		t.Skip(err) // not every file system has files as large as ext4
	}
	t.Logf("%v", time.Since(start))
	p := make([]byte, 3)
	if _, err := f.ReadAt(p, stride-1); err != nil || string(p) != "\x00x\x00" {
		t.Errorf("%q, %v", p, err)
	}
	checkSparse(t, m, f)
}

func TestWriteFileRefuses(t *testing.T) {
	m := build(t, 10, new(diskmap.Builder))
	f := output(t)
	if _, err := f.WriteString("old"); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, f := range []*os.File{f, w} {
		if err := WriteFile(context.Background(), m, f, Options{}); err == nil || !strings.Contains(err.Error(), "not an empty regular file") {
			t.Errorf("%q: %v", f.Name(), err)
		}
	}
}

// TestSourceChanges: every way in which bytes get into the image notices that
// the file is not what it was, at any time.
func TestSourceChanges(t *testing.T) {
	for _, n := range []int{100, 3 * regionSize, 3*regionSize + 5} {
		for _, by := range []int64{-1, +1} {
			src := hostFile(t, t.TempDir(), noise(1, n))
			var b diskmap.Builder
			b.Place(0, content.Bytes("first"))
			b.Place(4*regionSize, src)
			m := build(t, 10*regionSize, &b)
			// It changes after the first region was written.
			change := func(int64) { _ = os.Truncate(src.Path(), int64(n)+by) }
			check := func(err error) {
				t.Helper()
				if !errors.Is(err, content.ErrChanged) || !strings.Contains(err.Error(), src.Path()) {
					t.Errorf("%d bytes%+d: %v", n, by, err)
				}
			}
			check(WriteFile(context.Background(), m, output(t), Options{Workers: 1, Progress: change}))
			check(WriteStream(context.Background(), m, io.Discard, Options{Workers: 1}))
		}
	}
}

// TestChangedWhileCopied: the file is open and part of it copied.
func TestChangedWhileCopied(t *testing.T) {
	src := &shrinking{hostFile(t, t.TempDir(), noise(1, regionSize))}
	var b diskmap.Builder
	b.Place(0, src)
	m := build(t, regionSize, &b)
	err := writeFile(context.Background(), m, output(t), writing, Options{})
	if !errors.Is(err, content.ErrChanged) || !strings.Contains(err.Error(), src.Path()) {
		t.Errorf("got %v", err)
	}
}

// shrinking is a file that becomes shorter right after it was opened.
type shrinking struct{ *content.HostFile }

func (s *shrinking) Borrow() (*content.Borrowed, error) {
	b, err := s.HostFile.Borrow()
	if err == nil {
		err = os.Truncate(s.Path(), 1000)
	}
	return b, err
}

// TestFirstError: of several errors, the first in the map is reported.
func TestFirstError(t *testing.T) {
	for range 20 {
		var b diskmap.Builder
		for i := range int64(40) {
			b.Place(i*regionSize, content.Bytes("fine"))
		}
		for i := range int64(20) {
			err := fmt.Errorf("error %d", i)
			b.Place(i*2*regionSize+10, &content.Generated{Length: 5, Fill: func([]byte, int64) error {
				if i < 5 {
					return nil
				}
				if i == 5 {
					time.Sleep(time.Millisecond)
				}
				return err
			}})
		}
		m := build(t, 50*regionSize, &b)
		if err := WriteFile(context.Background(), m, output(t), Options{Workers: 8}); err == nil || err.Error() != "error 5" {
			t.Fatalf("got %v", err)
		}
		if err := WriteStream(context.Background(), m, io.Discard, Options{Workers: 8}); err == nil || err.Error() != "error 5" {
			t.Fatalf("got %v", err)
		}
	}
}

func TestCancel(t *testing.T) {
	why := errors.New("the user pressed Ctrl-C")
	m := mixedMap(t, 5)
	var done atomic.Int64
	for _, write := range []func(context.Context, Options) error{
		func(ctx context.Context, opts Options) error { return WriteFile(ctx, m, output(t), opts) },
		func(ctx context.Context, opts Options) error { return WriteStream(ctx, m, io.Discard, opts) },
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		done.Store(0)
		err := write(ctx, Options{Workers: 2, Progress: func(n int64) {
			if done.Add(n) > m.DataSize()/4 {
				cancel(why)
			}
		}})
		if err != why {
			t.Errorf("got %v", err)
		}
		// Each worker may finish the region that it is at, and no more.
		if most := m.DataSize()/4 + 2*regionSize; done.Load() > most || most >= m.DataSize() {
			t.Errorf("%d bytes done of %d, want at most %d", done.Load(), m.DataSize(), most)
		}
	}
	// A stream that is all hole.
	ctx, cancel := context.WithCancelCause(context.Background())
	hole := build(t, diskmap.MaxSize, new(diskmap.Builder))
	if err := WriteStream(ctx, hole, io.Discard, Options{Progress: func(int64) { cancel(why) }}); err != why {
		t.Errorf("got %v", err)
	}
}

func TestStreamErrors(t *testing.T) {
	m := mixedMap(t, 6)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if err := WriteStream(context.Background(), m, w, Options{}); err == nil || !strings.HasPrefix(err.Error(), "writing the image: ") {
		t.Errorf("nobody reads: %v", err)
	}
}

func TestAllocation(t *testing.T) {
	var b diskmap.Builder
	b.Place(10, content.Bytes("abc"))
	b.Place(100, content.Bytes("abc"))
	b.Place(4095, content.Bytes("ab"))
	b.Place(20000, content.Bytes(make([]byte, 5000)))
	m := build(t, 1<<20, &b)
	if n := allocation(m); n != 2*4096+3*4096 {
		t.Errorf("allocation is %d", n)
	}
}

// BenchmarkWriteFile writes an image of small files.
func BenchmarkWriteFile(b *testing.B) {
	dir := b.TempDir()
	var builder diskmap.Builder
	for i := range int64(2000) {
		builder.Place(i*8192, hostFile(b, dir, noise(uint64(i), 3000+int(i))))
	}
	m := build(b, 2000*8192, &builder)
	b.SetBytes(m.DataSize())
	b.ReportAllocs()
	for b.Loop() {
		f, err := os.Create(filepath.Join(dir, "image"))
		if err != nil {
			b.Fatal(err)
		}
		if err := WriteFile(context.Background(), m, f, Options{}); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
