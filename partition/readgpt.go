package partition

import (
	"bytes"
	"hash/crc32"
	"math"
	"strings"

	"github.com/google/uuid"
)

// maxArray bounds the entries of a GPT in bytes. Everybody writes 16 KiB.
const maxArray = 1 << 20

// gptCopy is one of the two copies of a GPT as it is read.
type gptCopy struct {
	header  gptHeader
	found   bool     // there is a header, of whatever quality
	usable  bool     // the entries can be read
	array   []byte   // the entries, if usable
	flaws   []string // what is wrong with it
	missing string   // why there is none
}

func (c *gptCopy) intact() bool { return c.usable && len(c.flaws) == 0 }

// gptPair is both copies of a GPT, of which one may be missing.
type gptPair struct {
	sectorSize      int64
	primary, backup gptCopy
	end             uint64 // the last sector of the disk, where the backup belongs
	misplaced       bool   // the backup is elsewhere
}

// findGPT looks for a GPT with sectors of 512 and 4,096 bytes, first at the
// start of the disk, then at its end. It returns nil if there is none.
func (d disk) findGPT() (*gptPair, error) {
	sizes := []int64{SectorSize, 4096}
	for _, start := range []bool{true, false} {
		for _, sectorSize := range sizes {
			if d.size < 2*sectorSize {
				continue
			}
			g := gptPair{sectorSize: sectorSize, end: uint64(d.size/sectorSize - 1)}
			at := g.end
			if start {
				at = gptHeaderLBA
			}
			c, err := d.readGPT(at, sectorSize)
			if err != nil {
				return nil, err
			}
			if !c.found {
				continue
			}
			if start {
				g.primary = c
				return &g, d.findBackup(&g)
			}
			g.backup, g.primary.missing = c, "there is no header"
			return &g, nil
		}
	}
	return nil, nil
}

// findBackup looks for the backup where it belongs, and then where the
// primary header says that it is.
func (d disk) findBackup(g *gptPair) error {
	c, err := d.readGPT(g.end, g.sectorSize)
	if err != nil {
		return err
	}
	if other := g.primary.header.other; !c.found && other != g.end && other < g.end && other > gptHeaderLBA {
		if c, err = d.readGPT(other, g.sectorSize); err != nil {
			return err
		}
		g.misplaced = c.found
	}
	if !c.found {
		c.missing = "there is no header"
	}
	g.backup = c
	return nil
}

// readGPT reads the copy whose header is in a sector of the disk.
func (d disk) readGPT(at uint64, sectorSize int64) (gptCopy, error) {
	var c gptCopy
	b, err := d.read(int64(at)*sectorSize, sectorSize)
	if err != nil {
		return c, err
	}
	if string(b[:len(gptSignature)]) != gptSignature {
		return c, nil
	}
	c.found = true
	c.header = decodeGPTHeader(b)
	h := c.header
	if h.size < gptHeaderSize || int64(h.size) > sectorSize {
		c.flaws = append(c.flaws, "the header's size is not 92 bytes to a sector")
	} else if written, actual := headerCRC(b, h.size); written != actual {
		c.flaws = append(c.flaws, "the header's CRC is wrong")
	}
	if h.self != at {
		c.flaws = append(c.flaws, "the header says that it lies elsewhere")
	}

	length := uint64(h.entries) * uint64(h.entrySize)
	switch {
	case h.entrySize < gptEntrySize || h.entrySize&(h.entrySize-1) != 0:
		c.flaws = append(c.flaws, "the size of an entry is not 128 bytes or twice that, and so on")
		return c, nil
	case length > maxArray:
		c.flaws = append(c.flaws, "the entries take more than a MiB")
		return c, nil
	case h.array > uint64(d.size/sectorSize) || h.array*uint64(sectorSize)+length > uint64(d.size):
		c.flaws = append(c.flaws, "the entries lie outside of the disk")
		return c, nil
	}
	if c.array, err = d.read(int64(h.array)*sectorSize, int64(length)); err != nil {
		return c, err
	}
	c.usable = true
	if crc32.ChecksumIEEE(c.array) != h.arrayCRC {
		c.flaws = append(c.flaws, "the CRC of the entries is wrong")
	}
	return c, nil
}

