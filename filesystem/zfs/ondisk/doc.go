// Package ondisk encodes the structures of ZFS pools, and decodes what is needed
// to check them.
//
// Numbers are little endian, but for XDR (name-value lists) and the arrays in fat
// ZAPs, which are big endian. Names follow OpenZFS, whose headers are the
// specification: sys/spa.h (block pointers), sys/dnode.h, sys/dmu.h (types),
// sys/zap_impl.h and sys/zap_leaf.h, sys/sa_impl.h, sys/space_map.h,
// sys/vdev_impl.h (labels), sys/uberblock_impl.h, sys/dsl_dir.h and
// sys/dsl_dataset.h.
//
//	label      two at each end of a device: name-value list, ring of uberblocks
//	uberblock  -> block pointer of the meta object set (MOS)
//	object set -> meta dnode, the tree of blocks that hold the other dnodes
//	dnode      -> an object: up to three block pointers, a bonus, perhaps a spill block
//	block pointer -> up to three addresses, sizes, compression, checksum, birth
//
// Objects have types: ZAPs (directories of names to numbers), space maps, arrays,
// file content.
package ondisk

import "encoding/binary"

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// SectorSize is the unit of sizes and offsets in block pointers and dnodes
// (SPA_MINBLOCKSIZE), and what the size of every block is a multiple of.
const SectorSize = 512

// Type says what an object is (dmu_object_type_t).
type Type uint8

// Types of objects, and of what dnodes have in their bonus.
const (
	TypeNone            Type = 0
	TypeObjectDirectory Type = 1
	TypeObjectArray     Type = 2
	TypePackedNVList    Type = 3
	TypePackedNVSize    Type = 4 // bonus
	TypeBPObj           Type = 5
	TypeBPObjHeader     Type = 6 // bonus
	TypeSpaceMapHeader  Type = 7 // bonus
	TypeSpaceMap        Type = 8
	TypeDNode           Type = 10
	TypeObjset          Type = 11
	TypeDSLDir          Type = 12
	TypeDSLChildMap     Type = 13
	TypeDSLSnapMap      Type = 14
	TypeDSLProps        Type = 15
	TypeDSLDataset      Type = 16
	TypeFileContents    Type = 19
	TypeDirContents     Type = 20
	TypeMasterNode      Type = 21
	TypeUnlinkedSet     Type = 22
	TypeHistory         Type = 29
	TypeHistoryOffsets  Type = 30 // bonus
	TypePoolProps       Type = 31
	TypeNextClones      Type = 37
	TypeUserGroupUsed   Type = 39
	TypeSA              Type = 44
	TypeSAMaster        Type = 45
	TypeSARegistration  Type = 46
	TypeSALayouts       Type = 47
	TypeDeadlist        Type = 50
	TypeDeadlistHeader  Type = 51 // bonus
	TypeDSLClones       Type = 52

	// TypeZAP is a ZAP without a type of its own (DMU_OTN_ZAP_METADATA).
	TypeZAP Type = 0xc4
)

// HasFill reports whether pointers to blocks of the type count what is in the blocks,
// which are never embedded therefore (DMU_OT_HAS_FILL).
func (t Type) HasFill() bool { return t == TypeDNode || t == TypeObjset }

// IsMetadata reports whether blocks of an object of the type are metadata, whose
// uncompressed size counts as its compressed one (DMU_OT_IS_METADATA).
func (t Type) IsMetadata() bool { return t != TypeFileContents }

// IsCritical reports whether much is lost with a block of an object of the type
// (DMU_OT_IS_CRITICAL).
func (t Type) IsCritical() bool {
	return t.IsMetadata() && t != TypeDNode && t != TypeDirContents && t != TypeSA
}

// Compression is how a block is compressed (enum zio_compress).
type Compression uint8

// Kinds of compression.
const (
	CompressionOff   Compression = 2
	CompressionLZJB  Compression = 3
	CompressionGzip1 Compression = 5 // the levels to 9 follow
	CompressionGzip9 Compression = 13
	CompressionZLE   Compression = 14
	CompressionLZ4   Compression = 15
	CompressionZstd  Compression = 16 // needs the feature zstd_compress
)

// Versions that pools with feature flags have: of the pool and of the file
// system in it.
const (
	PoolVersion       = 5000 // SPA_VERSION_FEATURES
	FileSystemVersion = 5    // ZPL_VERSION_SA
)

// MaxBlockSize is the largest block there is, with the feature large_blocks
// (SPA_MAXBLOCKSIZE).
const MaxBlockSize = 16 << 20
