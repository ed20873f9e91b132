package ondisk

// A fat ZAP is a hash table of blocks of one size:
//
//	| header | leaf | leaf | ...
//
// The second half of the header is a table: the upper bits of a hash choose a slot
// in it, which has the number of a leaf. A leaf has the entries whose hashes begin
// with its prefix. It is a header of 48 bytes, heads of chains by the next bits of
// the hash, and chunks of 24 bytes, of which an entry takes one, its name (with a
// NUL) and its value one for each 21 bytes.
const (
	zapHeader   = 1<<63 + 1 // block types
	zapLeaf     = 1 << 63
	zapMagic    = 0x2f52ab2ab
	leafMagic   = 0x2ab1eaf
	chunkSize   = 24
	chunkBytes  = 21 // of an array
	chunkArray  = 251
	chunkEntry  = 252
	chunkFree   = 253
	chainEnd    = 0xffff
	leafHeader  = 48
	noFreeChunk = chainEnd
)

// fatShifts are the sizes of blocks that fat ZAPs may have, as powers of two: that
// of OpenZFS, and one for directories that have too many names for a table of
// 1,024 leaves in the header.
var fatShifts = []int{14, 17}

// fatZAP is a fat ZAP that is being made.
type fatZAP struct {
	shift   int // of the block size
	entries []hashedEntry
	leaves  []fatLeaf
}

// fatLeaf has the entries first to end-1, whose hashes begin with prefix, bits
// bits.
type fatLeaf struct {
	first, end int
	prefix     uint64
	bits       int
}

func (z *fatZAP) blockSize() int  { return 1 << z.shift }
func (z *fatZAP) tableShift() int { return z.shift - 4 } // 8 bytes a slot, half of a block
func (z *fatZAP) hashShift() int  { return z.shift - 5 }
func (z *fatZAP) chunks() int {
	return (z.blockSize() - leafHeader - 2<<z.hashShift()) / chunkSize
}

// encodeFat returns a fat ZAP with blocks of 1<<shift bytes. It is false if the
// table of the header is too small.
func encodeFat(entries []hashedEntry, salt uint64, how Normalization, shift int) (ZAP, bool) {
	z := &fatZAP{shift: shift, entries: entries}
	if !z.split(fatLeaf{end: len(entries)}) {
		return ZAP{}, false
	}
	p := make([]byte, (len(z.leaves)+1)<<shift)
	z.header(p[:z.blockSize()], salt, how)
	for i, leaf := range z.leaves {
		z.leaf(p[(i+1)<<shift:][:z.blockSize()], leaf)
	}
	return ZAP{Data: p, BlockSize: z.blockSize()}, true
}

// split appends leaf, or what it must be split into to fit blocks.
func (z *fatZAP) split(leaf fatLeaf) bool {
	used := 0
	for _, e := range z.entries[leaf.first:leaf.end] {
		used += e.chunks()
	}
	if used <= z.chunks() {
		z.leaves = append(z.leaves, leaf)
		return true
	}
	if leaf.bits == z.tableShift() {
		return false
	}
	bit := uint64(1) << (63 - leaf.bits)
	middle := leaf.first
	for middle < leaf.end && z.entries[middle].hash&bit == 0 {
		middle++
	}
	low := fatLeaf{leaf.first, middle, leaf.prefix << 1, leaf.bits + 1}
	high := fatLeaf{middle, leaf.end, leaf.prefix<<1 | 1, leaf.bits + 1}
	return z.split(low) && z.split(high)
}

// arraySize returns the size of the value in bytes, and that of its integers.
func (e *ZAPEntry) arraySize() (size, unit int) {
	if e.Array == nil {
		return 8, 8
	}
	return len(e.Array), e.ArrayUnit
}

// chunks returns how many chunks of a leaf the entry takes.
func (e *ZAPEntry) chunks() int {
	size, _ := e.arraySize()
	return 1 + roundUp(len(e.Name)+1, chunkBytes)/chunkBytes + roundUp(size, chunkBytes)/chunkBytes
}

