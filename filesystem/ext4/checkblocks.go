package ext4

import (
	"encoding/binary"
	"fmt"

	"diskwright/filesystem/ext4/ondisk"
)

func (w *inodeCheck) badMap(format string, args ...any) {
	w.broken = true
	w.list.Add(findBlocks, w.where, format, args...)
}

// blocks marks the blocks of the inode as used, those of its map included.
func (w *inodeCheck) blocks() {
	n := w.n
	switch {
	case n.Flags&ondisk.FlagInline != 0:
	case n.Flags&ondisk.FlagExtents != 0:
		w.extents()
	default:
		w.addresses()
	}
}

// run takes count blocks of the file, which are mapped from physical on.
func (w *inodeCheck) run(r mapping, unwritten bool) {
	if !w.inside(r.physical, r.count) {
		w.badMap("its blocks %d to %d are at %d, and the file system has blocks %d to %d",
			r.logical, r.logical+r.count-1, r.physical, w.super.FirstDataBlock, w.limit-1)
		return
	}
	w.take(r.physical, r.count, "its blocks from %d on", r.logical)
	w.last = max(w.last, int64(r.logical+r.count-1))
	if !unwritten {
		w.lastInit = max(w.lastInit, int64(r.logical+r.count-1))
	}
	if !w.keep || unwritten {
		return
	}
	if k := len(w.runs) - 1; k >= 0 && w.runs[k].logical+w.runs[k].count == r.logical && w.runs[k].physical+w.runs[k].count == r.physical {
		w.runs[k].count += r.count
		return
	}
	w.runs = append(w.runs, r)
}

func (w *inodeCheck) inside(first, count uint64) bool {
	return first > uint64(w.super.FirstDataBlock) && first < w.limit && count <= w.limit-first
}

// take marks blocks as used.
func (w *inodeCheck) take(first, count uint64, what string, args ...any) (ok bool) {
	if w.budget < 0 {
		return false
	}
	if w.budget -= int64(count); w.budget < 0 {
		w.list.Add(findShared, w.where, "inodes have several times the blocks that there are: what follows is not checked")
		return false
	}
	from, last := first, first+count-1
	if w.ratio > 1 {
		// Pieces of a file may share a cluster.
		base := uint64(w.super.FirstDataBlock)
		if cluster := (first - base) / w.ratio; cluster+1 == w.inCluster {
			from = base + (cluster+1)*w.ratio
		}
		w.inCluster = (last-base)/w.ratio + 1
		if from > last {
			return true
		}
		w.count += ((last-base)/w.ratio - (from-base)/w.ratio + 1) * w.ratio
	} else {
		w.count += count
	}
	if at, again := w.used.mark(from, last); again {
		w.list.Add(findShared, w.where, "%s are used otherwise, too: block %d is the first", fmt.Sprintf(what, args...), at)
		return false
	}
	return true
}

// extents walks the tree of extents ("Extent Tree").
func (w *inodeCheck) extents() {
	const end = 1 << 32 // of the logical blocks of any file
	root, ok := w.extentHeader(w.n.Block[:], -1, "the root of its extents")
	if !ok {
		return
	}
	if root.Entries == 0 && root.Depth > 0 {
		w.badMap("the root of its extents is empty, and has depth %d", root.Depth)
		return
	}
	w.extentNode(w.n.Block[:], root, 0, end, true)
}

// extentHeader checks the header of a node below one of depth above, or of the
// root, where above is negative.
func (w *inodeCheck) extentHeader(p []byte, above int, what string) (ondisk.ExtentHeader, bool) {
	h, err := ondisk.DecodeExtentHeader(p)
	room := (len(p) - ondisk.ExtentHeaderSize) / ondisk.ExtentSize
	switch {
	case err != nil:
		w.badMap("%s: %v", what, err)
	case int(h.Max) < room-2:
		w.badMap("%s is for %d entries, and has room for %d", what, h.Max, room)
	case above >= 0 && int(h.Depth) != above-1:
		w.badMap("%s has depth %d below one of depth %d", what, h.Depth, above)
	default:
		return h, true
	}
	return h, false
}

