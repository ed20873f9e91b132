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
	Needed  int64 // bytes that the trees and the pool's own metadata take, or reserve
	Slop    int64 // bytes that ZFS keeps free
	Missing int64 // bytes that must be added to the device
}

// Error says how many bytes are missing.
func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("the pool needs %d bytes for the tree and its metadata, and ZFS keeps %d free: "+
		"a device of %d bytes is too small, %d bytes are missing", e.Needed, e.Slop, e.Size, e.Missing)
}

// check returns an error if what was allocated does not fit, or what is needed: that
// and what is reserved.
func (g geometry) check(s *space, needed int64) error {
	if needed+g.slop() <= g.usable() && len(s.used) <= int(g.metaslabs) {
		return nil
	}
	return &NoSpaceError{Size: g.device, Needed: needed, Slop: g.slop(), Missing: g.next().enlarged(needed, s.ashift).device - g.device}
}

// next returns the geometry of the smallest device that has one metaslab more, or
// larger ones.
func (g geometry) next() geometry {
	return newGeometry((g.metaslabs+1)<<g.metaslabShift + ondisk.LabelSpace)
}

// enlarged returns the geometry of the smallest device, this one or a larger one,
// that has room for so many bytes, what is kept free, and space maps of all
// metaslabs.
func (g geometry) enlarged(needed int64, ashift int) geometry {
	for g.usable()-g.slop() < needed+g.metaslabs*spaceMapCost(ashift) {
		g = g.next()
	}
	return g
}

// Copies of blocks, as OpenZFS has them: at most three, and as many of those of the
// MOS (dmu_write_policy; for file systems see [storage.metadataCopies]).
const (
	maxCopies  = 3
	metaCopies = maxCopies
)

// addresses are where the copies of a block lie.
type addresses = [maxCopies]ondisk.Address

// allocatedSize returns how many bytes all copies take together.
func allocatedSize(a addresses) int64 { return (&ondisk.BlockPointer{Addresses: a}).AllocatedSize() }

// space hands out the bytes of the device behind the first labels. Copies of one
// number share metaslabs, which they fill from the beginning: first copies those at
// the beginning of the device, second and third ones others far from there. So a
// metaslab has its free space at its end.
//
//	|   metaslab 0   |   metaslab 1   | ... |  metaslab n/3  | ... |  metaslab 2n/3 |
//	|first copies............|          ... |second copies.. | ... |third..         |
//
// Where the device is too small there are metaslabs behind its end, so that what is
// missing can be told.
type space struct {
	ashift, metaslabShift int
	metaslabs             int // of the device

	used    []int64        // bytes of each metaslab; those behind the last are free
	current [maxCopies]int // metaslab that copies of a number go to, plus one; 0 is none yet
}

func newSpace(g geometry, ashift int) *space {
	return &space{ashift: ashift, metaslabShift: g.metaslabShift, metaslabs: int(g.metaslabs)}
}

// take returns the addresses of a block of size bytes. No copy crosses from one
// metaslab into the next, since each has a space map of its own. Copies are in
// different metaslabs if there is room in so many.
func (s *space) take(size, copies int) (all addresses) {
	size = roundUp(size, 1<<s.ashift)
	for i := range copies {
		m := s.metaslab(i, int64(size), all[:i])
		for m >= len(s.used) {
			s.used = append(s.used, 0)
		}
		all[i] = ondisk.Address{Offset: int64(m)<<s.metaslabShift + s.used[m], Size: size}
		s.used[m] += int64(size)
	}
	return all
}

// metaslab returns the one for a copy of a block, whose other copies have addresses
// already: that which copies of the number went to before; one that is free; one
// that has room; one behind the device.
func (s *space) metaslab(number int, size int64, others []ondisk.Address) int {
	if m := s.current[number] - 1; m >= 0 && s.room(m) >= size && !s.holds(m, others) {
		return m
	}
	start := number * s.metaslabs / maxCopies
	choose := func(suits func(m int) bool) (int, bool) {
		for i := range s.metaslabs {
			if m := (start + i) % s.metaslabs; suits(m) {
				s.current[number] = m + 1
				return m, true
			}
		}
		return 0, false
	}
	for _, suits := range []func(int) bool{
		func(m int) bool { return s.room(m) == 1<<s.metaslabShift },
		func(m int) bool { return s.room(m) >= size && !s.holds(m, others) },
		func(m int) bool { return s.room(m) >= size },
	} {
		if m, ok := choose(suits); ok {
			return m
		}
	}
	if m := len(s.used) - 1; m >= s.metaslabs && s.room(m) >= size {
		return m
	}
	return max(len(s.used), s.metaslabs)
}

// room returns how many bytes of a metaslab are free.
func (s *space) room(m int) int64 {
	free := int64(1) << s.metaslabShift
	if m < len(s.used) {
		free -= s.used[m]
	}
	return free
}

// holds reports whether one of the addresses is in a metaslab.
func (s *space) holds(m int, addresses []ondisk.Address) bool {
	for _, a := range addresses {
		if int(a.Offset>>s.metaslabShift) == m {
			return true
		}
	}
	return false
}

// roundUp returns the first multiple of unit that is not below n.
func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// allocated returns how many bytes are in use.
func (s *space) allocated() (n int64) {
	for _, used := range s.used {
		n += used
	}
	return n
}

// inUse returns how many metaslabs something is in.
func (s *space) inUse() (n int) {
	for _, used := range s.used {
		if used > 0 {
			n++
		}
	}
	return n
}

// clone returns a copy, to try something.
func (s *space) clone() *space {
	c := *s
	c.used = slices.Clone(s.used)
	return &c
}
