package ext4

import (
	"encoding/binary"
	"fmt"
	"io"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
)

// mapping says that count blocks of a file, from the logical one on, lie from the
// physical one on.
type mapping struct{ logical, physical, count uint64 }

// maxRuns bounds the memory of one file's map: about 1 GiB. A file of 64 GiB
// without two neighbouring blocks has as many.
const maxRuns = 1 << 24

// runs calls fn for the runs of a file within its first blocks blocks, in
// order. What lies between them, or is unwritten, reads as zeros.
func (v *Volume) runs(n *Node, blocks uint64, fn func(mapping) error) error {
	var last mapping
	count := 0
	emit := func(r mapping) error {
		if r.logical >= blocks {
			return nil
		}
		r.count = min(r.count, blocks-r.logical)
		if err := v.checkRange(r.physical, r.count); err != nil {
			return err
		}
		if last.count > 0 && r.logical == last.logical+last.count && r.physical == last.physical+last.count {
			last.count += r.count
			return nil
		}
		if last.count > 0 {
			if count++; count > maxRuns {
				return unsupported("a file in more than %d pieces", maxRuns)
			}
			if err := fn(last); err != nil {
				return err
			}
		}
		last = r
		return nil
	}
	var err error
	if n.Flags&ondisk.FlagExtents != 0 {
		err = v.extentRuns(n, emit)
	} else {
		err = v.mappedRuns(n, blocks, emit)
	}
	if err == nil && last.count > 0 {
		err = fn(last)
	}
	if err != nil {
		return fmt.Errorf("inode %d: %w", n.Number, err)
	}
	return nil
}

// extentRuns calls emit for the extents of a file ("Extent Tree"). They are in
// order, and what a node describes lies where its parent says: that bounds the
// number of nodes by the number of blocks there are.
func (v *Volume) extentRuns(n *Node, emit func(mapping) error) error {
	const end = 1 << 32 // of the logical blocks of any file
	root, err := ondisk.DecodeExtentHeader(n.Block[:])
	if err != nil {
		return corrupt("%v", err)
	}
	seed := ondisk.InodeSeed(v.seed, n.Number, n.Generation)
	var walk func(node []byte, h ondisk.ExtentHeader, from, to uint64) error
	walk = func(node []byte, h ondisk.ExtentHeader, from, to uint64) error {
		for i := range int(h.Entries) {
			if h.Depth == 0 {
				e := ondisk.DecodeExtent(node, i)
				first := uint64(e.Block)
				if e.Len == 0 || first < from || first+uint64(e.Len) > to {
					return corrupt("an extent of %d blocks at %d, where %d to %d are described", e.Len, first, from, to)
				}
				from = first + uint64(e.Len)
				if e.Unwritten {
					continue
				}
				if err := emit(mapping{first, e.Start, uint64(e.Len)}); err != nil {
					return err
				}
				continue
			}
			index := ondisk.DecodeExtentIndex(node, i)
			first, next := uint64(index.Block), to
			if i+1 < int(h.Entries) {
				next = uint64(ondisk.DecodeExtentIndex(node, i+1).Block)
			}
			if first < from || first >= next || next > to {
				return corrupt("an extent node for blocks %d to %d, where %d to %d are described", first, next, from, to)
			}
			p, err := v.readBlock(index.Node)
			if err != nil {
				return err
			}
			if v.checksums() && !ondisk.CheckExtentTail(p, seed) {
				return corrupt("the checksum of the extent node in block %d is wrong", index.Node)
			}
			child, err := ondisk.DecodeExtentHeader(p)
			if err == nil && (child.Depth != h.Depth-1 || child.Entries == 0) {
				err = fmt.Errorf("an extent node of depth %d with %d entries below one of depth %d", child.Depth, child.Entries, h.Depth)
			}
			if err != nil {
				return corrupt("block %d: %v", index.Node, err)
			}
			if err := walk(p, child, first, next); err != nil {
				return err
			}
			from = next
		}
		return nil
	}
	return walk(n.Block[:], root, 0, end)
}

