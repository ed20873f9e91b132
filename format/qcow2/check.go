package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"

	"diskwright/content"
	"diskwright/finding"
	"diskwright/format/block"
)

// Kinds of findings of [Image.Check].
const (
	findHeader    = "qcow2-header"
	findTable     = "qcow2-table"
	findRefcount  = "qcow2-refcount"
	findLeak      = "qcow2-leak"
	findCopied    = "qcow2-copied"
	findScattered = "not-checked"
)

// Check looks for what is wrong with the image's tables, as qemu-img check does,
// and adds it to list: what is not inside of the file, refcounts that are too low,
// clusters that nothing uses, and flags that say otherwise than refcounts. An
// error is only a cancelled context.
func (img *Image) Check(ctx context.Context, list *finding.List) error {
	p := make([]byte, 8)
	if content.ReadFull(img.r, p, offBackingOffset) == nil && binary.BigEndian.Uint64(p) > uint64(img.clusterSize()) {
		list.Add(findHeader, "header", "the name of a backing file is at %d, outside of the header's cluster", binary.BigEndian.Uint64(p))
	}
	c := &check{Image: img, ctx: ctx, list: list, pages: make(map[int64]*refPage)}
	if img.incompatible&featureCorrupt != 0 {
		list.Add(findHeader, "header", "it is marked as corrupt")
	}
	if img.incompatible&featureDirty != 0 {
		list.Add(findHeader, "header", "it is marked as dirty: refcounts may be wrong")
	}
	c.use(0, 1, "header")
	c.use(img.refcountTable, img.refcountBytes, "refcount table")
	c.tables("L1 table", img.l1Offset, img.l1, true)
	c.snapshotTables()
	c.refcounts()
	return ctx.Err()
}

type check struct {
	*Image
	ctx     context.Context
	list    *finding.List
	pages   map[int64]*refPage
	copied  []copied
	dropped bool // there are too many pages
}

// refPage has how often clusters of the file are used.
type refPage [4096]uint32

// copied is an entry that says whether its cluster is used once.
type copied struct {
	cluster int64
	flag    bool
	where   string
}

// maxCopied bounds the memory that flags take: those of a damaged image, since
// where entry and refcount agree nothing is kept.
const maxCopied = 1 << 16

// use counts n bytes at off of the file.
func (c *check) use(off, n int64, where string) (ok bool) {
	if n == 0 {
		return true
	}
	end := block.DivideUp(c.fileSize, c.clusterSize()) * c.clusterSize()
	if off < 0 || off > end || n > end-off {
		c.list.Add(findTable, where, "%d bytes at %d are not inside of the file, which has %d bytes", n, uint64(off), c.fileSize)
		return false
	}
	for k := off >> c.clusterBits; k <= (off+n-1)>>c.clusterBits; k++ {
		page := c.pages[k/int64(len(refPage{}))]
		if page == nil {
			if len(c.pages) >= maxPages {
				c.dropped = true
				return true
			}
			page = new(refPage)
			c.pages[k/int64(len(refPage{}))] = page
		}
		page[k%int64(len(refPage{}))]++
	}
	return true
}

func (c *check) count(cluster int64) uint32 {
	if page := c.pages[cluster/int64(len(refPage{}))]; page != nil {
		return page[cluster%int64(len(refPage{}))]
	}
	return 0
}

// tables counts an L1 table and what it leads to. Flags of snapshots' tables do
// not count.
func (c *check) tables(where string, offset int64, l1 []uint64, active bool) {
	if !c.use(offset, int64(len(l1))*8, where) {
		return
	}
	table := make([]byte, c.clusterSize())
	for i, e := range l1 {
		if c.ctx.Err() != nil {
			return
		}
		at := int64(e & offsetMask)
		what := fmt.Sprintf("%s, entry %d", where, i)
		if e&^(offsetMask|flagCopied) != 0 {
			c.list.Add(findTable, what, "%#x has bits that mean nothing", e)
		}
		if at == 0 {
			continue
		}
		if at%c.clusterSize() != 0 {
			c.list.Add(findTable, what, "an L2 table at %d, where no cluster begins", at)
			continue
		}
		if !c.use(at, c.clusterSize(), what) {
			continue
		}
		if active {
			c.flag(at, e&flagCopied != 0, what)
		}
		clear(table)
		if err := content.ReadFull(c.r, table[:max(0, min(int64(len(table)), c.fileSize-at))], at); err != nil {
			c.list.Add(findTable, what, "%v", err)
			continue
		}
		c.entries(fmt.Sprintf("L2 table at %d", at), table, active)
	}
}

