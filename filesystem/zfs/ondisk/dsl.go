package ondisk

// The dataset and snapshot layer keeps directories, the nodes of the tree of names
// that `zfs list` shows, and datasets, what was or is in them.
const (
	dslDirSize     = 256
	dslDatasetSize = 320

	dslDirUsedBreakdown   = 1 // flag: used_breakdown is kept
	datasetUniqueAccurate = 4 // flag: unique is right
	datasetPointerAt      = 16 * 8
)

// DSLDir is the bonus of a directory (dsl_dir_phys_t). Numbers are of objects;
// sizes are in bytes.
type DSLDir struct {
	Created            uint64
	Head               uint64 // dataset
	Parent             uint64
	Origin             uint64 // snapshot that Head is a clone of
	ChildMap           uint64
	Quota, Reserved    uint64 // 0 is none
	Properties, Clones uint64

	// Used is what the head and all children take, and what is reserved for
	// them beyond that. Of Used.Allocated, the rest are the children's.
	Used                                  Space
	UsedHead, HeadReserved, ChildReserved int64
}

// Space is how much blocks take: in the pool, compressed, and as they are read.
type Space struct{ Allocated, Compressed, Uncompressed int64 }

// Add adds the space of other blocks.
func (s *Space) Add(t Space) {
	s.Allocated += t.Allocated
	s.Compressed += t.Compressed
	s.Uncompressed += t.Uncompressed
}

// Count adds a block. An embedded one has no size in the pool (BP_GET_PSIZE).
func (s *Space) Count(b *BlockPointer) {
	if b.IsHole() {
		return
	}
	physical := int64(b.PhysicalSize)
	if b.Embedded != nil {
		physical = 0
	}
	s.Allocated += b.AllocatedSize()
	s.Compressed += physical
	if b.Level > 0 || b.Type.IsMetadata() {
		s.Uncompressed += physical
	} else {
		s.Uncompressed += int64(b.LogicalSize)
	}
}

// Encode returns the bonus.
func (d *DSLDir) Encode() []byte {
	p := make([]byte, dslDirSize)
	putWords(p,
		d.Created, d.Head, d.Parent, d.Origin, d.ChildMap,
		uint64(d.Used.Allocated), uint64(d.Used.Compressed), uint64(d.Used.Uncompressed),
		d.Quota, d.Reserved,
		d.Properties,
		0, // delegations
		dslDirUsedBreakdown,
		uint64(d.UsedHead), 0, uint64(d.Used.Allocated-d.UsedHead-d.HeadReserved-d.ChildReserved), // head, snapshots, children
		uint64(d.ChildReserved), uint64(d.HeadReserved),
		d.Clones)
	return p
}

// DSLDataset is the bonus of a dataset or snapshot (dsl_dataset_phys_t).
type DSLDataset struct {
	Dir           uint64
	Previous      uint64 // snapshot, with the transaction group that made it
	PreviousTXG   uint64
	Next          uint64 // of a snapshot
	SnapshotNames uint64
	Children      uint64 // of a snapshot: what refers to it
	Created       uint64
	CreatedTXG    uint64
	Deadlist      uint64
	Referenced    Space
	FSID, GUID    uint64 // FSID has 56 bits
	Pointer       BlockPointer
	NextClones    uint64
}

// Encode returns the bonus.
func (d *DSLDataset) Encode() []byte {
	p := make([]byte, dslDatasetSize)
	r := d.Referenced
	putWords(p,
		d.Dir, d.Previous, d.PreviousTXG, d.Next, d.SnapshotNames, d.Children,
		d.Created, d.CreatedTXG, d.Deadlist,
		uint64(r.Allocated), uint64(r.Compressed), uint64(r.Uncompressed), uint64(r.Allocated), // unique, since nothing is shared
		d.FSID, d.GUID, datasetUniqueAccurate)
	d.Pointer.Encode(p[datasetPointerAt:])
	putWords(p[datasetPointerAt+BlockPointerSize:], d.NextClones)
	return p
}

func putWords(p []byte, words ...uint64) {
	for i, w := range words {
		le.PutUint64(p[8*i:], w)
	}
}

// Sizes of headers that are all zeros in a new pool: of lists of block pointers to
// be freed (BPOBJ_SIZE_V1) and of lists of such lists by age (dsl_deadlist_phys_t).
const (
	BPObjBonus    = 48
	DeadlistBonus = 320

	// BPObjBlockSize is the size of blocks of a list (SPA_OLD_MAXBLOCKSIZE).
	BPObjBlockSize = 128 << 10
)
