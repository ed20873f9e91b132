package zfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

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

	writeFeaturesObject uint64
}

// fail notes an error.
func (m *mos) fail(err error) {
	if m.err == nil {
		m.err = err
	}
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
	m.fail(m.objset.zap(&d, entries, m.pool.salt("MOS", object)))
	m.set(object, d)
	return object
}

// metaObjset writes the MOS and returns the pointer to it, and the object of the
// array of metaslabs.
func (p *pool) metaObjset(systems []*fileSystem) (root ondisk.BlockPointer, metaslabArray uint64, err error) {
	m := &mos{
		objset: &objset{pool: p, kind: ondisk.ChecksumFletcher4, copies: func(block) int { return metaCopies }},
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
	r, err := m.reserve()
	if err != nil {
		return root, 0, err
	}
	meta := m.space
	meta.Add(r.space)
	m.directories(n, meta)
	p.needed = n.datasets[0].used.Allocated
	// What does not fit has its addresses behind the end of the device.
	if err := errors.Join(m.err, p.check(p.space, p.needed)); err != nil {
		return root, 0, err
	}
	m.spaceMaps(r, metaslabArray)
	m.featuresForWrite(r)
	return m.finish(r), metaslabArray, m.err
}

// directoryObject writes object 1, by which everything is found, and what it leads
// to.
func (m *mos) directoryObject(n *namespace, metaslabArray uint64) {
	p := m.pool
	entries := []ondisk.ZAPEntry{
		number("root_dataset", n.datasets[0].dir.object),
		number("config", m.packedList(p.poolConfig(metaslabArray))),
		number("free_bpobj", m.blockList()),
		number("sync_bplist", m.blockList()),
		number("history", m.history()),
		number("feature_descriptions", m.zap(m.object(), ondisk.TypeZAP, p.features.descriptions()...)),
		number("deflate", 1), // sizes are counted as they are on disk
		number("creation_version", ondisk.PoolVersion),
	}
	if props := p.properties(n); len(props) > 0 {
		entries = append(entries, number("pool_props", m.zap(m.object(), ondisk.TypePoolProps, props...)))
	}
	if n.emptyList != 0 {
		entries = append(entries, number("empty_bpobj", n.emptyList))
	}
	if txgs := p.features.enabledTXGs(); txgs != nil {
		entries = append(entries, number("feature_enabled_txg", m.zap(m.object(), ondisk.TypeZAP, txgs...)))
	}
	m.writeFeaturesObject = m.object()
	entries = append(entries,
		number("features_for_read", m.zap(m.object(), ondisk.TypeZAP, p.features.entries(0)...)),
		number("features_for_write", m.writeFeaturesObject))
	m.zap(objectDirectory, ondisk.TypeObjectDirectory, entries...)
}

// properties returns those of the pool that lie in the MOS; others are in the
// configuration.
func (p *pool) properties(n *namespace) []ondisk.ZAPEntry {
	entries := p.poolProps.entries(poolProperties)
	for i := range entries {
		if entries[i].Name == "bootfs" {
			name := strings.TrimPrefix(p.poolProps["bootfs"].text, p.opts.Name)
			entries[i] = number("bootfs", n.byName[strings.TrimPrefix(name, "/")].object)
		}
	}
	return entries
}

// writeFeatures returns the ZAP of features that are needed to write, whose size is
// known before the numbers in it are.
func (m *mos) writeFeatures() ondisk.ZAP {
	z, err := ondisk.EncodeZAP(m.pool.features.entries(readOnly), m.pool.salt("MOS", m.writeFeaturesObject))
	m.fail(err)
	return z
}

// featuresForWrite writes it.
func (m *mos) featuresForWrite(r *reserved) {
	m.putObject(m.writeFeaturesObject, r.featuresForWrite, m.writeFeatures().Data, ondisk.DNode{Type: ondisk.TypeZAP})
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
	spaceMaps        []addresses // of the metaslabs in use
	array            addresses
	featuresForWrite addresses
	dnodes           []addresses
	indirect         *addresses // nil if the meta dnode has pointers enough
	objset           addresses

	space ondisk.Space
}

// spaceMapBlock is the size of blocks of space maps, of which the longest that has
// one block is that of a metaslab of 1<<34 bytes, of which all is allocated, with an
// ashift of 9: 1,024 entries.
const spaceMapBlock = 8192

// spaceMapCost returns how many bytes the space map of a metaslab takes, with its
// dnode, at most.
func spaceMapCost(ashift int) int64 {
	return metaCopies * int64(max(spaceMapBlock, 1<<ashift)+ondisk.DNodeSize)
}

func (m *mos) arraySize() int { return roundUp(8*int(m.pool.metaslabs), ondisk.SectorSize) }

// reserve takes space for what is written last. Metaslabs that it begins to use have
// space maps, which take space as well: it tries until that is taken into account.
func (m *mos) reserve() (*reserved, error) {
	before := m.pool.space
	for metaslabs := before.inUse(); ; {
		s := before.clone()
		r, err := m.reserveFor(s, metaslabs)
		if err != nil {
			return nil, err
		}
		if now := s.inUse(); now > metaslabs {
			metaslabs = now
			continue
		}
		m.pool.space = s
		return r, nil
	}
}

func (m *mos) reserveFor(s *space, metaslabs int) (*reserved, error) {
	r := &reserved{}
	take := func(size int) addresses {
		a := s.take(size, metaCopies)
		r.space.Add(ondisk.Space{Allocated: allocatedSize(a), Compressed: int64(size), Uncompressed: int64(size)})
		return a
	}
	for range metaslabs {
		r.spaceMaps = append(r.spaceMaps, take(spaceMapBlock))
	}
	r.array = take(m.arraySize())
	r.featuresForWrite = take(len(m.writeFeatures().Data))
	blocks := (len(m.nodes) + metaslabs + ondisk.DNodesPerBlock - 1) / ondisk.DNodesPerBlock
	if blocks > ondisk.PointersPerBlock {
		return nil, fmt.Errorf("%d objects of the pool itself, some of them for each dataset, are more than this writer makes: %d",
			len(m.nodes), ondisk.PointersPerBlock*ondisk.DNodesPerBlock)
	}
	for range blocks {
		r.dnodes = append(r.dnodes, take(ondisk.DNodeBlockSize))
	}
	if blocks > ondisk.Pointers(ondisk.TypeNone, 0) {
		a := take(ondisk.IndirectSize)
		r.indirect = &a
	}
	r.objset = take(ondisk.ObjsetSize)
	return r, nil
}

// put writes a block to where space was reserved for it.
func (m *mos) put(at addresses, data []byte, what block) ondisk.BlockPointer {
	b := ondisk.BlockPointer{
		Addresses:   at,
		LogicalSize: len(data), PhysicalSize: len(data), Compression: ondisk.CompressionOff,
		ChecksumKind: m.kind, Type: what.typ, Level: what.level,
		Birth: birth, Fill: what.fill, Checksum: m.kind.Sum(data),
	}
	m.pool.place(&b, data)
	return b
}

// putObject makes an object of one block for which space was reserved.
func (m *mos) putObject(object uint64, at addresses, data []byte, d ondisk.DNode) {
	b := m.put(at, data, block{d.Type, 0, 1})
	d.BlockSize, d.Pointers, d.Used = len(data), []ondisk.BlockPointer{b}, b.AllocatedSize()
	m.set(object, d)
}

// spaceMaps writes the space maps of the metaslabs in use, and the array that leads
// to them. Metaslabs without one are free.
func (m *mos) spaceMaps(r *reserved, metaslabArray uint64) {
	p := m.pool
	array := make([]byte, m.arraySize())
	maps := r.spaceMaps
	for i, used := range p.space.used {
		if used == 0 {
			continue
		}
		sm := ondisk.SpaceMap{
			Object: m.object(), Ashift: p.ashift, Units: 1 << (p.metaslabShift - p.ashift), Allocated: used >> p.ashift,
			TwoWords: p.features.has(featureSpacemapV2), Histogram: p.features.has(featureSpacemapHistogram),
		}
		if sm.Histogram {
			p.use(featureSpacemapHistogram, nil)
		}
		log := sm.Log()
		m.putObject(sm.Object, maps[0], append(log, make([]byte, spaceMapBlock-len(log))...),
			ondisk.DNode{Type: ondisk.TypeSpaceMap, BonusType: ondisk.TypeSpaceMapHeader, Bonus: sm.Bonus()})
		maps = maps[1:]
		binary.LittleEndian.PutUint64(array[8*i:], sm.Object)
	}
	m.putObject(metaslabArray, r.array, array, ondisk.DNode{Type: ondisk.TypeObjectArray})
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
