package diskmap_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/diskmap"

	"pgregory.net/rapid"
)

func TestChunksAreTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, model := drawMap(t, rapid.IntRange(0, 1000).Draw(t, "size"), 2)
		size := rapid.IntRange(1, 200).Draw(t, "chunk")
		workers := rapid.IntRange(1, 4).Draw(t, "workers")
		var got []byte
		hole := false
		for c, err := range m.Chunks(context.Background(), size, workers) {
			if err != nil {
				t.Fatal(err)
			}
			if c.Offset != int64(len(got)) || c.Offset%int64(size) != 0 || c.Length <= 0 {
				t.Fatalf("chunk [%d, +%d) at %d", c.Offset, c.Length, len(got))
			}
			switch {
			case c.IsHole() && hole:
				t.Fatalf("two holes in a row at %d", c.Offset)
			case c.IsHole():
				for range m.Extents(c.Offset, c.Offset+c.Length) {
					t.Fatalf("hole [%d, +%d) has an extent", c.Offset, c.Length)
				}
				got = append(got, make([]byte, c.Length)...)
			case int64(len(c.Data)) != c.Length || len(c.Data) > size:
				t.Fatalf("%d bytes of data, length %d, chunks of %d", len(c.Data), c.Length, size)
			default:
				got = append(got, c.Data...)
			}
			hole = c.IsHole()
		}
		if !bytes.Equal(got, model) {
			t.Fatalf("got %x, want %x", got, model)
		}
		digest, err := m.SHA256(context.Background(), workers, nil)
		if err != nil || digest != sha256.Sum256(model) {
			t.Fatalf("digest %x, %v", digest, err)
		}
	})
}

// slow is a source of which some parts take long to read.
func slow(n int64) *content.Generated {
	return &content.Generated{Length: n, Fill: func(p []byte, off int64) error {
		time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
		pattern(1, p, off)
		return nil
	}}
}

// checkNoLeak fails if goroutines are left when the test ends.
func checkNoLeak(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 100 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
	})
}

func TestOrderedKeepsOrder(t *testing.T) {
	checkNoLeak(t)
	var b diskmap.Builder
	b.Place(0, slow(300<<10))
	b.Place(1<<20, slow(5))
	m := build(t, 1<<40, &b)
	for _, workers := range []int{1, 2, 8} {
		var got []string
		work := func(c diskmap.Chunk) (string, error) {
			clear(c.Data) // allowed
			return fmt.Sprintf("%d+%d %v", c.Offset, c.Length, c.IsHole()), nil
		}
		for s, err := range diskmap.Ordered(context.Background(), m, 4096, workers, work) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		if len(got) != 75+1+1+1 {
			t.Fatalf("%d chunks", len(got))
		}
		for i, s := range got[:75] {
			if want := fmt.Sprintf("%d+4096 false", i*4096); s != want {
				t.Fatalf("chunk %d is %s, want %s", i, s, want)
			}
		}
		if got[75] != "307200+741376 true" || got[76] != "1048576+4096 false" || got[77] != fmt.Sprintf("%d+%d true", 1<<20+4096, 1<<40-1<<20-4096) {
			t.Fatalf("the rest is %v", got[75:])
		}
	}
}

// TestOrderedFirstErrorWins: the error that is reported is the first of the
// map, even if a later one is met much earlier.
func TestOrderedFirstErrorWins(t *testing.T) {
	checkNoLeak(t)
	early, late := errors.New("early"), errors.New("late")
	var b diskmap.Builder
	b.Place(0, slow(40))
	b.Place(50, &content.Generated{Length: 5, Fill: func([]byte, int64) error {
		time.Sleep(20 * time.Millisecond)
		return early
	}})
	b.Place(60, &content.Generated{Length: 5, Fill: func([]byte, int64) error { return late }})
	m := build(t, 100, &b)
	chunks := 0
	for c, err := range m.Chunks(context.Background(), 10, 4) {
		chunks++
		if err == nil && chunks <= 5 {
			continue
		}
		if err != early || c.Length != 0 {
			t.Fatalf("chunk %d: %v, %v", chunks, c, err)
		}
	}
	if chunks != 6 {
		t.Errorf("%d steps, want 5 and the error", chunks)
	}

	failed := errors.New("work failed")
	for _, err := range diskmap.Ordered(context.Background(), m, 10, 2, func(diskmap.Chunk) (int, error) { return 0, failed }) {
		if err != failed {
			t.Errorf("got %v", err)
		}
	}
}

func TestOrderedCancel(t *testing.T) {
	checkNoLeak(t)
	var b diskmap.Builder
	b.Place(0, slow(1<<30))
	m := build(t, 1<<30, &b)
	why := errors.New("the user pressed Ctrl-C")
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	chunks := 0
	var got error
	for _, err := range m.Chunks(ctx, 4096, 3) {
		if chunks++; chunks == 10 {
			cancel(why)
		}
		got = err
	}
	if got != why {
		t.Errorf("got %v", got)
	}
	if chunks > 30 {
		t.Errorf("%d chunks after cancelling at 10", chunks)
	}
	if err := m.Digest(ctx, sha256.New(), 2, nil); err != why {
		t.Errorf("digest: %v", err)
	}
}

func TestDigestCancelInHole(t *testing.T) {
	checkNoLeak(t)
	m := build(t, diskmap.MaxSize, new(diskmap.Builder))
	ctx, cancel := context.WithCancel(context.Background())
	err := m.Digest(ctx, sha256.New(), 1, func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOrderedLeave(t *testing.T) {
	checkNoLeak(t)
	var b diskmap.Builder
	b.Place(0, slow(1<<20))
	m := build(t, 1<<20, &b)
	for range m.Chunks(context.Background(), 4096, 3) {
		break
	}
	func() {
		defer func() { _ = recover() }()
		for range m.Chunks(context.Background(), 4096, 3) {
			panic("in the loop")
		}
	}()
}

// TestOrderedBounded: a slow consumer does not make readers run ahead of it.
func TestOrderedBounded(t *testing.T) {
	var read atomic.Int64
	var b diskmap.Builder
	b.Place(0, &content.Generated{Length: 1 << 20, Fill: func(p []byte, off int64) error {
		read.Add(1)
		return nil
	}})
	m := build(t, 1<<20, &b)
	const workers = 2
	delivered := int64(0)
	for _, err := range m.Chunks(context.Background(), 4096, workers) {
		if err != nil {
			t.Fatal(err)
		}
		delivered++
		time.Sleep(100 * time.Microsecond)
		if ahead := read.Load() - delivered; ahead > 2*workers+1 {
			t.Fatalf("%d chunks read ahead", ahead)
		}
	}
}

// TestDigestOfHoles: a long hole costs hashing, but no memory, and progress
// adds up.
func TestDigestOfHoles(t *testing.T) {
	const size = 200<<20 + 5
	var b diskmap.Builder
	b.Place(150<<20+1, content.Bytes("data"))
	m := build(t, size, &b)
	want := sha256.New()
	if _, err := io.Copy(want, io.NewSectionReader(m, 0, size)); err != nil {
		t.Fatal(err)
	}
	done := int64(0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := m.SHA256(context.Background(), 2, func(n int64) { done += n })
	runtime.ReadMemStats(&after)
	if err != nil || !bytes.Equal(got[:], want.Sum(nil)) {
		t.Errorf("digest %x, %v", got, err)
	}
	if done != size {
		t.Errorf("progress says %d of %d bytes", done, int64(size))
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}
