package fat

import "math"

const (
	sectorSize      = 512
	heads           = 16 // of the disks of the reference's virtual machine
	sectorsPerTrack = 63
	tableCopies     = 2
	dirEntrySize    = 32
	firstCluster    = 2 // the entries 0 and 1 of the FAT are not clusters

	infoSector   = 1
	backupSector = 6

	// Numbers of clusters. The kinds of FAT are told apart by them ([FAT] "FAT
	// Type Determination"); mkfs.vfat keeps clear of the border between FAT12
	// and FAT16, where drivers differ.
	maxClusters12 = 4084
	minClusters16 = 4087
	maxClusters16 = 65524
	minClusters32 = 65525
	maxClusters32 = 0x0ffffff6

	reserved32    = 32 // reserved sectors of FAT32
	rootEntries16 = 512

	maxClusterSectors = 128

	// unalignedSectors is the size up to which mkfs.vfat does not align the
	// data structures to clusters.
	unalignedSectors = 8192

	// minDataSectors is how many sectors mkfs.vfat wants there to be behind the
	// root directory.
	minDataSectors = 64
)

// geometry says where things lie in a volume. All but the cluster count are
// in sectors.
type geometry struct {
	bits           int // 12, 16 or 32
	sectors        uint32
	clusterSectors uint32
	reserved       uint32 // before the first FAT
	tableSectors   uint32 // of one FAT
	rootSectors    uint32 // of the root directory of FAT12/16
	clusters       uint32
}

func (g geometry) clusterSize() int64 { return int64(g.clusterSectors) * sectorSize }

// clustersOf returns how many clusters n bytes take.
func (g geometry) clustersOf(n int64) uint32 {
	return uint32((n + g.clusterSize() - 1) / g.clusterSize())
}

// tableOffset returns where the nth FAT lies, in bytes.
func (g geometry) tableOffset(n int64) int64 {
	return (int64(g.reserved) + n*int64(g.tableSectors)) * sectorSize
}

// rootOffset returns where the root directory of FAT12/16 lies, in bytes.
func (g geometry) rootOffset() int64 { return g.tableOffset(tableCopies) }

// rootEntries returns how many entries the root directory of FAT12/16 has.
func (g geometry) rootEntries() int { return int(g.rootSectors) * (sectorSize / dirEntrySize) }

// dataSector returns the first sector of the data area.
func (g geometry) dataSector() int64 {
	return int64(g.reserved) + tableCopies*int64(g.tableSectors) + int64(g.rootSectors)
}

// clusterOffset returns where cluster c lies, in bytes.
func (g geometry) clusterOffset(c uint32) int64 {
	return g.dataSector()*sectorSize + int64(c-firstCluster)*g.clusterSize()
}

// capacity returns the size of the data area in bytes.
func (g geometry) capacity() int64 { return int64(g.clusters) * g.clusterSize() }

// chooseGeometry returns the geometry of a partition of size bytes, or false
// if it can have no FAT of that width. Bits 0 chooses FAT32 where it is
// possible.
func chooseGeometry(size int64, bits int) (geometry, bool) {
	var g geometry
	switch bits {
	case 0:
		if g = geometry32(size); g.clusters < minClusters32 {
			g = geometry16(size, 12, 16)
		}
	case 12, 16:
		g = geometry16(size, bits)
	case 32:
		if g = geometry32(size); g.clusters < minClusters32 {
			// [FAT] "FAT Type Determination": a driver may take it for FAT12 or FAT16.
			g = geometry{}
		}
	}
	return g, g.clusters > 0 && g.dataSector()+minDataSectors <= int64(g.sectors)
}

// volumeSectors returns how many sectors of a partition the volume takes:
// whole tracks.
func volumeSectors(size int64) uint32 {
	return uint32(min(max(size, 0)/sectorSize, math.MaxUint32)) / sectorsPerTrack * sectorsPerTrack
}

// clusterSteps32 are the sizes in sectors from which on, exclusively, FAT32
// has larger clusters, as Microsoft's format has them ([FAT] "FAT Volume
// Initialization").
var clusterSteps32 = [...]struct{ above, clusterSectors uint32 }{
	{0, 1},
	{260 << 11, 8},
	{8 << 21, 16},
	{16 << 21, 32},
	{32 << 21, 64},
}

// geometry32 returns the geometry of FAT32, also if it has fewer clusters than
// FAT32 asks for.
func geometry32(size int64) geometry {
	var clusterSectors uint32
	for _, step := range clusterSteps32 {
		if size/sectorSize > int64(step.above) || step.above == 0 {
			clusterSectors = step.clusterSectors
		}
	}
	return tryGeometry(volumeSectors(size), 32, clusterSectors)
}

// geometry16 returns the geometry of FAT12 or FAT16, whichever of the kinds
// asked for gives more clusters at the smallest size of clusters that any of
// them can do with. It has no clusters if there is none.
func geometry16(size int64, kinds ...int) geometry {
	for clusterSectors := uint32(4); clusterSectors <= maxClusterSectors; clusterSectors *= 2 {
		var best geometry
		for _, bits := range kinds {
			if g := tryGeometry(volumeSectors(size), bits, clusterSectors); g.clusters > best.clusters {
				best = g
			}
		}
		if best.clusters > 0 {
			return best
		}
	}
	return geometry{}
}

// tryGeometry lays out a volume with the given kind of FAT and size of
// clusters. It has no clusters if that is impossible.
func tryGeometry(sectors uint32, bits int, clusterSectors uint32) geometry {
	g := geometry{bits: bits, sectors: sectors, clusterSectors: clusterSectors, reserved: 1, rootSectors: rootEntries16 * dirEntrySize / sectorSize}
	least, most := int64(1), int64(maxClusters12)
	switch bits {
	case 16:
		least, most = minClusters16, maxClusters16
	case 32:
		most = maxClusters32
		g.reserved, g.rootSectors = reserved32, 0
	}
	align := clusterSectors
	if sectors <= unalignedSectors {
		align = 1
	}
	g.reserved = roundUp(g.reserved, align)
	g.rootSectors = roundUp(g.rootSectors, align)

	// What is left for the FATs and the data area. A cluster costs its bytes
	// and an entry in each FAT; two entries more are in each FAT.
	left := int64(sectors) - int64(g.reserved) - int64(g.rootSectors)
	width := int64(bits)
	clusters := (left*sectorSize + tableCopies*2*width/8) / (int64(clusterSectors)*sectorSize + tableCopies*width/8)
	if left <= 0 {
		return geometry{}
	}
	tableBytes := ((clusters+firstCluster)*width + 7) / 8
	g.tableSectors = roundUp(uint32((tableBytes+sectorSize-1)/sectorSize), align)

	// The FATs are whole sectors now: count again.
	clusters = (left - tableCopies*int64(g.tableSectors)) / int64(clusterSectors)
	most = min(most, int64(g.tableSectors)*sectorSize*8/width)
	if clusters < least || clusters > most {
		return geometry{}
	}
	g.clusters = uint32(clusters)
	return g
}

// roundUp rounds n up to a multiple of unit, a power of two.
func roundUp(n, unit uint32) uint32 { return (n + unit - 1) &^ (unit - 1) }