// entries counts what an L2 table leads to.
func (c *check) entries(where string, table []byte, active bool) {
	for i := int64(0); i < int64(len(table))/c.entrySize(); i++ {
		p := table[i*c.entrySize():][:c.entrySize()]
		v := binary.BigEndian.Uint64(p)
		if v == 0 {
			continue
		}
		e, err := c.parse(p)
		what := fmt.Sprintf("%s, entry %d", where, i)
		if err != nil {
			c.list.Add(findTable, what, "%v", err)
			if v&flagCompressed != 0 || e.offset%c.clusterSize() != 0 {
				continue
			}
		}
		if e.kind == compressed {
			if v&flagCopied != 0 {
				c.list.Add(findCopied, what, "a compressed cluster is marked as used once")
			}
			if e.offset >= c.fileSize {
				c.list.Add(findTable, what, "a compressed cluster at %d is not inside of the file, which has %d bytes", e.offset, c.fileSize)
			} else {
				first := e.offset &^ (sectorSize - 1)
				c.use(first, e.offset+e.length-first, what)
			}
			continue
		}
		valid := uint64(offsetMask | flagCopied)
		if c.version >= 3 && !c.extended() {
			valid |= flagZero
		}
		if v&^valid != 0 && err == nil {
			c.list.Add(findTable, what, "%#x has bits that mean nothing", v)
		}
		if e.offset == 0 { // zeros without a place
			continue
		}
		if c.use(e.offset, c.clusterSize(), what) && active {
			c.flag(e.offset, v&flagCopied != 0, what)
		}
	}
}

// flag keeps what cannot be told before everything is counted: an entry without
// the flag. One with it is looked at when its refcount is.
func (c *check) flag(offset int64, flag bool, where string) {
	k := offset >> c.clusterBits
	if !flag || c.count(k) != 1 {
		if len(c.copied) < maxCopied {
			c.copied = append(c.copied, copied{k, flag, where})
		}
	}
}

// maxSnapshots is how many QEMU has at most.
const maxSnapshots = 65536

// snapshotTables counts the tables of snapshots ("Snapshots").
func (c *check) snapshotTables() {
	if c.snapshots == 0 {
		return
	}
	get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	p := make([]byte, 8)
	if content.ReadFull(c.r, p, offSnapshotsOffset) != nil || c.snapshots > maxSnapshots {
		c.list.Add(findTable, "snapshots", "there are %d; %d are possible", c.snapshots, maxSnapshots)
		return
	}
	start := int64(get64(p))
	at := start
	for n := range c.snapshots {
		const fixed = 40
		where := fmt.Sprintf("snapshot %d", n+1)
		h := make([]byte, fixed)
		if at < 0 || at > c.fileSize-fixed || content.ReadFull(c.r, h, at) != nil {
			c.list.Add(findTable, where, "its entry at %d is not inside of the file", at)
			return
		}
		length := fixed + int64(get32(h[36:])) + int64(binary.BigEndian.Uint16(h[12:])) + int64(binary.BigEndian.Uint16(h[14:]))
		at += block.DivideUp(length, 8) * 8
		l1Offset, l1Size := int64(get64(h)), int64(get32(h[8:]))
		if l1Size > maxL1Size || l1Offset%c.clusterSize() != 0 || l1Offset < 0 || l1Offset > c.fileSize-l1Size*8 {
			c.list.Add(findTable, where, "its L1 table of %d entries at %d cannot be", l1Size, l1Offset)
			continue
		}
		raw := make([]byte, l1Size*8)
		if err := content.ReadFull(c.r, raw, l1Offset); err != nil {
			c.list.Add(findTable, where, "%v", err)
			continue
		}
		l1 := make([]uint64, l1Size)
		for i := range l1 {
			l1[i] = get64(raw[8*i:])
		}
		c.tables(where, l1Offset, l1, false)
	}
	c.use(start, at-start, "snapshots")
}

