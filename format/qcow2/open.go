package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
)

// Image is an image that anybody may have made, of version 2 or 3. Of one with
// snapshots it is the state that a machine would see.
type Image struct {
	r        io.ReaderAt
	fileSize int64
	header
	l1 []uint64

	slices   cache[int64, []byte] // pieces of L2 tables, by offset
	clusters cache[int64, []byte] // decompressed, by number on the disk
	codecs   decoders
}

// header is what the header says, checked.
type header struct {
	version       uint32
	clusterBits   uint
	size          int64
	l1Entries     int64
	l1Offset      int64
	refcountTable int64 // offset
	refcountBytes int64
	snapshots     uint32
	incompatible  uint64
	compatible    uint64
	refcountOrder uint32
	compression   Compression
}

func (h *header) clusterSize() int64 { return 1 << h.clusterBits }

// extended reports whether L2 entries have 16 bytes, the second half of which
// says which 32nds of the cluster there are.
func (h *header) extended() bool { return h.incompatible&featureExtendedL2 != 0 }

func (h *header) entrySize() int64 {
	if h.extended() {
		return 16
	}
	return 8
}

// tableBytes is how much of the disk an L2 table stands for.
func (h *header) tableBytes() int64 {
	return h.clusterSize() / h.entrySize() * h.clusterSize()
}

// Limits of what is read.
const (
	minClusterBits, maxClusterBits = 9, 21
	minExtendedBits                = 14 // of clusters that have subclusters
	maxHeaderLength                = 1 << 20
	maxNameLength                  = 1023 // of a backing file
)

// Open reads the header of the image of size bytes in r, which stays in use.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	img := &Image{r: r, fileSize: size}
	if err := img.open(); err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	return img, nil
}

func (img *Image) open() error {
	p := make([]byte, min(headerLength, img.fileSize))
	if err := content.ReadFull(img.r, p, 0); err != nil {
		return err
	}
	if len(p) < headerLength2 {
		return fmt.Errorf("the file has only %d bytes, less than a header; it is truncated", img.fileSize)
	}
	if string(p[:4]) != magic {
		return errors.New("the file does not begin with the format's magic number")
	}
	if err := img.parseHeader(p); err != nil {
		return err
	}
	if img.l1Entries > 0 {
		p, err := block.ReadAt(img.r, img.fileSize, img.l1Offset, int(img.l1Entries*8), "L1 table")
		if err != nil {
			return err
		}
		img.l1 = make([]uint64, img.l1Entries)
		for i := range img.l1 {
			img.l1[i] = binary.BigEndian.Uint64(p[8*i:])
		}
	}
	img.slices.limit = sliceCache / sliceSize
	img.clusters.limit = int(max(1, clusterCache>>img.clusterBits))
	return nil
}

func (img *Image) parseHeader(p []byte) error {
	get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	img.version = get32(p[offVersion:])
	switch {
	case img.version == 1:
		return errors.New("it is of version 1, the format qcow, which is not read; \"qemu-img convert -O qcow2\" makes a newer one")
	case img.version != 2 && img.version != 3:
		return fmt.Errorf("version %d is neither 2 nor 3", img.version)
	case img.version == 3 && len(p) < headerLength3:
		return fmt.Errorf("the file has only %d bytes, less than a header; it is truncated", img.fileSize)
	}
	h := &img.header
	if n := get32(p[offClusterBits:]); n < minClusterBits || n > maxClusterBits {
		return fmt.Errorf("clusters of 1 << %d bytes; 512 bytes to 2 MiB are possible", n)
	}
	h.clusterBits = uint(get32(p[offClusterBits:]))
	h.refcountOrder, h.compression = 4, Zlib
	length := int64(headerLength2)
	if h.version == 3 {
		h.incompatible, h.compatible = get64(p[offIncompatible:]), get64(p[offCompatible:])
		h.refcountOrder = get32(p[offRefcountOrder:])
		length = int64(get32(p[offHeaderLength:]))
		if length < headerLength3 || length > min(h.clusterSize(), maxHeaderLength) {
			return fmt.Errorf("a header of %d bytes; 104 bytes to a cluster are possible", length)
		}
	}
	ext, err := img.extensions(length, int64(get64(p[offBackingOffset:])))
	if err != nil {
		return err
	}
	if err := img.checkFeatures(ext); err != nil {
		return err
	}
	if err := img.checkElsewhere(p, ext); err != nil {
		return err
	}
	if h.incompatible&featureCompression != 0 {
		if length <= offCompression || len(p) <= offCompression || p[offCompression] != 1 {
			return errors.New("its clusters are compressed in an unknown way, neither with zlib nor with zstd")
		}
		h.compression = Zstd
	}
	return img.parseTables(p)
}

