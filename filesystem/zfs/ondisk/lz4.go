package ondisk

import (
	"errors"
	"math/bits"
)

// LZ4 as ZFS frames it (module/zfs/lz4.c): the compressed length in four bytes,
// big endian, and one block of the LZ4 block format, which is a run of sequences:
//
//	token | more literal length | literals | offset | more match length
//	4+4     0.. bytes of 255      0..        2        0.. bytes of 255
//
// The encoder is our own because its output decides where everything behind a
// block lies: it must never change with the version of a module.
const (
	lz4Header      = 4
	lz4MinMatch    = 4
	lz4LastLiteral = 5  // the block ends with at least that many literals,
	lz4MatchLimit  = 12 // and no match begins in its last that many bytes
	lz4MaxOffset   = 1<<16 - 1
	lz4HashBits    = 13
	lz4SkipTrigger = 6 // after 64 misses every second position is tried, …
)

// LZ4Encoder compresses blocks. Its zero value is ready; it may be used by one
// goroutine at a time. What it returns depends on the block only.
type LZ4Encoder struct {
	// table has, for each hash of five bytes, base plus the last position where
	// it was met. What is below base is of blocks before, and none.
	table [1 << lz4HashBits]uint32
	base  uint32
}

// Encode compresses src into dst, and returns how many bytes that took, header
// included. It is false, and dst arbitrary, if they do not fit.
func (e *LZ4Encoder) Encode(dst, src []byte) (n int, ok bool) {
	if len(dst) < lz4Header {
		return 0, false
	}
	base := e.reset()
	out := lz4Output{p: dst, n: lz4Header}
	anchor, at := 0, 1
	limit := len(src) - lz4MatchLimit - 1 // the position behind at may match too
	for {
		var from uint32
		found := false
		for misses := 1 << lz4SkipTrigger; at <= limit; misses++ {
			word := le.Uint64(src[at:])
			first, second := &e.table[lz4Hash(word)], &e.table[lz4Hash(word>>8)]
			// What is not before, or too far before, wraps around.
			here := uint32(at)
			from = *first - base
			*first = base + here
			if here-from-1 < lz4MaxOffset && le.Uint32(src[from:]) == uint32(word) {
				found = true
				break
			}
			from = *second - base
			*second = base + here + 1
			if here-from < lz4MaxOffset && le.Uint32(src[from:]) == uint32(word>>8) {
				at++
				found = true
				break
			}
			at += misses >> (lz4SkipTrigger - 1)
		}
		if !found {
			break
		}
		match := int(from)
		for at > anchor && match > 0 && src[at-1] == src[match-1] {
			at--
			match--
		}
		length := lz4MinMatch + commonPrefix(src[at+lz4MinMatch:len(src)-lz4LastLiteral], src[match+lz4MinMatch:])
		if !out.short(src, anchor, at, at-match, length) && !out.sequence(src[anchor:at], at-match, length) {
			return 0, false
		}
		at += length
		anchor = at
		if at <= limit {
			// What the match ends with may be met again.
			e.table[lz4Hash(le.Uint64(src[at-2:]))] = base + uint32(at) - 2
		}
	}
	if !out.sequence(src[anchor:], 0, 0) {
		return 0, false
	}
	be.PutUint32(dst, uint32(out.n-lz4Header))
	return out.n, true
}

// reset forgets the blocks before, and returns the new base. Their positions, which
// are left in the table, are below it: without base they are far behind the end of
// any block.
func (e *LZ4Encoder) reset() (base uint32) {
	const most = 1<<31 - MaxBlockSize
	if e.base += MaxBlockSize; e.base > most {
		clear(e.table[:])
		e.base = MaxBlockSize
	}
	return e.base
}

// lz4Hash returns the hash of the lower five bytes of a word.
func lz4Hash(word uint64) uint64 {
	const prime = 889523592379
	return word << 24 * prime >> (64 - lz4HashBits)
}

