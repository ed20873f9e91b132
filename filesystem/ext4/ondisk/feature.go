package ondisk

// Features a reader may ignore ("s_feature_compat").
const (
	CompatDirPrealloc  uint32 = 0x0001
	CompatHasJournal   uint32 = 0x0004
	CompatExtAttr      uint32 = 0x0008
	CompatResizeInode  uint32 = 0x0010
	CompatDirIndex     uint32 = 0x0020
	CompatSparseSuper2 uint32 = 0x0200
	CompatFastCommit   uint32 = 0x0400
	CompatStableInodes uint32 = 0x0800
	CompatOrphanFile   uint32 = 0x1000
)

// Features that a reader must know ("s_feature_incompat").
const (
	IncompatCompression uint32 = 0x00001
	IncompatFileType    uint32 = 0x00002
	IncompatRecover     uint32 = 0x00004
	IncompatJournalDev  uint32 = 0x00008
	IncompatMetaBG      uint32 = 0x00010
	IncompatExtents     uint32 = 0x00040
	Incompat64Bit       uint32 = 0x00080
	IncompatMMP         uint32 = 0x00100
	IncompatFlexBG      uint32 = 0x00200
	IncompatEAInode     uint32 = 0x00400
	IncompatDirData     uint32 = 0x01000
	IncompatCsumSeed    uint32 = 0x02000
	IncompatLargeDir    uint32 = 0x04000
	IncompatInlineData  uint32 = 0x08000
	IncompatEncrypt     uint32 = 0x10000
	IncompatCaseFold    uint32 = 0x20000
)

// Features that a writer must know ("s_feature_ro_compat").
const (
	ROCompatSparseSuper   uint32 = 0x00001
	ROCompatLargeFile     uint32 = 0x00002
	ROCompatHugeFile      uint32 = 0x00008
	ROCompatGDTChecksum   uint32 = 0x00010 // uninit_bg
	ROCompatDirNLink      uint32 = 0x00020
	ROCompatExtraISize    uint32 = 0x00040
	ROCompatQuota         uint32 = 0x00100
	ROCompatBigAlloc      uint32 = 0x00200
	ROCompatMetadataCsum  uint32 = 0x00400
	ROCompatReadOnly      uint32 = 0x01000
	ROCompatProject       uint32 = 0x02000
	ROCompatVerity        uint32 = 0x08000
	ROCompatOrphanPresent uint32 = 0x10000
)

// Features are the three words of feature bits in the superblock.
type Features struct {
	Compat, Incompat, ROCompat uint32
}

// HasCompat reports whether all of the given bits are set.
func (f Features) HasCompat(bits uint32) bool { return f.Compat&bits == bits }

// HasIncompat reports whether all of the given bits are set.
func (f Features) HasIncompat(bits uint32) bool { return f.Incompat&bits == bits }

// HasROCompat reports whether all of the given bits are set.
func (f Features) HasROCompat(bits uint32) bool { return f.ROCompat&bits == bits }
