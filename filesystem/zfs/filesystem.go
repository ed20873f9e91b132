package zfs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"diskwright/filesystem/zfs/ondisk"
	"diskwright/tree"
)

// Objects of a file system. Only the number of the first is fixed; the others are
// as OpenZFS numbers them in a new file system.
const (
	masterNode       = 1
	objectSA         = 32
	objectUnlinked   = 33
	objectRoot       = 34
	objectRegistry   = 35
	objectLayouts    = 36
	firstFileObject  = 37
	fileSystemLevels = 6 // of the meta dnode: room for every number an object can have
)

// objectOf returns the object of the inode with an ordinal.
func objectOf(ordinal uint32) uint64 {
	if ordinal == 0 {
		return objectRoot
	}
	return firstFileObject + uint64(ordinal) - 1
}

// fileSystem is a file system of the pool.
type fileSystem struct {
	name       string // without the pool's; empty for the pool's own
	root       *tree.Inode
	properties map[string]string
	parent     *fileSystem // the one above
	local      propertySet // what the properties mean
	storage    storage

	// What is known when it has been written.
	pointer ondisk.BlockPointer
	space   ondisk.Space
	acls    bool // some file has a POSIX access list

	features map[feature]bool // that it uses: see [pool.use]
}

// fileSystems returns all file systems by name, so that those above another come
// before it: the pool's own first, and those that nobody asked for among them.
func (p *pool) fileSystems(root *tree.Inode) []*fileSystem {
	byName := map[string]*fileSystem{"": {root: root, properties: p.opts.Properties}}
	for _, d := range p.opts.Datasets {
		byName[d.Name] = &fileSystem{name: d.Name, root: d.Root, properties: d.Properties}
		for name := parentName(d.Name); byName[name] == nil; name = parentName(name) {
			byName[name] = &fileSystem{name: name}
		}
	}
	var all []*fileSystem
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		fs := byName[name]
		if fs.root == nil {
			fs.root = tree.NewDir(tree.Time{Sec: p.opts.Epoch})
		}
		all = append(all, fs)
	}
	return all
}

// parentName returns the name of the file system above.
func parentName(name string) string { return name[:max(strings.LastIndexByte(name, '/'), 0)] }

// zpl writes a file system, an inode at a time in the order of their numbers.
type zpl struct {
	*objset
	*paths
	fs       *fileSystem
	files    *files
	dnodes   *dnodes
	accounts *accounts

	attributeEncoder ondisk.AttributeEncoder
	content          blockTree // of the file that is being written
	spooling         spooling
}

// writeFileSystem writes the objects of a file system.
func (p *pool) writeFileSystem(ctx context.Context, fs *fileSystem) error {
	z := &zpl{
		objset:   &objset{pool: p, kind: fs.storage.metadataChecksum(), copies: fs.storage.metadataCopies},
		fs:       fs,
		paths:    newPaths(fs.root),
		accounts: p.newAccounts(fs),
		spooling: spooling{pool: p},
	}
	ctx, cancel := context.WithCancel(ctx)
	z.files = z.readFiles(ctx)
	defer z.files.wait()
	defer cancel() // before the wait
	z.dnodes = z.newDNodes(objectOf(uint32(len(z.inodes)-1)), fileSystemLevels)
	err := z.objects()
	if err == nil {
		err = z.spooling.finish()
	}
	if err != nil {
		return fs.wrap(err)
	}
	set := ondisk.Objset{Type: ondisk.ObjsetFileSystem, Meta: z.dnodes.finish()}
	if err := z.writeAccounts(&set); err != nil {
		return fs.wrap(err)
	}
	fs.pointer = z.write(set.Encode(), block{ondisk.TypeObjset, 0, z.dnodes.count})
	fs.space = z.space
	return nil
}

// wrap says in which dataset something went wrong.
func (fs *fileSystem) wrap(err error) error {
	if fs.name == "" {
		return err
	}
	return fmt.Errorf("dataset %q: %w", fs.name, err)
}

