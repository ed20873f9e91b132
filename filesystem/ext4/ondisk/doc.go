// Package ondisk encodes and decodes the structures of ext2, ext3 and ext4.
//
// Everything here is a pure function between bytes and Go values: no I/O, no
// allocation of blocks, no policy. The writer and the reader of package ext4
// share it. The source of every layout is the kernel's documentation of the
// format (Documentation/filesystems/ext4); section names in quotation marks
// below are its. Everything is little endian, but the journal, which is big
// endian.
//
//	block 0        1..          ..              ..                ..
//	|....Superblock|GroupDesc ×n|(room to grow) |bitmaps, inodes  |data
//	 1024 bytes in               resize inode    Inode: extent      directories: DirEntry, Dx*
//	                                             tree in i_block    attributes: Xattr*
//	                                                                journal, orphan file
//
// Encoders fill a slice of the structure's size that the caller gives and
// trust their input. Decoders trust nothing: they return an error, or values
// that the caller can bound; they never panic and never read beyond what they
// were given.
//
// # Checksums
//
// With the feature metadata_csum every structure carries a CRC-32C, continued
// ([Checksum]) from a seed: that of the file system ([Superblock.Seed]), or
// for what belongs to an inode that of the inode ([InodeSeed]).
package ondisk
