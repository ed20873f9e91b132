// Package volume reads ZFS pools of one device: those of package zfs, and those of
// OpenZFS.
//
//	pool, err := volume.Open(r, size)
//	for _, d := range pool.Datasets() {
//		fmt.Println(d.Name, d.Referenced.Allocated)
//	}
//	files, err := pool.Files(nil)         // all file systems, joined by their mount points
//	inode, err := files.Lookup("/etc/passwd", true)
//
// # What is read
//
//	label ──> uberblock ──> MOS ──> datasets ──> object set ──> files
//
// Pools that have feature flags (version 5000) on a disk or file, whose features are
// among [readable]: any size of blocks and dnodes, compression with lz4, lzjb, gzip,
// zle and zstd, checksums fletcher2, fletcher4, SHA-256 and SHA-512, several copies,
// embedded and gang blocks, micro and fat ZAPs of any size, extended attributes in
// the inode and in directories, snapshots and clones. Anything else is refused and
// named: mirrors and RAID-Z, encryption, files from before system attributes.
//
// What the intent log holds and the pool has not taken over is not seen: see
// [Dataset.HasLog].
//
// # Hostile input
//
// Every block has its checksum verified when it is read, and the next copy is tried
// if that is wrong. No length that a pool gives is trusted, nothing is followed for
// ever, and memory grows with what a pool really has.
package volume
