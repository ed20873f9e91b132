// Package ext4 plans ext4, ext3 and ext2 file systems that hold a tree, and reads
// those that anybody made ([Open]).
//
// A file system is planned first, without reading a byte of content, and is
// then a disk map: what lies where, with metadata that is made when it is read.
// Its geometry is that of mke2fs at every size; what is in it is what a kernel
// would have written, on a good day. Who checks it: e2fsck, debugfs, resize2fs
// and the kernel, in the tests.
//
//	|super|desc|room|bitmaps|inode tables|directories|links, attributes|files -> ...| free ... |journal| free ...
//	 block        to  of 16 groups        one sweep upwards through what is free ->      groups behind the sweep
//	 0            grow                                                                    stay uninitialised
//
// # Vocabulary
//
// The geometry is arithmetic: how many blocks, groups and inodes (geometry.go).
// The layout says where everything lies that does not depend on the tree
// (layout.go and the files of its parts: superblock.go, groups.go, resize.go,
// journal.go, orphan.go). What it leaves free is a space, whose blocks are
// addressed by rank, their number among the free ones (space.go).
//
// A census is what one walk of the tree finds out (measure.go). A sweep hands
// out the space's blocks to it (sweep.go): to every directory and file a body,
// which is its data in one stretch of ranks and then the blocks that map it
// (body.go, extent.go, indirect.go). Since a body is contiguous in rank, all that
// is kept of a file is the rank of its first block; all that is known of the
// blocks in use is where the sweep ended.
//
// The contents of metadata blocks are functions of these: directories
// (directory.go, htree.go), attributes (xattr.go, acl.go) and inodes (inode.go).
// They are placed in the map, with the data of files between them, by place.go.
// Package ondisk encodes the structures.
//
// # Reading
//
// A [Volume] is the way back, for images of any origin: inodes, names, content
// as maps, attributes (volume.go, volumeblocks.go, volumedir.go,
// volumeattr.go), or all of it as a tree (volumetree.go). Images are hostile:
// every number is bounded by what there is, and what has a wrong checksum is
// refused, as the kernel refuses it.
//
// # Limits
//
// What the file system cannot hold is an error that names the path: names,
// link targets, attributes, device numbers, sizes and link counts beyond its
// limits. Times are the one exception: outside of 1901 to 2446 they become the
// nearest end of that range, as the kernel does it.
package ext4
