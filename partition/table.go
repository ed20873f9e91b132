package partition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"diskwright/content"
	"diskwright/diskmap"

	"github.com/google/uuid"
)

// SectorSize is the size in bytes of the sectors of every disk that is
// planned. Disks that are read may have sectors of 4,096 bytes.
const SectorSize = 512

// Scheme is a kind of partition table.
type Scheme string

const (
	Unpartitioned Scheme = "none"
	MBR           Scheme = "mbr"
	GPT           Scheme = "gpt"
)

// Table is the partition table of a disk, planned or read. Positions are in
// sectors.
type Table struct {
	Layout     Layout `json:"layout,omitempty"` // empty if read
	Scheme     Scheme `json:"scheme"`
	SectorSize int64  `json:"sectorSize"` // bytes
	DiskSize   int64  `json:"diskSize"`   // bytes

	// BootCode is the start of sector 0, at most 440 bytes, without the zeros
	// behind it.
	BootCode []byte `json:"-"`
	// Signature is the disk signature of an MBR.
	Signature uint32 `json:"signature,omitempty"`
	// DiskGUID is the GUID of a disk with a GPT, and FirstUsable and LastUsable
	// are the first and the last sector that its partitions may have.
	DiskGUID    uuid.UUID `json:"diskGuid,omitzero"`
	FirstUsable int64     `json:"firstUsable,omitempty"`
	LastUsable  int64     `json:"lastUsable,omitempty"`

	// Partitions are in the order of their entries. A disk that is planned
	// without a table has one partition with number 0, the whole disk; a disk
	// that is read has none.
	Partitions []Partition `json:"partitions"`

	// Embedded is what boot loaders have in the gap before the first partition
	// of an MBR, or in a partition of their own.
	Embedded []Embedded `json:"-"`

	// Problems is what [Read] found to be wrong.
	Problems []Problem `json:"problems,omitempty"`
}

// Partition is an entry of a partition table.
type Partition struct {
	Number  int   `json:"number"` // counts from 1; logical partitions of an MBR from 5
	Role    Role  `json:"role,omitempty"`
	Start   int64 `json:"start"`   // first sector
	Sectors int64 `json:"sectors"` // length

	// In a GPT.
	TypeGUID   uuid.UUID `json:"typeGuid,omitzero"`
	GUID       uuid.UUID `json:"guid,omitzero"`
	Name       string    `json:"name,omitempty"`
	Attributes uint64    `json:"attributes,omitempty"`

	// In an MBR. Active is the flag "bootable", status 0x80.
	TypeCode byte `json:"typeCode,omitempty"`
	Active   bool `json:"active,omitempty"`

	// In a plan: where the reference mounts the file system, and the label
	// that it gives to a FAT. Both are empty where there is none.
	MountPoint string `json:"mountPoint,omitempty"`
	Label      string `json:"label,omitempty"`
}

// Embedded is content at an offset of the disk, in bytes, that belongs to no
// file system.
type Embedded struct {
	Offset  int64
	Content content.Source
}

// Last returns the last sector.
func (p Partition) Last() int64 { return p.Start + p.Sectors - 1 }

// Offset returns where a partition begins, in bytes.
func (t *Table) Offset(p Partition) int64 { return p.Start * t.SectorSize }

// Size returns the length of a partition in bytes.
func (t *Table) Size(p Partition) int64 { return p.Sectors * t.SectorSize }

// Usable returns the first sector that is not the table's, and the one behind the
// last.
func (t *Table) Usable() (first, end int64) {
	switch t.Scheme {
	case GPT:
		return t.FirstUsable, t.LastUsable + 1
	case MBR:
		first = 1
	}
	return first, t.DiskSize / t.SectorSize
}

