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
}

// packing is how blocks are made as small as they lie in the pool.
type packing struct {
	compression ondisk.Compression
	ashift      int
}

// setUp checks the properties of the pool and its file systems against each other
// and the features, which it enables, and decides how each file system writes.
func (p *pool) setUp(systems []*fileSystem) error {
	props, err := parseProperties(p.opts.PoolProperties, poolProperties, "pool property")
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
		var parent *fileSystem
		if fs.name != "" {
			parent = byName[parentName(fs.name)]
		}
		if err := p.setUpFileSystem(fs, parent); err != nil {
			wrong = append(wrong, fs.wrap(err))
		}
	}
	if v, ok := props["bootfs"]; ok {
		name, inPool := strings.CutPrefix(v.text, p.opts.Name)
		if name = strings.TrimPrefix(name, "/"); !inPool || byName[name] == nil {
			wrong = append(wrong, fmt.Errorf("pool property bootfs: there is no file system %q", v.text))
		}
	}
	p.metadata = packing{ondisk.CompressionOff, p.ashift}
	if p.features.has(featureLZ4) {
		p.metadata.compression = ondisk.CompressionLZ4
	}
	return errors.Join(wrong...)
}

// setUpFileSystem does so for a file system below another, or the pool's own.
func (p *pool) setUpFileSystem(fs, parent *fileSystem) error {
	local, err := parseProperties(fs.properties, fileSystemProperties, "property")
	if err != nil {
		return err
	}
	fs.local = local
	if parent != nil {
		fs.storage = parent.storage
	} else {
		fs.storage = storage{
			packing:    packing{ondisk.CompressionOff, p.ashift},
			checksum:   ondisk.ChecksumFletcher4,
			recordSize: defaultRecordSize,
		}
		// Extended attributes are written as system attributes; those that are
		// added later shall be too.
		if _, ok := local["xattr"]; !ok {
			local["xattr"] = value{number: xattrSA}
		}
	}
	if v, ok := local["compression"]; ok {
		fs.storage.compression = ondisk.Compression(v.number)
		if v.number == compressionOn {
			fs.storage.compression = ondisk.CompressionLZ4
		}
	}
	if v, ok := local["checksum"]; ok && v.number != checksumOn {
		fs.storage.checksum = ondisk.ChecksumKind(v.number)
	}
	if v, ok := local["recordsize"]; ok {
		fs.storage.recordSize = int(v.number)
	}
	return p.needFeatures(fs)
}

// needFeatures enables the features that the properties of a file system need.
func (p *pool) needFeatures(fs *fileSystem) error {
	needed := func(f feature, property string, when bool) error {
		if !when {
			return nil
		}
		if err := p.features.need(f); err != nil {
			return fmt.Errorf("%s: %w", property, err)
		}
		return nil
	}
	return errors.Join(
		needed(featureLZ4, "compression", fs.storage.compression != ondisk.CompressionOff),
		needed(featureLargeBlocks, "recordsize", fs.storage.recordSize > defaultRecordSize),
		needed(featureLargeDNode, "dnodesize", fs.local["dnodesize"].number != 0),
	)
}

// localProperties returns the properties of a file system that it does not inherit,
// neither from the one above nor from ZFS's defaults.
func (fs *fileSystem) localProperties() []ondisk.ZAPEntry {
	if _, ok := fs.local["acltype"]; !ok && fs.acls {
		fs.local["acltype"] = value{number: aclTypePOSIX}
	}
	return fs.local.entries(fileSystemProperties)
}