// parseTables takes where the tables are.
func (img *Image) parseTables(p []byte) error {
	get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	h := &img.header
	if h.extended() && h.clusterBits < minExtendedBits {
		return fmt.Errorf("extended L2 entries with clusters of %d bytes; they need 16 KiB", h.clusterSize())
	}
	if h.refcountOrder > 6 {
		return fmt.Errorf("refcounts of 1 << %d bits; 64 bits is the most", h.refcountOrder)
	}
	size := get64(p[offSize:])
	if size > diskmap.MaxSize {
		return fmt.Errorf("a disk of %d bytes is more than 1 EiB", size)
	}
	h.size = int64(size)
	h.l1Entries, h.l1Offset = int64(get32(p[offL1Size:])), int64(get64(p[offL1Offset:]))
	need := block.DivideUp(h.size, h.tableBytes())
	if h.l1Entries < need || h.l1Entries > maxL1Size {
		return fmt.Errorf("an L1 table of %d entries for a disk of %d bytes, which needs %d; %d is the most", h.l1Entries, h.size, need, maxL1Size)
	}
	h.l1Entries = need // an image that was made smaller may have more
	if h.l1Entries > 0 && h.l1Offset%h.clusterSize() != 0 {
		return fmt.Errorf("the L1 table is at %d, where no cluster begins", uint64(h.l1Offset))
	}
	h.refcountTable = int64(get64(p[offRefcountOffset:]))
	h.refcountBytes = int64(get32(p[offRefcountLength:])) * h.clusterSize()
	h.snapshots = get32(p[offSnapshots:])
	return nil
}

// extensions are those that matter here.
type extensions struct {
	dataFile string
	names    []byte
}

// extensions reads the header extensions, which end at the latest where the
// name of the backing file is, or with the first cluster.
func (img *Image) extensions(from, backing int64) (extensions, error) {
	end := min(img.clusterSize(), maxHeaderLength, img.fileSize)
	if backing > from && backing < end {
		end = backing
	}
	var ext extensions
	p := make([]byte, max(0, end-from))
	if err := content.ReadFull(img.r, p, from); err != nil {
		return ext, err
	}
	for len(p) >= 8 {
		kind, n := binary.BigEndian.Uint32(p), int64(binary.BigEndian.Uint32(p[4:]))
		p = p[8:]
		if kind == extensionEnd {
			break
		}
		if n > int64(len(p)) {
			return ext, fmt.Errorf("a header extension of %d bytes, of which %d are in the header", n, len(p))
		}
		switch kind {
		case extensionDataFile:
			ext.dataFile = string(p[:n])
		case extensionFeatureNames:
			ext.names = p[:n]
		}
		p = p[min(int64(len(p)), block.DivideUp(n, 8)*8):]
	}
	return ext, nil
}

// checkFeatures refuses features that nobody knows here, by the names that the
// image has for them.
func (img *Image) checkFeatures(ext extensions) error {
	const known = featureDirty | featureCorrupt | featureDataFile | featureCompression | featureExtendedL2
	unknown := img.incompatible &^ known
	if unknown == 0 {
		return nil
	}
	var names []string
	for left := unknown; left != 0; left &= left - 1 {
		bit := bits.TrailingZeros64(left)
		name := fmt.Sprintf("bit %d", bit)
		for p := ext.names; len(p) >= featureNameSize; p = p[featureNameSize:] {
			if p[0] == 0 && int(p[1]) == bit {
				text, _, _ := strings.Cut(string(p[2:featureNameSize]), "\x00")
				name = fmt.Sprintf("%q (bit %d)", text, bit)
			}
		}
		names = append(names, name)
	}
	return fmt.Errorf("it has features that are not known: %s", strings.Join(names, ", "))
}

// checkElsewhere refuses images whose content is not all in the file.
func (img *Image) checkElsewhere(p []byte, ext extensions) error {
	get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	switch get32(p[offCryptMethod:]) {
	case 0:
	case 1:
		return errors.New("it is encrypted with AES; \"qemu-img convert\" with its key makes an image without encryption")
	case 2:
		return errors.New("it is encrypted with LUKS; \"qemu-img convert\" with its key makes an image without encryption")
	default:
		return fmt.Errorf("it is encrypted in an unknown way, %d", get32(p[offCryptMethod:]))
	}
	if off, n := int64(get64(p[offBackingOffset:])), int64(get32(p[offBackingSize:])); off != 0 && n > 0 {
		if n > maxNameLength {
			return fmt.Errorf("the name of a backing file has %d bytes; %d is the most", n, maxNameLength)
		}
		name, err := block.ReadAt(img.r, img.fileSize, off, int(n), "name of the backing file")
		if err != nil {
			return err
		}
		return fmt.Errorf("it holds only the differences to its backing file %q; \"qemu-img convert\" makes an image that holds everything", name)
	}
	if img.incompatible&featureDataFile != 0 {
		return fmt.Errorf("its data is in another file, %q; \"qemu-img convert\" makes an image that holds everything", ext.dataFile)
	}
	return nil
}

// Size returns the size of the disk.
func (img *Image) Size() int64 { return img.size }

// Fields returns the properties that qemu-img info shows, too.
func (img *Image) Fields() []block.Field {
	compat := "1.1"
	if img.version == 2 {
		compat = "0.10"
	}
	fields := []block.Field{
		{Name: "compat", Value: compat},
		{Name: "clusterSize", Value: img.clusterSize()},
		{Name: "compressionType", Value: string(img.compression)},
		{Name: "lazyRefcounts", Value: img.compatible&compatibleLazyRefcounts != 0},
		{Name: "refcountBits", Value: int64(1) << img.refcountOrder},
		{Name: "extendedL2", Value: img.extended()},
		{Name: "dirty", Value: img.incompatible&featureDirty != 0},
		{Name: "corrupt", Value: img.incompatible&featureCorrupt != 0},
		{Name: "snapshots", Value: int64(img.snapshots)},
	}
	return fields
}
