package volume

import (
	"errors"
	"fmt"
	"sync"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
)

// readBlock returns what a block pointer leads to, decompressed: nil of a hole.
// It must not be changed.
func (p *Pool) readBlock(b *ondisk.BlockPointer) ([]byte, error) {
	switch {
	case b.IsHole():
		return nil, nil
	case b.LogicalSize > ondisk.MaxBlockSize || b.PhysicalSize > ondisk.MaxBlockSize:
		return nil, corrupt("a block of %d bytes, %d in the pool", b.LogicalSize, b.PhysicalSize)
	case b.Embedded != nil:
		return decompress(b, b.Embedded)
	}
	return p.cache.get(b, func() ([]byte, error) {
		raw, err := p.readRaw(b)
		if err != nil {
			return nil, err
		}
		return decompress(b, raw)
	})
}

// decompress returns the block that raw is in the pool.
func decompress(b *ondisk.BlockPointer, raw []byte) ([]byte, error) {
	data := make([]byte, b.LogicalSize)
	if err := b.Compression.Decompress(data, raw); err != nil {
		return nil, corrupt("block at %s: %v", place(b), err)
	}
	return data, nil
}

// place names a block in errors, as zdb does: device, offset, size.
func place(b *ondisk.BlockPointer) string {
	a := b.Addresses[0]
	return fmt.Sprintf("%d:%x:%x", a.Device, a.Offset, a.Size)
}

// readRaw returns a block as it lies in the pool: the first copy that is good.
func (p *Pool) readRaw(b *ondisk.BlockPointer) ([]byte, error) {
	g := newGangs(p, b)
	return g.read(b)
}

// readCopy returns a copy of a block as it lies in the pool.
func (p *Pool) readCopy(b *ondisk.BlockPointer, copy int) ([]byte, error) {
	g := newGangs(p, b)
	return g.readCopy(b, copy)
}

// gangs reads blocks that may be in pieces. Pieces may be in pieces themselves.
type gangs struct {
	pool  *Pool
	depth int
	left  int // headers that may be read
}

// maxGang bounds how deep gang blocks may nest: those of a block of 16 MiB are
// sectors before.
const maxGang = 16

// newGangs returns what reads a block. Pieces are a sector at least, headers no
// more than pieces, and each has three copies at most.
func newGangs(p *Pool, b *ondisk.BlockPointer) *gangs {
	return &gangs{pool: p, left: 3 * (b.PhysicalSize/ondisk.SectorSize + maxGang)}
}

func (g *gangs) read(b *ondisk.BlockPointer) ([]byte, error) {
	var errs []error
	for i := range b.Addresses {
		if b.Addresses[i].Size == 0 {
			continue
		}
		raw, err := g.readCopy(b, i)
		if err == nil {
			return raw, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, corrupt("a block with no address")
	}
	return nil, errors.Join(errs...)
}

func (g *gangs) readCopy(b *ondisk.BlockPointer, copy int) ([]byte, error) {
	a := b.Addresses[copy]
	if a.Gang {
		return g.join(b, copy)
	}
	if err := g.pool.checkAddress(a, b.PhysicalSize); err != nil {
		return nil, err
	}
	raw := make([]byte, b.PhysicalSize)
	if err := content.ReadFull(g.pool.device, raw, ondisk.DataOffset+a.Offset); err != nil {
		return nil, err
	}
	if g.pool.trusting {
		return raw, nil
	}
	return raw, checkSum(b, raw)
}

// join puts together a block from its pieces. Each has a checksum of its own.
func (g *gangs) join(b *ondisk.BlockPointer, copy int) ([]byte, error) {
	if g.depth++; g.depth > maxGang {
		return nil, corrupt("gang blocks in gang blocks, %d deep", maxGang)
	}
	defer func() { g.depth-- }()
	if g.left--; g.left < 0 {
		return nil, corrupt("a gang block at %s with more headers than sectors", place(b))
	}
	pieces, err := g.pool.gangPieces(b, copy)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 0, b.PhysicalSize)
	for i := range pieces {
		piece := &pieces[i]
		if piece.Embedded != nil || piece.PhysicalSize > b.PhysicalSize-len(raw) {
			return nil, corrupt("a gang block at %s with pieces that are not it", place(b))
		}
		part, err := g.read(piece)
		if err != nil {
			return nil, err
		}
		raw = append(raw, part...)
	}
	if len(raw) != b.PhysicalSize {
		return nil, corrupt("a gang block at %s of %d bytes with pieces of %d", place(b), b.PhysicalSize, len(raw))
	}
	return raw, nil
}

// checkSum returns an error if raw is not what b leads to.
func checkSum(b *ondisk.BlockPointer, raw []byte) error {
	switch kind := b.ChecksumKind; {
	case kind == ondisk.ChecksumOff:
		return nil
	case !kind.Known():
		return unsupported("block at %s has a checksum of kind %d", place(b), kind)
	case kind.Sum(raw) != b.Checksum:
		return corrupt("the checksum of the block at %s is wrong", place(b))
	}
	return nil
}

// checkAddress returns an error if an address, of a block of size bytes, is not one
// of the pool.
func (p *Pool) checkAddress(a ondisk.Address, size int) error {
	if a.Device != 0 {
		return corrupt("a block on device %d", a.Device)
	}
	if size > a.Size && !a.Gang || a.Offset%(1<<p.Ashift) != 0 || int64(a.Size) > p.data || a.Offset > p.data-int64(a.Size) {
		return corrupt("a block of %d bytes at offset %d, with %d bytes allocated of %d", size, a.Offset, a.Size, p.data)
	}
	return nil
}

// gangPieces reads a gang header.
func (p *Pool) gangPieces(b *ondisk.BlockPointer, copy int) ([]ondisk.BlockPointer, error) {
	a := b.Addresses[copy]
	if err := p.checkAddress(a, 0); err != nil {
		return nil, err
	}
	header := make([]byte, ondisk.GangSize)
	if err := content.ReadFull(p.device, header, ondisk.DataOffset+a.Offset); err != nil {
		return nil, err
	}
	pieces, err := ondisk.DecodeGang(header, b)
	if err != nil {
		return nil, corrupt("block at %s: %v", place(b), err)
	}
	return pieces, nil
}

// blockCache holds blocks that were read last, so that what leads to many others is
// read about once. Each has one place that it can be in.
type blockCache struct {
	mu      sync.Mutex
	entries [cachedBlocks]struct {
		address ondisk.Address
		sum     ondisk.Checksum
		data    []byte
	}
}

const (
	cacheBits      = 9
	cachedBlocks   = 1 << cacheBits
	maxCachedBlock = 128 << 10 // so that the cache has 64 MiB at most
)

func (c *blockCache) get(b *ondisk.BlockPointer, read func() ([]byte, error)) ([]byte, error) {
	if b.LogicalSize > maxCachedBlock {
		return read()
	}
	// Multiplying spreads offsets, which are multiples of many sizes.
	at := &c.entries[uint64(b.Addresses[0].Offset)/ondisk.SectorSize*0x9e3779b97f4a7c15>>(64-cacheBits)]
	c.mu.Lock()
	if at.data != nil && at.address == b.Addresses[0] && at.sum == b.Checksum && len(at.data) == b.LogicalSize {
		defer c.mu.Unlock()
		return at.data, nil
	}
	c.mu.Unlock()
	data, err := read()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at.address, at.sum, at.data = b.Addresses[0], b.Checksum, data
	return data, nil
}
