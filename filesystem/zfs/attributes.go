package zfs

import (
	"fmt"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
	"diskwright/tree"
)

// Flags of files (ZFS_* in sys/zfs_znode.h).
const (
	flagTrivialACL   = 0x4           // the access list is nothing but the mode
	flagInherit      = 0x40          // on directories: new entries look at its access list
	flagNoExecDenied = 0x100         // everybody may execute or enter: no need to look further
	flagArchive      = 0x800000000   // changed since a backup, as every new file
	flagModified     = 0x40000000000 // with the above, for the use of other systems
)

// Limits of inodes.
const (
	maxTarget = 4095 // PATH_MAX without the NUL

	// Device numbers are the kernel's: 12 bits for the major, 20 for the
	// minor part.
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// attributes returns the system attributes of an inode.
func (z *zpl) attributes(ordinal uint32) (a ondisk.Attributes, err error) {
	inode := z.inodes[ordinal]
	t := ondisk.Time(inode.Mtime)
	a = ondisk.Attributes{
		Mode: uint64(inode.Mode), Size: uint64(inode.Size()), Generation: birth,
		UID: uint64(inode.UID), GID: uint64(inode.GID), Parent: objectOf(z.parents[ordinal]),
		Flags: flagTrivialACL | flagArchive | flagModified,
		Atime: t, Mtime: t, Ctime: t, Crtime: t,
		Links: uint64(inode.Links),
		ACL:   trivialACL(inode),
	}
	if inode.Mode&0o111 == 0o111 {
		a.Flags |= flagNoExecDenied
	}
	switch inode.Type() {
	case tree.TypeDir:
		a.Size = uint64(len(inode.Entries)) + 2
		a.Flags |= flagInherit
	case tree.TypeSymlink:
		if inode.Size() == 0 || inode.Size() > maxTarget {
			return a, fmt.Errorf("the target of the symbolic link has %d bytes, not 1 to %d", inode.Size(), maxTarget)
		}
		a.Target = make([]byte, inode.Size())
		if err := content.ReadFull(inode.Content, a.Target, 0); err != nil {
			return a, err
		}
	case tree.TypeChar, tree.TypeBlock:
		if inode.Major > maxMajor || inode.Minor > maxMinor {
			return a, fmt.Errorf("device %d:%d has a number above %d:%d", inode.Major, inode.Minor, maxMajor, maxMinor)
		}
		a.Device, a.Rdev = true, uint64(inode.Major)<<20|uint64(inode.Minor)
	}
	a.Xattrs, err = z.xattrs(inode)
	return a, err
}

// xattrs returns the list of extended attributes, nil if there are none. Access
// lists are among them, in the form in which a tree has them.
func (z *zpl) xattrs(inode *tree.Inode) ([]byte, error) {
	if len(inode.Xattrs) == 0 {
		return nil, nil
	}
	var l ondisk.NVList
	for _, x := range inode.Xattrs {
		if len(x.Value) > ondisk.MaxXattrValue {
			return nil, fmt.Errorf("the extended attribute %q has %d bytes, more than %d", x.Name, len(x.Value), ondisk.MaxXattrValue)
		}
		if x.Name == "system.posix_acl_access" || x.Name == "system.posix_acl_default" {
			z.fs.acls = true
		}
		l = append(l, ondisk.NVPair{Name: x.Name, Value: x.Value})
	}
	encoded := l.Encode()
	if len(encoded) > ondisk.MaxXattrList {
		return nil, fmt.Errorf("the extended attributes take %d bytes, more than %d", len(encoded), ondisk.MaxXattrList)
	}
	return encoded, nil
}

// Rights of an NFSv4 access list (ACE_* in sys/acl.h) that owner, group and others
// have whatever the mode is, and those that r, w and x give.
const (
	ownerBase  = 0x1e0198
	othersBase = 0x120088

	mayRead        = 0x1
	mayWrite       = 0x2 | 0x4
	mayDeleteChild = 0x40 // w of a directory
	mayExecute     = 0x20

	aceOwner    = 0x1000
	aceGroup    = 0x2000 | 0x40 // a group
	aceEveryone = 0x4000
)

// trivialACL returns the access list that is nothing but the mode.
func trivialACL(inode *tree.Inode) []ondisk.ACE {
	rights := func(bits uint32, base uint32) uint32 {
		if bits&4 != 0 {
			base |= mayRead
		}
		if bits&2 != 0 {
			base |= mayWrite
			if inode.IsDir() {
				base |= mayDeleteChild
			}
		}
		if bits&1 != 0 {
			base |= mayExecute
		}
		return base
	}
	return []ondisk.ACE{
		{Flags: aceOwner, Mask: rights(inode.Mode>>6, ownerBase)},
		{Flags: aceGroup, Mask: rights(inode.Mode>>3, othersBase)},
		{Flags: aceEveryone, Mask: rights(inode.Mode, othersBase)},
	}
}