// objects writes all objects in the order of their numbers.
func (z *zpl) objects() error {
	err := errors.Join(
		z.master(masterNode, ondisk.TypeMasterNode, append(z.fs.storage.masterEntries(),
			number("VERSION", ondisk.FileSystemVersion),
			number("SA_ATTRS", objectSA), number("DELETE_QUEUE", objectUnlinked), number("ROOT", objectRoot))...),
		z.master(objectSA, ondisk.TypeSAMaster, number("REGISTRY", objectRegistry), number("LAYOUTS", objectLayouts)),
		z.master(objectUnlinked, ondisk.TypeUnlinkedSet),
		z.inode(0),
		z.master(objectRegistry, ondisk.TypeSARegistration, ondisk.AttributeRegistry()...),
		z.master(objectLayouts, ondisk.TypeSALayouts, ondisk.AttributeLayouts()...))
	for ordinal := 1; ordinal < len(z.inodes) && err == nil; ordinal++ {
		if z.files.ctx.Err() != nil { // what has no content does not ask for it
			return context.Cause(z.files.ctx)
		}
		err = z.inode(uint32(ordinal))
	}
	return err
}

// master writes a ZAP of the file system itself.
func (z *zpl) master(object uint64, typ ondisk.Type, entries ...ondisk.ZAPEntry) error {
	d := ondisk.DNode{Type: typ, Accounted: true, Counted: z.accounts.objects}
	if err := z.zap(&d, entries, z.salt(object)); err != nil {
		return err
	}
	z.dnodes.add(object, &d)
	return nil
}

// inode writes an inode. Errors name its path, unless they are the spool's.
func (z *zpl) inode(ordinal uint32) error {
	if err := z.writeInode(ordinal); err != nil {
		if errors.As(err, new(spoolError)) {
			return err
		}
		return fmt.Errorf("%q: %w", z.path(ordinal), err)
	}
	return nil
}

func (z *zpl) writeInode(ordinal uint32) error {
	inode := z.inodes[ordinal]
	attributes, err := z.attributes(ordinal)
	if err != nil {
		return err
	}
	bonus, spill := z.attributeEncoder.Encode(&attributes)
	d := ondisk.DNode{
		Type: ondisk.TypeFileContents, Levels: 1, BlockSize: ondisk.SectorSize,
		BonusType: ondisk.TypeSA, Bonus: bonus, Accounted: true, Counted: z.accounts.objects,
	}
	switch {
	case inode.IsDir():
		d.Type = ondisk.TypeDirContents
		err = z.directory(&d, ordinal)
	case inode.IsRegular():
		err = z.file(&d, inode)
	}
	if err != nil {
		return err
	}
	if spill != nil {
		b := z.write(spill, block{ondisk.TypeSA, 0, 1})
		d.Spill = &b
		d.Used += b.AllocatedSize()
	}
	z.dnodes.add(objectOf(ordinal), &d)
	z.accounts.add(inode.UID, inode.GID, d.Used+ondisk.DNodeSize)
	return nil
}

const entryTypeBit = 60 // of an entry's value: the type of the inode, as in its mode

// directory writes the ZAP of names.
func (z *zpl) directory(d *ondisk.DNode, ordinal uint32) error {
	if err := z.fs.storage.check(z.inodes[ordinal].Entries); err != nil {
		return err
	}
	entries := make([]ondisk.ZAPEntry, len(z.inodes[ordinal].Entries))
	for i, e := range z.inodes[ordinal].Entries {
		entries[i] = number(e.Name, uint64(e.Inode.Type()>>12)<<entryTypeBit|objectOf(e.Inode.Ordinal))
	}
	return z.objset.directory(d, entries, z.salt(objectOf(ordinal)), z.fs.storage.zapFlags())
}

// file writes the content of a file, which has been summed meanwhile.
func (z *zpl) file(d *ondisk.DNode, inode *tree.Inode) error {
	size := inode.Size()
	d.BlockSize = z.fs.fileBlockSize(size)
	if size == 0 {
		return nil
	}
	blocks := (size-1)/int64(d.BlockSize) + 1
	d.LastBlock = uint64(blocks - 1)
	t := &z.content
	t.begin(z.objset, d.Type, blocks, ondisk.Pointers(d.BonusType, len(d.Bonus)), 1)
	if err := z.files.write(z, t, inode.Ordinal, d.BlockSize); err != nil {
		return err
	}
	t.finish(d)
	return nil
}

// fileBlockSize returns the size of a file's blocks. A file of one block has one
// that is just large enough.
func (fs *fileSystem) fileBlockSize(size int64) int {
	if size > int64(fs.storage.recordSize) {
		return fs.storage.recordSize
	}
	return max(int(size+ondisk.SectorSize-1)/ondisk.SectorSize, 1) * ondisk.SectorSize
}

// salt returns that of the ZAP that is an object.
func (z *zpl) salt(object uint64) uint64 {
	return z.pool.salt("file system "+z.fs.name, object)
}
