package vpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
)

var be = binary.BigEndian

const (
	footerSize   = 512
	footerCookie = "conectix"

	featureReserved = 2 // "this bit must always be set to 1"
	version1        = 0x0001_0000

	// none is where there is nothing: the data offset of a fixed disk.
	none = 0xffff_ffff_ffff_ffff

	typeFixed        = 2
	typeDynamic      = 3
	typeDifferencing = 4

	// Programs that read the format look at who made an image to know which of
	// its sizes to believe. These are the ones that qemu writes, and knows:
	// an image of "qemu" has the size of its geometry, one of "qem2" its size
	// in bytes.
	creatorGeometry = "qemu"
	creatorSize     = "qem2"
	creatorVersion  = 0x0005_0003
	creatorHost     = "Wi2k"

	// year2000 is when the format's time begins, in Unix time.
	year2000 = 946684800
)

// footer is the "Hard Disk Footer Format".
type footer struct {
	features, version uint32
	dataOffset        uint64
	timestamp         uint32 // seconds since 2000
	creator           string
	creatorVer        uint32
	creatorOS         string
	original, size    uint64
	geometry          geometry
	diskType          uint32
	id                uuid.UUID
	savedState        uint8
}

// timestamp returns the format's time. What was before 2000, as the default of
// all images here, becomes that.
func timestamp(t time.Time) uint32 {
	return uint32(min(max(t.Unix()-year2000, 0), 0xffff_ffff))
}

func (f *footer) encode() []byte {
	p := make([]byte, footerSize)
	copy(p[0:8], footerCookie)
	be.PutUint32(p[8:], f.features)
	be.PutUint32(p[12:], f.version)
	be.PutUint64(p[16:], f.dataOffset)
	be.PutUint32(p[24:], f.timestamp)
	copy(p[28:32], f.creator)
	be.PutUint32(p[32:], f.creatorVer)
	copy(p[36:40], f.creatorOS)
	be.PutUint64(p[40:], f.original)
	be.PutUint64(p[48:], f.size)
	be.PutUint16(p[56:], f.geometry.cylinders)
	p[58] = f.geometry.heads
	p[59] = f.geometry.perTrack
	be.PutUint32(p[60:], f.diskType)
	copy(p[68:84], f.id[:])
	p[84] = f.savedState
	be.PutUint32(p[footerChecksum:], checksum(p, footerChecksum))
	return p
}

const (
	footerChecksum = 64
	headerChecksum = 36
)

// checksum is the one's complement of the sum of all bytes but those of the
// checksum itself, which lies at at.
func checksum(p []byte, at int) uint32 {
	sum := uint32(0)
	for i, b := range p {
		if i < at || i >= at+4 {
			sum += uint32(b)
		}
	}
	return ^sum
}

var errNoFooter = errors.New("not a virtual hard disk: there is no footer")

func decodeFooter(p []byte) (*footer, error) {
	if string(p[0:8]) != footerCookie {
		return nil, errNoFooter
	}
	if got, want := be.Uint32(p[footerChecksum:]), checksum(p, footerChecksum); got != want {
		return nil, fmt.Errorf("the footer's checksum is %#08x, want %#08x", got, want)
	}
	return &footer{
		features:   be.Uint32(p[8:]),
		version:    be.Uint32(p[12:]),
		dataOffset: be.Uint64(p[16:]),
		timestamp:  be.Uint32(p[24:]),
		creator:    string(p[28:32]),
		creatorVer: be.Uint32(p[32:]),
		creatorOS:  string(p[36:40]),
		original:   be.Uint64(p[40:]),
		size:       be.Uint64(p[48:]),
		geometry:   geometry{be.Uint16(p[56:]), p[58], p[59]},
		diskType:   be.Uint32(p[60:]),
		id:         uuid.UUID(p[68:84]),
		savedState: p[84],
	}, nil
}

// diskSize returns the size that the disk is meant to have: Virtual PC, Virtual
// Server and qemu show the geometry's, unless that is the largest, and all
// others the one in bytes.
func (f *footer) diskSize() (int64, error) {
	size := f.size
	switch f.creator {
	case "vpc ", "vs  ", creatorGeometry:
		if f.geometry != maxGeometry && f.geometry.sectors() > 0 {
			size = uint64(f.geometry.sectors() * sectorSize)
		}
	}
	if size > MaxSize || size%sectorSize != 0 {
		return 0, fmt.Errorf("a disk of %d bytes; that must be whole sectors, and at most %d", size, int64(MaxSize))
	}
	return int64(size), nil
}

const (
	headerSize   = 1024
	headerCookie = "cxsparse"

	tableOffset = footerSize + headerSize
	entrySize   = 4
	entryUnused = 0xffff_ffff
)

// header is the "Dynamic Disk Header Format". The parent's locators are not
// kept.
type header struct {
	tableOffset uint64
	entries     uint32
	blockSize   uint32
	parent      uuid.UUID
	parentName  string
}

func (h *header) encode() []byte {
	p := make([]byte, headerSize)
	copy(p[0:8], headerCookie)
	be.PutUint64(p[8:], none) // data offset: no further header
	be.PutUint64(p[16:], h.tableOffset)
	be.PutUint32(p[24:], version1)
	be.PutUint32(p[28:], h.entries)
	be.PutUint32(p[32:], h.blockSize)
	// From 40 on all is about a parent.
	be.PutUint32(p[headerChecksum:], checksum(p, headerChecksum))
	return p
}

func decodeHeader(p []byte) (*header, error) {
	if string(p[0:8]) != headerCookie {
		return nil, errors.New("the dynamic disk header is not there")
	}
	if got, want := be.Uint32(p[headerChecksum:]), checksum(p, headerChecksum); got != want {
		return nil, fmt.Errorf("the dynamic disk header's checksum is %#08x, want %#08x", got, want)
	}
	return &header{
		tableOffset: be.Uint64(p[16:]),
		entries:     be.Uint32(p[28:]),
		blockSize:   be.Uint32(p[32:]),
		parent:      uuid.UUID(p[40:56]),
		parentName:  utf16Name(p[64:576]),
	}, nil
}

func utf16Name(p []byte) string {
	var units []uint16
	for ; len(p) >= 2 && be.Uint16(p) != 0; p = p[2:] {
		units = append(units, be.Uint16(p))
	}
	return string(utf16.Decode(units))
}
