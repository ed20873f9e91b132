package zfs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"diskwright/filesystem/zfs/ondisk"
)

// Limits of properties that decide how this package writes.
const (
	minAshift     = 9
	maxAshift     = 13
	defaultAshift = 12

	defaultRecordSize = 128 << 10 // larger ones need the feature large_blocks
	maxRecordSize     = 1 << 20
)

// poolProperties are those of pools (zpool_prop_init), but for features.
var poolProperties = byName([]property{
	{name: "ashift", parse: integer(minAshift, maxAshift)},
	{name: "autoexpand", parse: onOff},
	{name: "autoreplace", parse: onOff},
	{name: "autotrim", parse: onOff},
	{name: "bootfs", parse: freeText(maxDatasetName)}, // stored as the dataset's number
	{name: "comment", parse: parseComment, elsewhere: true},
	{name: "compatibility", parse: freeText(maxMountpoint), elsewhere: true},
	{name: "delegation", parse: onOff},
	{name: "failmode", parse: oneOf(choice{"wait", 0}, choice{"continue", 1}, choice{"panic", 2})},
	{name: "listsnapshots", parse: onOff},
	{name: "version", parse: only("the version of pools with features", choice{fmt.Sprint(ondisk.PoolVersion), ondisk.PoolVersion}), elsewhere: true},

	{name: "altroot", refused: "it lasts as long as an import"},
	{name: "cachefile", refused: "it lasts as long as an import"},
	{name: "multihost", refused: "it needs the identifier of the host that writes the pool"},
	{name: "dedupditto", refused: "OpenZFS has removed it"},
	{name: "dedup_table_quota", refused: "nothing is deduplicated"},
}, found("allocated", "available", "bcloneratio", "bclonesaved", "bcloneused", "capacity", "checkpoint",
	"dedup_table_size", "dedupratio", "dedupsaved", "dedupused", "expandsize", "fragmentation", "free", "freeing",
	"guid", "health", "last_scrubbed_txg", "leaked", "load_guid", "size")...)

// parseComment parses the comment of a pool (ZPOOL_PROP_COMMENT).
func parseComment(text string) (value, error) {
	const most = 32
	if len(text) > most {
		return value{}, fmt.Errorf("more than %d bytes", most)
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return value{}, errors.New("not printable ASCII")
		}
	}
	return value{text: text, isText: true}, nil
}

