package zfs

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"diskwright/filesystem/zfs/ondisk"
)

// Options says what a pool is like.
type Options struct {
	// Size is that of the device in bytes. What is above a multiple of
	// 256 KiB is not used.
	Size int64

	// Name is that of the pool, which is that of its file system too.
	Name string

	// Ashift is the smallest unit of allocation as a power of two, 9 to 13;
	// 0 is 12.
	Ashift int

	// RecordSize is the largest size of a file's blocks: a power of two from
	// 512 to 128 KiB; 0 is 128 KiB.
	RecordSize int

	Compression Compression
	Checksum    Checksum

	// Mountpoint is the property of this name: a path, "legacy", "none", or
	// empty for ZFS's default, the pool's name below the root.
	Mountpoint string

	// Seed is what identifiers of the pool and the salts of its directories
	// are derived from. Pools that may meet on one machine need different
	// ones.
	Seed []byte

	// Epoch is when the pool was made: seconds since 1970.
	Epoch int64

	// DevicePath is where the pool says that its device was. It is a hint:
	// import searches, and stores what it found. Empty is [DefaultDevicePath].
	DevicePath string

	// WholeDisk says that the device is the first partition of a disk that
	// is the pool's. ZFS may then rewrite its partition table to grow.
	WholeDisk bool

	// Workers is how many files are read at the same time; 0 is one for each
	// CPU.
	Workers int
}

// Compression is how what is in a pool is compressed.
type Compression string

// Kinds of compression. Metadata is compressed as well as files.
const (
	CompressionOff Compression = "off" // as is the empty string
	CompressionLZ4 Compression = "lz4"
)

// Checksum is the kind of checksums that blocks of the file system have. Those of
// the pool itself are fletcher4.
type Checksum string

// Kinds of checksums.
const (
	ChecksumFletcher4 Checksum = "fletcher4" // as is the empty string
	ChecksumSHA256    Checksum = "sha256"
)

// DefaultDevicePath is a pool's device where nobody says otherwise.
const DefaultDevicePath = "/dev/vda1"

const (
	minAshift     = 9
	maxAshift     = 13
	defaultAshift = 12
	maxRecordSize = 128 << 10 // without the feature large_blocks

	// MinSize is the smallest device that ZFS takes (SPA_MINDEVSIZE); MaxSize
	// the largest that this package makes.
	MinSize = int64(64) << 20
	MaxSize = int64(256) << 40
)

// withDefaults returns the options with nothing left empty, or what is wrong with
// them.
func (o Options) withDefaults() (Options, error) {
	if o.Ashift == 0 {
		o.Ashift = defaultAshift
	}
	if o.RecordSize == 0 {
		o.RecordSize = maxRecordSize
	}
	if o.DevicePath == "" {
		o.DevicePath = DefaultDevicePath
	}
	if o.Compression == "" {
		o.Compression = CompressionOff
	}
	if o.Checksum == "" {
		o.Checksum = ChecksumFletcher4
	}
	if err := checkName(o.Name); err != nil {
		return o, err
	}
	switch {
	case o.Size < MinSize || o.Size > MaxSize:
		return o, fmt.Errorf("a ZFS pool needs a device of %d to %d bytes, not %d", MinSize, MaxSize, o.Size)
	case o.Ashift < minAshift || o.Ashift > maxAshift:
		return o, fmt.Errorf("ashift %d is not in %d to %d", o.Ashift, minAshift, maxAshift)
	case o.RecordSize < ondisk.SectorSize || o.RecordSize > maxRecordSize || bits.OnesCount(uint(o.RecordSize)) != 1:
		return o, fmt.Errorf("recordsize %d is not a power of two from %d to %d", o.RecordSize, ondisk.SectorSize, maxRecordSize)
	case o.Compression != CompressionOff && o.Compression != CompressionLZ4:
		return o, fmt.Errorf("compression %q is neither %q nor %q", o.Compression, CompressionOff, CompressionLZ4)
	case o.Checksum != ChecksumFletcher4 && o.Checksum != ChecksumSHA256:
		return o, fmt.Errorf("checksum %q is neither %q nor %q", o.Checksum, ChecksumFletcher4, ChecksumSHA256)
	case !validMountpoint(o.Mountpoint):
		return o, fmt.Errorf("mountpoint %q is neither an absolute path of at most %d bytes nor \"legacy\" nor \"none\"", o.Mountpoint, maxMountpoint)
	case !strings.HasPrefix(o.DevicePath, "/") || len(o.DevicePath) > maxMountpoint || strings.ContainsRune(o.DevicePath, 0):
		return o, fmt.Errorf("the path of the pool's device, %q, is not an absolute path", o.DevicePath)
	}
	return o, nil
}

const maxMountpoint = 1023 // with the NUL behind it: ZAP_MAXVALUELEN

func validMountpoint(m string) bool {
	return m == "" || m == "legacy" || m == "none" ||
		strings.HasPrefix(m, "/") && len(m) <= maxMountpoint && !strings.ContainsRune(m, 0)
}

// maxNameSize is the longest name of a pool (ZFS_MAX_DATASET_NAME_LEN, with room
// for what internal datasets add).
const maxNameSize = 255 - 2 - 2*len("$ORIGIN")

// checkName says what is wrong with the name of a pool (pool_namecheck, and what
// zpool refuses in names of new pools).
func checkName(name string) error {
	if name == "" {
		return errors.New("the pool has no name")
	}
	if len(name) > maxNameSize {
		return fmt.Errorf("the pool's name %q has more than %d bytes", name, maxNameSize)
	}
	for i := range len(name) {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789-_.: ", rune(c))) {
			return fmt.Errorf("the pool's name %q is not a letter and then letters, digits and \"-_.: \"", name)
		}
	}
	for _, reserved := range []string{"mirror", "raidz", "draid", "spare"} {
		if strings.HasPrefix(name, reserved) {
			return fmt.Errorf("the pool's name %q begins with %q, which means a kind of device", name, reserved)
		}
	}
	if name == "log" {
		return errors.New("the pool's name \"log\" means a kind of device")
	}
	return nil
}

// checksumKind returns how blocks of the file system are summed.
func (o *Options) checksumKind() ondisk.ChecksumKind {
	if o.Checksum == ChecksumSHA256 {
		return ondisk.ChecksumSHA256
	}
	return ondisk.ChecksumFletcher4
}
