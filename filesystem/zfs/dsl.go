package zfs

import (
	"fmt"

	"diskwright/filesystem/zfs/ondisk"
)

// Directories that every pool has below its root: of the MOS, of what is being
// freed, and of the empty dataset of which all file systems are clones.
const (
	nameMOS    = "$MOS"
	nameFree   = "$FREE"
	nameOrigin = "$ORIGIN"
)

// originTXG is the transaction group of the origin snapshot.
const originTXG = 1

// namespace is the objects of the tree of datasets.
//
//	root dir ── head ──> file system ── previous ──> origin snapshot
//	├── $MOS
//	├── $FREE
//	└── $ORIGIN ── head ──> origin ── previous ──> origin snapshot
type namespace struct {
	root, mos, free, origin            dslDir
	fileSystem, originHead, originSnap uint64
}

// dslDir is a directory and the ZAPs that it has, even if they are empty.
type dslDir struct{ object, children, properties, clones uint64 }

// newNamespace writes all of it but the bonuses of directories, which tell how much
// space is used.
func (m *mos) newNamespace(fs *fileSystem) (*namespace, error) {
	n := &namespace{}
	for _, d := range []*dslDir{&n.root, &n.mos, &n.free, &n.origin} {
		d.object, d.children, d.properties = m.object(), m.object(), m.object()
	}
	n.fileSystem, n.originHead, n.originSnap = m.object(), m.object(), m.object()
	n.origin.clones = m.object()
	nextClones := m.object()

	m.zap(n.root.children, ondisk.TypeDSLChildMap,
		number(nameMOS, n.mos.object), number(nameFree, n.free.object), number(nameOrigin, n.origin.object))
	m.zap(n.root.properties, ondisk.TypeDSLProps, m.pool.properties(fs)...)
	for _, d := range []dslDir{n.mos, n.free, n.origin} {
		m.zap(d.children, ondisk.TypeDSLChildMap)
		m.zap(d.properties, ondisk.TypeDSLProps)
	}
	clone := number(fmt.Sprintf("%x", n.fileSystem), n.fileSystem)
	m.zap(nextClones, ondisk.TypeNextClones, clone)
	m.zap(n.origin.clones, ondisk.TypeDSLClones, clone)

	created := uint64(max(m.pool.opts.Epoch, 0))
	m.dataset(n.originHead, ondisk.DSLDataset{
		Dir: n.origin.object, Previous: n.originSnap, PreviousTXG: originTXG,
		SnapshotNames: m.zap(m.object(), ondisk.TypeDSLSnapMap, number(nameOrigin, n.originSnap)),
		Created:       created, CreatedTXG: originTXG, Deadlist: m.deadlist(true),
	})
	m.dataset(n.originSnap, ondisk.DSLDataset{
		Dir: n.origin.object, Next: n.originHead, Children: 2, // its head and the file system
		Created: created, CreatedTXG: originTXG, Deadlist: m.deadlist(false), NextClones: nextClones,
	})
	m.dataset(n.fileSystem, ondisk.DSLDataset{
		Dir: n.root.object, Previous: n.originSnap, PreviousTXG: originTXG,
		SnapshotNames: m.zap(m.object(), ondisk.TypeDSLSnapMap),
		Created:       created, CreatedTXG: birth, Deadlist: m.deadlist(true),
		Referenced: fs.space, Pointer: fs.pointer,
	})
	return n, m.err
}

// directories writes the directories, when it is known how much the MOS takes.
func (m *mos) directories(n *namespace, fs *fileSystem, meta ondisk.Space) {
	all := fs.space
	all.Add(meta)
	m.directory(n.root, ondisk.DSLDir{Head: n.fileSystem, Origin: n.originSnap, Used: all, UsedHead: fs.space.Allocated})
	m.directory(n.mos, ondisk.DSLDir{Parent: n.root.object, Used: meta, UsedHead: meta.Allocated})
	m.directory(n.free, ondisk.DSLDir{Parent: n.root.object})
	m.directory(n.origin, ondisk.DSLDir{Parent: n.root.object, Head: n.originHead})
}

func (m *mos) directory(d dslDir, bonus ondisk.DSLDir) {
	bonus.Created = uint64(max(m.pool.opts.Epoch, 0))
	bonus.ChildMap, bonus.Properties, bonus.Clones = d.children, d.properties, d.clones
	m.set(d.object, ondisk.DNode{Type: ondisk.TypeDSLDir, BonusType: ondisk.TypeDSLDir, Bonus: bonus.Encode()})
}

func (m *mos) dataset(object uint64, d ondisk.DSLDataset) {
	d.FSID = m.pool.derive("fsid", object) >> 8
	d.GUID = m.pool.derive("dataset", object)
	m.set(object, ondisk.DNode{Type: ondisk.TypeDSLDataset, BonusType: ondisk.TypeDSLDataset, Bonus: d.Encode()})
}

// deadlist makes the list of blocks that a dataset has freed but an older snapshot
// has. It has a list for blocks of any age, unless it is the origin's own: OpenZFS
// looks for the one a freed block belongs to, and panics if there is none.
func (m *mos) deadlist(anyAge bool) uint64 {
	var entries []ondisk.ZAPEntry
	if anyAge {
		entries = append(entries, number("0", m.blockList()))
	}
	object := m.object()
	d := ondisk.DNode{Type: ondisk.TypeDeadlist, BonusType: ondisk.TypeDeadlistHeader, Bonus: make([]byte, ondisk.DeadlistBonus)}
	m.zapWith(object, d, entries)
	return object
}

// blockList makes an empty list of block pointers.
func (m *mos) blockList() uint64 {
	object := m.object()
	m.set(object, ondisk.DNode{
		Type: ondisk.TypeBPObj, BlockSize: ondisk.BPObjBlockSize,
		BonusType: ondisk.TypeBPObjHeader, Bonus: make([]byte, ondisk.BPObjBonus),
	})
	return object
}

// Values of properties (zfs_prop.c).
const (
	xattrSA      = 2
	aclTypePOSIX = 1
)

// properties returns those of the file system that are not at their defaults.
func (p *pool) properties(fs *fileSystem) []ondisk.ZAPEntry {
	// Extended attributes are written as system attributes; those that are
	// added later shall be too.
	props := []ondisk.ZAPEntry{number("xattr", xattrSA)}
	if fs.acls {
		props = append(props, number("acltype", aclTypePOSIX))
	}
	if p.opts.Compression == CompressionLZ4 {
		props = append(props, number("compression", uint64(ondisk.CompressionLZ4)))
	}
	if kind := p.opts.checksumKind(); kind != ondisk.ChecksumFletcher4 {
		props = append(props, number("checksum", uint64(kind)))
	}
	if p.opts.RecordSize != maxRecordSize {
		props = append(props, number("recordsize", uint64(p.opts.RecordSize)))
	}
	if m := p.opts.Mountpoint; m != "" {
		props = append(props, ondisk.ZAPEntry{Name: "mountpoint", Array: append([]byte(m), 0), ArrayUnit: 1})
	}
	return props
}

// number returns an entry of a ZAP.
func number(name string, value uint64) ondisk.ZAPEntry {
	return ondisk.ZAPEntry{Name: name, Value: value}
}
