package partition

import "encoding/binary"

// mbr is a sector 0 that is read.
type mbr struct {
	valid      bool // it is an MBR
	protective bool // it has an entry that protects a GPT
	signature  uint32
	entries    [mbrEntries]mbrEntry
}

// decodeMBR decodes sector 0. Boot sectors of FAT and NTFS end in 55 AA too.
// They are told by what follows in place of entries, which is code or text, and
// if that is zero by what they begin with.
func decodeMBR(sector []byte) mbr {
	var m mbr
	if !hasMagic(sector) {
		return m
	}
	m.signature = binary.LittleEndian.Uint32(sector[mbrSignature:])
	m.valid = true
	for i := range m.entries {
		e := decodeMBREntry(sector[mbrEntryTable+i*mbrEntrySize:])
		m.entries[i] = e
		m.protective = m.protective || e.code == CodeProtective
		if e.status != mbrStatusDefault && e.status != mbrStatusActive {
			m.valid = false
		}
	}
	if !m.valid || !m.used() && !m.protective && isVolumeBootSector(sector) {
		return mbr{}
	}
	return m
}

func hasMagic(sector []byte) bool {
	return sector[mbrMagic] == mbrMagicLow && sector[mbrMagic+1] == mbrMagicHigh
}

// isVolumeBootSector reports whether a sector begins like a FAT, exFAT or NTFS:
// with a jump over the description of the volume, which starts behind the name
// of the program that made it.
func isVolumeBootSector(sector []byte) bool {
	jump := sector[0] == 0xeb && sector[2] == 0x90 || sector[0] == 0xe9
	switch binary.LittleEndian.Uint16(sector[11:]) { // bytes per sector
	case 512, 1024, 2048, 4096:
		return jump
	case 0:
		return jump && string(sector[3:11]) == "EXFAT   "
	}
	return false
}

// used reports whether the MBR has partitions that protect nothing.
func (m mbr) used() bool {
	for _, e := range m.entries {
		if !e.empty() && e.code != CodeProtective {
			return true
		}
	}
	return false
}

// maxLogical bounds the number of logical partitions that are followed. Linux
// gives up after 256 minor numbers, parted after 64.
const maxLogical = 128

// takeMBR takes the partitions of an MBR, the logical ones included.
func (t *Table) takeMBR(d disk, m mbr) error {
	t.Scheme, t.Signature = MBR, m.signature
	for i, e := range m.entries {
		if e.empty() {
			if e.code != 0 || e.length != 0 {
				t.report(BadEntry, "partition %d has type %#02x and %d sectors: it does not count", i+1, e.code, e.length)
			}
			continue
		}
		t.addMBR(i+1, 0, e)
	}
	for _, e := range m.entries {
		if !e.empty() && e.extended() {
			if err := t.takeLogical(d, int64(e.start)); err != nil {
				return err
			}
		}
	}
	return nil
}

// addMBR takes an entry, whose start counts from base.
func (t *Table) addMBR(number int, base int64, e mbrEntry) {
	p := Partition{
		Number:   number,
		Start:    base + int64(e.start),
		Sectors:  int64(e.length),
		TypeCode: e.code,
		Active:   e.status == mbrStatusActive,
	}
	p.Role = roleOf(p)
	t.Partitions = append(t.Partitions, p)
	if last := t.DiskSize/SectorSize - 1; p.Start == 0 || p.Last() > last {
		t.report(OutOfBounds, "partition %d has sectors %d to %d, the disk 1 to %d", number, p.Start, p.Last(), last)
	}
}

// takeLogical follows the chain of the logical partitions in an extended one.
// Each link is a sector like an MBR: the first entry is a partition, whose
// start counts from the link; the second is the next link, which counts from
// the start of the extended partition.
//
//	extended |link|gap|partition 5...|link|gap|partition 6...|
//	          1st | 2nd entry --------^
func (t *Table) takeLogical(d disk, extended int64) error {
	seen := map[int64]bool{}
	for link := extended; ; {
		if seen[link] || len(seen) == maxLogical {
			t.report(BadChain, "the chain of logical partitions returns to sector %d, or has more than %d", link, maxLogical)
			return nil
		}
		seen[link] = true
		sector, err := d.read(link*SectorSize, SectorSize)
		if err != nil {
			return err
		}
		if !hasMagic(sector) {
			t.report(BadChain, "sector %d is no link of the chain of logical partitions", link)
			return nil
		}
		if e := decodeMBREntry(sector[mbrEntryTable:]); !e.empty() && !e.extended() {
			t.addMBR(t.nextLogical(), link, e)
		}
		next := decodeMBREntry(sector[mbrEntryTable+mbrEntrySize:])
		if next.empty() || !next.extended() {
			return nil
		}
		link = extended + int64(next.start)
	}
}

// nextLogical returns the number of the next logical partition.
func (t *Table) nextLogical() int {
	number := mbrEntries + 1
	for _, p := range t.Partitions {
		number = max(number, p.Number+1)
	}
	return number
}
