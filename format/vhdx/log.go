package vhdx

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"

	"github.com/google/uuid"
)

// Section 2.3: the log. What is written to the headers' regions goes here first,
// as entries of whole sectors, in a ring. If the current header has the GUID of
// entries, their changes may not have been made. An image that is only read has
// them made in memory, on top of its file:
//
//	file   |headers|log|metadata|BAT    old |blocks|
//	log                                 new
//	disk   from      |metadata|BAT    new   |blocks|
const (
	logSector    = 4 << 10
	maxLogLength = 64 << 20

	entryHeaderSize = 64
	descriptorSize  = 32

	// maxPages bounds the memory of zeros that a log may ask for: they are kept
	// by sector, 4 GiB of them.
	maxPages = 1 << 20

	// checksumBudget is how many times the log's length may be read to find the
	// entries that count.
	checksumBudget = 16
)

var (
	entrySignature = []byte("loge")
	dataSignature  = []byte("data")
)

// ring is the log as it is in the file, and what it costs to look for entries.
type ring struct {
	file           io.ReaderAt
	offset, length int64
	id             uuid.UUID
	budget         int64
}

// entry is a log entry (2.3.1).
type entry struct {
	at, length    int64
	tail          int64
	sequence      uint64
	descriptors   int64
	flushed, last int64 // how long the file was known to be, and has to be
}

// replay returns the file with the changes in its log made, and its length.
func replay(file io.ReaderAt, size int64, h *header) (io.ReaderAt, int64, error) {
	switch {
	case h.logVersion != 0:
		return nil, 0, fmt.Errorf("a log of version %d has to be replayed; only 0 can be", h.logVersion)
	case h.logOffset < alignment || h.logOffset%alignment != 0 || h.logLength%alignment != 0 || h.logLength > maxLogLength:
		return nil, 0, fmt.Errorf("a log of %d bytes at %d has to be replayed; both must be multiples of 1 MiB, and it at most 64 MiB", h.logLength, h.logOffset)
	case h.logOffset > size-h.logLength:
		return nil, 0, fmt.Errorf("log: %d bytes at %d: %w", h.logLength, h.logOffset, block.ErrTruncated)
	}
	r := &ring{file: file, offset: h.logOffset, length: h.logLength, id: h.log, budget: checksumBudget * h.logLength}
	entries, err := r.active()
	if err != nil || len(entries) == 0 {
		return file, size, err
	}
	pages := make(map[int64][]byte)
	for _, e := range entries {
		if err := r.apply(&e, pages); err != nil {
			return nil, 0, err
		}
	}
	head := entries[len(entries)-1]
	if size < head.flushed {
		return nil, 0, fmt.Errorf("its log says that the file has %d bytes, but it has %d: %w", head.flushed, size, block.ErrTruncated)
	}
	m, err := overlay(block.Source(file, size), max(size, head.last), pages)
	if err != nil {
		return nil, 0, err
	}
	return m, m.Size(), nil
}

// active returns the entries of the active sequence, in order: of all runs of
// valid entries with consecutive numbers, the one with the highest (2.3.2).
func (r *ring) active() (best []entry, err error) {
	for at := int64(0); at < r.length; {
		var run []entry
		for next, total := at, int64(0); total < r.length; {
			e, err := r.entry(next)
			if err != nil {
				return nil, err
			}
			if e == nil || len(run) > 0 && e.sequence != run[len(run)-1].sequence+1 {
				break
			}
			run = append(run, *e)
			total += e.length
			next = (next + e.length) % r.length
		}
		if len(run) == 0 {
			at += logSector
			continue
		}
		head := run[len(run)-1]
		// It counts from the entry that the last one calls its tail.
		tail := slices.IndexFunc(run, func(e entry) bool { return e.at == head.tail })
		if tail >= 0 && (best == nil || head.sequence > best[len(best)-1].sequence) {
			best = run[tail:]
		}
		if end := head.at + head.length; end > at {
			at = end
		} else { // around the ring
			break
		}
	}
	return best, nil
}

