package zfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"diskwright/content"
	"diskwright/test/scratch"
	"diskwright/tree"
)

// testSpool is a spool that takes limit bytes.
type testSpool struct {
	t              *testing.T
	file           *os.File
	limit, written int64
}

var errFull = errors.New("full")

func newSpool(t *testing.T, limit int64) *testSpool {
	t.Helper()
	f, err := os.Create(filepath.Join(scratch.Dir(t), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &testSpool{t: t, file: f, limit: limit}
}

func (s *testSpool) WriteAt(p []byte, off int64) (int, error) {
	if s.written += int64(len(p)); s.written > s.limit {
		return 0, errFull
	}
	there := make([]byte, len(p))
	if _, err := s.file.ReadAt(there, off); err != nil && err != io.EOF || !isZero(there) {
		s.t.Errorf("written twice: %d bytes at %d (%v)", len(p), off, err)
	}
	return s.file.WriteAt(p, off)
}

func (s *testSpool) Part(off, n int64) content.Source {
	return content.Part{File: s.file, Offset: off, Length: n}
}

// counted counts the bytes that are read.
type counted struct {
	content.Source
	bytes *atomic.Int64
}

func (c counted) ReadAt(p []byte, off int64) (int, error) {
	c.bytes.Add(int64(len(p)))
	return c.Source.ReadAt(p, off)
}

// With a spool a pool is the same, for any number of workers, and what is compressed,
// or everything, is read once.
func TestSpool(t *testing.T) {
	root := various(t)
	for _, s := range storages {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, all %t", s.name, all), func(t *testing.T) {
				opts := testOptions(512 * mib)
				for name, v := range s.props {
					opts.Properties[name] = v
				}
				want := digest(t, root, opts)
				spool := newSpool(t, gib)
				opts.Spool, opts.SpoolAll, opts.Workers = spool, all, 5
				if digest(t, root, opts) != want {
					t.Error("the spool makes a difference")
				}
				if compressed := s.props["compression"] != "" && s.props["compression"] != "off"; (compressed || all) != (spool.written > 0) {
					t.Errorf("%d bytes are spooled", spool.written)
				}
			})
		}
	}

	for _, compression := range []string{"lz4", "off"} {
		var read atomic.Int64
		size := int64(3*mib + 5)
		once := tree.NewDir(testTime)
		once.SetChild("text", file(counted{text(size), &read}))
		opts := testOptions(512 * mib)
		opts.Properties["compression"] = compression
		opts.Spool, opts.SpoolAll = newSpool(t, gib), compression == "off"
		digest(t, once, opts)
		if read.Load() != size {
			t.Errorf("compression %s: %d of %d bytes are read", compression, read.Load(), size)
		}
		opts.Spool = newSpool(t, 1000)
		if _, err := New(t.Context(), once, opts); !errors.Is(err, errFull) || err.Error() != errFull.Error() {
			t.Errorf("compression %s: a full spool: %v", compression, err)
		}
		// What does not fit the pool is not what the spool is too small for.
		opts.Size = MinSize
		once.SetChild("large", file(noise(64*mib)))
		opts.Spool = newSpool(t, 64*mib)
		if _, err := New(t.Context(), once, opts); !errors.As(err, new(*NoSpaceError)) {
			t.Errorf("compression %s: a pool that is too small: %v", compression, err)
		}
	}
}
