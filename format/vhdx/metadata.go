package vhdx

import (
	"errors"
	"fmt"
	"io"

	"diskwright/format/block"

	"github.com/google/uuid"
)

// Section 2.6: the metadata region.
const (
	metadataTableSize  = 64 << 10
	metadataSignature  = "metadata"
	metadataHeaderSize = 32
	metadataEntrySize  = 32
	maxMetadata        = 2047

	itemUser        = 1
	itemVirtualDisk = 2
	itemRequired    = 4

	// flags of the file parameters
	leaveBlocksAllocated = 1 // a fixed disk
	hasParent            = 2
)

var (
	itemFileParameters     = guid("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
	itemVirtualDiskSize    = guid("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
	itemVirtualDiskID      = guid("beca12ab-b2e6-4523-93ef-c309e000c746")
	itemLogicalSectorSize  = guid("8141bf1d-a96f-4709-ba47-f233a8faab5f")
	itemPhysicalSectorSize = guid("cda348c7-445d-4471-9cc9-e9885251c556")
	itemParentLocator      = guid("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
)

// metadata is what the metadata region says of the disk.
type metadata struct {
	blockSize          int64
	fixed, parent      bool
	size               int64
	id                 uuid.UUID
	sectorSize         int64
	physicalSectorSize int64
}

// chunkRatio is how many blocks share a sector bitmap, of 1 MiB: as many as
// have 2^23 sectors (2.5).
func (m *metadata) chunkRatio() int64 { return (1 << 23) * m.sectorSize / m.blockSize }

// batEntries returns how many entries the BAT of a disk without a parent has:
// it ends with the last block.
func (m *metadata) batEntries() int64 {
	blocks := block.DivideUp(m.size, m.blockSize)
	return blocks + max(blocks-1, 0)/m.chunkRatio()
}

// encode returns the beginning of the region: the table, and the five items
// that every image must have.
func (m *metadata) encode() []byte {
	var parameters [8]byte
	le.PutUint32(parameters[0:], uint32(m.blockSize))
	if m.fixed {
		le.PutUint32(parameters[4:], leaveBlocksAllocated)
	}
	var id [16]byte
	putGUID(id[:], m.id)
	items := []struct {
		id    uuid.UUID
		flags uint32
		value []byte
	}{
		{itemFileParameters, itemRequired, parameters[:]},
		{itemVirtualDiskSize, itemRequired | itemVirtualDisk, le.AppendUint64(nil, uint64(m.size))},
		{itemVirtualDiskID, itemRequired | itemVirtualDisk, id[:]},
		{itemLogicalSectorSize, itemRequired | itemVirtualDisk, le.AppendUint32(nil, uint32(m.sectorSize))},
		{itemPhysicalSectorSize, itemRequired | itemVirtualDisk, le.AppendUint32(nil, uint32(m.physicalSectorSize))},
	}
	p := make([]byte, metadataTableSize)
	copy(p, metadataSignature)
	le.PutUint16(p[10:], uint16(len(items)))
	for i, item := range items {
		e := p[metadataHeaderSize+i*metadataEntrySize:]
		putGUID(e, item.id)
		le.PutUint32(e[16:], uint32(len(p))) // from the region's beginning
		le.PutUint32(e[20:], uint32(len(item.value)))
		le.PutUint32(e[24:], item.flags)
		p = append(p, item.value...)
	}
	return p
}

// readMetadata reads the items of the metadata region.
func readMetadata(r io.ReaderAt, size int64, at region) (*metadata, error) {
	if at.length < metadataTableSize {
		return nil, fmt.Errorf("a metadata region of %d bytes has no room for its table", at.length)
	}
	p, err := block.ReadAt(r, size, at.offset, metadataTableSize, "metadata table")
	if err != nil {
		return nil, err
	}
	if string(p[:8]) != metadataSignature {
		return nil, errors.New("the metadata table is not there")
	}
	n := int(le.Uint16(p[10:]))
	if n > maxMetadata {
		return nil, fmt.Errorf("%d items of metadata are more than %d", n, maxMetadata)
	}
	var m metadata
	wanted := m.items()
	for i := range n {
		e := p[metadataHeaderSize+i*metadataEntrySize:]
		id, flags := getGUID(e), le.Uint32(e[24:])
		off, length := int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:]))
		item := wanted[id]
		switch {
		case flags&itemUser != 0 || item == nil:
			if flags&itemRequired != 0 {
				return nil, fmt.Errorf("it cannot be read without understanding its metadata item %s", id)
			}
			continue
		case item.found:
			return nil, fmt.Errorf("there are two of the %s", item.name)
		case item.length != 0 && length != item.length || off < metadataTableSize || off > at.length-length:
			return nil, fmt.Errorf("the %s has %d bytes at %d of its region", item.name, length, off)
		}
		item.found = true
		if item.decode == nil {
			continue
		}
		value, err := block.ReadAt(r, size, at.offset+off, int(length), item.name)
		if err != nil {
			return nil, err
		}
		item.decode(value)
	}
	return &m, m.check(wanted)
}

// item is a kind of metadata.
type item struct {
	name   string
	length int64 // zero: any
	decode func(p []byte)
	found  bool
}

// items returns the metadata that is understood, each with how it is decoded
// into m.
func (m *metadata) items() map[uuid.UUID]*item {
	return map[uuid.UUID]*item{
		itemFileParameters: {name: "file parameters", length: 8, decode: func(p []byte) {
			m.blockSize = int64(le.Uint32(p))
			m.fixed = le.Uint32(p[4:])&leaveBlocksAllocated != 0
			m.parent = le.Uint32(p[4:])&hasParent != 0
		}},
		itemVirtualDiskSize: {name: "virtual disk size", length: 8, decode: func(p []byte) {
			m.size = int64(min(le.Uint64(p), 1<<62))
		}},
		itemVirtualDiskID:      {name: "virtual disk ID", length: 16, decode: func(p []byte) { m.id = getGUID(p) }},
		itemLogicalSectorSize:  {name: "logical sector size", length: 4, decode: func(p []byte) { m.sectorSize = int64(le.Uint32(p)) }},
		itemPhysicalSectorSize: {name: "physical sector size", length: 4, decode: func(p []byte) { m.physicalSectorSize = int64(le.Uint32(p)) }},
		itemParentLocator:      {name: "parent locator"},
	}
}

// check refuses what the specification does not allow, and disks with a parent.
func (m *metadata) check(found map[uuid.UUID]*item) error {
	for _, id := range []uuid.UUID{itemFileParameters, itemVirtualDiskSize, itemVirtualDiskID, itemLogicalSectorSize, itemPhysicalSectorSize} {
		if !found[id].found {
			return fmt.Errorf("there is no %s", found[id].name)
		}
	}
	switch {
	case m.parent || found[itemParentLocator].found:
		return errors.New("it is a differencing disk, which has only what differs from its parent; merge the two to read it")
	case m.blockSize < minBlockSize || m.blockSize > maxBlockSize || m.blockSize&(m.blockSize-1) != 0:
		return fmt.Errorf("blocks of %d bytes; that must be a power of two from 1 MiB to 256 MiB", m.blockSize)
	case m.sectorSize != 512 && m.sectorSize != 4096:
		return fmt.Errorf("logical sectors of %d bytes; that must be 512 or 4096", m.sectorSize)
	case m.size > MaxSize || m.size%m.sectorSize != 0:
		return fmt.Errorf("a disk of %d bytes; that must be whole sectors, and at most %d", m.size, int64(MaxSize))
	}
	return nil
}
