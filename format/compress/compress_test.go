package compress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"

	"pgregory.net/rapid"
)

func data(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	p := make([]byte, n)
	for i := range p {
		p[i] = "etaoin shrdlu"[int(r.ExpFloat64()*3)%13]
	}
	return p
}

func file(t testing.TB, size int64) *diskmap.Map {
	t.Helper()
	var b diskmap.Builder
	for _, off := range []int64{0, 3<<20 + 5, 9 << 20, size - 700} {
		if off < 0 {
			continue
		}
		if p := data(uint64(off), 700+int(off%1000)*200); off+int64(len(p)) <= size {
			b.Place(off, content.Bytes(p))
		}
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func write(t testing.TB, m *diskmap.Map, kind Kind, o Options) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(context.Background(), m, &out, kind, o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestPrograms: the programs of the name accept and decompress it, and so do we.
func TestPrograms(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	for _, size := range []int64{0, 1, 1 << 20, 4<<20 + 1, 10 << 20, 33<<20 + 512} {
		m := file(t, size)
		want, err := m.SHA256(context.Background(), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range Kinds {
			p := write(t, m, kind, Options{})
			r, err := NewReader(bytes.NewReader(p), int64(len(p)), kind)
			if err != nil {
				t.Fatalf("%s of %d bytes: %v", kind, size, err)
			}
			if got := Detect(p); got != kind {
				t.Errorf("%s is taken for %q", kind, got)
			}
			h := sha256.New()
			if _, err := io.Copy(h, r); err != nil {
				t.Fatalf("%s of %d bytes: %v", kind, size, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if [32]byte(h.Sum(nil)) != want {
				t.Errorf("%s of %d bytes: another file", kind, size)
			}
			path := filepath.Join(t.TempDir(), "file"+kind.Suffix())
			if err := os.WriteFile(path, p, 0o644); err != nil {
				t.Fatal(err)
			}
			tool := string(kind)
			oracle.Run(t, tool, "-t", path)
			if sha256.Sum256(oracle.Output(t, tool, "-d", "-c", path)) != want {
				t.Errorf("%s -d of %d bytes: another file", kind, size)
			}
		}
	}
}

func TestWorkers(t *testing.T) {
	m := file(t, 33<<20)
	for _, kind := range Kinds {
		first := write(t, m, kind, Options{Workers: 1})
		for _, workers := range []int{2, 5} {
			done := int64(0)
			if !bytes.Equal(first, write(t, m, kind, Options{Workers: workers, Progress: func(n int64) { done += n }})) {
				t.Errorf("%s: %d workers write something else", kind, workers)
			}
			if done != m.Size() {
				t.Errorf("%s: progress of %d bytes", kind, done)
			}
		}
	}
}

func TestLevels(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	m := file(t, 4<<20)
	for _, kind := range []Kind{Gzip, Zstd} {
		if bytes.Equal(write(t, m, kind, Options{Level: 9}), write(t, m, kind, Options{Level: 1})) {
			t.Errorf("%s: levels 9 and 1 are the same", kind)
		}
	}
	for _, c := range []struct {
		kind  Kind
		level int
	}{{Gzip, 10}, {Gzip, -1}, {Zstd, 23}, {XZ, 1}, {None, 1}, {"bzip2", 0}} {
		if Check(c.kind, c.level) == nil {
			t.Errorf("%q with level %d is accepted", c.kind, c.level)
		}
	}
}

// TestChecksum: zeros that are not there count as those that are.
func TestChecksum(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	rapid.Check(t, func(t *rapid.T) {
		var c checksum
		var all []byte
		for range rapid.IntRange(0, 5).Draw(t, "parts") {
			if rapid.Bool().Draw(t, "zeros") {
				n := rapid.IntRange(0, 1000).Draw(t, "n")
				c.add(nil, int64(n))
				all = append(all, make([]byte, n)...)
				continue
			}
			p := rapid.SliceOf(rapid.Byte()).Draw(t, "p")
			c.add(p, int64(len(p)))
			all = append(all, p...)
		}
		if want := crc32.ChecksumIEEE(all); c.crc != want {
			t.Fatalf("%08x, want %08x", c.crc, want)
		}
	})
}

func TestErrors(t *testing.T) {
	m := file(t, 33<<20)
	for _, kind := range Kinds {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(io.ErrClosedPipe)
		if err := Write(ctx, m, io.Discard, kind, Options{}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", kind, err)
		}
		p := write(t, m, kind, Options{})
		for _, n := range []int{7, 20, len(p) / 2, len(p) - 1} {
			r, err := NewReader(bytes.NewReader(p), int64(n), kind)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if err == nil {
				t.Errorf("%s: %d of %d bytes are accepted", kind, n, len(p))
			}
		}
	}
}

// TestXZMemory: a file that asks for 4 GiB is refused, and what xz makes is not.
func TestXZMemory(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, data(1, 100<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-6"}, {"-9"}, {"-0"}, {"--block-size=32KiB", "-T2"}, {"--check=none"}, {"--check=sha256"}} {
		p := oracle.Output(t, "xz", append(args, "-k", "-c", path)...)
		p = append(append(p, p...), 0, 0, 0, 0) // streams and padding
		r, err := NewReader(bytes.NewReader(p), int64(len(p)), XZ)
		if err != nil {
			t.Errorf("xz %q: %v", args, err)
			continue
		}
		if n, err := io.Copy(io.Discard, r); n != 200<<10 || err != nil {
			t.Errorf("xz %q: %d bytes, %v", args, n, err)
		}
	}
	p := oracle.Output(t, "xz", "--lzma2=dict=512MiB", "-k", "-c", path)
	if _, err := NewReader(bytes.NewReader(p), int64(len(p)), XZ); err == nil {
		t.Error("a dictionary of 512 MiB is accepted")
	}
	p = oracle.Output(t, "xz", "--x86", "--lzma2", "-k", "-c", path)
	if _, err := NewReader(bytes.NewReader(p), int64(len(p)), XZ); err == nil {
		t.Error("a filter is accepted")
	}
}

// FuzzReader: no file makes the readers panic or hang. (What they are told to
// read is without limit.)
func FuzzReader(f *testing.F) {
	m := file(f, 2000)
	for _, kind := range Kinds {
		f.Add(write(f, m, kind, Options{}))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		kind := Detect(p)
		if kind == None {
			return
		}
		r, err := NewReader(bytes.NewReader(p), int64(len(p)), kind)
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, r, 1<<20)
		r.Close()
	})
}