// commonPrefix returns how many bytes a and b, which is not shorter, have in
// common.
func commonPrefix(a, b []byte) int {
	n := 0
	for len(a)-n >= 8 {
		if x := le.Uint64(a[n:]) ^ le.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}

// lz4Output is what has been written of a block.
type lz4Output struct {
	p []byte
	n int
}

// short writes a sequence that has no lengths but those in the token, src[anchor:at]
// and a match: most are such. It is false if it is none, or near the end of a buffer.
func (o *lz4Output) short(src []byte, anchor, at, offset, length int) bool {
	literals := at - anchor
	length -= lz4MinMatch
	if literals >= 15 || length >= 15 || anchor+16 > len(src) || o.n+1+16+2 > len(o.p) {
		return false
	}
	p, from := o.p[o.n:o.n+19], src[anchor:anchor+16]
	p[0] = byte(literals<<4 | length)
	le.PutUint64(p[1:], le.Uint64(from))
	le.PutUint64(p[9:], le.Uint64(from[8:])) // what is too much is written over
	le.PutUint16(p[1+literals:], uint16(offset))
	o.n += 1 + literals + 2
	return true
}

// sequence writes literals and a match; the last sequence has none, which is
// length 0. It is false if there is no room.
func (o *lz4Output) sequence(literals []byte, offset, length int) bool {
	more := max(length-lz4MinMatch, 0)
	need := 1 + lz4More(len(literals)) + len(literals)
	if length > 0 {
		need += 2 + lz4More(more)
	}
	if len(o.p)-o.n < need {
		return false
	}
	o.p[o.n] = byte(min(len(literals), 15)<<4 | min(more, 15))
	o.n++
	o.more(len(literals))
	o.n += copy(o.p[o.n:], literals)
	if length > 0 {
		le.PutUint16(o.p[o.n:], uint16(offset))
		o.n += 2
		o.more(more)
	}
	return true
}

// lz4More returns how many bytes a length takes behind its four bits in the token.
func lz4More(n int) int {
	if n < 15 {
		return 0
	}
	return 1 + (n-15)/255
}

func (o *lz4Output) more(n int) {
	if n < 15 {
		return
	}
	for n -= 15; n >= 255; n -= 255 {
		o.p[o.n] = 255
		o.n++
	}
	o.p[o.n] = byte(n)
	o.n++
}

var errLZ4 = errors.New("not a block that lz4 compressed")

// DecodeLZ4 decompresses src, padding behind the block included, into dst, which
// is as long as the block was.
func DecodeLZ4(dst, src []byte) error {
	if len(src) < lz4Header || uint64(be.Uint32(src)) > uint64(len(src)-lz4Header) {
		return errLZ4
	}
	src = src[lz4Header : lz4Header+int(be.Uint32(src))]
	n := 0
	// length returns a length whose four bits are given.
	length := func(v int) (int, bool) {
		for more := byte(255); v >= 15 && more == 255; v += int(more) {
			if len(src) == 0 || v > len(dst) {
				return 0, false
			}
			more, src = src[0], src[1:]
		}
		return v, true
	}
	for len(src) > 0 {
		token := src[0]
		src = src[1:]
		literals, ok := length(int(token >> 4))
		if !ok || literals > len(src) || literals > len(dst)-n {
			return errLZ4
		}
		n += copy(dst[n:], src[:literals])
		if src = src[literals:]; len(src) == 0 {
			break
		}
		if len(src) < 2 {
			return errLZ4
		}
		offset := int(le.Uint16(src))
		src = src[2:]
		match, ok := length(int(token & 15))
		if match += lz4MinMatch; !ok || offset == 0 || offset > n || match > len(dst)-n {
			return errLZ4
		}
		for end := n + match; n < end; {
			n += copy(dst[n:end], dst[n-offset:n])
		}
	}
	if n != len(dst) {
		return errLZ4
	}
	return nil
}
