// Package zfs plans ZFS pools that hold trees: one device, one file system or more.
//
// A pool is planned first and is then a disk map: what lies where. Since every
// block pointer has a checksum of what it points at, planning reads all files once
// (in parallel, and compresses them to know their size); whoever reads the map
// reads them a second time. Metadata stays in memory as it goes to disk.
//
//	|label 0|label 1|boot|      metaslab 0      |   metaslab 1   | ...  |label 2|label 3|
//	                      ^ files, directories and dnodes, one behind the other,
//	                        then the MOS; everything behind that is free
//
// The pool has no feature flags but lz4_compress, and that only if something is
// compressed, so every OpenZFS since 2013, FreeBSD and GRUB read it. It looks
// exported: import needs no force. Who checks it: zdb and GRUB, in the tests.
//
// # Vocabulary
//
// A pool's blocks have addresses on the device; a block pointer (package ondisk)
// holds address, size, compression and checksum. An object is a dnode and the tree
// of blocks that it points at (blocktree.go). An object set is objects by number,
// kept in the blocks of one more object, its meta dnode (objset.go): each file
// system is one (filesystem.go, attributes.go, and files.go for what is in files),
// and so is the MOS, the meta object set, which has datasets, pool configuration and
// space maps (mos.go, dsl.go). Labels at both ends of the device lead to it by an
// uberblock (label.go).
//
// # Space
//
// Blocks are allocated upwards and never freed (space.go); no block crosses from
// one metaslab into the next. So what is allocated of a metaslab is one run from
// its beginning, and its space map one line. The MOS, whose space maps list the
// blocks of the MOS itself, has its space reserved before it is written.
//
// # Limits
//
// Everything has one copy; embedded blocks and the features for them are not
// written; blocks have at most 128 KiB. What ZFS cannot hold is an error that names
// the path.
package zfs
