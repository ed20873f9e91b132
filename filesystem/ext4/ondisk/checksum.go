package ondisk

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NoSeed is the seed of a checksum that belongs to nothing: that of the
// superblock, and the one that makes a seed out of a UUID.
const NoSeed uint32 = 0xffffffff

// Checksum continues the CRC-32C seed over p as the kernel's ext4_chksum does:
// the register is neither inverted before nor after.
func Checksum(seed uint32, p []byte) uint32 {
	return ^crc32.Update(^seed, castagnoli, p)
}

// checksum32 continues seed over v in the byte order of the disk. It and
// checksumZeros do without a slice, which would have to be allocated: there is
// one for every inode and every group.
func checksum32(seed, v uint32) uint32 {
	for range 4 {
		seed = castagnoli[byte(seed^v)] ^ seed>>8
		v >>= 8
	}
	return seed
}

// checksum64 is checksum32 for 64 bits.
func checksum64(seed uint32, v uint64) uint32 {
	return checksum32(checksum32(seed, uint32(v)), uint32(v>>32))
}

// checksumZeros continues seed over n zero bytes: a field of a structure that
// counts as zero in its own checksum.
func checksumZeros(seed uint32, n int) uint32 {
	for range n {
		seed = castagnoli[byte(seed)] ^ seed>>8
	}
	return seed
}

// SeedOfUUID is the seed of a file system's metadata checksums where the
// superblock does not hold one (no metadata_csum_seed).
func SeedOfUUID(uuid [16]byte) uint32 { return Checksum(NoSeed, uuid[:]) }

// InodeSeed is the seed for what belongs to one inode: itself, its directory
// blocks, its extent blocks.
func InodeSeed(fsSeed, ino, generation uint32) uint32 {
	return checksum32(checksum32(fsSeed, ino), generation)
}

// BitmapChecksum is the checksum of a group's block or inode bitmap, the 32
// bits that the descriptor holds; p is the part that counts (clusters per group
// or inodes per group, in bytes). A 32-byte descriptor keeps the lower half.
func BitmapChecksum(fsSeed uint32, p []byte) uint32 { return Checksum(fsSeed, p) }
