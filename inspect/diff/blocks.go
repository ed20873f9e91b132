package diff

import (
	"bytes"
	"context"
	"io"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"diskwright/content"
	"diskwright/diskmap"
)

const (
	blockSize    = 4 << 10
	regionSize   = 1 << 20
	regionBlocks = regionSize / blockSize

	// pieceSize is how much of each disk is read before it is compared: little
	// enough to stay in the processor's cache.
	pieceSize = 128 << 10
)

// blocks is a set of blocks of 4 KiB, by the offsets they contain. It is sparse:
// a bitmap for each region that has any.
type blocks map[int64]*[regionBlocks / 64]uint64

func (s blocks) add(off int64) {
	b := s[off/regionSize]
	if b == nil {
		b = new([regionBlocks / 64]uint64)
		s[off/regionSize] = b
	}
	n := off % regionSize / blockSize
	b[n/64] |= 1 << (n % 64)
}

// addDifferences adds the blocks in which a and b differ, which lie at off.
func (s blocks) addDifferences(off int64, a, b []byte) {
	for at := 0; at < len(a); at += blockSize {
		end := min(at+blockSize, len(a))
		if !bytes.Equal(a[at:end], b[at:end]) {
			s.add(off + int64(at))
		}
	}
}

func (s blocks) has(off int64) bool {
	b := s[off/regionSize]
	n := off % regionSize / blockSize
	return b != nil && b[n/64]&(1<<(n%64)) != 0
}

// touches reports whether any of the n bytes at off lies in one of the blocks.
func (s blocks) touches(off, n int64) bool {
	for at := off &^ (blockSize - 1); at < off+n; {
		if s[at/regionSize] == nil {
			at = (at/regionSize + 1) * regionSize
			continue
		}
		if s.has(at) {
			return true
		}
		at += blockSize
	}
	return false
}

// count returns how many blocks there are, and the offset of the first.
func (s blocks) count() (n, first int64) {
	first = -1
	for region, b := range s {
		for i, word := range b {
			n += int64(bits.OnesCount64(word))
			if word != 0 {
				if off := region*regionSize + int64(i*64+bits.TrailingZeros64(word))*blockSize; first < 0 || off < first {
					first = off
				}
			}
		}
	}
	return n, first
}

// side is a part of a disk.
type side struct {
	disk    *diskmap.Map
	off, to int64
}

func (s side) size() int64 { return s.to - s.off }

// regionsOf adds the numbers of the regions in which the part has extents.
func (s side) regionsOf(set map[int64]bool) {
	for e := range s.disk.Extents(s.off, s.to) {
		for r := (e.Offset - s.off) / regionSize; r*regionSize < e.End()-s.off; r++ {
			set[r] = true
		}
	}
}

// compareBytes returns the blocks in which two parts differ, as far as both
// reach. Offsets count from the parts' starts. Where both have a hole nothing is
// read. Done is called with the bytes that were compared.
func compareBytes(ctx context.Context, a, b side, workers int, done func(n int64)) (blocks, error) {
	size := min(a.size(), b.size())
	set := make(map[int64]bool)
	a.regionsOf(set)
	b.regionsOf(set)
	regions := make([]int64, 0, len(set))
	for r := range set {
		if r*regionSize < size {
			regions = append(regions, r)
		}
	}
	slices.Sort(regions)
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var (
		mu     sync.Mutex
		next   int
		failed error
		result = make(blocks)
	)
	take := func() (int64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			failed = context.Cause(ctx)
		}
		if failed != nil || next == len(regions) {
			return 0, false
		}
		next++
		return regions[next-1], true
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			bufA, bufB := make([]byte, pieceSize), make([]byte, pieceSize)
			for {
				r, ok := take()
				if !ok {
					return
				}
				n := min(regionSize, size-r*regionSize)
				for at := int64(0); at < n; at += pieceSize {
					pa, pb := bufA[:min(pieceSize, n-at)], bufB[:min(pieceSize, n-at)]
					err := content.ReadFull(a.disk, pa, a.off+r*regionSize+at)
					if err == nil {
						err = content.ReadFull(b.disk, pb, b.off+r*regionSize+at)
					}
					if err == nil && bytes.Equal(pa, pb) {
						continue
					}
					mu.Lock()
					if err != nil && failed == nil {
						failed = err
					}
					if err == nil {
						result.addDifferences(r*regionSize+at, pa, pb)
					}
					mu.Unlock()
				}
				if done != nil {
					done(n)
				}
			}
		})
	}
	running.Wait()
	return result, failed
}

// firstDifference returns the offset of the first byte in which two contents
// differ, or -1 if they are equal as far as both reach. Holes of both are skipped.
func firstDifference(ctx context.Context, a, b content.Source) (int64, error) {
	size := min(sizeOf(a), sizeOf(b))
	buf := make([]byte, 2*regionSize)
	for at := int64(0); at < size; {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		next := min(nextData(a, at, size), nextData(b, at, size))
		if next > at {
			at = next
			continue
		}
		n := min(regionSize, size-at)
		pa, pb := buf[:n], buf[regionSize:regionSize+n]
		if err := content.ReadFull(a, pa, at); err != nil {
			return 0, err
		}
		if err := content.ReadFull(b, pb, at); err != nil {
			return 0, err
		}
		if !bytes.Equal(pa, pb) {
			for i := range pa {
				if pa[i] != pb[i] {
					return at + int64(i), nil
				}
			}
		}
		at += n
	}
	return -1, nil
}

func sizeOf(src content.Source) int64 {
	if src == nil {
		return 0
	}
	return src.Size()
}

// nextData returns where the next data of a content lie, at or behind off.
func nextData(src content.Source, off, size int64) int64 {
	m, ok := src.(*diskmap.Map)
	if !ok {
		return off
	}
	for e := range m.Extents(off, size) {
		return e.Offset
	}
	return size
}

// piece says that n bytes of a file, from off on, lie at the byte place of its
// file system.
type piece struct{ off, place, n int64 }

// pieces returns where the bytes of a content lie, or false if that is not known
// of all of them: of what lies in an inode, and of FAT.
func pieces(src content.Source) (list []piece, known bool) {
	if src == nil {
		return nil, true
	}
	if _, ok := src.(*diskmap.Map); !ok {
		return nil, false
	}
	for e := range diskmap.ExtentsOf(src) {
		section, ok := e.Source.(*io.SectionReader)
		if !ok {
			return nil, false
		}
		_, place, _ := section.Outer()
		p := piece{e.Offset, place + e.SourceOffset, e.Length}
		if last := len(list) - 1; last >= 0 && list[last].off+list[last].n == p.off && list[last].place+list[last].n == p.place {
			list[last].n += p.n
			continue
		}
		list = append(list, p)
	}
	return list, true
}

// offsets returns where the blocks lie, in order.
func (s blocks) offsets() []int64 {
	var list []int64
	for region, b := range s {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				list = append(list, region*regionSize+int64(i*64+bits.TrailingZeros64(word))*blockSize)
			}
		}
	}
	slices.Sort(list)
	return list
}