// mappedRuns calls emit for each of the first blocks blocks of a file that is
// mapped block by block. A file cannot have more than the file system: that
// bounds what a block of addresses costs that leads to itself.
func (v *Volume) mappedRuns(n *Node, blocks uint64, emit func(mapping) error) error {
	le := binary.LittleEndian
	budget := v.super.Blocks
	visit := func() error {
		if budget == 0 {
			return corrupt("a file of more blocks than the %d of the file system", v.super.Blocks)
		}
		budget--
		return nil
	}
	logical := uint64(0)
	perBlock := uint64(v.block) / 4
	// walk follows an address of so many levels above the data, each of which
	// stands for span blocks.
	var walk func(address uint32, level int, span uint64) error
	walk = func(address uint32, level int, span uint64) error {
		if logical >= blocks {
			return nil
		}
		if address == 0 {
			logical += span
			return nil
		}
		if err := visit(); err != nil {
			return err
		}
		if level == 0 {
			logical++
			return emit(mapping{logical - 1, uint64(address), 1})
		}
		p, err := v.readBlock(uint64(address))
		if err != nil {
			return err
		}
		for ; len(p) > 0; p = p[4:] {
			if err := walk(le.Uint32(p), level-1, span/perBlock); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range directBlocks {
		if err := walk(le.Uint32(n.Block[4*i:]), 0, 1); err != nil {
			return err
		}
	}
	span := uint64(1)
	for level := 1; level <= 3; level++ {
		span *= perBlock
		if err := walk(le.Uint32(n.Block[4*(directBlocks+level-1):]), level, span); err != nil {
			return err
		}
	}
	return nil
}

// Content returns what a regular file or symbolic link holds: nil if it is
// empty, bytes if it lies in the inode, and a map with its holes otherwise, read
// when it is asked for.
func (v *Volume) Content(n *Node) (content.Source, error) {
	switch {
	case n.Size == 0:
		return nil, nil
	case n.Flags&ondisk.FlagEncrypt != 0:
		return nil, unsupported("inode %d is encrypted", n.Number)
	case n.Flags&ondisk.FlagInline != 0:
		data, err := v.inlineData(n)
		return content.Bytes(data), err
	case n.Mode&ondisk.ModeTypeMask == ondisk.ModeSymlink && n.Size < uint64(len(n.Block)):
		return content.Bytes(n.Block[:n.Size]), nil
	case n.Size > diskmap.MaxSize || (n.Size-1)/uint64(v.block) >= 1<<32:
		return nil, corrupt("inode %d has %d bytes", n.Number, n.Size)
	}
	size := int64(n.Size)
	var b diskmap.Builder
	err := v.runs(n, (n.Size+uint64(v.block)-1)/uint64(v.block), func(r mapping) error {
		at := int64(r.logical) * v.block
		b.Place(at, io.NewSectionReader(v.device, int64(r.physical)*v.block, min(int64(r.count)*v.block, size-at)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	m, err := b.Map(size)
	if err != nil {
		return nil, corrupt("inode %d: %v", n.Number, err)
	}
	return m, nil
}

// inlineData returns the data of a file that lies in its inode, in place of the
// block map and, if that is too small, in an attribute ("Inline Data").
func (v *Volume) inlineData(n *Node) ([]byte, error) {
	more, err := v.inlineRest(n)
	if err != nil {
		return nil, err
	}
	data := append(n.Block[:len(n.Block):len(n.Block)], more...)
	if n.Size > uint64(len(data)) {
		return nil, corrupt("inode %d has %d bytes, and %d of them", n.Number, n.Size, len(data))
	}
	return data[:n.Size], nil
}

// Readlink returns the target of a symbolic link.
func (v *Volume) Readlink(n *Node) ([]byte, error) {
	if n.Size > targetMax {
		return nil, corrupt("inode %d is a link to %d bytes", n.Number, n.Size)
	}
	src, err := v.Content(n)
	if err != nil || src == nil {
		return nil, err
	}
	target := make([]byte, src.Size())
	return target, content.ReadFull(src, target, 0)
}