// takeGPT takes the partitions of the better copy, and reports what is wrong
// with both.
func (t *Table) takeGPT(g *gptPair, m mbr) {
	t.Scheme, t.SectorSize = GPT, g.sectorSize
	switch {
	case !m.protective:
		t.report(BadProtectiveMBR, "there is no protective MBR: kernel and firmware will not see the GPT")
	case m.used():
		t.report(HybridMBR, "the MBR has partitions beside the entry that protects the GPT; the GPT counts")
	}
	t.reportCopy(BadPrimary, "primary", g.primary)
	t.reportCopy(BadBackup, "backup", g.backup)
	if at := g.backup.header.self; g.misplaced {
		t.report(BackupNotAtEnd, "the backup GPT is in sector %d, but the disk ends with sector %d", at, g.end)
	} else if other := g.primary.header.other; g.primary.intact() && other != g.end {
		t.report(BackupNotAtEnd, "the backup GPT should be in sector %d, but the disk ends with sector %d", other, g.end)
	}
	c := &g.primary
	switch {
	case g.primary.intact() && g.backup.intact():
		t.reportDifference(g)
	case g.primary.intact():
	case g.backup.intact() || !g.primary.usable:
		c = &g.backup
	}
	t.takeCopy(c)
}

func (t *Table) reportCopy(kind ProblemKind, which string, c gptCopy) {
	if c.missing != "" {
		t.report(kind, "%s GPT: %s", which, c.missing)
	}
	for _, flaw := range c.flaws {
		t.report(kind, "%s GPT: %s", which, flaw)
	}
}

// reportDifference compares two intact copies.
func (t *Table) reportDifference(g *gptPair) {
	p, b := g.primary.header, g.backup.header
	var differ []string
	if p.disk != b.disk {
		differ = append(differ, "the disk's GUID")
	}
	if p.firstUsable != b.firstUsable || p.lastUsable != b.lastUsable {
		differ = append(differ, "the usable sectors")
	}
	if p.entries != b.entries || p.entrySize != b.entrySize || !bytes.Equal(g.primary.array, g.backup.array) {
		differ = append(differ, "the entries")
	}
	if b.other != gptHeaderLBA {
		differ = append(differ, "where the primary is")
	}
	if differ != nil {
		t.report(CopiesDiffer, "primary and backup GPT differ in %s; the primary counts", strings.Join(differ, ", "))
	}
}

// takeCopy takes the header and the entries of a copy.
func (t *Table) takeCopy(c *gptCopy) {
	h := c.header
	t.DiskGUID = h.disk
	// Sectors whose offset in bytes would overflow lie on no disk.
	limit := uint64(math.MaxInt64 / t.SectorSize)
	t.FirstUsable, t.LastUsable = int64(min(h.firstUsable, limit)), int64(min(h.lastUsable, limit))
	if !c.usable {
		return
	}
	for i := range int(h.entries) {
		e := decodeGPTEntry(c.array[i*int(h.entrySize):])
		if e.typ == uuid.Nil {
			continue
		}
		if e.first > e.last || e.last >= limit {
			t.report(BadEntry, "partition %d has sectors %d to %d: it does not count", i+1, e.first, e.last)
			continue
		}
		t.addGPT(i+1, e)
	}
}

// addGPT takes an entry.
func (t *Table) addGPT(number int, e gptEntry) {
	p := Partition{
		Number: number,
		Start:  int64(e.first), Sectors: int64(e.last - e.first + 1),
		TypeGUID: e.typ, GUID: e.guid, Name: e.name, Attributes: e.attributes,
	}
	p.Role = roleOf(p)
	t.Partitions = append(t.Partitions, p)
	first, last := t.FirstUsable, min(t.LastUsable, t.DiskSize/t.SectorSize-1)
	if p.Start < first || p.Last() > last {
		t.report(OutOfBounds, "partition %d has sectors %d to %d, outside of the usable %d to %d", number, p.Start, p.Last(), first, last)
	}
}
