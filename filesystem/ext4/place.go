package ext4

import (
	"fmt"
	"slices"
	"sort"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
)

// placer places extents in ascending order: those of the plan as they come,
// those at fixed places between them.
type placer struct {
	builder diskmap.Builder
	fixed   []diskmap.Extent
}

// place puts src at a block.
func (p *placer) place(block int64, src content.Source) {
	p.placeAt(block*blockSize, src)
}

func (p *placer) placeAt(off int64, src content.Source) {
	for len(p.fixed) > 0 && p.fixed[0].Offset < off {
		p.placeFixed()
	}
	p.builder.Place(off, src)
}

func (p *placer) placeFixed() {
	e := p.fixed[0]
	p.builder.Place(e.Offset, content.Section(e.Source, e.SourceOffset, e.Length))
	p.fixed = p.fixed[1:]
}

// place makes the map: everything that has bytes, where it lies.
func (fs *FileSystem) place(size int64) (*diskmap.Map, error) {
	fixed, err := fs.fixed(size)
	if err != nil {
		return nil, err
	}
	p := placer{fixed: slices.Collect(fixed.Extents(0, size))}
	p.builder.Reserve(len(p.fixed) + len(fs.inodes) - len(fs.dirs))
	fs.placeBlocks(&p, 0, fs.fileRank, fs.metadataBlock)
	for o, inode := range fs.inodes {
		if inode.IsRegular() && inode.Content != nil {
			fs.placeFile(&p, uint32(o), inode.Content)
		}
	}
	for len(p.fixed) > 0 {
		p.placeFixed()
	}
	return p.builder.Map(size)
}

// fixed returns a map of what lies at fixed places: everything of the layout,
// and the inode tables.
func (fs *FileSystem) fixed(size int64) (*diskmap.Map, error) {
	var b diskmap.Builder
	fs.usage.place(&b)
	l := fs.layout
	last := int64(fs.lastInode())
	for g := int64(0); g*l.InodesPerGroup < last; g++ {
		first := g*l.InodesPerGroup + 1
		count := min(last-first+1, l.InodesPerGroup)
		blocks := (count + inodesPerBlock - 1) / inodesPerBlock
		b.Place(l.inodeTable(g)*blockSize, generated(blocks, func(p []byte, i int64) error {
			return fs.inodeBlock(p, uint32(first+i*inodesPerBlock))
		}))
	}
	return b.Map(size)
}

// placeBlocks places count generated blocks from a rank on; fill gets the
// rank of the block to fill.
func (fs *FileSystem) placeBlocks(p *placer, rank, count int64, fill func(p []byte, rank int64) error) {
	for r := range fs.space.slice(rank, count) {
		first := rank
		p.place(r.start, generated(r.count, func(p []byte, i int64) error { return fill(p, first+i) }))
		rank += r.count
	}
}

// placeFile places the data of a file, with its own sources, and the blocks of
// its map.
func (fs *FileSystem) placeFile(p *placer, ordinal uint32, src content.Source) {
	b := fs.body(ordinal)
	size := src.Size()
	for piece := range b.pieces(fs.space, 0) {
		from := piece.logical * blockSize
		to := min(from+piece.count*blockSize, size)
		m, sparse := src.(*diskmap.Map)
		if !sparse {
			p.place(piece.start, content.Section(src, from, to-from))
			continue
		}
		for e := range m.Extents(from, to) {
			p.placeAt(piece.start*blockSize+e.Offset-from, content.Section(e.Source, e.SourceOffset, e.Length))
		}
	}
	if !fs.hasNodes(ordinal, b) {
		return
	}
	m := fs.blockMap(ordinal)
	nodes := b.rank + b.blocks
	fs.placeBlocks(p, nodes, m.nodes(), func(p []byte, rank int64) error {
		m.node(p, rank-nodes)
		return nil
	})
}

// hasNodes reports whether blocks of their own may map an inode. It saves a
// million small files from finding out.
func (fs *FileSystem) hasNodes(ordinal uint32, b body) bool {
	if fs.opts.Kind == Ext4 {
		return fs.leaves[ordinal] != nil
	}
	return b.spans != nil || b.blocks > directBlocks
}

// metadataBlock writes the block of a rank below fileRank: a directory's, a
// symbolic link's, or one of attributes.
func (fs *FileSystem) metadataBlock(p []byte, rank int64) error {
	switch {
	case rank >= fs.xattrRank:
		return fs.xattrBlock(p, rank-fs.xattrRank)
	case rank >= fs.linkRank:
		return fs.linkBlock(p, fs.links[rank-fs.linkRank])
	}
	n := sort.Search(len(fs.dirRanks), func(i int) bool { return fs.dirRanks[i] > rank }) - 1
	d := &fs.dirs[n]
	i := rank - fs.dirRanks[n]
	if blocks := fs.directoryBlocks(d); i >= blocks {
		fs.blockMap(d.ordinal).node(p, i-blocks)
		return nil
	}
	fs.directoryBlock(p, d, i)
	return nil
}

// linkBlock writes the block of a symbolic link: the target.
func (fs *FileSystem) linkBlock(p []byte, ordinal uint32) error {
	clear(p)
	inode := fs.inodes[ordinal]
	if err := content.ReadFull(inode.Content, p[:inode.Size()], 0); err != nil {
		return fs.pathError(ordinal, err)
	}
	return nil
}

// xattrBlock writes the i-th block of attributes.
func (fs *FileSystem) xattrBlock(p []byte, i int64) error {
	block := fs.xattrs.blocks[i]
	_, xattrs, err := fs.splitXattrs(fs.inodes[block.owner])
	if err != nil {
		return fs.pathError(block.owner, err)
	}
	putXattrBlock(p, xattrs, block.sharers)
	if fs.checksums {
		ondisk.SetXattrChecksum(p, uint64(fs.space.block(fs.xattrRank+i)), fs.layout.seed)
	}
	return nil
}

// generated returns a source of blocks that fill writes one at a time.
func generated(blocks int64, fill func(p []byte, i int64) error) content.Source {
	return &content.Generated{Length: blocks * blockSize, Fill: func(p []byte, off int64) error {
		for len(p) > 0 {
			i, skip := off/blockSize, off%blockSize
			n := min(int64(len(p)), blockSize-skip)
			if err := fillPart(p[:n], skip, i, fill); err != nil {
				return fmt.Errorf("ext4: %w", err)
			}
			p, off = p[n:], off+n
		}
		return nil
	}}
}

// fillPart fills p with the part of block i that begins skip bytes in.
func fillPart(p []byte, skip, i int64, fill func(p []byte, i int64) error) error {
	if len(p) == blockSize {
		return fill(p, i)
	}
	var block [blockSize]byte
	if err := fill(block[:], i); err != nil {
		return err
	}
	copy(p, block[skip:])
	return nil
}
