package zfs

import (
	"encoding/binary"

	"diskwright/filesystem/zfs/ondisk"
)

// mos is the meta object set that is being written. Everything but its last parts
// is written as any object set. The last parts depend on where they lie
// themselves: space maps list them, directories count them. So they get their
// space first, uncompressed, for which their sizes are enough.
type mos struct {
	*objset
	nodes []*ondisk.DNode // by object number
	err   error           // the first
}

// Objects of the MOS.
const (
	objectDirectory = 1 // DMU_POOL_DIRECTORY_OBJECT, the only one whose number is fixed
	firstMetaObject = 32
)

// object returns a number for a new object.
func (m *mos) object() uint64 {
	m.nodes = append(m.nodes, nil)
	return uint64(len(m.nodes) - 1)
}

// set makes an object. One without blocks has the smallest size of blocks.
func (m *mos) set(object uint64, d ondisk.DNode) {
	if d.BlockSize == 0 {
		d.BlockSize = ondisk.SectorSize
	}
	d.Levels = max(d.Levels, 1)
	m.nodes[object] = &d
}

// zap makes an object a ZAP and returns its number.
func (m *mos) zap(object uint64, typ ondisk.Type, entries ...ondisk.ZAPEntry) uint64 {
	return m.zapWith(object, ondisk.DNode{Type: typ}, entries)
}

func (m *mos) zapWith(object uint64, d ondisk.DNode, entries []ondisk.ZAPEntry) uint64 {
	if err := m.objset.zap(&d, entries, m.pool.salt("MOS", object)); err != nil && m.err == nil {
		m.err = err
	}
	m.set(object, d)
	return object
}

// metaObjset writes the MOS and returns the pointer to it, and the object of the
// array of metaslabs.
func (p *pool) metaObjset(systems []*fileSystem) (root ondisk.BlockPointer, metaslabArray uint64, err error) {
	m := &mos{
		objset: &objset{pool: p, kind: ondisk.ChecksumFletcher4},
		nodes:  make([]*ondisk.DNode, firstMetaObject),
	}
	n, err := m.newNamespace(systems)
	if err != nil {
		return root, 0, err
	}
	metaslabArray = m.object()
	m.directoryObject(n, metaslabArray)
	if m.err != nil {
		return root, 0, m.err
	}
	// What does not fit has its addresses behind the end of the device.
	r := m.reserve()
	if err := p.check(p.space); err != nil {
		return root, 0, err
	}
	meta := m.space
	meta.Add(ondisk.Space{Allocated: r.allocated, Compressed: r.written, Uncompressed: r.written})
	m.directories(n, meta)
	m.spaceMaps(r, metaslabArray)
	return m.finish(r), metaslabArray, nil
}

// directoryObject writes object 1, by which everything is found, and what it leads
// to.
func (m *mos) directoryObject(n *namespace, metaslabArray uint64) {
	m.zap(objectDirectory, ondisk.TypeObjectDirectory,
		number("root_dataset", n.datasets[0].dir.object),
		number("config", m.packedList(m.pool.poolConfig(metaslabArray))),
		number("free_bpobj", m.blockList()),
		number("sync_bplist", m.blockList()),
		number("features_for_read", m.zap(m.object(), ondisk.TypeZAP, m.pool.features.entries(0)...)),
		number("features_for_write", m.zap(m.object(), ondisk.TypeZAP, m.pool.features.entries(readOnly)...)),
		number("feature_descriptions", m.zap(m.object(), ondisk.TypeZAP)),
		number("deflate", 1), // sizes are counted as they are on disk
		number("creation_version", ondisk.PoolVersion))
}

// packedBlockSize is the size of blocks of packed lists (SPA_CONFIG_BLOCKSIZE).
const packedBlockSize = 16 << 10

// packedList makes an object that has a name-value list.
func (m *mos) packedList(l ondisk.NVList) uint64 {
	encoded := l.Encode()
	d := ondisk.DNode{
		Type: ondisk.TypePackedNVList, BlockSize: packedBlockSize,
		BonusType: ondisk.TypePackedNVSize, Bonus: binary.LittleEndian.AppendUint64(nil, uint64(len(encoded))),
	}
	m.fill(&d, encoded)
	object := m.object()
	m.set(object, d)
	return object
}

// reserved are the addresses of what is written last.
type reserved struct {
	spaceMaps []ondisk.Address // of the metaslabs in use
	array     ondisk.Address
	dnodes    []ondisk.Address
	indirect  *ondisk.Address // nil if the meta dnode has pointers enough
	objset    ondisk.Address

	allocated, written int64
}

// Sizes of what is reserved.
func (m *mos) spaceMapSize() int {
	g := m.pool.geometry
	entries := ondisk.SpaceMap(1 << (g.metaslabShift - m.pool.ashift))
	return max(len(entries), spaceMapBlock)
}

func (m *mos) arraySize() int {
	return (8*int(m.pool.metaslabs) + ondisk.SectorSize - 1) / ondisk.SectorSize * ondisk.SectorSize
}

