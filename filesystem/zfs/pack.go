package zfs

import (
	"encoding/binary"

	"diskwright/filesystem/zfs/ondisk"
)

// packer compresses blocks. It may be used by one goroutine at a time.
type packer struct {
	ashift  int
	encoder ondisk.Encoder // nil: nothing is compressed
	buffer  []byte         // what was kept, and behind it what was compressed last
	kept    int
}

func newPacker(how packing) *packer {
	return &packer{ashift: how.ashift, encoder: how.compression.Encoder(how.level)}
}

// compress returns a block compressed, valid until the next call. It is false if that
// does not save an eighth (zio_compress_data), or takes more than it may at most.
func (p *packer) compress(data []byte, most int) ([]byte, bool) {
	if most = min(most, len(data)-len(data)/8); p.encoder == nil || most <= 0 {
		return nil, false
	}
	room := p.room(len(data))
	n, ok := p.encoder.Encode(room[:most], data)
	return room[:n], ok
}

// room returns n bytes behind what was kept, or more.
func (p *packer) room(n int) []byte {
	if len(p.buffer) < p.kept+n {
		p.buffer = append(p.buffer[:p.kept], make([]byte, n)...)
	}
	return p.buffer[p.kept:]
}

// keep keeps the block that was stored last behind those that were kept before, as
// they lie in the pool, and returns where.
func (p *packer) keep(st stored) (at int) {
	at = p.kept
	size := roundUp(len(st.data), 1<<p.ashift)
	if !st.packed { // else it is there
		room := p.room(size)
		clear(room[copy(room, st.data):size])
	}
	p.kept += size
	return at
}

// take returns the blocks that were kept. Then those that are kept from now on go
// into other memory.
func (p *packer) take(other []byte) (kept []byte) {
	kept = p.buffer[:p.kept]
	p.buffer, p.kept = other[:cap(other)], 0
	return kept
}

// worthwhile returns to how many bytes a block of n must be compressed at most to
// take fewer units of allocation.
func (p *packer) worthwhile(n int) int { return (n - 1) &^ (1<<p.ashift - 1) }

// pad pads what [packer.compress] returned for a block of so many bytes to whole
// units of allocation. It is false if that saves nothing of what is allocated
// (zio_write_compress).
func (p *packer) pad(packed []byte, logical int) ([]byte, bool) {
	n := len(packed)
	size := roundUp(n, 1<<p.ashift)
	if size >= logical {
		return nil, false
	}
	padded := p.buffer[p.kept:][:size]
	clear(padded[n:])
	return padded, true
}

// pack returns a block compressed and padded, if that is worth it.
func (p *packer) pack(data []byte) ([]byte, bool) {
	packed, ok := p.compress(data, p.worthwhile(len(data)))
	if !ok {
		return nil, false
	}
	return p.pad(packed, len(data))
}

// stored is a block as it lies in the pool, or embedded in the pointer to it.
type stored struct {
	data             []byte
	packed, embedded bool
}

// store returns how a block is stored, valid until the next call. Embedded are blocks
// that compress to the size of a block pointer, if mayEmbed says so.
func (p *packer) store(data []byte, mayEmbed bool) stored {
	most := p.worthwhile(len(data))
	if mayEmbed {
		most = max(most, ondisk.MaxEmbedded)
	}
	packed, ok := p.compress(data, most)
	if ok && mayEmbed && len(packed) <= ondisk.MaxEmbedded {
		return stored{packed, true, true}
	}
	if ok {
		if packed, ok = p.pad(packed, len(data)); ok {
			return stored{packed, true, false}
		}
	}
	return stored{data, false, false}
}

// isZero reports whether a block is all zeros.
func isZero(p []byte) bool {
	for len(p) >= 8 {
		if binary.NativeEndian.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
