package ondisk

import (
	"errors"

	"github.com/pierrec/lz4/v4"
)

// lz4Header is what ZFS puts in front of one block of the LZ4 block format
// (module/zfs/lz4.c): the block's length in four bytes, big endian.
const lz4Header = 4

// LZ4Encoder compresses blocks. Its zero value is ready; it may be used by one
// goroutine at a time. What it returns depends on the block only.
type LZ4Encoder struct{ compressor lz4.Compressor }

// Encode compresses src into dst, and returns how many bytes that took, header
// included. It is false, and dst arbitrary, if they do not fit.
func (e *LZ4Encoder) Encode(dst, src []byte) (n int, ok bool) {
	if len(dst) < lz4Header {
		return 0, false
	}
	n, err := e.compressor.CompressBlock(src, dst[lz4Header:])
	if n == 0 || err != nil {
		return 0, false
	}
	be.PutUint32(dst, uint32(n))
	return lz4Header + n, true
}

var errLZ4 = errors.New("not a block that lz4 compressed")

// DecodeLZ4 decompresses src, padding behind the block included, into dst, which
// is as long as the block was.
func DecodeLZ4(dst, src []byte) error {
	if len(src) < lz4Header || uint64(be.Uint32(src)) > uint64(len(src)-lz4Header) {
		return errLZ4
	}
	n, err := lz4.UncompressBlock(src[lz4Header:lz4Header+int(be.Uint32(src))], dst)
	if n != len(dst) || err != nil {
		return errLZ4
	}
	return nil
}