// spaceMapBlock is the least size of blocks of space maps, a power of two as that of
// all logs for which an ashift of 9 needs more.
const spaceMapBlock = 4096

// reserve takes space for what is written last. Metaslabs that it begins to use have
// space maps, which take space as well: it tries until that is taken into account.
func (m *mos) reserve() *reserved {
	before := m.pool.space
	for metaslabs := len(before.used()); ; {
		s := before.clone()
		r := m.reserveFor(s, metaslabs)
		if now := len(s.used()); now > metaslabs {
			metaslabs = now
			continue
		}
		m.pool.space = s
		return r
	}
}

func (m *mos) reserveFor(s *space, metaslabs int) *reserved {
	r := &reserved{}
	take := func(size int) ondisk.Address {
		a := s.take(size)
		r.allocated += int64(a.Size)
		r.written += int64(size)
		return a
	}
	for range metaslabs {
		r.spaceMaps = append(r.spaceMaps, take(m.spaceMapSize()))
	}
	r.array = take(m.arraySize())
	blocks := (len(m.nodes) + metaslabs + ondisk.DNodesPerBlock - 1) / ondisk.DNodesPerBlock
	for range blocks {
		r.dnodes = append(r.dnodes, take(ondisk.DNodeBlockSize))
	}
	if blocks > ondisk.Pointers(ondisk.TypeNone, 0) {
		a := take(ondisk.IndirectSize)
		r.indirect = &a
	}
	r.objset = take(ondisk.ObjsetSize)
	return r
}

// put writes a block to where space was reserved for it.
func (m *mos) put(at ondisk.Address, data []byte, what block) ondisk.BlockPointer {
	m.pool.place(at, data)
	return ondisk.BlockPointer{
		Addresses:   [3]ondisk.Address{at},
		LogicalSize: len(data), PhysicalSize: len(data), Compression: ondisk.CompressionOff,
		ChecksumKind: m.kind, Type: what.typ, Level: what.level,
		Birth: birth, Fill: what.fill, Checksum: m.kind.Sum(data),
	}
}

// spaceMaps writes the space maps of the metaslabs in use, and the array that leads
// to them. Metaslabs without one are free.
func (m *mos) spaceMaps(r *reserved, metaslabArray uint64) {
	array := make([]byte, m.arraySize())
	for i, used := range m.pool.space.used() {
		if used == 0 {
			continue
		}
		entries := ondisk.SpaceMap(used >> m.pool.ashift)
		data := append(entries, make([]byte, m.spaceMapSize()-len(entries))...)
		object := m.object()
		b := m.put(r.spaceMaps[i], data, block{ondisk.TypeSpaceMap, 0, 1})
		m.set(object, ondisk.DNode{
			Type: ondisk.TypeSpaceMap, BlockSize: len(data),
			BonusType: ondisk.TypeSpaceMapHeader, Bonus: ondisk.SpaceMapHeader(object, len(entries), used),
			Pointers: []ondisk.BlockPointer{b}, Used: b.AllocatedSize(),
		})
		binary.LittleEndian.PutUint64(array[8*i:], object)
	}
	b := m.put(r.array, array, block{ondisk.TypeObjectArray, 0, 1})
	m.set(metaslabArray, ondisk.DNode{
		Type: ondisk.TypeObjectArray, BlockSize: len(array),
		Pointers: []ondisk.BlockPointer{b}, Used: b.AllocatedSize(),
	})
}

// finish writes the dnodes and the object set, and returns the pointer to it.
func (m *mos) finish(r *reserved) ondisk.BlockPointer {
	meta := ondisk.DNode{
		Type: ondisk.TypeDNode, Levels: 1, BlockSize: ondisk.DNodeBlockSize,
		LastBlock: uint64(len(r.dnodes) - 1),
	}
	count := uint64(0)
	for i, at := range r.dnodes {
		data := make([]byte, ondisk.DNodeBlockSize)
		fill := uint64(0)
		for j := range ondisk.DNodesPerBlock {
			if n := i*ondisk.DNodesPerBlock + j; n < len(m.nodes) && m.nodes[n] != nil {
				m.nodes[n].Encode(data[j*ondisk.DNodeSize:])
				fill++
			}
		}
		b := m.put(at, data, block{ondisk.TypeDNode, 0, fill})
		meta.Pointers = append(meta.Pointers, b)
		meta.Used += b.AllocatedSize()
		count += fill
	}
	if r.indirect != nil {
		data := make([]byte, ondisk.IndirectSize)
		for i := range meta.Pointers {
			meta.Pointers[i].Encode(data[i*ondisk.BlockPointerSize:])
		}
		b := m.put(*r.indirect, data, block{ondisk.TypeDNode, 1, count})
		meta.Pointers = []ondisk.BlockPointer{b}
		meta.Used += b.AllocatedSize()
		meta.Levels = 2
	}
	set := ondisk.Objset{Type: ondisk.ObjsetMeta, Meta: meta}
	return m.put(r.objset, set.Encode(), block{ondisk.TypeObjset, 0, count})
}
