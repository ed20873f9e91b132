// Package zfs plans ZFS pools that hold trees: one device, one file system or more.
//
// A pool is planned first and is then a disk map: what lies where. Since every
// block pointer has a checksum of what it points at, planning reads all files once
// (in parallel, and compresses them to know their size). Whoever reads the map
// reads them a second time, but for what was compressed, if there is a spool that
// keeps it. Metadata stays in memory as it goes to disk.
//
//	|label 0|label 1|boot| metaslab 0 | metaslab 1 | ... | metaslab n |label 2|label 3|
//	                      ^ what is in files, with metadata between: its second
//	                        and third copies are in metaslabs far from there
//
// It looks exported: import needs no force. Who checks it: zdb and GRUB, in the
// tests, and OpenZFS itself (test/zfsrig).
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
// # Features
//
// What a pool has that not every OpenZFS knows is listed in it (features.go). The
// smallest set has only what the pool's properties need, lz4_compress for one, so
// every OpenZFS since 2013, FreeBSD and GRUB read it. The sets named after versions
// have what `zpool create` of that version enables. Some features change how
// everything is written: the empty lists of datasets are one object (empty_bpobj),
// space maps have histograms (spacemap_histogram) and longer entries (spacemap_v2),
// small blocks lie in pointers (embedded_data), datasets list what they use
// (extensible_dataset), objects and projects are accounted (accounting.go). Others
// are only enabled: OpenZFS uses them when it writes.
//
// # Properties
//
// A pool and its file systems are described by the properties that zpool and zfs
// take (propertytable.go). They are text, checked by [CheckPoolProperties] and
// [CheckProperties] before anything is read, and against the features by
// [Options.Check]. What a file system has or inherits decides how it stores
// (storage.go): compression (pack.go), checksum, recordsize, copies, and which names
// are the same (names.go). Everything else is only noted, for who mounts it.
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
// Dnodes have 512 bytes. Nothing is encrypted or deduplicated, and there are no
// snapshots. What ZFS cannot hold is an error that names the path.
package zfs
