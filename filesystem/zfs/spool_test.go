package zfs

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// memorySpool is a spool in memory, which takes limit bytes.
type memorySpool struct {
	mu    sync.Mutex
	limit int64
	data  []byte
}

var errFull = errors.New("full")

func (s *memorySpool) Append(p []byte) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(s.data)+len(p)) > s.limit {
		return 0, errFull
	}
	s.data = append(s.data, p...)
	return int64(len(s.data) - len(p)), nil
}

func (s *memorySpool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copy(p, s.data[off:]), nil
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

// With a spool a pool is the same, for any number of workers, and what is compressed
// is read once.
func TestSpool(t *testing.T) {
	root := various(t)
	for _, s := range storages {
		t.Run(s.name, func(t *testing.T) {
			opts := testOptions(512 * mib)
			for name, v := range s.props {
				opts.Properties[name] = v
			}
			want := digest(t, root, opts)
			spool := &memorySpool{limit: 64 * mib}
			opts.Spool, opts.Workers = spool, 5
			if digest(t, root, opts) != want {
				t.Error("the spool makes a difference")
			}
			if compressed := s.props["compression"] != "" && s.props["compression"] != "off"; compressed != (len(spool.data) > 0) {
				t.Errorf("%d bytes are spooled", len(spool.data))
			}
		})
	}

	var read atomic.Int64
	size := int64(3*mib + 5)
	once := tree.NewDir(testTime)
	once.SetChild("text", file(counted{text(size), &read}))
	opts := testOptions(512 * mib)
	opts.Properties["compression"] = "lz4"
	opts.Spool = &memorySpool{limit: 64 * mib}
	digest(t, once, opts)
	if read.Load() != size {
		t.Errorf("%d of %d bytes are read", read.Load(), size)
	}
	opts.Spool = &memorySpool{limit: 1000}
	if _, err := New(t.Context(), once, opts); !errors.Is(err, errFull) {
		t.Errorf("a full spool: %v", err)
	}
}
