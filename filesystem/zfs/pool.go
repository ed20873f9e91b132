package zfs

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"diskwright/diskmap"
	"diskwright/filesystem/zfs/ondisk"
	"diskwright/tree"
)

// Pool is a planned pool.
type Pool struct {
	disk  *diskmap.Map
	stats Stats
	guid  uint64
}

// Stats are numbers of a pool, in bytes.
type Stats struct {
	Size      int64 // what `zpool list` shows: that of all metaslabs
	Allocated int64
	Slop      int64 // of the rest, what ZFS keeps free
	BlockSize int64 // the smallest
	Objects   int64 // of file systems: files, directories, and five of their own
}

// Map returns the pool as a map of the size that the options gave.
func (p *Pool) Map() *diskmap.Map { return p.disk }

// Stats returns the numbers of the pool.
func (p *Pool) Stats() Stats { return p.stats }

// GUID returns the pool's identifier, by which it can be imported.
func (p *Pool) GUID() uint64 { return p.guid }

// New plans a pool whose first file system holds the tree. It reads the content of all files, to sum
// it. The tree must not change as long as the pool is in use. A tree that does not
// fit is a [NoSpaceError].
func New(ctx context.Context, root *tree.Inode, opts Options) (*Pool, error) {
	p, systems, err := prepare(root, opts)
	if err != nil {
		return nil, err
	}
	rootPointer, config, err := p.write(ctx, systems)
	if err != nil {
		return nil, err
	}
	if err := p.labels(rootPointer, config); err != nil {
		return nil, err
	}
	disk, err := p.disk.Map(p.opts.Size)
	if err != nil {
		return nil, err
	}
	objects := int64(0)
	for _, fs := range systems {
		objects += int64(fs.pointer.Fill)
	}
	return &Pool{
		disk:  disk,
		stats: Stats{Size: p.usable(), Allocated: p.space.allocated(), Slop: p.slop(), BlockSize: 1 << p.ashift, Objects: objects},
		guid:  p.poolGUID(),
	}, nil
}

// SmallestSize returns the size of a device that has room for the trees even if
// nothing in them could be compressed, and of whose pool a share, 0 to 99 percent,
// stays free beside what ZFS keeps for itself. It reads no file, and does not ask for
// the size in opts.
func SmallestSize(ctx context.Context, root *tree.Inode, opts Options, freePercent int) (int64, error) {
	opts.Size, opts.Spool = MaxSize, nil
	p, systems, err := prepare(root, opts)
	if err != nil {
		return 0, err
	}
	p.assume = true
	if _, _, err := p.write(ctx, systems); err != nil {
		return 0, err
	}
	inUse := int64(100 - min(max(freePercent, 0), 99))
	needed := p.needed*100/inUse + p.needed/assumedShare
	return newGeometry(MinSize).enlarged(needed, p.ashift).device, nil
}

// assumedShare is what part of what was assumed a pool takes more at most, since
// pointers to blocks that are compressed are less alike.
const assumedShare = 100

// write writes the file systems and the MOS. It returns the pointer to that, and the
// object of the array of metaslabs.
func (p *pool) write(ctx context.Context, systems []*fileSystem) (root ondisk.BlockPointer, metaslabArray uint64, err error) {
	p.packer = newPacker(p.metadata)
	p.space = newSpace(p.geometry, p.ashift)
	for _, fs := range systems {
		if err := p.writeFileSystem(ctx, fs); err != nil {
			return root, 0, err
		}
	}
	return p.metaObjset(systems)
}

// Check says what is wrong with the options, whatever the files are.
func (o Options) Check() error {
	_, _, err := prepare(tree.NewDir(tree.Time{}), o)
	return err
}

// prepare does what needs no file's content: it returns a pool with nothing in it,
// and the file systems that it is to have.
func prepare(root *tree.Inode, opts Options) (*pool, []*fileSystem, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	if !root.IsDir() {
		return nil, nil, errors.New("the root of the tree is not a directory")
	}
	p := &pool{opts: opts, geometry: newGeometry(opts.Size)}
	if p.features, err = newFeatureSet(opts.Features, opts.PoolProperties); err != nil {
		return nil, nil, err
	}
	systems := p.fileSystems(root)
	if err := p.setUp(systems); err != nil {
		return nil, nil, err
	}
	p.features.activate()
	return p, systems, nil
}

// pool is a pool that is being planned.
type pool struct {
	opts      Options
	poolProps propertySet
	ashift    int
	metadata  packing // of metadata, that of file systems too
	geometry
	features featureSet
	space    *space
	disk     diskmap.Builder
	packer   *packer // of metadata

	// assume says that files are not read but taken for something that does not
	// compress; needed is how many bytes all datasets take or reserve.
	assume bool
	needed int64

	indirects [][]byte // buffers of indirect blocks that are not in use
}

// indirectBuffer returns a block of zeros.
func (p *pool) indirectBuffer() []byte {
	if n := len(p.indirects); n > 0 {
		b := p.indirects[n-1]
		p.indirects = p.indirects[:n-1]
		clear(b)
		return b
	}
	return make([]byte, ondisk.IndirectSize)
}

// derive returns a number, never zero, that depends on the seed and on what it is
// for.
func (p *pool) derive(purpose string, n uint64) uint64 {
	h := sha256.New()
	fmt.Fprintf(h, "zfs\x00%d\x00%s\x00%s\x00%d", len(p.opts.Seed), p.opts.Seed, purpose, n)
	return binary.LittleEndian.Uint64(h.Sum(nil)) | 1
}

func (p *pool) poolGUID() uint64   { return p.derive("pool", 0) }
func (p *pool) deviceGUID() uint64 { return p.derive("device", 0) }

// salt returns that of the ZAP that is an object of an object set.
func (p *pool) salt(objset string, object uint64) uint64 { return p.derive("salt of "+objset, object) }
