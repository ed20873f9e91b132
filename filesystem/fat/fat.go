// Package fat makes and reads FAT file systems: FAT12, FAT16 and FAT32 with
// long names, as mkfs.vfat of dosfstools 4.2 lays them out.
//
// # Vocabulary
//
// A volume is a row of sectors of 512 bytes, grouped in its data area into
// clusters, which are numbered from 2. The file allocation table, the FAT, has
// an entry of 12, 16 or 32 bits for each cluster: zero if it is free, else the
// number of the cluster that continues the file, or a mark that it is the
// last. What kind of FAT a volume has follows from its number of clusters. The
// FAT is stored twice.
//
//	FAT32    |B|I|....|b|i|....|== FAT ==|== FAT ==|root|directories|files ....|free ..|
//	FAT12/16 |B|................|= FAT =|= FAT =|root|directories|files .......|free ..|
//
//	B, b   boot sector (the volume's parameters) and its backup in sector 6
//	I, i   FSInfo (a count of free clusters) and its backup
//	root   the root directory: clusters of the data area, 2 first, in FAT32;
//	       an area of fixed size, usually 512 entries, before it in FAT12/16
//
// A directory is a row of entries of 32 bytes. A file has an entry with its
// short name, 8 + 3 upper-case characters, and before it, if its name is not
// such a name, entries with pieces of the long name in UTF-16.
//
// # What is written
//
// Every file and directory is one run of clusters: directories first, in the
// order of [tree.Number], then the files, in the order of their directories.
// The free clusters are one run too. An empty tree gives what mkfs.vfat gives,
// byte for byte.
//
// FAT32 is chosen whenever the volume can have the 65,525 clusters that FAT32
// asks for (from about 33 MiB on); mkfs.vfat itself does so from 512 MiB on.
// The geometry is 16 heads with 63 sectors, so up to 62 sectors at the end
// belong to no track and stay unused.
//
// # What FAT cannot hold
//
// Owners, permissions and extended attributes are dropped: FAT has none, and
// systems that mount it invent them. A file with several links is stored once
// for each name. Times are UTC, full even seconds, and moved into the years
// 1980 to 2107. Everything else that FAT cannot hold is an error that names
// the path: symbolic links, devices, FIFOs and sockets; files of 4 GiB and
// more; directories of more than 65,536 entries; names that are not UTF-8,
// that hold one of "*/:<>?\| or a control character, or that end in a dot or a
// space; two names in a directory that differ in case only.
//
// # Reading
//
// [Open] reads any FAT, and takes it for hostile: it follows no chain further
// than the volume is long, and nothing that it is told makes it allocate more
// than the volume has. What breaks the format is [ErrCorrupt].
//
// The layout follows Microsoft's "FAT32 File System Specification", version
// 1.03, cited as [FAT].
package fat

import (
	"fmt"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/tree"
)

// Options are the parameters of a new file system.
type Options struct {
	// Label is the volume's name: at most 11 characters of ASCII, as
	// mkfs.vfat -n takes them. Empty means that there is none.
	Label string
	// VolumeID is the serial number of the volume.
	VolumeID uint32
	// Size is the size of the partition in bytes.
	Size int64
	// HiddenSectors is where the partition starts on its disk, in sectors of
	// 512 bytes. BIOS boot loaders add it to what they read.
	HiddenSectors uint32
	// Bits is the width of a FAT entry: 12, 16, or 32, or 0 for FAT32 where it
	// is possible and the narrower one that fits where it is not.
	Bits int
	// Time is the time of the label's entry. Files and directories have
	// their own.
	Time tree.Time
}

// Info describes a file system.
type Info struct {
	Bits          int    // 12, 16 or 32
	Label         string // "" if there is none
	VolumeID      uint32
	HiddenSectors uint32
	Size          int64 // in bytes; what lies behind it in the partition is unused
	ClusterSize   int64 // in bytes
	Clusters      int64
	FreeClusters  int64
}

// Free returns how many bytes of the data area are free.
func (i Info) Free() int64 { return i.FreeClusters * i.ClusterSize }

// FileSystem is a planned file system.
type FileSystem struct {
	opts  Options
	label shortName
	geo   geometry
	dirs  []*directory // in the order of tree.Number, the root first
	table table
}