// header writes the first block (zap_phys_t).
func (z *fatZAP) header(p []byte, salt uint64, how Normalization) {
	for i, v := range []uint64{
		zapHeader, zapMagic,
		0, 0, uint64(z.tableShift()), 0, 0, // the table is in the header: no blocks of its own
		uint64(len(z.leaves) + 1), // first free block
		uint64(len(z.leaves)), uint64(len(z.entries)), salt, uint64(how),
	} {
		le.PutUint64(p[8*i:], v)
	}
	slot := p[z.blockSize()/2:]
	for i, leaf := range z.leaves {
		for range 1 << (z.tableShift() - leaf.bits) {
			le.PutUint64(slot, uint64(i+1))
			slot = slot[8:]
		}
	}
}

// leaf writes a leaf (zap_leaf_phys_t).
func (z *fatZAP) leaf(p []byte, leaf fatLeaf) {
	heads := p[leafHeader:][:2<<z.hashShift()]
	for i := range heads {
		heads[i] = 0xff
	}
	chunks := p[leafHeader+len(heads):]
	next := 0
	for _, e := range z.entries[leaf.first:leaf.end] {
		head := heads[2*(e.hash>>(64-z.hashShift()-leaf.bits)&(1<<z.hashShift()-1)):]
		before := le.Uint16(head)
		le.PutUint16(head, uint16(next))
		next = e.writeChunks(chunks, next, before)
	}
	free, firstFree := z.chunks()-next, noFreeChunk
	if free > 0 {
		firstFree = next
	}
	for ; next < z.chunks(); next++ {
		chunk := chunks[next*chunkSize:]
		chunk[0] = chunkFree
		le.PutUint16(chunk[22:], uint16(next+1))
		if next+1 == z.chunks() {
			le.PutUint16(chunk[22:], chainEnd)
		}
	}
	le.PutUint64(p, zapLeaf)
	le.PutUint64(p[16:], leaf.prefix)
	le.PutUint32(p[24:], leafMagic)
	le.PutUint16(p[28:], uint16(free))
	le.PutUint16(p[30:], uint16(leaf.end-leaf.first))
	le.PutUint16(p[32:], uint16(leaf.bits))
	le.PutUint16(p[34:], uint16(firstFree))
}

// writeChunks writes the entry and its arrays from chunk number at on and returns
// the number behind them. The chain of the entry's hash goes on at chunk before.
func (e *hashedEntry) writeChunks(chunks []byte, at int, before uint16) int {
	size, unit := e.arraySize()
	name := append([]byte(e.Name), 0)
	value := e.Array
	if value == nil {
		value = be.AppendUint64(nil, e.Value)
	}
	nameAt := at + 1
	valueAt := nameAt + roundUp(len(name), chunkBytes)/chunkBytes
	chunk := chunks[at*chunkSize:]
	chunk[0], chunk[1] = chunkEntry, byte(unit)
	le.PutUint16(chunk[2:], before)
	le.PutUint16(chunk[4:], uint16(nameAt))
	le.PutUint16(chunk[6:], uint16(len(name)))
	le.PutUint16(chunk[8:], uint16(valueAt))
	le.PutUint16(chunk[10:], uint16(size/unit))
	le.PutUint32(chunk[12:], e.cd)
	le.PutUint64(chunk[16:], e.hash)
	return writeArray(chunks, writeArray(chunks, nameAt, name), value)
}

// writeArray writes bytes from chunk number at on and returns the number behind
// them.
func writeArray(chunks []byte, at int, array []byte) int {
	for {
		chunk := chunks[at*chunkSize:]
		chunk[0] = chunkArray
		array = array[copy(chunk[1:1+chunkBytes], array):]
		at++
		if len(array) == 0 {
			le.PutUint16(chunk[22:], chainEnd)
			return at
		}
		le.PutUint16(chunk[22:], uint16(at))
	}
}
