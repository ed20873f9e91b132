package compress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"diskwright/content"
)

// Sizes of the .xz format, section 2.1.
const (
	xzHeader = 12 // and footer
	xzMagic  = "\xfd7zXZ\x00"
	xzEnd    = "YZ"

	maxIndex = 16 << 20 // bytes; more than 2 million blocks
)

var errXZ = errors.New("the file is damaged or truncated")

// checkXZ looks how large the dictionaries are that a file's blocks ask for, of
// which the decoder allocates what it is told: up to 4 GiB. The index behind the
// blocks of each stream says where they are.
func checkXZ(r io.ReaderAt, size int64) error {
	end := size &^ 3
	for end > 0 {
		tail := make([]byte, xzHeader)
		if end < 2*xzHeader {
			return errXZ
		}
		if err := content.ReadFull(r, tail, end-xzHeader); err != nil {
			return err
		}
		if string(tail[8:]) == "\x00\x00\x00\x00" { // padding between streams
			end -= 4
			continue
		}
		indexSize := (int64(binary.LittleEndian.Uint32(tail[4:])) + 1) * 4
		if string(tail[10:]) != xzEnd || indexSize > end-2*xzHeader || indexSize > maxIndex {
			return errXZ
		}
		index := make([]byte, indexSize)
		if err := content.ReadFull(r, index, end-xzHeader-indexSize); err != nil {
			return err
		}
		start, err := checkBlocks(r, index, end-xzHeader-indexSize)
		if err != nil {
			return err
		}
		end = start
	}
	return nil
}

// checkBlocks checks the headers of the blocks that end at end, and returns
// where their stream begins.
func checkBlocks(r io.ReaderAt, index []byte, end int64) (int64, error) {
	p := index[1:] // behind the indicator
	count, p, ok := varint(p)
	if index[0] != 0 || !ok || count > int64(len(p)) {
		return 0, errXZ
	}
	sizes, total := make([]int64, 0, count), int64(0)
	for range count {
		var n int64
		if n, p, ok = varint(p); !ok || n > end {
			return 0, errXZ
		}
		if _, p, ok = varint(p); !ok {
			return 0, errXZ
		}
		n = (n + 3) &^ 3
		sizes = append(sizes, n)
		if total += n; total > end-xzHeader {
			return 0, errXZ
		}
	}
	at := end - total
	start := at - xzHeader
	magic := make([]byte, len(xzMagic))
	if err := content.ReadFull(r, magic, start); err != nil || string(magic) != xzMagic {
		return 0, errXZ
	}
	for _, n := range sizes {
		if err := checkBlock(r, at, n); err != nil {
			return 0, err
		}
		at += n
	}
	return start, nil
}

// checkBlock checks the header of a block, section 3.1.
func checkBlock(r io.ReaderAt, at, size int64) error {
	head := make([]byte, min(size, 1024))
	if len(head) < 8 {
		return errXZ
	}
	if err := content.ReadFull(r, head, at); err != nil {
		return err
	}
	length := (int(head[0]) + 1) * 4
	if head[0] == 0 || length > len(head) {
		return errXZ
	}
	flags, p := head[1], head[2:length-4]
	for _, has := range []byte{0x40, 0x80} { // the sizes
		var ok bool
		if flags&has != 0 {
			if _, p, ok = varint(p); !ok {
				return errXZ
			}
		}
	}
	const lzma2 = 0x21
	if flags&3 != 0 || len(p) < 3 || p[0] != lzma2 || p[1] != 1 {
		return errors.New("it was made with filters that are not known here; decompress it first")
	}
	if bits := int64(p[2]); bits > 40 || bits < 40 && (2|bits&1)<<(bits/2+11) > maxWindow || bits == 40 {
		return fmt.Errorf("it takes more than %d bytes of memory to read; decompress it first", maxWindow)
	}
	return nil
}

// varint reads an integer of up to 9 bytes, section 1.2.
func varint(p []byte) (n int64, rest []byte, ok bool) {
	for i := 0; i < len(p) && i < 9; i++ {
		n |= int64(p[i]&0x7f) << (7 * i)
		if p[i]&0x80 == 0 {
			return n, p[i+1:], n >= 0
		}
	}
	return 0, nil, false
}
