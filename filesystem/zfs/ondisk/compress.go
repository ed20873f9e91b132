package ondisk

import (
	"bytes"
	"compress/zlib"
	"errors"

	"github.com/klauspost/compress/zstd"
)

// Encoder compresses blocks. It may be used by one goroutine at a time. What it
// returns depends on the block only.
type Encoder interface {
	// Encode compresses src into dst, and returns how many bytes that took. It
	// is false, and dst arbitrary, if they do not fit.
	Encode(dst, src []byte) (n int, ok bool)
}

// Encoder returns one for a kind of compression, and of zstd its level (enum
// zio_zstd_levels, 0 is ZFS's default). It is nil for [CompressionOff].
func (c Compression) Encoder(level ZstdLevel) Encoder {
	switch {
	case c == CompressionLZ4:
		return new(LZ4Encoder)
	case c >= CompressionGzip1 && c <= CompressionGzip9:
		return newGzipEncoder(int(c-CompressionGzip1) + 1)
	case c == CompressionZLE:
		return zleEncoder{}
	case c == CompressionZstd:
		return newZstdEncoder(level)
	}
	return nil
}

// gzipEncoder writes zlib streams (module/zfs/gzip.c). They are those of the standard
// library, since GRUB cannot read all that faster encoders write.
type gzipEncoder struct {
	w   *zlib.Writer
	out limitedBuffer
}

func newGzipEncoder(level int) *gzipEncoder {
	w, err := zlib.NewWriterLevel(nil, level)
	if err != nil {
		panic(err) // there is no such level
	}
	return &gzipEncoder{w: w}
}

func (e *gzipEncoder) Encode(dst, src []byte) (n int, ok bool) {
	e.out = limitedBuffer{p: dst}
	e.w.Reset(&e.out)
	if _, err := e.w.Write(src); err != nil {
		return 0, false
	}
	if err := e.w.Close(); err != nil {
		return 0, false
	}
	return e.out.n, true
}

// limitedBuffer takes what has room in p.
type limitedBuffer struct {
	p []byte
	n int
}

var errFull = errors.New("full")

// Write implements [io.Writer].
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(p) > len(b.p)-b.n {
		return 0, errFull
	}
	b.n += copy(b.p[b.n:], p)
	return len(p), nil
}

// zleEncoder writes runs of zeros, and of other bytes with single zeros among them.
type zleEncoder struct{}

// zleZeros is the longest run of zeros.
const zleZeros = 256 - zleLevel

func (zleEncoder) Encode(dst, src []byte) (n int, ok bool) {
	for at := 0; at < len(src); {
		if zeros := zeroRun(src[at:min(at+zleZeros, len(src))]); zeros > 0 {
			if n == len(dst) {
				return 0, false
			}
			dst[n] = byte(zleLevel + zeros - 1)
			n++
			at += zeros
			continue
		}
		end := at + 1
		for end < len(src) && end < at+zleLevel && (src[end] != 0 || end+1 < len(src) && src[end+1] != 0) {
			end++
		}
		if n+1+end-at > len(dst) {
			return 0, false
		}
		dst[n] = byte(end - at - 1)
		n += 1 + copy(dst[n+1:], src[at:end])
		at = end
	}
	return n, true
}

// zeroRun returns how many zeros p begins with.
func zeroRun(p []byte) int {
	return len(p) - len(bytes.TrimLeft(p, "\x00"))
}

// ZstdLevel is a level of zstd as blocks have it: 1 to 19 are those of the zstd
// command; its fast levels follow far behind (enum zio_zstd_levels).
type ZstdLevel uint8

const (
	zstdDefaultLevel ZstdLevel = 3
	zstdMaxLevel     ZstdLevel = 19

	// ZstdFast is the level fast-1; fast-2 and so on follow.
	ZstdFast ZstdLevel = 103

	// zstdVersion is what OpenZFS 2.0 to 2.3 write into blocks: 1.4.5. No
	// reader looks at it.
	zstdVersion = 10405
)

// zstdEncoder writes frames without their magic number.
type zstdEncoder struct {
	level ZstdLevel
	w     *zstd.Encoder
	frame []byte
}

func newZstdEncoder(level ZstdLevel) *zstdEncoder {
	if level == 0 {
		level = zstdDefaultLevel
	}
	speed := zstd.SpeedFastest
	if level <= zstdMaxLevel {
		speed = zstd.EncoderLevelFromZstd(int(level))
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		panic(err) // the options are all right
	}
	return &zstdEncoder{level: level, w: w}
}

func (e *zstdEncoder) Encode(dst, src []byte) (n int, ok bool) {
	e.frame = e.w.EncodeAll(src, e.frame[:0])
	body := e.frame[len(zstdMagic):]
	if zstdHeader+len(body) > len(dst) {
		return 0, false
	}
	be.PutUint32(dst, uint32(len(body)))
	be.PutUint32(dst[4:], uint32(e.level)<<24|zstdVersion)
	return zstdHeader + copy(dst[zstdHeader:], body), true
}