// extentNode walks a node, which describes blocks of the file from from up to
// to. Blocks of the tree belong to it alone, which ends what leads to itself.
func (w *inodeCheck) extentNode(node []byte, h ondisk.ExtentHeader, from, to uint64, root bool) {
	for i := range int(h.Entries) {
		if h.Depth == 0 {
			e := ondisk.DecodeExtent(node, i)
			first := uint64(e.Block)
			if e.Len == 0 || first < from || first+uint64(e.Len) > to {
				w.badMap("an extent of %d blocks at %d, where %d to %d are described", e.Len, first, from, to)
				continue
			}
			if i == 0 && !root && first != from {
				w.badMap("extents that begin at block %d are below an index that says %d", first, from)
			}
			from = first + uint64(e.Len)
			if w.ratio > 1 && (first%w.ratio != (e.Start-uint64(w.super.FirstDataBlock))%w.ratio) {
				w.badMap("an extent at %d is at %d of the disk, which is another place in a cluster", first, e.Start)
			}
			w.run(mapping{first, e.Start, uint64(e.Len)}, e.Unwritten)
			if e.Unwritten && w.n.Mode&ondisk.ModeTypeMask == ondisk.ModeDir {
				w.badMap("a directory has blocks that are not written, at %d", first)
			}
			continue
		}
		index := ondisk.DecodeExtentIndex(node, i)
		first, next := uint64(index.Block), to
		if i+1 < int(h.Entries) {
			next = uint64(ondisk.DecodeExtentIndex(node, i+1).Block)
		}
		if first < from || first >= next || next > to {
			w.badMap("an extent node for blocks %d to %d, where %d to %d are described", first, next, from, to)
			continue
		}
		if i == 0 && !root && first != from {
			w.badMap("extent nodes that begin at block %d are below an index that says %d", first, from)
		}
		from = next
		w.extentBlock(index.Node, h.Depth, first, next)
	}
}

// extentBlock walks the node in a block of the disk.
func (w *inodeCheck) extentBlock(number uint64, above uint16, from, to uint64) {
	what := fmt.Sprintf("the extent node in block %d", number)
	if !w.inside(number, 1) {
		w.badMap("%s is outside of the file system", what)
		return
	}
	data := w.inCluster
	w.inCluster = 0
	ok := w.take(number, 1, "%s", what)
	w.inCluster = data
	if !ok {
		w.broken = true
		return
	}
	p, err := w.readBlock(number)
	if err != nil {
		w.broken = true
		_ = w.unreadable(w.where, err)
		return
	}
	h, ok := w.extentHeader(p, int(above), what)
	if !ok {
		return
	}
	if w.checksums() && !ondisk.CheckExtentTail(p, ondisk.InodeSeed(w.seed, w.n.Number, w.n.Generation)) {
		w.list.Add(findChecksum, w.where, "the checksum of %s is wrong", what)
	}
	if h.Entries == 0 {
		w.badMap("%s is empty", what)
		return
	}
	w.extentNode(p, h, from, to, false)
}

// addresses walks the blocks of addresses of a file that is mapped block by
// block ("Direct/Indirect Block Addressing").
func (w *inodeCheck) addresses() {
	le := binary.LittleEndian
	perBlock := uint64(w.block) / 4
	logical := uint64(0)
	wide := w.n.Number == ondisk.InoResize && w.super.Features.HasCompat(ondisk.CompatResizeInode)
	if wide {
		return // checked by itself
	}
	var walk func(address uint32, level int, span uint64)
	walk = func(address uint32, level int, span uint64) {
		if address == 0 {
			logical += span
			return
		}
		if level == 0 {
			w.run(mapping{logical, uint64(address), 1}, false)
			logical++
			return
		}
		next := logical + span
		if !w.inside(uint64(address), 1) {
			w.badMap("a block of addresses for block %d is at %d, outside of the file system", logical, address)
		} else if !w.take(uint64(address), 1, "the block of addresses for block %d", logical) {
			w.broken = true
		} else if p, err := w.readBlock(uint64(address)); err != nil {
			w.broken = true
			_ = w.unreadable(w.where, err)
		} else {
			for ; len(p) > 0; p = p[4:] {
				walk(le.Uint32(p), level-1, span/perBlock)
			}
		}
		logical = next
	}
	for i := range directBlocks {
		walk(le.Uint32(w.n.Block[4*i:]), 0, 1)
	}
	span := uint64(1)
	for level := 1; level <= 3; level++ {
		span *= perBlock
		walk(le.Uint32(w.n.Block[4*(directBlocks+level-1):]), level, span)
	}
}
