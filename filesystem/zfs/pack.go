package zfs

import (
	"diskwright/filesystem/zfs/ondisk"
)

// packer compresses blocks. It may be used by one goroutine at a time.
type packer struct {
	ashift int
	lz4    *ondisk.LZ4Encoder // nil: nothing is compressed
	buffer []byte
}

func newPacker(how packing) *packer {
	p := &packer{ashift: how.ashift}
	if how.compression == ondisk.CompressionLZ4 {
		p.lz4 = new(ondisk.LZ4Encoder)
		p.buffer = make([]byte, max(maxRecordSize, ondisk.IndirectSize))
	}
	return p
}

// pack returns a block compressed, padded to whole units of allocation. It is
// valid until the next call. It is false if that does not save an eighth, or
// nothing of what is allocated: the rules of OpenZFS (zio_compress_data,
// zio_write_compress).
func (p *packer) pack(data []byte) ([]byte, bool) {
	if p.lz4 == nil {
		return nil, false
	}
	n, ok := p.lz4.Encode(p.buffer[:len(data)-len(data)/8], data)
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
		if p[0]|p[1]|p[2]|p[3]|p[4]|p[5]|p[6]|p[7] != 0 {
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
