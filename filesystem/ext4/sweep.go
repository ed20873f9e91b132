package ext4

import "diskwright/filesystem/ext4/ondisk"

// sweep hands out blocks: ranks of the space, upwards, to directories, then to
// symbolic links and attributes that need a block, then to files in the order of
// their inodes; each followed by the blocks that map it.
//
// So whoever walks the tree reads one stretch of the disk, whoever reads the
// files of a directory reads another, nothing is fragmented, groups behind the
// sweep stay uninitialised, and whoever writes the image has file data in long
// stretches without metadata in between.
type sweep struct {
	*census
	space *space
	hint  int // the run of the space where the sweep is

	// linkRank, xattrRank and fileRank are where symbolic links, attributes
	// and files begin; end is behind everything so far.
	linkRank, xattrRank, fileRank, end int64
}

// run sweeps. It shows each directory and file to visit, and how many blocks map
// it. It returns false as soon as something does not fit.
func (s *sweep) run(visit func(ordinal uint32, b body, nodes int64)) bool {
	if s.blocks > s.space.blocks {
		return false
	}
	for i := range s.dirs {
		if !s.give(s.dirs[i].ordinal, visit) {
			return false
		}
	}
	s.linkRank = s.end
	s.xattrRank = s.linkRank + int64(len(s.links))
	s.fileRank = s.xattrRank + int64(len(s.xattrs.blocks))
	s.end = s.fileRank
	for o, inode := range s.inodes {
		if inode.IsRegular() && !s.give(uint32(o), visit) {
			return false
		}
	}
	return s.end <= s.space.blocks
}

// give hands out the blocks of a directory or file.
func (s *sweep) give(ordinal uint32, visit func(ordinal uint32, b body, nodes int64)) bool {
	b := body{s.spansOf(ordinal), s.dataBlocks(ordinal), s.end}
	if s.end += b.blocks; s.end > s.space.blocks {
		return false
	}
	nodes := int64(0)
	if b.blocks > 0 {
		nodes = s.nodes(b)
	}
	s.end += nodes
	visit(ordinal, b, nodes)
	return true
}

// nodes returns how many blocks map the body.
func (s *sweep) nodes(b body) int64 {
	if s.opts.Kind != Ext4 {
		return indirectNodes(b.chunks())
	}
	var within bool
	s.hint, within = s.space.within(s.hint, b.rank, b.blocks)
	if within && b.spans == nil && b.blocks <= ondisk.ExtentMax {
		return 0
	}
	return extentNodes(b.countExtents(s.space))
}

// leastNodes returns how many blocks map the body where nothing is in its way.
func (c *census) leastNodes(b body) int64 {
	if c.opts.Kind != Ext4 {
		return indirectNodes(b.chunks())
	}
	if b.spans == nil {
		return extentNodes(extentsFor(b.blocks))
	}
	extents := int64(0)
	for _, s := range b.spans {
		extents += extentsFor(int64(s.count))
	}
	return extentNodes(extents)
}