// read reads n bytes at at of the ring.
func (r *ring) read(at, n int64) ([]byte, error) {
	if r.budget -= n; r.budget < 0 {
		return nil, errors.New("its log has too many entries on top of each other")
	}
	p := make([]byte, n)
	first := min(n, r.length-at)
	err := content.ReadFull(r.file, p[:first], r.offset+at)
	if err == nil {
		err = content.ReadFull(r.file, p[first:], r.offset)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	return p, nil
}

// entry returns the entry at at, or nil if there is no valid one.
func (r *ring) entry(at int64) (*entry, error) {
	p, err := r.read(at, entryHeaderSize)
	if err != nil {
		return nil, err
	}
	e := &entry{
		at:          at,
		length:      int64(le.Uint32(p[8:])),
		tail:        int64(le.Uint32(p[12:])),
		sequence:    le.Uint64(p[16:]),
		descriptors: int64(le.Uint32(p[24:])),
		flushed:     int64(le.Uint64(p[48:])),
		last:        int64(le.Uint64(p[56:])),
	}
	if string(p[:4]) != string(entrySignature) || getGUID(p[32:]) != r.id || e.sequence == 0 ||
		e.length < logSector || e.length%logSector != 0 || e.length > r.length || e.tail%logSector != 0 || e.tail >= r.length ||
		e.descriptorSectors()*logSector > e.length || e.flushed < 0 || e.last < 0 || e.last > maxFile {
		return nil, nil
	}
	all, err := r.read(at, e.length)
	if err != nil {
		return nil, err
	}
	if le.Uint32(all[4:]) != checksum(all) {
		return nil, nil
	}
	return e, nil
}

// maxFile bounds how long a log may say that the file is.
const maxFile = 1 << 50

// descriptorSectors returns how many sectors the header and descriptors have.
func (e *entry) descriptorSectors() int64 {
	return block.DivideUp(entryHeaderSize+e.descriptors*descriptorSize, logSector)
}

// apply makes the changes of an entry to pages: sectors of the file, by their
// offset; nil are zeros.
func (r *ring) apply(e *entry, pages map[int64][]byte) error {
	p, err := r.read(e.at, e.length)
	if err != nil {
		return err
	}
	data := p[e.descriptorSectors()*logSector:]
	for i := range e.descriptors {
		d := p[entryHeaderSize+i*descriptorSize:][:descriptorSize]
		off := int64(le.Uint64(d[16:]))
		if le.Uint64(d[24:]) != e.sequence || off < 0 || off%logSector != 0 || off > maxFile {
			return fmt.Errorf("descriptor %d of the log's entry %d is not valid", i, e.sequence)
		}
		switch string(d[:4]) {
		case "zero": // 2.3.1.2
			n := int64(le.Uint64(d[8:]))
			if n < 0 || n%logSector != 0 || n/logSector > maxPages {
				return fmt.Errorf("the log's entry %d makes %d bytes zero", e.sequence, n)
			}
			for ; n > 0; n, off = n-logSector, off+logSector {
				pages[off] = nil
			}
		case "desc": // 2.3.1.3
			if len(data) < logSector {
				return fmt.Errorf("the log's entry %d has less data than it says", e.sequence)
			}
			sector := data[:logSector]
			data = data[logSector:]
			high, low := uint64(le.Uint32(sector[4:])), uint64(le.Uint32(sector[logSector-4:]))
			if string(sector[:4]) != string(dataSignature) || high<<32|low != e.sequence {
				return fmt.Errorf("data of the log's entry %d is not valid", e.sequence)
			}
			// What the signature and numbers replaced is in the descriptor.
			page := slices.Clone(sector)
			copy(page[:8], d[8:16])
			copy(page[logSector-4:], d[4:8])
			pages[off] = page
		default:
			return fmt.Errorf("descriptor %d of the log's entry %d is of an unknown kind", i, e.sequence)
		}
		if len(pages) > maxPages {
			return fmt.Errorf("the log changes more than %d sectors", maxPages)
		}
	}
	return nil
}

// overlay returns src, made size bytes long, with pages in place of what it has
// there.
func overlay(src content.Source, size int64, pages map[int64][]byte) (*diskmap.Map, error) {
	offsets := make([]int64, 0, len(pages))
	for off := range pages {
		offsets = append(offsets, off)
	}
	slices.Sort(offsets)
	if n := len(offsets); n > 0 {
		size = max(size, offsets[n-1]+logSector)
	}
	var under, b diskmap.Builder
	under.Place(0, src)
	file, err := under.Map(src.Size())
	if err != nil {
		return nil, err
	}
	done := int64(0)
	for _, off := range offsets {
		block.Copy(&b, file, done, off, done)
		if p := pages[off]; p != nil {
			b.Place(off, content.Bytes(p))
		}
		done = off + logSector
	}
	block.Copy(&b, file, done, file.Size(), done)
	return b.Map(size)
}
