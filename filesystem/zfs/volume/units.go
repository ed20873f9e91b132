package volume

import "math/bits"

// units is a set of units of allocation. It is sparse: a bitmap for each chunk that
// has some, and one for all chunks that are full.
type units struct {
	chunks map[uint64]*chunk
	work   int // chunks that may still be changed: see [maxWork]
}

type chunk [chunkUnits / 64]uint64

const (
	chunkUnits = 1 << 16
	// maxChunks bounds the memory of a set: 1 GiB, which 32 TiB that are in use
	// everywhere need with units of 4 KiB.
	maxChunks = 1 << 17
	// maxWork bounds the time that hostile space maps can cost, which allocate
	// and free the same over and over.
	maxWork = 1 << 24
)

var fullChunk = func() *chunk {
	c := new(chunk)
	for i := range c {
		c[i] = 1<<64 - 1
	}
	return c
}()

func newUnits() *units { return &units{chunks: make(map[uint64]*chunk), work: maxWork} }

// each calls do for the words of the bitmaps that units from on, count of them, are
// in. Do returns what the word is to be.
func (u *units) each(from, count uint64, do func(word, mask uint64) uint64) (ok bool) {
	for count > 0 {
		if u.work--; u.work < 0 {
			return false
		}
		number, at := from/chunkUnits, from%chunkUnits
		n := min(count, chunkUnits-at)
		c := u.chunks[number]
		if n == chunkUnits && (c == nil || c == fullChunk) {
			// A word stands for all of them.
			word := uint64(0)
			if c != nil {
				word = 1<<64 - 1
			}
			switch do(word, 1<<64-1) {
			case 0:
				delete(u.chunks, number)
			default:
				if len(u.chunks) >= maxChunks {
					return false
				}
				u.chunks[number] = fullChunk
			}
		} else {
			if c == nil || c == fullChunk {
				if len(u.chunks) >= maxChunks {
					return false
				}
				fresh := new(chunk)
				if c != nil {
					*fresh = *c
				}
				c = fresh
				u.chunks[number] = c
			}
			for i := at; i < at+n; {
				bit := i % 64
				m := min(64-bit, at+n-i)
				mask := uint64(1<<64-1) >> (64 - m) << bit
				c[i/64] = do(c[i/64], mask)
				i += m
			}
		}
		from, count = from+n, count-n
	}
	return true
}

// add adds units, and tells whether some were there already.
func (u *units) add(from, count uint64) (some, ok bool) {
	ok = u.each(from, count, func(word, mask uint64) uint64 {
		some = some || word&mask != 0
		return word | mask
	})
	return some, ok
}

// remove removes units, and tells whether all were there.
func (u *units) remove(from, count uint64) (all, ok bool) {
	all = true
	ok = u.each(from, count, func(word, mask uint64) uint64 {
		all = all && word&mask == mask
		return word &^ mask
	})
	return all, ok
}

// addAll adds all units of v.
func (u *units) addAll(v *units) {
	for number, c := range v.chunks {
		for i, word := range c {
			if word != 0 {
				u.each(number*chunkUnits+uint64(i)*64, 64, func(have, _ uint64) uint64 { return have | word })
			}
		}
	}
}

// minus returns how many units u has that v has not, and the first of them.
func (u *units) minus(v *units) (count, first uint64) {
	first = 1<<64 - 1
	for number, c := range u.chunks {
		other := v.chunks[number]
		if other == c {
			continue
		}
		for i, word := range c {
			if other != nil {
				word &^= other[i]
			}
			if word != 0 {
				count += uint64(bits.OnesCount64(word))
				first = min(first, number*chunkUnits+uint64(i*64+bits.TrailingZeros64(word)))
			}
		}
	}
	return count, first
}
