package inspect

import (
	"fmt"
	"io"
	"math/bits"
	"time"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"

	"github.com/google/uuid"
)

// readExt reads the superblock of an ext2, ext3 or ext4, or returns nil if
// there is none.
func readExt(r *io.SectionReader) (*FileSystem, error) {
	if r.Size() < ondisk.SuperblockOffset+ondisk.SuperblockSize {
		return nil, nil
	}
	b := make([]byte, ondisk.SuperblockSize)
	if err := content.ReadFull(r, b, ondisk.SuperblockOffset); err != nil {
		return nil, err
	}
	if b[56] != 0x53 || b[57] != 0xef { // s_magic
		return nil, nil
	}
	s, err := ondisk.DecodeSuperblock(b)
	if err != nil {
		return &FileSystem{Type: "ext", Problems: []string{err.Error()}}, nil
	}
	fs := extFileSystem(s)
	if !ondisk.CheckSuperblock(b) {
		fs.Problems = append(fs.Problems, "the checksum of the superblock is wrong")
	}
	if fs.Size > r.Size() {
		fs.Problems = append(fs.Problems, fmt.Sprintf("the file system has %d bytes, but its partition %d", fs.Size, r.Size()))
	}
	return fs, nil
}

func extFileSystem(s *ondisk.Superblock) *FileSystem {
	block := int64(s.BlockSize()) // no product overflows: the superblock counts at most 2^48 blocks
	return &FileSystem{
		Type:        extType(s.Features),
		Detailed:    true,
		Label:       s.Label,
		UUID:        uuid.UUID(s.UUID).String(),
		Size:        int64(s.Blocks) * block,
		BlockSize:   block,
		Used:        int64(s.Blocks-s.FreeBlocks) * block,
		Free:        int64(s.FreeBlocks) * block,
		Reserved:    int64(s.ReservedBlocks) * block,
		Inodes:      int64(s.Inodes),
		FreeInodes:  int64(s.FreeInodes),
		InodeSize:   int64(s.InodeSize),
		Features:    featureNames(s.Features),
		State:       extState(s),
		LastMounted: s.LastMounted,
		Created:     extTime(s.MkfsTime),
		Mounted:     extTime(s.MountTime),
		Written:     extTime(s.WriteTime),
		Checked:     extTime(s.LastCheck),
	}
}

// extType tells the generation by the features, as the kernel and blkid do:
// ext3 is ext2 with a journal, and ext4 what ext3 cannot mount.
func extType(f ondisk.Features) string {
	const (
		ext3Incompat = ondisk.IncompatFileType | ondisk.IncompatRecover | ondisk.IncompatMetaBG
		ext3ROCompat = ondisk.ROCompatSparseSuper | ondisk.ROCompatLargeFile | 4 // which nobody ever set
	)
	switch {
	case f.HasIncompat(ondisk.IncompatJournalDev):
		return "jbd" // an external journal
	case f.Incompat&^ext3Incompat != 0 || f.ROCompat&^ext3ROCompat != 0:
		return "ext4"
	case f.HasCompat(ondisk.CompatHasJournal):
		return "ext3"
	}
	return "ext2"
}

// extState says what the next mount has to do.
func extState(s *ondisk.Superblock) string {
	state := "clean"
	if s.State&ondisk.StateClean == 0 {
		state = "not clean"
	}
	if s.Features.HasIncompat(ondisk.IncompatRecover) {
		state = "needs journal recovery"
	}
	if s.State&ondisk.StateErrors != 0 {
		state += " with errors"
	}
	return state
}

// maxTime is the end of the year 9999, beyond which a time has no text.
const maxTime = 253402300799

// extTime returns a time of a superblock, or nil for never.
func extTime(seconds int64) *time.Time {
	if seconds == 0 || seconds > maxTime {
		return nil
	}
	t := time.Unix(seconds, 0).UTC()
	return &t
}

// featureNames are the names of the features in the order of their bits,
// compatible ones first, as dumpe2fs prints them.
func featureNames(f ondisk.Features) []string {
	var list []string
	for _, set := range []struct {
		bits   uint32
		names  map[uint32]string
		prefix string
	}{
		{f.Compat, compatNames, "FEATURE_C"},
		{f.Incompat, incompatNames, "FEATURE_I"},
		{f.ROCompat, roCompatNames, "FEATURE_R"},
	} {
		for left := set.bits; left != 0; left &= left - 1 {
			bit := left & -left
			name, ok := set.names[bit]
			if !ok {
				name = fmt.Sprint(set.prefix, bits.TrailingZeros32(bit))
			}
			list = append(list, name)
		}
	}
	return list
}

var compatNames = map[uint32]string{
	ondisk.CompatDirPrealloc:  "dir_prealloc",
	0x2:                       "imagic_inodes",
	ondisk.CompatHasJournal:   "has_journal",
	ondisk.CompatExtAttr:      "ext_attr",
	ondisk.CompatResizeInode:  "resize_inode",
	ondisk.CompatDirIndex:     "dir_index",
	0x40:                      "lazy_bg",
	0x100:                     "snapshot_bitmap",
	ondisk.CompatSparseSuper2: "sparse_super2",
	ondisk.CompatFastCommit:   "fast_commit",
	ondisk.CompatStableInodes: "stable_inodes",
	ondisk.CompatOrphanFile:   "orphan_file",
}

var incompatNames = map[uint32]string{
	ondisk.IncompatCompression: "compression",
	ondisk.IncompatFileType:    "filetype",
	ondisk.IncompatRecover:     "needs_recovery",
	ondisk.IncompatJournalDev:  "journal_dev",
	ondisk.IncompatMetaBG:      "meta_bg",
	ondisk.IncompatExtents:     "extent",
	ondisk.Incompat64Bit:       "64bit",
	ondisk.IncompatMMP:         "mmp",
	ondisk.IncompatFlexBG:      "flex_bg",
	ondisk.IncompatEAInode:     "ea_inode",
	ondisk.IncompatDirData:     "dirdata",
	ondisk.IncompatCsumSeed:    "metadata_csum_seed",
	ondisk.IncompatLargeDir:    "large_dir",
	ondisk.IncompatInlineData:  "inline_data",
	ondisk.IncompatEncrypt:     "encrypt",
	ondisk.IncompatCaseFold:    "casefold",
}

var roCompatNames = map[uint32]string{
	ondisk.ROCompatSparseSuper:   "sparse_super",
	ondisk.ROCompatLargeFile:     "large_file",
	ondisk.ROCompatHugeFile:      "huge_file",
	ondisk.ROCompatGDTChecksum:   "uninit_bg",
	ondisk.ROCompatDirNLink:      "dir_nlink",
	ondisk.ROCompatExtraISize:    "extra_isize",
	ondisk.ROCompatQuota:         "quota",
	ondisk.ROCompatBigAlloc:      "bigalloc",
	ondisk.ROCompatMetadataCsum:  "metadata_csum",
	0x800:                        "replica",
	ondisk.ROCompatReadOnly:      "read-only",
	ondisk.ROCompatProject:       "project",
	0x4000:                       "shared_blocks",
	ondisk.ROCompatVerity:        "verity",
	ondisk.ROCompatOrphanPresent: "orphan_present",
}
