package zfs

import (
	"fmt"
	"path"
	"slices"

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
//	├── system ── head ──> file system ── previous ──> origin snapshot
//	│   └── root ── ...
//	├── $MOS
//	├── $FREE
//	└── $ORIGIN ── head ──> origin ── previous ──> origin snapshot
type namespace struct {
	datasets               []*dataset // in the order of their names, the pool's own first
	byName                 map[string]*dataset
	mos, free, origin      dslDir
	originHead, originSnap uint64
	emptyList              uint64 // of blocks, that all deadlists share; 0 is none
}

// dslDir is a directory and the ZAPs that it has, even if they are empty.
type dslDir struct{ object, children, properties, clones uint64 }

// dataset is a file system and its directory.
type dataset struct {
	*fileSystem
	dir    dslDir
	object uint64
	parent *dataset
	below  []ondisk.ZAPEntry // the names in its directory
	used   ondisk.Space      // with what is below and what is reserved

	childReserved int64 // of used, what is reserved below and not in use
}

func (m *mos) newDir() dslDir {
	return dslDir{object: m.object(), children: m.object(), properties: m.object()}
}

// newNamespace writes all of it but the bonuses of directories, which tell how much
// space is used.
func (m *mos) newNamespace(systems []*fileSystem) (*namespace, error) {
	n := &namespace{byName: make(map[string]*dataset)}
	var clones []ondisk.ZAPEntry // what was cloned from the origin: all
	for _, fs := range systems {
		d := &dataset{fileSystem: fs, dir: m.newDir(), object: m.object(), used: fs.space}
		n.datasets = append(n.datasets, d)
		n.byName[fs.name] = d
		clones = append(clones, number(fmt.Sprintf("%x", d.object), d.object))
		if fs.name != "" {
			d.parent = n.byName[parentName(fs.name)]
			d.parent.below = append(d.parent.below, number(path.Base(fs.name), d.dir.object))
		}
	}
	n.mos, n.free, n.origin = m.newDir(), m.newDir(), m.newDir()
	root := n.datasets[0]
	root.below = append(root.below,
		number(nameMOS, n.mos.object), number(nameFree, n.free.object), number(nameOrigin, n.origin.object))
	for _, d := range []dslDir{n.mos, n.free, n.origin} {
		m.zap(d.children, ondisk.TypeDSLChildMap)
		m.zap(d.properties, ondisk.TypeDSLProps)
	}
	m.originSnapshot(n, clones)
	for _, d := range n.datasets {
		m.zap(d.dir.children, ondisk.TypeDSLChildMap, d.below...)
		m.zap(d.dir.properties, ondisk.TypeDSLProps, d.localProperties()...)
		m.dataset(d.object, ondisk.DSLDataset{
			Dir: d.dir.object, Previous: n.originSnap, PreviousTXG: originTXG,
			SnapshotNames: m.zap(m.object(), ondisk.TypeDSLSnapMap),
			CreatedTXG:    birth, Deadlist: m.deadlist(n.blockListFor(m)),
			Referenced: d.space, Pointer: d.pointer,
		}, d.features)
	}
	return n, m.err
}

// originSnapshot writes the empty dataset and its snapshot, of which all others are
// clones.
func (m *mos) originSnapshot(n *namespace, clones []ondisk.ZAPEntry) {
	n.originHead, n.originSnap = m.object(), m.object()
	n.origin.clones = m.zap(m.object(), ondisk.TypeDSLClones, clones...)
	m.dataset(n.originHead, ondisk.DSLDataset{
		Dir: n.origin.object, Previous: n.originSnap, PreviousTXG: originTXG,
		SnapshotNames: m.zap(m.object(), ondisk.TypeDSLSnapMap, number(nameOrigin, n.originSnap)),
		CreatedTXG:    originTXG, Deadlist: m.deadlist(n.blockListFor(m)),
	}, nil)
	m.dataset(n.originSnap, ondisk.DSLDataset{
		Dir: n.origin.object, Next: n.originHead, Children: 1 + uint64(len(clones)),
		CreatedTXG: originTXG, Deadlist: m.deadlist(),
		NextClones: m.zap(m.object(), ondisk.TypeNextClones, clones...),
	}, nil)
}

// directories writes the directories, when it is known how much the MOS takes.
func (m *mos) directories(n *namespace, meta ondisk.Space) {
	n.datasets[0].used.Add(meta)
	for _, d := range slices.Backward(n.datasets) {
		dir := d.directory()
		dir.Origin = n.originSnap
		m.directory(d.dir, dir)
		m.fail(d.checkQuotas())
		if d.parent != nil {
			unused := max(d.amount("reservation")-dir.Used.Allocated, 0)
			d.parent.childReserved += unused
			d.parent.used.Add(dir.Used)
			d.parent.used.Allocated += unused
		}
	}
	root := n.datasets[0].dir.object
	m.directory(n.mos, ondisk.DSLDir{Parent: root, Used: meta, UsedHead: meta.Allocated})
	m.directory(n.free, ondisk.DSLDir{Parent: root})
	m.directory(n.origin, ondisk.DSLDir{Parent: root, Head: n.originHead})
}

// directory returns the directory of a dataset, when all below have counted what
// they use.
func (d *dataset) directory() ondisk.DSLDir {
	dir := ondisk.DSLDir{
		Head: d.object, Quota: d.local["quota"].number, Reserved: d.local["reservation"].number,
		UsedHead: d.space.Allocated, ChildReserved: d.childReserved,
		HeadReserved: max(d.amount("refreservation")-d.space.Allocated, 0),
	}
	d.used.Allocated += dir.HeadReserved
	dir.Used = d.used
	if d.parent != nil {
		dir.Parent = d.parent.dir.object
	}
	return dir
}

// checkQuotas says which quota is too small for what is there.
func (d *dataset) checkQuotas() error {
	for _, quota := range []struct {
		property string
		used     int64
	}{{"quota", d.used.Allocated}, {"refquota", d.space.Allocated}} {
		if most := d.amount(quota.property); most != 0 && quota.used > most {
			return d.wrap(fmt.Errorf("the property %s is %d bytes, less than the %d bytes in use", quota.property, most, quota.used))
		}
	}
	return nil
}

// amount returns a property that is a number of bytes, of which no more than no pool
// has count.
func (fs *fileSystem) amount(property string) int64 {
	return int64(min(fs.local[property].number, uint64(2*MaxSize)))
}

func (m *mos) directory(d dslDir, bonus ondisk.DSLDir) {
	bonus.Created = uint64(max(m.pool.opts.Epoch, 0))
	bonus.ChildMap, bonus.Properties, bonus.Clones = d.children, d.properties, d.clones
	m.set(d.object, ondisk.DNode{Type: ondisk.TypeDSLDir, BonusType: ondisk.TypeDSLDir, Bonus: bonus.Encode()})
}

// dataset writes a dataset. One that uses features lists them: its object is a ZAP
// then (dsl_dataset_zapify).
func (m *mos) dataset(object uint64, d ondisk.DSLDataset, features map[feature]bool) {
	d.Created = uint64(max(m.pool.opts.Epoch, 0))
	d.FSID = m.pool.derive("fsid", object) >> 8
	d.GUID = m.pool.derive("dataset", object)
	node := ondisk.DNode{Type: ondisk.TypeDSLDataset, BonusType: ondisk.TypeDSLDataset, Bonus: d.Encode()}
	if len(features) == 0 {
		m.set(object, node)
		return
	}
	m.pool.use(featureExtensibleDataset, nil)
	node.Type = ondisk.TypeZAP
	var entries []ondisk.ZAPEntry
	for f := range featureCount {
		if features[f] {
			entries = append(entries, number(f.info().guid, 0))
		}
	}
	m.zapWith(object, node, entries)
}

// deadlist makes the list of blocks that a dataset has freed but an older snapshot
// has, by age: here lists for blocks of any age, that is one or, of the origin's own,
// none. OpenZFS looks for the one a freed block belongs to, and panics if there is
// none.
func (m *mos) deadlist(anyAge ...uint64) uint64 {
	var entries []ondisk.ZAPEntry
	for _, list := range anyAge {
		entries = append(entries, number("0", list))
	}
	object := m.object()
	d := ondisk.DNode{Type: ondisk.TypeDeadlist, BonusType: ondisk.TypeDeadlistHeader, Bonus: make([]byte, ondisk.DeadlistBonus)}
	m.zapWith(object, d, entries)
	return object
}

// blockListFor returns an empty list for a deadlist: all share one if the pool has
// the feature for that.
func (n *namespace) blockListFor(m *mos) uint64 {
	if !m.pool.features.has(featureEmptyBPObj) {
		return m.blockList()
	}
	m.pool.use(featureEmptyBPObj, nil)
	if n.emptyList == 0 {
		n.emptyList = m.blockList()
	}
	return n.emptyList
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

// number returns an entry of a ZAP.
func number(name string, value uint64) ondisk.ZAPEntry {
	return ondisk.ZAPEntry{Name: name, Value: value}
}
