package zfs

import (
	"fmt"
	"math/bits"
	"slices"

	"diskwright/filesystem/zfs/ondisk"
)

// geometry is what follows from the size of the device.
type geometry struct {
	device        int64 // size of the device, a multiple of that of a label
	data          int64 // of what is between labels ("asize")
	metaslabShift int
	metaslabs     int64
}

// Numbers by which OpenZFS divides a device (vdev_metaslab_set_size): 16 to 200
// metaslabs, of 512 MiB if that gives so many.
const (
	defaultMetaslabShift = 29
	minMetaslabs         = 16
	defaultMetaslabs     = 200
	minMetaslabShift     = 24
	maxMetaslabShift     = 34
)

func newGeometry(size int64) geometry {
	g := geometry{device: size / ondisk.LabelSize * ondisk.LabelSize, metaslabShift: defaultMetaslabShift}
	g.data = g.device - ondisk.LabelSpace
	switch count := g.data >> defaultMetaslabShift; {
	case count < minMetaslabs:
		g.metaslabShift = bits.Len64(uint64(g.data / minMetaslabs))
	case count > defaultMetaslabs:
		g.metaslabShift = bits.Len64(uint64(g.data / defaultMetaslabs))
	}
	g.metaslabShift = min(max(g.metaslabShift, minMetaslabShift), maxMetaslabShift)
	g.metaslabs = g.data >> g.metaslabShift
	return g
}

// usable returns how many bytes can be allocated: what is behind the last whole
// metaslab cannot.
func (g geometry) usable() int64 { return g.metaslabs << g.metaslabShift }

// Limits of what OpenZFS keeps free (spa_get_slop_space): a 32nd, at least 128 MiB
// but not more than half, at most 128 GiB.
const (
	slopShift = 5
	minSlop   = 128 << 20
	maxSlop   = 128 << 30
)

// slop returns how many bytes must stay free: with less nothing can be written,
// not even by root.
func (g geometry) slop() int64 {
	return max(min(g.usable()>>slopShift, maxSlop), min(g.usable()/2, minSlop))
}

// NoSpaceError says that a tree does not fit.
type NoSpaceError struct {
	Size    int64 // of the device in bytes
	Needed  int64 // bytes that the tree and the pool's own metadata take
	Slop    int64 // bytes that ZFS keeps free
	Missing int64
}

// Error says how many bytes are missing.
func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("the pool needs %d bytes for the tree and %d that ZFS keeps free, but a device of %d bytes has room for %d: %d bytes are missing",
		e.Needed, e.Slop, e.Size, e.Needed+e.Slop-e.Missing, e.Missing)
}

// check returns an error if what was allocated does not fit.
func (g geometry) check(s *space) error {
	// Where metaslabs end some bytes are skipped: whoever adds what is
	// missing adds as much once more.
	needed := s.end
	if missing := needed + g.slop() - g.usable(); missing > 0 {
		return &NoSpaceError{Size: g.device, Needed: needed, Slop: g.slop(), Missing: missing}
	}
	return nil
}

// space hands out the bytes of the device behind the first labels, upwards. It does
// not know where the device ends, so that what is missing can be told.
type space struct {
	ashift, metaslabShift int

	end int64
	// filled are the bytes in use of the metaslabs below that of end.
	filled []int64
}

// take returns the address of a block of size bytes. No block crosses from one
// metaslab into the next, since each has a space map of its own.
func (s *space) take(size int) ondisk.Address {
	size = s.roundUp(size)
	for {
		next := int64(len(s.filled)+1) << s.metaslabShift
		if s.end+int64(size) <= next {
			break
		}
		s.filled = append(s.filled, s.end-int64(len(s.filled))<<s.metaslabShift)
		s.end = next
	}
	a := ondisk.Address{Offset: s.end, Size: size}
	s.end += int64(size)
	return a
}

// roundUp returns how many bytes a block of size bytes takes.
func (s *space) roundUp(size int) int {
	unit := 1 << s.ashift
	return (size + unit - 1) &^ (unit - 1)
}

// used returns how many bytes of each metaslab are in use, from its beginning. The
// metaslabs behind are free.
func (s *space) used() []int64 {
	return append(slices.Clone(s.filled), s.end-int64(len(s.filled))<<s.metaslabShift)
}

// clone returns a copy, to try something.
func (s *space) clone() *space {
	c := *s
	c.filled = slices.Clone(s.filled)
	return &c
}