// fileSystemProperties are those of file systems (zfs_prop_init).
var fileSystemProperties = byName([]property{
	{name: "aclinherit", parse: oneOf(choice{"discard", 0}, choice{"noallow", 1}, choice{"restricted", 4},
		choice{"passthrough", 3}, choice{"passthrough-x", 5}, choice{"secure", 4})},
	{name: "aclmode", parse: oneOf(choice{"discard", 0}, choice{"groupmask", 2}, choice{"passthrough", 3}, choice{"restricted", 4})},
	{name: "acltype", parse: oneOf(choice{"off", 0}, choice{"posix", aclTypePOSIX}, choice{"nfsv4", 2},
		choice{"posixacl", aclTypePOSIX}, choice{"noacl", 0}, choice{"disabled", 0})},
	{name: "atime", parse: onOff},
	{name: "canmount", parse: oneOf(choice{"on", 1}, choice{"off", 0}, choice{"noauto", 2}), local: true},
	{name: "checksum", parse: parseChecksum},
	{name: "compression", parse: parseCompression},
	{name: "copies", parse: oneOf(choice{"1", 1}, choice{"2", 2}, choice{"3", 3})},
	{name: "devices", parse: onOff},
	{name: "direct", parse: oneOf(choice{"standard", 1}, choice{"disabled", 0}, choice{"always", 2})},
	{name: "dnodesize", parse: oneOf(choice{"legacy", 0}, choice{"auto", 1}, choice{"1k", 1 << 10}, choice{"2k", 2 << 10},
		choice{"4k", 4 << 10}, choice{"8k", 8 << 10}, choice{"16k", 16 << 10})},
	{name: "exec", parse: onOff},
	{name: "logbias", parse: oneOf(choice{"latency", 0}, choice{"throughput", 1})},
	{name: "mountpoint", parse: parseMountpoint},
	{name: "nbmand", parse: onOff},
	{name: "overlay", parse: onOff},
	{name: "prefetch", parse: oneOf(choice{"all", 2}, choice{"none", 0}, choice{"metadata", 1})},
	{name: "primarycache", parse: oneOf(choice{"all", 2}, choice{"none", 0}, choice{"metadata", 1})},
	{name: "quota", parse: amount, local: true},
	{name: "readonly", parse: onOff},
	{name: "recordsize", parse: powerOfTwo(ondisk.SectorSize, maxRecordSize)},
	{name: "redundant_metadata", parse: oneOf(choice{"all", 0}, choice{"most", 1}, choice{"some", 2}, choice{"none", 3})},
	{name: "refquota", parse: amount, local: true},
	{name: "refreservation", parse: amount, local: true},
	{name: "relatime", parse: onOff},
	{name: "reservation", parse: amount, local: true},
	{name: "secondarycache", parse: oneOf(choice{"all", 2}, choice{"none", 0}, choice{"metadata", 1})},
	{name: "setuid", parse: onOff},
	{name: "sharenfs", parse: freeText(maxUserValue)},
	{name: "sharesmb", parse: freeText(maxUserValue)},
	{name: "snapdev", parse: oneOf(choice{"hidden", 0}, choice{"visible", 1})},
	{name: "snapdir", parse: oneOf(choice{"hidden", 0}, choice{"visible", 1}, choice{"disabled", 2})},
	{name: "special_small_blocks", parse: parseSpecialSmallBlocks},
	{name: "sync", parse: oneOf(choice{"standard", 0}, choice{"always", 1}, choice{"disabled", 2})},
	{name: "volmode", parse: oneOf(choice{"default", 0}, choice{"full", 1}, choice{"geom", 1}, choice{"dev", 2}, choice{"none", 3})},
	{name: "vscan", parse: onOff},
	{name: "xattr", parse: oneOf(choice{"on", xattrSA}, choice{"off", 0}, choice{"sa", xattrSA}, choice{"dir", 1})},
	{name: "zoned", parse: onOff},

	// SELinux
	{name: "context", parse: freeText(maxUserValue), local: true},
	{name: "defcontext", parse: freeText(maxUserValue), local: true},
	{name: "fscontext", parse: freeText(maxUserValue), local: true},
	{name: "rootcontext", parse: freeText(maxUserValue), local: true},

	// In the master node of the file system: decided for ever.
	{name: "casesensitivity", parse: oneOf(choice{"sensitive", 0}, choice{"insensitive", 1}, choice{"mixed", 2}), elsewhere: true},
	{name: "normalization", parse: oneOf(choice{"none", 0}, choice{"formC", 0x50}, choice{"formD", 0x10},
		choice{"formKC", 0x60}, choice{"formKD", 0x20}), elsewhere: true},
	{name: "utf8only", parse: onOff, elsewhere: true},
	{name: "version", parse: only("the others are from before 2009",
		choice{"5", ondisk.FileSystemVersion}, choice{"current", ondisk.FileSystemVersion}), local: true, elsewhere: true},

	// What this package does not make.
	{name: "dedup", parse: only("nothing is deduplicated here; set it when the pool is in use", choice{"off", 2})},
	{name: "encryption", parse: only("encrypted file systems are made with zfs create", choice{"off", 0}), elsewhere: true},
	{name: "keyformat", parse: only("encrypted file systems are made with zfs create", choice{"none", 0}), elsewhere: true},
	{name: "keylocation", parse: only("encrypted file systems are made with zfs create", choice{"none", 0}), elsewhere: true},
	{name: "pbkdf2iters", parse: only("encrypted file systems are made with zfs create", choice{"0", 0}), elsewhere: true},
	{name: "filesystem_limit", parse: only("set it when the pool is in use", choice{"none", 0}), elsewhere: true},
	{name: "snapshot_limit", parse: only("set it when the pool is in use", choice{"none", 0}), elsewhere: true},
	{name: "mlslabel", parse: only("only Solaris has it", choice{"none", 0}), elsewhere: true},
	{name: "volblocksize", refused: "it is of volumes"},
	{name: "volsize", refused: "it is of volumes"},
	{name: "volthreading", refused: "it is of volumes"},
}, found("available", "clones", "compressratio", "createtxg", "creation", "defer_destroy", "encryptionroot",
	"filesystem_count", "guid", "keystatus", "logicalreferenced", "logicalused", "mounted", "name", "objsetid",
	"origin", "receive_resume_token", "redact_snaps", "refcompressratio", "referenced", "snapshot_count",
	"snapshots_changed", "type", "used", "usedbychildren", "usedbydataset", "usedbyrefreservation",
	"usedbysnapshots", "userrefs", "written")...)

