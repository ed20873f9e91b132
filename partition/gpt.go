package partition

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"unicode/utf16"

	"diskwright/content"
	"diskwright/diskmap"

	"github.com/google/uuid"
)

// The GPT (UEFI specification, section 5.3).
const (
	gptSignature  = "EFI PART"
	gptRevision   = 0x00010000
	gptHeaderSize = 92
	gptEntries    = 128
	gptEntrySize  = 128
	gptArraySize  = gptEntries * gptEntrySize
	gptNameUnits  = 36 // UTF-16
	gptHeaderLBA  = 1
	gptArrayLBA   = 2

	minDisk = 2*firstUsable - 1 // sectors that the two copies and the MBR need
)

// gptHeader is a header, primary or backup. Positions are in sectors.
type gptHeader struct {
	size                    uint32 // of the header, in bytes
	self, other             uint64 // this header and the other one
	firstUsable, lastUsable uint64
	disk                    uuid.UUID
	array                   uint64
	entries, entrySize      uint32
	arrayCRC                uint32
}

// encode returns the header's bytes.
func (h gptHeader) encode() []byte {
	b := make([]byte, gptHeaderSize)
	copy(b, gptSignature)
	binary.LittleEndian.PutUint32(b[8:], gptRevision)
	binary.LittleEndian.PutUint32(b[12:], gptHeaderSize)
	binary.LittleEndian.PutUint64(b[24:], h.self)
	binary.LittleEndian.PutUint64(b[32:], h.other)
	binary.LittleEndian.PutUint64(b[40:], h.firstUsable)
	binary.LittleEndian.PutUint64(b[48:], h.lastUsable)
	putGUID(b[56:], h.disk)
	binary.LittleEndian.PutUint64(b[72:], h.array)
	binary.LittleEndian.PutUint32(b[80:], h.entries)
	binary.LittleEndian.PutUint32(b[84:], h.entrySize)
	binary.LittleEndian.PutUint32(b[88:], h.arrayCRC)
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b)) // of a header whose CRC is zero
	return b
}

// decodeGPTHeader decodes a header's bytes, of which there must be 92. It
// checks nothing.
func decodeGPTHeader(b []byte) gptHeader {
	return gptHeader{
		size:        binary.LittleEndian.Uint32(b[12:]),
		self:        binary.LittleEndian.Uint64(b[24:]),
		other:       binary.LittleEndian.Uint64(b[32:]),
		firstUsable: binary.LittleEndian.Uint64(b[40:]),
		lastUsable:  binary.LittleEndian.Uint64(b[48:]),
		disk:        getGUID(b[56:]),
		array:       binary.LittleEndian.Uint64(b[72:]),
		entries:     binary.LittleEndian.Uint32(b[80:]),
		entrySize:   binary.LittleEndian.Uint32(b[84:]),
		arrayCRC:    binary.LittleEndian.Uint32(b[88:]),
	}
}

// headerCRC returns the CRC that is written in a header of size bytes at the
// start of sector, and the one that it has.
func headerCRC(sector []byte, size uint32) (written, actual uint32) {
	b := bytes.Clone(sector[:size])
	written = binary.LittleEndian.Uint32(b[16:])
	clear(b[16:20])
	return written, crc32.ChecksumIEEE(b)
}

// putEntry encodes a partition into its entry of 128 bytes.
func putEntry(b []byte, p Partition) {
	putGUID(b[0:], p.TypeGUID)
	putGUID(b[16:], p.GUID)
	binary.LittleEndian.PutUint64(b[32:], uint64(p.Start))
	binary.LittleEndian.PutUint64(b[40:], uint64(p.Last())) // inclusive
	binary.LittleEndian.PutUint64(b[48:], p.Attributes)
	for i, unit := range utf16.Encode([]rune(p.Name)) {
		binary.LittleEndian.PutUint16(b[56+2*i:], unit)
	}
}

// gptEntry is an entry as it is read.
type gptEntry struct {
	typ, guid   uuid.UUID
	first, last uint64
	attributes  uint64
	name        string
}

// decodeGPTEntry decodes an entry of at least 128 bytes.
func decodeGPTEntry(b []byte) gptEntry {
	units := make([]uint16, 0, gptNameUnits)
	for i := range gptNameUnits {
		unit := binary.LittleEndian.Uint16(b[56+2*i:])
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return gptEntry{
		typ:        getGUID(b[0:]),
		guid:       getGUID(b[16:]),
		first:      binary.LittleEndian.Uint64(b[32:]),
		last:       binary.LittleEndian.Uint64(b[40:]),
		attributes: binary.LittleEndian.Uint64(b[48:]),
		name:       string(utf16.Decode(units)),
	}
}

// placeGPT places a protective MBR and both copies of the GPT. The entries are
// placed up to the last sector that is not zero.
func (t *Table) placeGPT(b *diskmap.Builder) {
	array := make([]byte, gptArraySize)
	used := 0
	for _, p := range t.Partitions {
		putEntry(array[(p.Number-1)*gptEntrySize:][:gptEntrySize], p)
		used = max(used, p.Number*gptEntrySize)
	}
	last := uint64(t.DiskSize/SectorSize - 1)
	primary := gptHeader{
		self: gptHeaderLBA, other: last, array: gptArrayLBA,
		firstUsable: uint64(t.FirstUsable), lastUsable: uint64(t.LastUsable),
		disk:    t.DiskGUID,
		entries: gptEntries, entrySize: gptEntrySize, arrayCRC: crc32.ChecksumIEEE(array),
	}
	backup := primary
	backup.self, backup.other = primary.other, primary.self
	backup.array = last - gptArraySize/SectorSize

	front := append(t.protectiveMBR(), sector(primary.encode())...)
	entries := array[:(used+SectorSize-1)/SectorSize*SectorSize]
	b.Place(0, content.Bytes(append(front, entries...)))
	b.Place(int64(backup.array)*SectorSize, content.Bytes(entries))
	b.Place(int64(backup.self)*SectorSize, content.Bytes(sector(backup.encode())))
}

// sector pads b with zeros to a sector.
func sector(b []byte) []byte { return append(b, make([]byte, SectorSize-len(b))...) }

// putGUID writes a GUID as UEFI does: the first three of its groups as little
// endian numbers, the rest as bytes (UEFI specification, appendix A).
func putGUID(b []byte, id uuid.UUID) {
	binary.LittleEndian.PutUint32(b[0:], binary.BigEndian.Uint32(id[0:]))
	binary.LittleEndian.PutUint16(b[4:], binary.BigEndian.Uint16(id[4:]))
	binary.LittleEndian.PutUint16(b[6:], binary.BigEndian.Uint16(id[6:]))
	copy(b[8:16], id[8:])
}

// getGUID reads what putGUID writes.
func getGUID(b []byte) (id uuid.UUID) {
	putGUID(id[:], uuid.UUID(b[:16])) // it is its own inverse
	return id
}
