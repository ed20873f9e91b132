package partition

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Read takes the partition table of a disk of size bytes. A disk without one
// has the scheme [Unpartitioned]. What is wrong with the table is listed in
// [Table.Problems], and of two copies of a GPT the better one is taken; only
// what cannot be read at all is an error.
//
// Positions come from the disk: a partition may lie, in part or all, outside of
// it, or overlap another one. They are never negative, and offsets in bytes do
// not overflow.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	d := disk{r, size}
	t := &Table{Scheme: Unpartitioned, SectorSize: SectorSize, DiskSize: size, Partitions: []Partition{}}
	first, err := d.read(0, SectorSize)
	if err != nil {
		return nil, err
	}
	mbr := decodeMBR(first)
	gpt, err := d.findGPT()
	if err != nil {
		return nil, err
	}
	counts, err := d.counts(gpt, mbr)
	if err != nil {
		return nil, err
	}
	switch {
	case counts:
		t.takeGPT(gpt, mbr)
	case mbr.protective && !mbr.used():
		t.Scheme = GPT
		t.report(BadPrimary, "the MBR protects a GPT, but there is none at either end of the disk")
	case mbr.valid:
		if err := t.takeMBR(d, mbr); err != nil {
			return nil, err
		}
	}
	if gpt != nil && !counts {
		t.report(StaleGPT, "there is a GPT, but it does not count: no MBR protects it, and the disk is used otherwise")
	}
	if code := bytes.TrimRight(first[:bootCodeSize], "\x00"); t.Scheme != Unpartitioned && len(code) > 0 {
		t.BootCode = bytes.Clone(code)
	}
	t.reportOverlap()
	return t, nil
}

// counts reports whether a GPT is what the disk is partitioned with. With a
// protective MBR it is. Without one kernel and firmware do not look at it, but
// somebody may have overwritten the start of the disk by accident; a backup
// alone says little then, since making a file system on the whole disk leaves
// it alone.
func (d disk) counts(g *gptPair, m mbr) (bool, error) {
	switch {
	case g == nil:
		return false, nil
	case m.protective:
		return true, nil
	case m.used():
		return false, nil
	case g.primary.found:
		return true, nil
	}
	return d.blank(mebibyte)
}

// blank reports whether the first n bytes are zero.
func (d disk) blank(n int64) (bool, error) {
	const step = 64 << 10
	zero := make([]byte, step)
	for off := int64(0); off < n; off += step {
		b, err := d.read(off, step)
		if err != nil || !bytes.Equal(b, zero) {
			return false, err
		}
	}
	return true, nil
}

// disk is a disk that is read.
type disk struct {
	r    io.ReaderAt
	size int64
}

// read returns n bytes from off on. What lies behind the end is zero.
func (d disk) read(off, n int64) ([]byte, error) {
	b := make([]byte, n)
	if off < 0 || off >= d.size {
		return b, nil
	}
	inside := min(n, d.size-off)
	if got, err := d.r.ReadAt(b[:inside], off); int64(got) < inside {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("partition table: reading %d bytes at %d: %w", inside, off, err)
	}
	return b, nil
}

// reportOverlap compares each partition with those that begin before it.
// Logical partitions lie inside of extended ones, which therefore do not count.
func (t *Table) reportOverlap() {
	sorted := t.Placed()
	for i := 1; i < len(sorted); i++ {
		before, p := sorted[i-1], sorted[i]
		if before.Last() < p.Start {
			continue
		}
		t.report(Overlap, "partitions %d and %d overlap from sector %d to %d",
			before.Number, p.Number, p.Start, min(before.Last(), p.Last()))
		if before.Last() > p.Last() { // it reaches further: the next is compared with it
			sorted[i] = before
		}
	}
}
