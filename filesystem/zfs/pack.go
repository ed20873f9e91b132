package zfs

import (
	"encoding/binary"

	"diskwright/filesystem/zfs/ondisk"
)

// packer compresses blocks. It may be used by one goroutine at a time.
type packer struct {
	ashift  int
	encoder ondisk.Encoder // nil: nothing is compressed
	buffer  []byte
}

func newPacker(how packing) *packer {
	return &packer{ashift: how.ashift, encoder: how.compression.Encoder(how.level)}
}

// pack returns a block compressed, padded to whole units of allocation. It is
// valid until the next call. It is false if that does not save an eighth, or
// nothing of what is allocated: the rules of OpenZFS (zio_compress_data,
// zio_write_compress).
func (p *packer) pack(data []byte) ([]byte, bool) {
	if p.encoder == nil {
		return nil, false
	}
	if len(p.buffer) < len(data) {
		p.buffer = make([]byte, len(data))
	}
	n, ok := p.encoder.Encode(p.buffer[:len(data)-len(data)/8], data)
	if !ok {
		return nil, false
	}
	unit := 1 << p.ashift
	size := (n + unit - 1) &^ (unit - 1)
	if size >= len(data) {
		return nil, false
	}
	clear(p.buffer[n:size])
	return p.buffer[:size], true
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