// refcounts compares the refcounts with what was counted.
func (c *check) refcounts() {
	if c.dropped {
		c.list.Add(findScattered, "refcounts", "%v", errScattered)
		return
	}
	raw := make([]byte, max(0, min(c.refcountBytes, c.fileSize-c.refcountTable, maxRefcounts*8)))
	if c.refcountTable%c.clusterSize() != 0 || c.refcountTable <= 0 || len(raw) == 0 {
		c.list.Add(findTable, "refcount table", "there is none at %d", c.refcountTable)
		return
	}
	if err := content.ReadFull(c.r, raw, c.refcountTable); err != nil {
		c.list.Add(findTable, "refcount table", "%v", err)
		return
	}
	perBlock := c.clusterSize() * 8 >> c.refcountOrder
	seen := map[int64]bool{}
	blocks := map[int64]int64{} // by the first cluster that they count
	for i := int64(0); i < int64(len(raw))/8; i++ {
		at := int64(binary.BigEndian.Uint64(raw[8*i:]))
		if at == 0 {
			continue
		}
		what := fmt.Sprintf("refcount table, entry %d", i)
		switch {
		case at%c.clusterSize() != 0 || at < 0:
			c.list.Add(findTable, what, "a refcount block at %d, where no cluster begins", uint64(at))
			continue
		case seen[at]:
			c.list.Add(findTable, what, "the refcount block at %d is there twice", at)
		}
		if c.use(at, c.clusterSize(), what) {
			blocks[i*perBlock], seen[at] = at, true
		}
	}
	c.compare(blocks, perBlock)
}

// compare reads the refcount blocks.
func (c *check) compare(blocks map[int64]int64, perBlock int64) {
	firsts := make([]int64, 0, len(blocks))
	for first := range blocks {
		firsts = append(firsts, first)
	}
	for page := range c.pages {
		for k := page * int64(len(refPage{})); k < (page+1)*int64(len(refPage{})); k += min(perBlock, int64(len(refPage{}))) {
			if first := k - k%perBlock; blocks[first] == 0 {
				blocks[first] = -1 // counted by nothing
				firsts = append(firsts, first)
			}
		}
	}
	sort.Slice(firsts, func(i, j int) bool { return firsts[i] < firsts[j] })
	stored := make(map[int64]uint64, len(c.copied))
	for _, x := range c.copied {
		stored[x.cluster] = 0
	}
	p := make([]byte, c.clusterSize())
	for _, first := range firsts {
		if c.ctx.Err() != nil {
			return
		}
		clear(p)
		if at := blocks[first]; at > 0 {
			if err := content.ReadFull(c.r, p[:max(0, min(int64(len(p)), c.fileSize-at))], at); err != nil {
				c.list.Add(findTable, fmt.Sprintf("refcount block at %d", at), "%v", err)
				continue
			}
		}
		for i := range perBlock {
			is, should := refcount(p, i, c.refcountOrder), uint64(c.count(first+i))
			if _, ok := stored[first+i]; ok {
				stored[first+i] = is
			}
			if is == should {
				continue
			}
			where := fmt.Sprintf("cluster %d", first+i)
			if is > should && c.hasBitmaps() {
				continue // which are not counted here
			}
			if is > should {
				c.list.Add(findLeak, where, "it counts as used %d times, and is %d times", is, should)
			} else {
				c.list.Add(findRefcount, where, "it counts as used %d times, and is %d times", is, should)
			}
		}
	}
	for _, x := range c.copied {
		if once := stored[x.cluster] == 1; once != x.flag {
			c.list.Add(findCopied, x.where, "it is marked as used once: %v, and its refcount is %d", x.flag, stored[x.cluster])
		}
	}
}

// hasBitmaps reports whether there are bitmaps of what was written.
func (c *check) hasBitmaps() bool {
	p := make([]byte, 8)
	return c.version >= 3 && content.ReadFull(c.r, p, offAutoclear) == nil && binary.BigEndian.Uint64(p)&1 != 0
}

// refcount returns the i-th refcount of 1 << order bits.
func refcount(p []byte, i int64, order uint32) uint64 {
	be := binary.BigEndian
	switch order {
	case 3:
		return uint64(p[i])
	case 4:
		return uint64(be.Uint16(p[2*i:]))
	case 5:
		return uint64(be.Uint32(p[4*i:]))
	case 6:
		return be.Uint64(p[8*i:])
	}
	bits := int64(1) << order
	return uint64(p[i*bits/8]>>(i*bits%8)) & (1<<bits - 1)
}