// New plans a file system that holds the tree at root. It reads no content.
// A tree that does not fit is a [*SpaceError].
func New(root *tree.Inode, opts Options) (*FileSystem, error) {
	fs, err := prepare(root, opts)
	if err != nil {
		return nil, err
	}
	var ok bool
	if fs.geo, ok = chooseGeometry(opts.Size, opts.Bits); !ok {
		return nil, fs.spaceError(geometry{})
	}
	if !fs.fits(fs.geo) {
		return nil, fs.spaceError(fs.geo)
	}
	fs.allocate()
	return fs, nil
}

// prepare plans what does not depend on the size of the partition.
func prepare(root *tree.Inode, opts Options) (*FileSystem, error) {
	switch opts.Bits {
	case 0, 12, 16, 32:
	default:
		return nil, fmt.Errorf("fat: a FAT has 12, 16 or 32 bits, not %d", opts.Bits)
	}
	fs := &FileSystem{opts: opts}
	var err error
	if fs.label, err = encodeLabel(opts.Label); err != nil {
		return nil, err
	}
	fs.dirs, err = planDirectories(root, fs.hasLabel())
	return fs, err
}

// hasLabel reports whether the root directory has an entry for the label.
func (fs *FileSystem) hasLabel() bool { return fs.label != noLabel }

// allocate gives the directories and then the files their clusters.
func (fs *FileSystem) allocate() {
	t := newTable(fs.geo.bits)
	for n, d := range fs.dirs {
		if n == 0 && fs.geo.bits != 32 {
			continue // its place is before the data area
		}
		d.first = t.allocate(d.clusters(fs.geo))
		if d.parent != nil {
			d.parent.entries[d.index].first = d.first
		}
	}
	for _, d := range fs.dirs {
		for n, e := range d.node.Entries {
			if !e.Inode.IsDir() {
				d.entries[n].first = t.allocate(fs.geo.clustersOf(e.Inode.Size()))
			}
		}
	}
	fs.table = t
}

// Info returns what the file system is and how full.
func (fs *FileSystem) Info() Info {
	return Info{
		Bits:          fs.geo.bits,
		Label:         decodeLabel(fs.label),
		VolumeID:      fs.opts.VolumeID,
		HiddenSectors: fs.opts.HiddenSectors,
		Size:          int64(fs.geo.sectors) * sectorSize,
		ClusterSize:   fs.geo.clusterSize(),
		Clusters:      int64(fs.geo.clusters),
		FreeClusters:  fs.freeClusters(),
	}
}

// freeClusters returns how many clusters no file or directory has.
func (fs *FileSystem) freeClusters() int64 {
	return int64(fs.geo.clusters) - int64(fs.table.next-firstCluster)
}

// Map returns the partition: Options.Size bytes, with the content of the files
// placed in it.
func (fs *FileSystem) Map() (*diskmap.Map, error) {
	var b diskmap.Builder
	b.Reserve(8 + len(fs.dirs) + len(fs.table.ends))
	fs.placeBoot(&b)
	for n := range int64(tableCopies) {
		b.Place(fs.geo.tableOffset(n), fs.table.source())
	}
	for _, d := range fs.dirs {
		b.Place(fs.directoryOffset(d), fs.directorySource(d))
	}
	for _, d := range fs.dirs {
		for n, e := range d.node.Entries {
			if !e.Inode.IsDir() && e.Inode.Size() > 0 {
				b.Place(fs.geo.clusterOffset(d.entries[n].first), e.Inode.Content)
			}
		}
	}
	m, err := b.Map(fs.opts.Size)
	if err != nil {
		return nil, fmt.Errorf("fat: %w", err)
	}
	return m, nil
}

// placeBoot places the boot sector and FSInfo, and their backups.
func (fs *FileSystem) placeBoot(b *diskmap.Builder) {
	boot := content.Bytes(fs.bootSector())
	b.Place(0, boot)
	if fs.geo.bits != 32 {
		return
	}
	info := content.Bytes(fs.fsInfo())
	b.Place(infoSector*sectorSize, info)
	b.Place(backupSector*sectorSize, boot)
	b.Place((backupSector+infoSector)*sectorSize, info)
}

// directoryOffset returns where a directory lies in the partition.
func (fs *FileSystem) directoryOffset(d *directory) int64 {
	if d.parent == nil && fs.geo.bits != 32 {
		return fs.geo.rootOffset()
	}
	return fs.geo.clusterOffset(d.first)
}
