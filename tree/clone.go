package tree

import "slices"

// Clone returns a copy of the tree at root, with the hard links of the original.
// Content is shared.
func Clone(root *Inode) *Inode {
	c := cloner{}
	return c.clone(root)
}

// cloner knows the copies of files, which may have several names.
type cloner map[*Inode]*Inode

func (c cloner) clone(i *Inode) *Inode {
	if twin := c[i]; twin != nil {
		return twin
	}
	twin := *i
	twin.Xattrs = slices.Clone(i.Xattrs)
	if !i.IsDir() {
		c[i] = &twin
		return &twin
	}
	twin.Entries = slices.Clone(i.Entries)
	for n := range twin.Entries {
		twin.Entries[n].Inode = c.clone(twin.Entries[n].Inode)
	}
	return &twin
}
