package ondisk

import (
	"encoding/binary"
	"fmt"
)

// JournalMinBlocks is the smallest journal that the kernel takes.
const JournalMinBlocks = 1024

const (
	journalMagic        = 0xc03b3998
	journalSuperblockV2 = 4
	journalSuperblockV1 = 3
)

// JournalSuperblock is the first block of a journal: journal_superblock_s of
// "Journal (jbd2)". It is the one structure that is big endian.
type JournalSuperblock struct {
	BlockSize uint32
	Blocks    uint32 // of the whole journal
	First     uint32 // block of the first log record
	Sequence  uint32 // of the first transaction expected
	Start     uint32 // block of the first transaction; 0: nothing to replay

	Compat, Incompat, ROCompat uint32
	UUID                       [16]byte
	Users                      uint32 // file systems that share the journal
	FastCommitBlocks           uint32
}

// Encode writes the superblock to p, its block, which is cleared first. It has
// no checksum: the journal's features say which, and a new one has none.
func (j *JournalSuperblock) Encode(p []byte) {
	be := binary.BigEndian
	clear(p)
	be.PutUint32(p[0x00:], journalMagic)
	be.PutUint32(p[0x04:], journalSuperblockV2)
	be.PutUint32(p[0x0c:], j.BlockSize)
	be.PutUint32(p[0x10:], j.Blocks)
	be.PutUint32(p[0x14:], j.First)
	be.PutUint32(p[0x18:], j.Sequence)
	be.PutUint32(p[0x1c:], j.Start)
	be.PutUint32(p[0x24:], j.Compat)
	be.PutUint32(p[0x28:], j.Incompat)
	be.PutUint32(p[0x2c:], j.ROCompat)
	copy(p[0x30:0x40], j.UUID[:])
	be.PutUint32(p[0x40:], j.Users)
	be.PutUint32(p[0x54:], j.FastCommitBlocks)
}

// DecodeJournalSuperblock reads the superblock in p, a journal's first 1,024
// bytes or more. That of version 1 has no features, UUID and users.
func DecodeJournalSuperblock(p []byte) (JournalSuperblock, error) {
	be := binary.BigEndian
	if len(p) < SuperblockSize {
		return JournalSuperblock{}, fmt.Errorf("journal superblock of %d bytes", len(p))
	}
	magic, kind := be.Uint32(p), be.Uint32(p[4:])
	if magic != journalMagic || kind != journalSuperblockV1 && kind != journalSuperblockV2 {
		return JournalSuperblock{}, fmt.Errorf("journal superblock with magic %#08x and type %d instead of %#08x and %d",
			magic, kind, uint32(journalMagic), journalSuperblockV2)
	}
	j := JournalSuperblock{
		BlockSize: be.Uint32(p[0x0c:]),
		Blocks:    be.Uint32(p[0x10:]),
		First:     be.Uint32(p[0x14:]),
		Sequence:  be.Uint32(p[0x18:]),
		Start:     be.Uint32(p[0x1c:]),
	}
	if kind == journalSuperblockV2 {
		j.Compat, j.Incompat, j.ROCompat = be.Uint32(p[0x24:]), be.Uint32(p[0x28:]), be.Uint32(p[0x2c:])
		copy(j.UUID[:], p[0x30:0x40])
		j.Users = be.Uint32(p[0x40:])
		j.FastCommitBlocks = be.Uint32(p[0x54:])
	}
	return j, nil
}
