package zfs

import (
	"errors"
	"fmt"
	"strings"

	"diskwright/filesystem/zfs/ondisk"
)

// storage is how a file system writes its blocks: what properties that it has, or
// inherits, mean for them.
type storage struct {
	packing
	checksum   ondisk.ChecksumKind
	recordSize int
	copies     int    // of what is in files
	redundant  uint64 // redundant_metadata
	naming
}

// packing is how blocks are made as small as they lie in the pool.
type packing struct {
	compression ondisk.Compression
	level       ondisk.ZstdLevel
	ashift      int
}

// naming is which names are the same. It is kept in the master node.
type naming struct{ normalization, caseSensitivity, utf8Only uint64 }

// Values of the property redundant_metadata (zfs_redundant_metadata_type_t).
const (
	redundantAll = iota
	redundantMost
	redundantSome
	redundantNone
)

// metadataCopies returns how many copies a block of metadata of the file system has:
// one more than files have, unless a property says otherwise (dmu_write_policy).
func (s *storage) metadataCopies(what block) int {
	more := false
	switch s.redundant {
	case redundantAll:
		more = true
	case redundantMost:
		more = what.level >= 2 || what.typ.IsMetadata()
	case redundantSome:
		more = what.typ.IsCritical()
	}
	if more {
		return min(s.copies+1, maxCopies)
	}
	return s.copies
}

// metadataChecksum returns how metadata of the file system is summed: that of files,
// unless it is too weak (ZCHECKSUM_FLAG_METADATA).
func (s *storage) metadataChecksum() ondisk.ChecksumKind {
	if s.checksum == ondisk.ChecksumOff || s.checksum == ondisk.ChecksumFletcher2 {
		return ondisk.ChecksumFletcher4
	}
	return s.checksum
}

// setUp checks the properties of the pool and its file systems against each other
// and the features, which it enables, and decides how each file system writes.
func (p *pool) setUp(systems []*fileSystem) error {
	props, err := parsePoolProperties(p.opts.PoolProperties)
	if err != nil {
		return err
	}
	p.poolProps = props
	p.ashift = defaultAshift
	if v, ok := props["ashift"]; ok {
		p.ashift = int(v.number)
	}
	byName := make(map[string]*fileSystem)
	var wrong []error
	for _, fs := range systems {
		byName[fs.name] = fs
		if fs.name != "" {
			fs.parent = byName[parentName(fs.name)]
		}
		if err := p.setUpFileSystem(fs); err != nil {
			wrong = append(wrong, fs.wrap(err))
		}
	}
	if v, ok := props["bootfs"]; ok {
		name, inPool := strings.CutPrefix(v.text, p.opts.Name)
		if name = strings.TrimPrefix(name, "/"); !inPool || byName[name] == nil {
			wrong = append(wrong, fmt.Errorf("pool property bootfs: there is no file system %q", v.text))
		}
	}
	p.metadata = packing{compression: ondisk.CompressionOff, ashift: p.ashift}
	if p.features.has(featureLZ4) {
		p.metadata.compression = ondisk.CompressionLZ4
	}
	return errors.Join(wrong...)
}

// setUpFileSystem does so for one file system. The one above has been set up.
func (p *pool) setUpFileSystem(fs *fileSystem) (err error) {
	if fs.local, err = parseProperties(fs.properties, fileSystemProperties, "property"); err != nil {
		return err
	}
	if fs.parent != nil {
		fs.storage = fs.parent.storage
	} else {
		fs.storage = storage{
			packing:    packing{compression: ondisk.CompressionOff, ashift: p.ashift},
			checksum:   ondisk.ChecksumFletcher4,
			recordSize: defaultRecordSize,
			copies:     1,
		}
		// Extended attributes are written as system attributes; those that are
		// added later shall be too.
		if _, ok := fs.local["xattr"]; !ok {
			fs.local["xattr"] = value{number: xattrSA}
		}
	}
	fs.storage.change(fs.local)
	return p.needFeatures(fs)
}

// change follows the properties that a file system does not inherit.
func (s *storage) change(local propertySet) {
	set := func(name string, do func(uint64)) {
		if v, ok := local[name]; ok {
			do(v.number)
		}
	}
	set("compression", func(n uint64) {
		s.compression, s.level = ondisk.Compression(n&(1<<compressionBits-1)), ondisk.ZstdLevel(n>>compressionBits)
		if n == compressionOn {
			s.compression = ondisk.CompressionLZ4
		}
	})
	set("checksum", func(n uint64) {
		s.checksum = ondisk.ChecksumKind(n)
		if n == checksumOn {
			s.checksum = ondisk.ChecksumFletcher4
		}
	})
	set("recordsize", func(n uint64) { s.recordSize = int(n) })
	set("copies", func(n uint64) { s.copies = int(n) })
	set("redundant_metadata", func(n uint64) { s.redundant = n })
	set("casesensitivity", func(n uint64) { s.caseSensitivity = n })
	set("utf8only", func(n uint64) { s.utf8Only = n })
	set("normalization", func(n uint64) {
		s.normalization = n
		if n != 0 {
			s.utf8Only = 1 // as zfs create does
		}
	})
}

// needFeatures enables the features that the properties of a file system need, and
// notes which of them are in use however little is in it.
func (p *pool) needFeatures(fs *fileSystem) error {
	s := &fs.storage
	var wrong []error
	for _, n := range []struct {
		feature  feature
		property string
		needed   bool
	}{
		{featureLZ4, "compression", s.compression != ondisk.CompressionOff && (p.features.open || s.compression == ondisk.CompressionLZ4)},
		{featureZstd, "compression", s.compression == ondisk.CompressionZstd},
		{featureSHA512, "checksum", s.checksum == ondisk.ChecksumSHA512},
		{featureLargeBlocks, "recordsize", s.recordSize > defaultRecordSize},
		{featureLargeDNode, "dnodesize", fs.local["dnodesize"].number != 0},
	} {
		if !n.needed {
			continue
		}
		// What is inherited was said of the file system that has it.
		_, own := fs.local[n.property]
		if err := p.features.need(n.feature); err != nil && (own || fs.parent == nil) {
			wrong = append(wrong, fmt.Errorf("property %s: %w", n.property, err))
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	if v, ok := fs.local["compression"]; ok && v.number != 0 && s.compression == ondisk.CompressionZstd {
		p.use(featureZstd, fs)
	}
	if s.checksum == ondisk.ChecksumSHA512 {
		p.use(featureSHA512, fs)
	}
	return nil
}

// useFeatures notes the features that a block of a file needs.
func (p *pool) useFeatures(fs *fileSystem, b *ondisk.BlockPointer) {
	if b.Compression == ondisk.CompressionZstd {
		p.use(featureZstd, fs)
	}
	if b.LogicalSize > defaultRecordSize {
		p.use(featureLargeBlocks, fs)
	}
}

// localProperties returns the properties of a file system that it does not inherit,
// neither from the one above nor from ZFS's defaults.
func (fs *fileSystem) localProperties() []ondisk.ZAPEntry {
	if fs.acls && !fs.has("acltype") {
		fs.local["acltype"] = value{number: aclTypePOSIX}
	}
	return fs.local.entries(fileSystemProperties)
}

// has reports whether the file system has or inherits a property from elsewhere than
// ZFS's defaults.
func (fs *fileSystem) has(name string) bool {
	for ; fs != nil; fs = fs.parent {
		if _, ok := fs.local[name]; ok {
			return true
		}
	}
	return false
}