// Placed returns the partitions in the order of their places, without those that
// only contain others.
func (t *Table) Placed() []Partition {
	list := slices.DeleteFunc(slices.Clone(t.Partitions), func(p Partition) bool { return p.Role == Extended })
	slices.SortStableFunc(list, func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
	return list
}

// ByRole returns the first partition with that role.
func (t *Table) ByRole(role Role) (Partition, bool) {
	i := slices.IndexFunc(t.Partitions, func(p Partition) bool { return p.Role == role })
	if i < 0 {
		return Partition{}, false
	}
	return t.Partitions[i], true
}

// Map returns the whole disk: the table, and in each partition the content
// that parts has for its number. A source may be shorter than its partition.
// Everything else is a hole. The table must have sectors of 512 bytes; an MBR
// has primary partitions only.
func (t *Table) Map(parts map[int]content.Source) (*diskmap.Map, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	var b diskmap.Builder
	switch t.Scheme {
	case MBR:
		b.Place(0, content.Bytes(t.masterBootRecord()))
	case GPT:
		t.placeGPT(&b)
	}
	for _, e := range t.Embedded {
		b.Place(e.Offset, e.Content)
	}
	placed := 0
	for _, p := range t.Partitions {
		src, ok := parts[p.Number]
		if !ok {
			continue
		}
		if src.Size() > t.Size(p) {
			return nil, fmt.Errorf("partition %d has %d bytes, its content %d", p.Number, t.Size(p), src.Size())
		}
		b.Place(t.Offset(p), src)
		placed++
	}
	if placed != len(parts) {
		return nil, fmt.Errorf("content for %d partitions, of which the table has %d", len(parts), placed)
	}
	return b.Map(t.DiskSize)
}

// check refuses tables that cannot be written.
func (t *Table) check() error {
	if t.SectorSize != SectorSize {
		return fmt.Errorf("a partition table with sectors of %d bytes cannot be written, only of %d", t.SectorSize, SectorSize)
	}
	if len(t.BootCode) > bootCodeSize {
		return fmt.Errorf("boot code of %d bytes is longer than %d", len(t.BootCode), bootCodeSize)
	}
	if t.Scheme != Unpartitioned && (t.DiskSize%SectorSize != 0 || t.DiskSize < minDisk*SectorSize) {
		return fmt.Errorf("a disk of %d bytes is not one of whole sectors, at least %d", t.DiskSize, minDisk)
	}
	first, last, numbers := int64(0), t.DiskSize/SectorSize-1, 0
	switch t.Scheme {
	case Unpartitioned:
	case MBR:
		first, numbers = 1, mbrEntries
	case GPT:
		// Other bounds would be legal, but nobody writes them.
		first, last, numbers = firstUsable, last+1-firstUsable, gptEntries
		if t.FirstUsable != first || t.LastUsable != last {
			return fmt.Errorf("usable sectors are %d to %d, not %d to %d", first, last, t.FirstUsable, t.LastUsable)
		}
	default:
		return fmt.Errorf("unknown partition table %q", t.Scheme)
	}
	for _, p := range t.Partitions {
		if err := t.checkPartition(p, first, last, numbers); err != nil {
			return fmt.Errorf("partition %d: %w", p.Number, err)
		}
	}
	return t.checkOverlap()
}

// checkPartition refuses partitions outside of the sectors from first to last
// and numbers that the table has no entry for.
func (t *Table) checkPartition(p Partition, first, last int64, numbers int) error {
	switch {
	case p.Number < min(1, numbers) || p.Number > numbers:
		return fmt.Errorf("the table has entries 1 to %d", numbers)
	case p.Sectors < 1 || p.Start < first || p.Sectors > last-p.Start+1:
		return fmt.Errorf("%d sectors from %d on do not lie in the usable %d to %d", p.Sectors, p.Start, first, last)
	case t.Scheme == MBR && (p.TypeCode == 0 || p.Start > maxMBR || p.Sectors > maxMBR):
		return fmt.Errorf("type %#02x, %d sectors from %d on: an MBR needs a type, and numbers below 2^32", p.TypeCode, p.Sectors, p.Start)
	case t.Scheme == GPT && p.TypeGUID == uuid.Nil:
		return fmt.Errorf("no type")
	case len(utf16.Encode([]rune(p.Name))) > gptNameUnits || strings.ContainsRune(p.Name, 0):
		return fmt.Errorf("name %q is longer than %d UTF-16 units, or has a zero in it", p.Name, gptNameUnits)
	}
	return nil
}

// checkOverlap refuses partitions that overlap or have one number.
func (t *Table) checkOverlap() error {
	sorted := slices.Clone(t.Partitions)
	slices.SortFunc(sorted, func(a, b Partition) int { return int(min(max(a.Start-b.Start, -1), 1)) })
	numbers := map[int]bool{}
	for i, p := range sorted {
		if numbers[p.Number] {
			return fmt.Errorf("two partitions have number %d", p.Number)
		}
		numbers[p.Number] = true
		if i > 0 && sorted[i-1].Last() >= p.Start {
			return fmt.Errorf("partitions %d and %d overlap", sorted[i-1].Number, p.Number)
		}
	}
	return nil
}
