package ondisk

import "encoding/binary"

// A block of the orphan file ("Orphan file") is a table of inode numbers, zeros
// when the file system is clean, before this tail: ext4_orphan_block_tail.
const (
	orphanMagic    = 0x0b10ca04
	orphanTailSize = 8
)

// SetOrphanTail puts the tail into a block of the orphan file, which is at
// blockNumber of the disk. Its checksum covers that number and the table.
func SetOrphanTail(block []byte, blockNumber uint64, inodeSeed uint32) {
	table, tail := block[:len(block)-orphanTailSize], block[len(block)-orphanTailSize:]
	binary.LittleEndian.PutUint32(tail, orphanMagic)
	binary.LittleEndian.PutUint32(tail[4:], orphanChecksum(table, blockNumber, inodeSeed))
}

// CheckOrphanTail reports whether a block of the orphan file ends in a tail with
// the right checksum.
func CheckOrphanTail(block []byte, blockNumber uint64, inodeSeed uint32) bool {
	if len(block) < orphanTailSize {
		return false
	}
	table, tail := block[:len(block)-orphanTailSize], block[len(block)-orphanTailSize:]
	return binary.LittleEndian.Uint32(tail) == orphanMagic &&
		binary.LittleEndian.Uint32(tail[4:]) == orphanChecksum(table, blockNumber, inodeSeed)
}

func orphanChecksum(table []byte, blockNumber uint64, inodeSeed uint32) uint32 {
	return Checksum(checksum64(inodeSeed, blockNumber), table)
}
