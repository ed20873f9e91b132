package qcow2

import (
	"errors"
	"fmt"
	"math/bits"
)

const (
	// pageUnits is how many units a page of a space has bits for.
	pageUnits = 1 << 15
	// maxPages bounds the memory of a space: 256 MiB.
	maxPages = 1 << 16
)

var errScattered = errors.New("its data is scattered over too large a file")

// space is the space of an image file. Everything that the file says to be
// somewhere claims its place there; what is claimed twice would be a cycle, or a
// small file that pretends to be a large disk.
//
// Where everything is claimed it takes no memory: an image that was written in
// order needs a few pages, and the worst is bounded.
type space struct {
	size, unit int64
	pages      map[int64]*page
	full       map[int64]struct{}
}

type page struct {
	count int
	bits  [pageUnits / 64]uint64
}

// newSpace returns the space of a file of size bytes, in which every claim
// begins and ends at a multiple of unit bytes, or at the file's end.
func newSpace(size, unit int64) *space {
	return &space{size: size, unit: unit, pages: make(map[int64]*page), full: make(map[int64]struct{})}
}

// claim claims n bytes at off. Errors say what of the image is where it cannot
// be.
func (s *space) claim(off, n int64, what string) error {
	if err := s.inside(off, n, what); err != nil || n == 0 {
		return err
	}
	overlaps, err := s.each(off, n, func(p *page, word int, mask uint64) bool {
		overlap := p.bits[word]&mask != 0
		p.count += bits.OnesCount64(mask &^ p.bits[word])
		p.bits[word] |= mask
		return overlap
	}, true)
	if err == nil && overlaps {
		err = fmt.Errorf("%s at %d overlaps something else", what, off)
	}
	return err
}

// share claims n bytes at off, which may be claimed in the same way again.
func (s *space) share(off, n int64) error {
	_, err := s.each(off, n, func(p *page, word int, mask uint64) bool {
		p.count += bits.OnesCount64(mask &^ p.bits[word])
		p.bits[word] |= mask
		return false
	}, true)
	return err
}

// claimed reports whether any of n bytes at off is claimed.
func (s *space) claimed(off, n int64) bool {
	if n <= 0 {
		return false
	}
	claimed, _ := s.each(off, n, func(p *page, word int, mask uint64) bool {
		return p.bits[word]&mask != 0
	}, false)
	return claimed
}

func (s *space) inside(off, n int64, what string) error {
	if off < 0 || n < 0 || off > s.size || n > s.size-off {
		return fmt.Errorf("%s of %d bytes at %d is not inside of the file, which has %d bytes; is it truncated?", what, n, uint64(off), s.size)
	}
	return nil
}

// each calls do for each word of the pages that [off, +n) touches, and reports
// whether any call, or a page that is full, said yes.
func (s *space) each(off, n int64, do func(p *page, word int, mask uint64) bool, make bool) (yes bool, err error) {
	first, last := off/s.unit, (off+n-1)/s.unit
	for first <= last {
		number := first / pageUnits
		end := min(last, number*pageUnits+pageUnits-1)
		if _, full := s.full[number]; full {
			yes, first = true, end+1
			continue
		}
		p := s.pages[number]
		if p == nil {
			if !make {
				first = end + 1
				continue
			}
			if len(s.pages) >= maxPages {
				return yes, errScattered
			}
			p = new(page)
			s.pages[number] = p
		}
		for first <= end {
			bit := first % pageUnits
			count := min(64-bit%64, end-first+1)
			mask := ^uint64(0) >> (64 - count) << (bit % 64)
			yes = do(p, int(bit/64), mask) || yes
			first += count
		}
		if p.count == pageUnits {
			delete(s.pages, number)
			s.full[number] = struct{}{}
		}
	}
	return yes, nil
}
