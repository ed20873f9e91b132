package fat

import (
	"errors"
	"fmt"
	"math"

	"diskwright/tree"
)

// SpaceError says that a tree does not fit into a partition.
type SpaceError struct {
	Size int64 // of the partition, in bytes

	// Bits is the kind of FAT that the partition has, or 0 if it can have
	// none.
	Bits int
	// Needed and Available are bytes of the data area: what the tree takes and
	// what there is, both in whole clusters of the partition.
	Needed, Available int64
	// RootEntries and MaxRootEntries are what the root directory takes and
	// what there is, in entries of 32 bytes. MaxRootEntries is 0 if it is not
	// limited.
	RootEntries, MaxRootEntries int

	// Smallest is the size in bytes of the smallest partition larger than this
	// one that holds the tree; 0 if none does.
	Smallest int64
}

// Error implements error.
func (e *SpaceError) Error() string {
	var what string
	switch {
	case e.Bits == 0:
		what = fmt.Sprintf("a partition of %d bytes has no place for the file system", e.Size)
	case e.MaxRootEntries > 0 && e.RootEntries > e.MaxRootEntries:
		what = fmt.Sprintf("the names in the root directory take %d entries, and that of FAT%d in a partition of %d bytes has %d", e.RootEntries, e.Bits, e.Size, e.MaxRootEntries)
	default:
		what = fmt.Sprintf("the files and directories need %d bytes, and FAT%d in a partition of %d bytes has room for %d", e.Needed, e.Bits, e.Size, e.Available)
	}
	if e.Smallest == 0 {
		return what + "; no larger partition holds everything either"
	}
	return fmt.Sprintf("%s; a partition of %d bytes holds everything", what, e.Smallest)
}

// MinSize returns the size in bytes of the smallest partition that holds the
// tree. Not every larger one does: where clusters grow, many small files may
// need more. Options.Size is ignored.
func MinSize(root *tree.Inode, opts Options) (int64, error) {
	opts.Size = 0
	fs, err := prepare(root, opts)
	if err != nil {
		return 0, err
	}
	size := fs.smallestSize()
	if size == 0 {
		return 0, errors.New("fat: the tree is too large for any file system of that kind")
	}
	return size, nil
}

// fits reports whether the tree fits into a volume.
func (fs *FileSystem) fits(g geometry) bool {
	return fs.rootFits(g) && fs.clustersIn(g) <= int64(g.clusters)
}

// rootFits reports whether the root directory fits where FAT12/16 has it.
func (fs *FileSystem) rootFits(g geometry) bool {
	return g.bits == 32 || fs.dirs[0].slots <= g.rootEntries()
}

// clustersIn returns how many clusters the tree takes in a volume.
func (fs *FileSystem) clustersIn(g geometry) int64 {
	total := int64(0)
	for _, d := range fs.dirs {
		if d.parent != nil || g.bits == 32 {
			total += int64(d.clusters(g))
		}
		for _, e := range d.node.Entries {
			if !e.Inode.IsDir() {
				total += int64(g.clustersOf(e.Inode.Size()))
			}
		}
	}
	return total
}

// spaceError says why the tree does not fit into the volume that the partition
// can have, if it can have one.
func (fs *FileSystem) spaceError(g geometry) *SpaceError {
	e := &SpaceError{Size: fs.opts.Size, Smallest: fs.smallestSize()}
	if g.clusters > 0 {
		e.Bits = g.bits
		e.Needed, e.Available = fs.clustersIn(g)*g.clusterSize(), g.capacity()
		e.RootEntries, e.MaxRootEntries = fs.dirs[0].slots, g.rootEntries()
	}
	return e
}

// smallestSize returns the size in bytes of the smallest partition larger than
// that of the options that holds the tree, or 0 if there is none.
//
// The number of clusters does not always grow with the size, so every size
// that gives another volume is looked at. Only with FAT32, where there are too
// many of them, those are passed that cannot have enough clusters.
func (fs *FileSystem) smallestSize() int64 {
	last := int64(math.MaxUint32)
	if fs.opts.Bits == 12 || fs.opts.Bits == 16 {
		last = 2 * maxClusters16 * maxClusterSectors
	}
	needed := map[geometry]int64{} // by what it depends on
	for sectors := nextVolume(fs.opts.Size/sectorSize, 0); sectors <= last; {
		passed := int64(0)
		if g, ok := chooseGeometry(sectors*sectorSize, fs.opts.Bits); ok {
			key := geometry{bits: g.bits, clusterSectors: g.clusterSectors}
			if _, ok := needed[key]; !ok {
				needed[key] = fs.clustersIn(g)
			}
			missing := needed[key] - int64(g.clusters)
			if missing <= 0 && fs.rootFits(g) {
				return sectors * sectorSize
			}
			if g.bits == 32 {
				// Each of them takes its sectors at least.
				passed = (missing - 1) * int64(g.clusterSectors)
			}
		}
		sectors = nextVolume(sectors, passed)
	}
	return 0
}

// nextVolume returns the size in sectors of the next larger partition that
// gives another volume, one that has more than passed sectors more or another
// size of clusters.
func nextVolume(sectors, passed int64) int64 {
	used := sectors / sectorsPerTrack * sectorsPerTrack
	next := ((used+passed)/sectorsPerTrack + 1) * sectorsPerTrack
	for _, step := range clusterSteps32 {
		if first := int64(step.above) + 1; first > sectors {
			next = min(next, first)
		}
	}
	return next
}
