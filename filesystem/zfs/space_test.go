package zfs

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"diskwright/tree"
)

// Copies lie in different metaslabs, and those of one number one behind the other.
// When no metaslab is free they share those that have room; what does not fit at all
// goes behind the device.
func TestSpace(t *testing.T) {
	const unit = 4096
	s := newSpace(geometry{metaslabs: 6, metaslabShift: 24}, 12)
	first := s.take(1000, 3)
	if first != (addresses{{Size: unit}, {Offset: 2 << 24, Size: unit}, {Offset: 4 << 24, Size: unit}}) {
		t.Errorf("copies at %v", first)
	}
	if next := s.take(unit, 2); next[0].Offset != unit || next[1].Offset != 2<<24+unit || next[2].Size != 0 {
		t.Errorf("the next copies at %v", next)
	}
	// First copies skip metaslabs that others have begun.
	const large = 1 << 20
	var metaslabs []int64
	for range 6 * 16 {
		m := s.take(large, 1)[0].Offset >> 24
		if n := len(metaslabs); n == 0 || metaslabs[n-1] != m {
			metaslabs = append(metaslabs, m)
		}
	}
	if want := []int64{0, 1, 3, 5, 2, 4, 6}; !slices.Equal(metaslabs, want) {
		t.Errorf("metaslabs in the order %v, want %v", metaslabs, want)
	}
	if s.room(0) >= large || s.room(2) >= large {
		t.Error("what has room was left")
	}
	// Small blocks still find room, copies even in one metaslab.
	small := s.take(unit, 3)
	if small[0].Offset>>24 >= 6 || small[2].Offset>>24 >= 6 {
		t.Errorf("a small block at %v", small)
	}
	used := slices.Clone(s.used)
	if c := s.clone(); c.take(unit, 1)[0].Size != unit || !slices.Equal(used, s.used) {
		t.Error("a clone is not independent")
	}
}

// No copy crosses the end of a metaslab, and none overlaps another, whatever the
// sizes.
func TestSpaceOverlaps(t *testing.T) {
	s := newSpace(geometry{metaslabs: 3, metaslabShift: 24}, 9)
	type block struct{ from, to int64 }
	var all []block
	for i, size := 0, 512; s.allocated() < 3<<24-1<<20; i, size = i+1, size*7919%(1<<20)+1 {
		for _, a := range s.take(size, i%3+1) {
			if a.Size == 0 {
				continue
			}
			all = append(all, block{a.Offset, a.Offset + int64(a.Size)})
			if a.Offset>>24 != (a.Offset+int64(a.Size)-1)>>24 {
				t.Fatalf("%d bytes at %d cross", a.Size, a.Offset)
			}
		}
	}
	slices.SortFunc(all, func(a, b block) int { return int(a.from - b.from) })
	for i := 1; i < len(all); i++ {
		if all[i].from < all[i-1].to {
			t.Fatalf("%v and %v overlap", all[i-1], all[i])
		}
	}
}

// What is missing is enough when it is added.
func TestMissing(t *testing.T) {
	for _, size := range []int64{0, 20 * mib, 100 * mib, 700 * mib} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			root := dir()
			root.SetChild("f", file(noise(size)))
			opts := testOptions(MinSize)
			_, err := New(t.Context(), root, opts)
			var full *NoSpaceError
			if err == nil {
				return
			}
			if !errors.As(err, &full) || full.Missing <= 0 || full.Needed < size {
				t.Fatalf("%v", err)
			}
			opts.Size += full.Missing
			p := plan(t, root, opts)
			if free := p.Stats().Size - p.Stats().Allocated - p.Stats().Slop; free < 0 || free > 64*mib {
				t.Errorf("%d bytes are free of a device of %d bytes", free, opts.Size)
			}
		})
	}
}

// A pool fits a device of the size that is said before anything is read, and no less
// is said than what cannot be compressed takes.
func TestSmallestSize(t *testing.T) {
	root := everything(t)
	noises := dir()
	for i := range 3000 {
		noises.SetChild(fmt.Sprint(i), file(noise(int64(i)*100)))
	}
	closed := dir()
	closed.SetChild("f", file(unreadable{}))
	if _, err := SmallestSize(t.Context(), closed, testOptions(0), 10); err != nil {
		t.Error(err)
	}
	for i, test := range []struct {
		ashift string
		root   *tree.Inode
	}{{"12", root}, {"9", noises}, {"13", noises}, {"12", dir()}} {
		opts := testOptions(0)
		opts.PoolProperties["ashift"] = test.ashift
		opts.Properties["compression"] = "lz4"
		opts.Datasets = []Dataset{{Name: "a", Root: test.root, Properties: map[string]string{"copies": "2"}}}
		size, err := SmallestSize(t.Context(), dir(), opts, 0)
		if err != nil {
			t.Fatal(err)
		}
		more, err := SmallestSize(t.Context(), dir(), opts, 50)
		if err != nil || more < size || more > max(3*size, 300*mib) {
			t.Errorf("%d: with half of it free %d instead of %d: %v", i, more, size, err)
		}
		opts.Size = size
		stats := plan(t, dir(), opts).Stats()
		t.Logf("%d: %d bytes of %d and %d for a device of %d bytes", i, stats.Allocated, stats.Size, stats.Slop, size)
	}
}
