package vhdx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"

	"diskwright/content"
	"diskwright/format/block"

	"github.com/google/uuid"
)

var le = binary.LittleEndian

// Section 2.2: the header section, which is 1 MiB long.
const (
	fileSignature = "vhdxfile"
	creator       = "Diskwright"

	headerSize      = 4 << 10
	headerSignature = "head"
	headerVersion   = 1

	regionTableSize  = 64 << 10
	regionSignature  = "regi"
	regionHeaderSize = 16
	regionEntrySize  = 32
	maxRegions       = 2047
	regionRequired   = 1
)

var (
	headerOffsets = []int64{64 << 10, 128 << 10}
	regionOffsets = []int64{192 << 10, 256 << 10}

	regionBAT      = guid("2dc27766-f623-4200-9d64-115e9bfd4a08")
	regionMetadata = guid("8b7ca206-4790-4b9a-b8fe-575f050f886e")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the CRC-32C of p with the checksum itself, at 4, as zeros.
func checksum(p []byte) uint32 {
	var zero [4]byte
	sum := crc32.Update(0, castagnoli, p[:4])
	sum = crc32.Update(sum, castagnoli, zero[:])
	return crc32.Update(sum, castagnoli, p[8:])
}

// fileType is the file type identifier (2.2.1).
func fileType() []byte {
	p := []byte(fileSignature)
	for _, unit := range utf16.Encode([]rune(creator)) {
		p = le.AppendUint16(p, unit)
	}
	return p
}

func decodeCreator(p []byte) string {
	var units []uint16
	for ; len(p) >= 2 && le.Uint16(p) != 0; p = p[2:] {
		units = append(units, le.Uint16(p))
	}
	return string(utf16.Decode(units))
}

// header is one of the two headers (2.2.2).
type header struct {
	sequence                  uint64
	fileWrite, dataWrite, log uuid.UUID
	logVersion                uint16
	logOffset, logLength      int64
}

func (h *header) encode() []byte {
	p := make([]byte, headerSize)
	copy(p, headerSignature)
	le.PutUint64(p[8:], h.sequence)
	putGUID(p[16:], h.fileWrite)
	putGUID(p[32:], h.dataWrite)
	putGUID(p[48:], h.log) // zero: nothing to replay
	// 64: log version 0
	le.PutUint16(p[66:], headerVersion)
	le.PutUint32(p[68:], uint32(h.logLength))
	le.PutUint64(p[72:], uint64(h.logOffset))
	le.PutUint32(p[4:], checksum(p))
	return p
}

// decodeHeader returns nil if the header is not valid.
func decodeHeader(p []byte) *header {
	if string(p[:4]) != headerSignature || le.Uint32(p[4:]) != checksum(p) || le.Uint16(p[66:]) != headerVersion {
		return nil
	}
	return &header{
		sequence:   le.Uint64(p[8:]),
		fileWrite:  getGUID(p[16:]),
		dataWrite:  getGUID(p[32:]),
		log:        getGUID(p[48:]),
		logVersion: le.Uint16(p[64:]),
		logOffset:  int64(le.Uint64(p[72:])),
		logLength:  int64(le.Uint32(p[68:])),
	}
}

// readHeader returns the current header: the valid one with the higher sequence
// number.
func readHeader(r io.ReaderAt, size int64) (*header, error) {
	var current *header
	for _, off := range headerOffsets {
		p, err := block.ReadAt(r, size, off, headerSize, "header")
		if err != nil {
			return nil, err
		}
		h := decodeHeader(p)
		switch {
		case h == nil:
		case current == nil, h.sequence > current.sequence:
			current = h
		case h.sequence == current.sequence && *h != *current:
			return nil, fmt.Errorf("both headers have the sequence number %d, and differ", h.sequence)
		}
	}
	if current == nil {
		return nil, errors.New("neither of its headers is valid")
	}
	return current, nil
}

// region is a part of the file with a purpose (2.2.3).
type region struct {
	id             uuid.UUID
	offset, length int64
	required       bool
}

func encodeRegions(regions []region) content.Bytes {
	p := make([]byte, regionTableSize)
	copy(p, regionSignature)
	le.PutUint32(p[8:], uint32(len(regions)))
	for i, r := range regions {
		e := p[regionHeaderSize+i*regionEntrySize:]
		putGUID(e, r.id)
		le.PutUint64(e[16:], uint64(r.offset))
		le.PutUint32(e[24:], uint32(r.length))
		if r.required {
			le.PutUint32(e[28:], regionRequired)
		}
	}
	le.PutUint32(p[4:], checksum(p))
	return p
}

// readRegions reads the region table, or its copy where that is damaged.
func readRegions(r io.ReaderAt, size int64) ([]region, error) {
	for _, off := range regionOffsets {
		p, err := block.ReadAt(r, size, off, regionTableSize, "region table")
		if err != nil {
			return nil, err
		}
		if string(p[:4]) == regionSignature && le.Uint32(p[4:]) == checksum(p) {
			return decodeRegions(p)
		}
	}
	return nil, errors.New("neither of its region tables is valid")
}

func decodeRegions(p []byte) ([]region, error) {
	n := le.Uint32(p[8:])
	if n > maxRegions {
		return nil, fmt.Errorf("%d regions are more than %d", n, maxRegions)
	}
	regions := make([]region, n)
	for i := range regions {
		e := p[regionHeaderSize+i*regionEntrySize:]
		r := region{
			id:       getGUID(e),
			offset:   int64(le.Uint64(e[16:])),
			length:   int64(le.Uint32(e[24:])),
			required: le.Uint32(e[28:])&regionRequired != 0,
		}
		if r.offset < alignment || r.offset%alignment != 0 || r.length == 0 || r.length%alignment != 0 {
			return nil, fmt.Errorf("region %s: %d bytes at %d; both must be multiples of 1 MiB, and the first MiB is taken", r.id, r.length, uint64(r.offset))
		}
		regions[i] = r
	}
	return regions, nil
}

// putGUID writes the first three fields little-endian, as Windows does.
func putGUID(p []byte, id uuid.UUID) {
	le.PutUint32(p[0:], binary.BigEndian.Uint32(id[0:]))
	le.PutUint16(p[4:], binary.BigEndian.Uint16(id[4:]))
	le.PutUint16(p[6:], binary.BigEndian.Uint16(id[6:]))
	copy(p[8:16], id[8:])
}

func getGUID(p []byte) (id uuid.UUID) {
	binary.BigEndian.PutUint32(id[0:], le.Uint32(p[0:]))
	binary.BigEndian.PutUint16(id[4:], le.Uint16(p[4:]))
	binary.BigEndian.PutUint16(id[6:], le.Uint16(p[6:]))
	copy(id[8:], p[8:16])
	return id
}

// isImage reports whether p, the beginning of a file, is that of an image.
func isImage(p []byte) bool { return bytes.HasPrefix(p, []byte(fileSignature)) }
