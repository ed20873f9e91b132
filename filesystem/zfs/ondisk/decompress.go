package ondisk

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Decompress decompresses src, the bytes of a block with the padding behind them,
// into dst, which is as long as the block was.
func (c Compression) Decompress(dst, src []byte) error {
	switch {
	case c == CompressionOff:
		if len(src) != len(dst) {
			return fmt.Errorf("%d bytes that are not compressed are no block of %d", len(src), len(dst))
		}
		copy(dst, src)
		return nil
	case c == CompressionLZ4:
		return DecodeLZ4(dst, src)
	case c == CompressionLZJB:
		return decodeLZJB(dst, src)
	case c >= CompressionGzip1 && c <= CompressionGzip9:
		return decodeGzip(dst, src)
	case c == CompressionZLE:
		return decodeZLE(dst, src)
	case c == CompressionZstd:
		return decodeZstd(dst, src)
	}
	return fmt.Errorf("compression of kind %d is not known", c)
}

var errLZJB = errors.New("not a block that lzjb compressed")

// LZJB (module/zfs/lzjb.c) is what metadata has in pools without the feature
// lz4_compress. A byte of eight flags comes before eight items: a literal byte, or
// of a match the length and the distance.
//
//	match: | length - 3 (6 bits) | distance (10 bits) |   big endian
const (
	lzjbMinMatch   = 3
	lzjbOffsetBits = 10
)

func decodeLZJB(dst, src []byte) error {
	n := 0
	flags, left := byte(0), 0
	for n < len(dst) {
		if left == 0 {
			if len(src) == 0 {
				return errLZJB
			}
			flags, left, src = src[0], 8, src[1:]
		}
		match := flags&1 != 0
		flags >>= 1
		left--
		if !match {
			if len(src) == 0 {
				return errLZJB
			}
			dst[n] = src[0]
			n++
			src = src[1:]
			continue
		}
		if len(src) < 2 {
			return errLZJB
		}
		word := int(be.Uint16(src))
		src = src[2:]
		length, distance := word>>lzjbOffsetBits+lzjbMinMatch, word&(1<<lzjbOffsetBits-1)
		if distance == 0 || distance > n {
			return errLZJB
		}
		// The encoder lets the last match run over the end.
		for end := min(n+length, len(dst)); n < end; {
			n += copy(dst[n:end], dst[n-distance:n])
		}
	}
	return nil
}

var errGzip = errors.New("not a block that gzip compressed")

// zlibReaders are those not in use; a new one takes 40 KiB.
var zlibReaders sync.Pool

// decodeGzip decompresses what all levels of gzip write: a zlib stream (RFC 1950).
func decodeGzip(dst, src []byte) error {
	r, _ := zlibReaders.Get().(io.ReadCloser)
	var err error
	if r == nil {
		r, err = zlib.NewReader(bytes.NewReader(src))
	} else {
		err = r.(zlib.Resetter).Reset(bytes.NewReader(src), nil)
	}
	if err != nil {
		return errGzip
	}
	defer zlibReaders.Put(r)
	if _, err := io.ReadFull(r, dst); err != nil {
		return errGzip
	}
	return nil
}

var errZLE = errors.New("not a block that zle compressed")

// zleLevel divides the lengths of ZLE (module/zfs/zle.c), whose bytes of length
// mean up to 64 literals that follow, or zeros.
const zleLevel = 64

func decodeZLE(dst, src []byte) error {
	n := 0
	for n < len(dst) {
		if len(src) == 0 {
			return errZLE
		}
		length := int(src[0]) + 1
		src = src[1:]
		literals := length <= zleLevel
		if !literals {
			length -= zleLevel
		}
		if length > len(dst)-n || literals && length > len(src) {
			return errZLE
		}
		if literals {
			copy(dst[n:], src[:length])
			src = src[length:]
		} else {
			clear(dst[n : n+length])
		}
		n += length
	}
	return nil
}

var errZstd = errors.New("not a block that zstd compressed")

// A block that zstd compressed (zfs_zstdhdr_t): length, version and level, big
// endian, and a frame without its magic number.
const (
	zstdHeader = 8
	zstdMagic  = "\x28\xb5\x2f\xfd"
)

// zstdDecoder may be used by any number of goroutines at a time.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxBlockSize), zstd.WithDecoderConcurrency(0))
})

func decodeZstd(dst, src []byte) error {
	if len(src) < zstdHeader || uint64(be.Uint32(src)) > uint64(len(src)-zstdHeader) {
		return errZstd
	}
	d, err := zstdDecoder()
	if err != nil {
		return err
	}
	frame := append([]byte(zstdMagic), src[zstdHeader:][:be.Uint32(src)]...)
	// What is longer than the block goes elsewhere, bounded, and is refused.
	out, err := d.DecodeAll(frame, dst[:0:len(dst)])
	if err != nil || len(out) != len(dst) {
		return errZstd
	}
	copy(dst, out)
	return nil
}
