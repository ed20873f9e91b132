package zfs

import "diskwright/tree"

// paths is where the inodes of a tree are.
type paths struct {
	inodes  []*tree.Inode // by ordinal
	parents []uint32      // ordinals of the directories in which inodes were first met
}

// newPaths numbers the inodes of a tree.
func newPaths(root *tree.Inode) *paths {
	p := &paths{inodes: tree.Number(root)}
	p.parents = make([]uint32, len(p.inodes))
	known := make([]bool, len(p.inodes))
	known[0] = true
	for ordinal, inode := range p.inodes {
		for _, e := range inode.Entries {
			if child := e.Inode.Ordinal; !known[child] {
				known[child] = true
				p.parents[child] = uint32(ordinal)
			}
		}
	}
	return p
}

// path returns a path of an inode, for errors.
func (p *paths) path(ordinal uint32) string {
	path := ""
	for ordinal != 0 {
		parent := p.parents[ordinal]
		for _, e := range p.inodes[parent].Entries {
			if e.Inode.Ordinal == ordinal {
				path = "/" + e.Name + path
				break
			}
		}
		ordinal = parent
	}
	return max(path, "/")
}
