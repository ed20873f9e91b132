package ondisk

import (
	"bytes"
	"errors"
	"fmt"
)

// Number returns the value of an entry that is one number.
func (e *ZAPEntry) Number() (uint64, error) {
	if e.Array != nil {
		return 0, fmt.Errorf("%q has %d bytes in place of a number", e.Name, len(e.Array))
	}
	return e.Value, nil
}

// IsMicroZAP reports whether the first block of a ZAP is a micro ZAP, which is that
// block and nothing else.
func IsMicroZAP(block []byte) bool { return len(block) >= microSlot && le.Uint64(block) == zapMicro }

// DecodeMicroZAP returns the entries of a micro ZAP, in their order on disk.
func DecodeMicroZAP(block []byte) ([]ZAPEntry, error) {
	if !IsMicroZAP(block) {
		return nil, errors.New("not a micro ZAP")
	}
	var entries []ZAPEntry
	for p := block[microSlot:]; len(p) >= microSlot; p = p[microSlot:] {
		if p[14] == 0 {
			continue
		}
		name, _, ended := bytes.Cut(p[14:microSlot], []byte{0})
		if !ended {
			return nil, fmt.Errorf("a name %q in a micro ZAP has no end", name)
		}
		entries = append(entries, ZAPEntry{Name: string(name), Value: le.Uint64(p)})
	}
	return entries, nil
}

// FatZAPHeader is the first block of a fat ZAP (zap_phys_t).
type FatZAPHeader struct {
	// TableShift is how many bits of a hash choose a slot of the table. That
	// is in the block itself, or in TableBlocks blocks from TableBlock on.
	TableShift              int
	TableBlock, TableBlocks uint64

	Leaves, Entries, Salt uint64
	// Normalized says that names are hashed in another form than the one that
	// they have, so that those are found that differ in case.
	Normalized bool

	hashBits  int
	blockSize int
	table     []byte
}

// Limits of the table (zap_impl.h), and flags.
const (
	zapMaxTableShift = 48
	zapHash64        = 1 // flag: 48 bits of hashes count
	zapHash64Bits    = 48
	zapUint64Keys    = 2 // flag: names are numbers
)

// DecodeFatZAP decodes the first block of a fat ZAP.
func DecodeFatZAP(block []byte) (*FatZAPHeader, error) {
	if len(block) < 2*SectorSize || len(block)&(len(block)-1) != 0 || le.Uint64(block) != zapHeader || le.Uint64(block[8:]) != zapMagic {
		return nil, errors.New("not a fat ZAP")
	}
	word := func(i int) uint64 { return le.Uint64(block[8*i:]) }
	h := &FatZAPHeader{
		TableBlock: word(2), TableBlocks: word(3),
		Leaves: word(8), Entries: word(9), Salt: word(10), Normalized: word(11) != 0,
		hashBits: zapHashBits, blockSize: len(block),
	}
	if flags := word(12); flags&zapUint64Keys != 0 {
		return nil, errors.New("a fat ZAP whose names are numbers")
	} else if flags&zapHash64 != 0 {
		h.hashBits = zapHash64Bits
	}
	if word(4) > zapMaxTableShift {
		return nil, fmt.Errorf("a fat ZAP with a table of 1<<%d slots", word(4))
	}
	h.TableShift = int(word(4))
	size := uint64(8) << h.TableShift
	if h.TableBlocks == 0 {
		h.table = block[len(block)/2:]
		if size != uint64(len(h.table)) {
			return nil, fmt.Errorf("a fat ZAP with a table of 1<<%d slots in a block of %d bytes", h.TableShift, len(block))
		}
	} else if h.TableBlocks > 1<<zapMaxTableShift || size != h.TableBlocks*uint64(len(block)) || h.TableBlock > 1<<zapMaxTableShift {
		return nil, fmt.Errorf("a fat ZAP with a table of 1<<%d slots in %d blocks of %d bytes", h.TableShift, h.TableBlocks, len(block))
	}
	return h, nil
}

// Slot returns which block of the object has a slot of the table, and where in it.
// Block 0 is the header itself.
func (h *FatZAPHeader) Slot(slot uint64) (block uint64, at int) {
	if h.TableBlocks == 0 {
		return 0, h.blockSize/2 + 8*int(slot)
	}
	perBlock := uint64(h.blockSize / 8)
	return h.TableBlock + slot/perBlock, 8 * int(slot%perBlock)
}

// Hash returns the hash of a name, whose upper bits are the number of its slot. It is
// another one if the ZAP is Normalized.
func (h *FatZAPHeader) Hash(name string) uint64 {
	return zapCRC(h.Salt, name) &^ (1<<(64-h.hashBits) - 1)
}

