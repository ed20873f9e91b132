// Package qcow2 writes and reads disk images in QEMU's format qcow2.
//
// # Vocabulary
//
// Disk and file are cut into clusters of the same size, 64 KiB where we write.
// A table of two levels says where in the file a cluster of the disk lies: the
// L1 table points to L2 tables of one cluster each, whose 8192 entries stand for
// 512 MiB of the disk. An entry of zero is a cluster that reads as zeros. A
// cluster may be compressed: then it lies anywhere in the file, takes as many
// bytes as it needs, and its entry says in how many sectors of 512 bytes those
// are.
//
// Refcounts say how often each cluster of the file is used: once, or more where
// compressed clusters share one. They are in refcount blocks of one cluster, each
// for 2 GiB of the file, to which the refcount table points.
//
//	cluster 0   header, with names of features for error messages
//	        1   refcount table (one cluster for 16 TiB of file)
//	        2   refcount block 0
//	        3   L1 table (one cluster for 4 TiB of disk)
//	        4   L2 table of the first 512 MiB with data
//	        5   data ...
//	        .   L2 table of the next 512 MiB with data
//	        .   data ...
//	    32768   refcount block 1, in the first of the clusters that it counts
//	        .   data ...
//
// That is what "qemu-img convert" writes, to the byte where the file is smaller
// than 2 GiB. Without compression the file is a disk map itself ([Layout]): it
// can be hashed and streamed, and package raw writes it.
//
// # Sources
//
// docs/interop/qcow2.rst of QEMU. Numbers are big-endian.
package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"

	"diskwright/diskmap"
	"diskwright/format/block"
)

// Compression is how clusters are compressed.
type Compression string

const (
	// None leaves clusters as they are.
	None Compression = ""
	// Zlib is deflate with a window of 4 KiB, which every reader knows.
	Zlib Compression = "zlib"
	// Zstd needs QEMU 5.1 or later.
	Zstd Compression = "zstd"
)

// Options of writing. The zero value is good.
type Options struct {
	block.Options
	// Compression of the clusters. A cluster that it does not make smaller is
	// stored as it is.
	Compression Compression
	// Level of the compression, for Zstd only: 1 (fastest) to 22 as the program
	// zstd numbers them; zero is 3. There is only one compressor for Zlib.
	Level int
}

// Numbers of what is written.
const (
	clusterBits = 16
	clusterSize = 1 << clusterBits

	refcountOrder    = 4                    // refcounts of 1 << 4 bits
	refcountsInBlock = clusterSize / 2      // in a refcount block
	entriesInTable   = clusterSize / 8      // in an L2 table, or in a cluster of others
	maxL1Size        = 32 << 20 / 8         // entries: what QEMU opens
	maxRefcounts     = 8 << 20 / 8          // entries of the refcount table, likewise
	sectorSize       = 512                  // unit of a disk's size and of compressed lengths
	packing          = 1                    // unit of the places of compressed clusters
	deflateWindow    = 1 << 12              // what QEMU's decoder has
	flagCopied       = 1 << 63              // in L1 and L2: used exactly once
	flagCompressed   = 1 << 62              // in L2
	csizeShift       = 62 - clusterBits + 8 // in L2: sectors of a compressed cluster
)

// Offsets in the header, docs/interop/qcow2.rst, "Header".
const (
	offVersion         = 4
	offBackingOffset   = 8
	offBackingSize     = 16
	offClusterBits     = 20
	offSize            = 24
	offCryptMethod     = 32
	offL1Size          = 36
	offL1Offset        = 40
	offRefcountOffset  = 48
	offRefcountLength  = 56
	offSnapshots       = 60
	offSnapshotsOffset = 64
	offIncompatible    = 72
	offCompatible      = 80
	offAutoclear       = 88
	offRefcountOrder   = 96
	offHeaderLength    = 100
	offCompression     = 104

	headerLength2 = 72  // version 2
	headerLength3 = 104 // the least of version 3
	headerLength  = 112 // what QEMU writes since 5.1, with the compression type

	magic = "QFI\xfb"
)