// found returns properties that ZFS finds out.
func found(names ...string) []property {
	all := make([]property, len(names))
	for i, name := range names {
		all[i] = property{name: name, refused: "it is what ZFS finds"}
	}
	return all
}

func byName(all []property, more ...property) map[string]*property {
	m := make(map[string]*property)
	for _, p := range append(all, more...) {
		m[p.name] = &p
	}
	return m
}

// parseSpecialSmallBlocks parses the size up to which blocks go to special devices,
// of which there are none (ZFS_PROP_SPECIAL_SMALL_BLOCKS).
func parseSpecialSmallBlocks(text string) (value, error) {
	if text == "0" {
		return value{}, nil
	}
	return powerOfTwo(ondisk.SectorSize, maxRecordSize)(text)
}

// Values of properties that this package knows by name (zfs_prop.c).
const (
	aclTypePOSIX  = 1
	xattrSA       = 2
	checksumOn    = 1 // ZFS's default: fletcher4
	compressionOn = 1 // ZFS's default: lz4

	// compressionBits is where the level of zstd begins (SPA_COMPRESSBITS).
	compressionBits = 7
)

func parseChecksum(text string) (value, error) {
	switch text {
	case "skein", "edonr", "blake3", "noparity":
		return value{}, errors.New("blocks with it are not written here: on, off, fletcher2, fletcher4, sha256 or sha512")
	}
	return oneOf(choice{"on", checksumOn}, choice{"off", uint64(ondisk.ChecksumOff)},
		choice{"fletcher2", uint64(ondisk.ChecksumFletcher2)}, choice{"fletcher4", uint64(ondisk.ChecksumFletcher4)},
		choice{"sha256", uint64(ondisk.ChecksumSHA256)}, choice{"sha512", uint64(ondisk.ChecksumSHA512)})(text)
}

// Levels of zstd (enum zio_zstd_levels). Those of gzip are kinds of their own.
const (
	maxGzipLevel = 9
	maxZstdLevel = 19
)

// zstdFastLevels are the fast levels, in the order in which they are numbered.
var zstdFastLevels = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 500, 1000}

func parseCompression(text string) (value, error) {
	name, level, leveled := text, 0, false
	if i := strings.LastIndexByte(text, '-'); i >= 0 {
		if n, err := strconv.Atoi(text[i+1:]); err == nil {
			name, level, leveled = text[:i], n, true
		}
	}
	simple := func(n uint64) (value, error) { return value{number: n}, nil }
	zstd := func(level ondisk.ZstdLevel) (value, error) {
		return simple(uint64(ondisk.CompressionZstd) | uint64(level)<<compressionBits)
	}
	switch {
	case text == "on":
		return simple(compressionOn)
	case text == "off":
		return simple(uint64(ondisk.CompressionOff))
	case text == "lz4":
		return simple(uint64(ondisk.CompressionLZ4))
	case text == "zle":
		return simple(uint64(ondisk.CompressionZLE))
	case text == "gzip":
		return parseCompression("gzip-6")
	case name == "gzip" && leveled && level >= 1 && level <= maxGzipLevel:
		return simple(uint64(ondisk.CompressionGzip1) + uint64(level-1))
	case text == "zstd":
		return zstd(0)
	case name == "zstd" && leveled && level >= 1 && level <= maxZstdLevel:
		return zstd(ondisk.ZstdLevel(level))
	case text == "zstd-fast":
		return parseCompression("zstd-fast-1")
	case name == "zstd-fast" && leveled:
		if i := slices.Index(zstdFastLevels, level); i >= 0 {
			return zstd(ondisk.ZstdFast + ondisk.ZstdLevel(i))
		}
	case text == "lzjb":
		return value{}, errors.New("blocks with it are not written here, and lz4 is better")
	}
	return value{}, errors.New("not one of on, off, lz4, zle, gzip, gzip-1 to gzip-9, zstd, zstd-1 to zstd-19, " +
		"zstd-fast, zstd-fast-N with N of 1 to 10, 20, 30 to 100, 500, 1000")
}