// ZAPLeaf is a leaf of a fat ZAP.
type ZAPLeaf struct {
	Prefix     uint64
	PrefixBits int
	Count      int // of entries, as the header has it

	heads, chunks []byte
	hashShift     int
}

// DecodeZAPLeaf decodes the header of a leaf.
func DecodeZAPLeaf(block []byte) (*ZAPLeaf, error) {
	if len(block) < SectorSize || len(block)&(len(block)-1) != 0 || le.Uint64(block) != zapLeaf || le.Uint32(block[24:]) != leafMagic {
		return nil, errors.New("not a leaf of a fat ZAP")
	}
	heads := len(block) / 32
	l := &ZAPLeaf{
		Prefix: le.Uint64(block[16:]), PrefixBits: int(le.Uint16(block[32:])), Count: int(le.Uint16(block[30:])),
		heads: block[leafHeader:][:2*heads], chunks: block[leafHeader+2*heads:],
	}
	for 1<<l.hashShift < heads {
		l.hashShift++
	}
	if l.PrefixBits > zapMaxTableShift {
		return nil, fmt.Errorf("a leaf of a fat ZAP with a prefix of %d bits", l.PrefixBits)
	}
	return l, nil
}

// chunk returns a chunk of a kind.
func (l *ZAPLeaf) chunk(n uint16, kind byte) ([]byte, error) {
	if at := int(n) * chunkSize; at+chunkSize <= len(l.chunks) && l.chunks[at] == kind {
		return l.chunks[at:][:chunkSize], nil
	}
	return nil, fmt.Errorf("chunk %d of a leaf of a fat ZAP is not what leads to it says", n)
}

// array returns size bytes from a chain of chunks. Each has bytes, so that no chain
// is followed for ever.
func (l *ZAPLeaf) array(n uint16, size int) ([]byte, error) {
	if size > len(l.chunks) {
		return nil, fmt.Errorf("an array of %d bytes in a leaf of a fat ZAP", size)
	}
	b := make([]byte, 0, size)
	for len(b) < size {
		c, err := l.chunk(n, chunkArray)
		if err != nil {
			return nil, err
		}
		b = append(b, c[1:1+min(chunkBytes, size-len(b))]...)
		n = le.Uint16(c[22:])
	}
	return b, nil
}

// Entries returns all entries of the leaf, by the order of their hashes' upper bits.
func (l *ZAPLeaf) Entries() ([]ZAPEntry, error) {
	var entries []ZAPEntry
	left := len(l.chunks) / chunkSize // of entries that there can be
	for h := 0; h < len(l.heads); h += 2 {
		if err := l.chain(le.Uint16(l.heads[h:]), &left, &entries); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Bucket returns those entries of the leaf among which are those with a hash.
func (l *ZAPLeaf) Bucket(hash uint64) ([]ZAPEntry, error) {
	var entries []ZAPEntry
	left := len(l.chunks) / chunkSize
	h := hash << l.PrefixBits >> (64 - l.hashShift)
	return entries, l.chain(le.Uint16(l.heads[2*h:]), &left, &entries)
}

// chain appends the entries of a chain, of which at most left may come.
func (l *ZAPLeaf) chain(n uint16, left *int, entries *[]ZAPEntry) error {
	for n != chainEnd {
		if *left--; *left < 0 {
			return errors.New("a chain in a leaf of a fat ZAP has no end")
		}
		c, err := l.chunk(n, chunkEntry)
		if err != nil {
			return err
		}
		e, err := l.entry(c)
		if err != nil {
			return err
		}
		*entries = append(*entries, e)
		n = le.Uint16(c[2:])
	}
	return nil
}

func (l *ZAPLeaf) entry(c []byte) (e ZAPEntry, err error) {
	unit, count := int(c[1]), int(le.Uint16(c[10:]))
	name, err := l.array(le.Uint16(c[4:]), int(le.Uint16(c[6:])))
	if err != nil {
		return e, err
	}
	if len(name) == 0 || name[len(name)-1] != 0 || bytes.IndexByte(name, 0) != len(name)-1 {
		return e, fmt.Errorf("a name %q in a fat ZAP", name)
	}
	e.Name = string(name[:len(name)-1])
	if unit != 1 && unit != 2 && unit != 4 && unit != 8 {
		return e, fmt.Errorf("%q has integers of %d bytes", e.Name, unit)
	}
	value, err := l.array(le.Uint16(c[8:]), unit*count)
	if err != nil {
		return e, fmt.Errorf("%q: %w", e.Name, err)
	}
	if unit == 8 && count == 1 {
		e.Value = be.Uint64(value)
	} else {
		e.Array, e.ArrayUnit = value, unit
	}
	return e, nil
}