// Incompatible features.
const (
	featureDirty       = 1 << 0
	featureCorrupt     = 1 << 1
	featureDataFile    = 1 << 2
	featureCompression = 1 << 3
	featureExtendedL2  = 1 << 4

	compatibleLazyRefcounts = 1 << 0
)

// Header extensions.
const (
	extensionEnd           = 0
	extensionFeatureNames  = 0x6803f857
	extensionBackingFormat = 0xe2792aca
	extensionDataFile      = 0x44415441
)

// featureNames is what a reader shows that does not know a feature. Type 0 is
// incompatible, 1 compatible, 2 autoclear.
var featureNames = []struct {
	kind, bit byte
	name      string
}{
	{0, 0, "dirty bit"},
	{0, 1, "corrupt bit"},
	{0, 2, "external data file"},
	{0, 3, "compression type"},
	{0, 4, "extended L2 entries"},
	{1, 0, "lazy refcounts"},
	{2, 0, "bitmaps"},
	{2, 1, "raw external data"},
}

const featureNameSize = 48

// DiskSize returns the size that a disk of size bytes has in the format: the
// next multiple of 512.
func DiskSize(size int64) (int64, error) {
	if size > diskmap.MaxSize {
		return 0, fmt.Errorf("qcow2: a disk of %d bytes is more than 1 EiB", size)
	}
	return block.DivideUp(size, sectorSize) * sectorSize, nil
}

// Write writes m to f, an empty regular file.
func Write(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
	if o.Compression != None {
		return writeCompressed(ctx, m, f, o)
	}
	if o.Level != 0 {
		return fmt.Errorf("qcow2: a compression level without compression")
	}
	file, err := Layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteFile(ctx, file, m, f, o.Options)
}

// geometry is what the size of the disk and the number of clusters that it uses
// say about the file: where, in clusters, the tables are that come first.
type geometry struct {
	size             int64 // of the disk
	l1Entries        int64
	refcountClusters int64 // of the refcount table
	refcountBlock    int64 // the first
	l1               int64
	data             int64 // the first cluster behind them
}

// newGeometry makes room for so many clusters of data.
func newGeometry(size, used int64) (geometry, error) {
	size, err := DiskSize(size)
	if err != nil {
		return geometry{}, err
	}
	g := geometry{size: size, l1Entries: block.DivideUp(size, clusterSize*entriesInTable)}
	l1Clusters := block.DivideUp(g.l1Entries, entriesInTable)
	for {
		g.refcountClusters++
		g.refcountBlock = 1 + g.refcountClusters
		g.l1 = g.refcountBlock + 1
		g.data = g.l1 + l1Clusters
		all := g.data + used + min(used, g.l1Entries)
		blocks := all/(refcountsInBlock-1) + 1 // one of them counts itself
		if blocks > maxRefcounts {
			return g, fmt.Errorf("qcow2: %d bytes of data are more than the format can count", used*clusterSize)
		}
		if blocks <= g.refcountClusters*entriesInTable {
			return g, nil
		}
	}
}

// header returns the first cluster, without the zeros at its end.
func (g geometry) header(c Compression) []byte {
	const names = headerLength + 8
	p := make([]byte, names+featureNameSize*len(featureNames)+8)
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	copy(p, magic)
	put32(p[offVersion:], 3)
	put32(p[offClusterBits:], clusterBits)
	put64(p[offSize:], uint64(g.size))
	put32(p[offL1Size:], uint32(g.l1Entries))
	if g.l1Entries > 0 {
		put64(p[offL1Offset:], uint64(g.l1)*clusterSize)
	}
	put64(p[offRefcountOffset:], clusterSize)
	put32(p[offRefcountLength:], uint32(g.refcountClusters))
	put32(p[offRefcountOrder:], refcountOrder)
	put32(p[offHeaderLength:], headerLength)
	if c == Zstd {
		put64(p[offIncompatible:], featureCompression)
		p[offCompression] = 1
	}
	put32(p[headerLength:], extensionFeatureNames)
	put32(p[headerLength+4:], uint32(featureNameSize*len(featureNames)))
	for i, f := range featureNames {
		entry := p[names+i*featureNameSize:]
		entry[0], entry[1] = f.kind, f.bit
		copy(entry[2:featureNameSize], f.name)
	}
	return p // the extension that ends them is all zeros
}
