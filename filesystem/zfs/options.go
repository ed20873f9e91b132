package zfs

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"diskwright/content"
	"diskwright/tree"
)

// Options says what a pool is like.
type Options struct {
	// Size is that of the device in bytes. What is above a multiple of
	// 256 KiB is not used.
	Size int64

	// Name is that of the pool, which is that of its first file system too.
	Name string

	// Features is the name of the set of features that the pool has, one of
	// [FeatureSets]. "minimal" (as is the empty string) is those that other
	// properties need; they must be in any other set.
	Features string

	// PoolProperties are those of the pool, as `zpool create -o` takes them:
	// ashift, autoexpand, comment, feature@NAME, ….
	PoolProperties map[string]string

	// Properties are those of the pool's first file system, as `zpool create
	// -O` takes them: compression, recordsize, mountpoint, …. The other file
	// systems inherit them.
	Properties map[string]string

	// Datasets are the pool's other file systems, in any order. Those above one
	// that are not there are made, empty.
	Datasets []Dataset

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

	// Mount is where [Options.Populate] takes what the pool's first file system
	// holds from.
	Mount string

	// Spool, if there is one, gets compressed blocks of files when the pool is
	// planned, and SpoolAll also those that are not compressed. Then files are
	// read and compressed once; without it, whoever reads the map has them read
	// and compressed again.
	Spool    Spool
	SpoolAll bool

	// Workers is how many files are read at the same time; 0 is one for each
	// CPU.
	Workers int
}

// Spool is a file, sparse at first, in which blocks lie where they lie on the device.
// It can become the image.
type Spool interface {
	io.WriterAt
	// Part returns n bytes at off that have been written.
	Part(off, n int64) content.Source
}

// Dataset is a file system below that of the pool.
type Dataset struct {
	Name string // without the pool's, as in "system/root"

	// Root is the tree that it holds, which shares no inode with another;
	// nil is an empty directory. [Options.Populate] takes it from Mount, if that
	// is not empty.
	Root  *tree.Inode
	Mount string

	// Properties are those that differ from the ones of the file system
	// above, as `zfs create -o` takes them.
	Properties map[string]string
}

// DefaultDevicePath is a pool's device where nobody says otherwise.
const DefaultDevicePath = "/dev/vda1"

// Sizes of devices.
const (
	// MinSize is the smallest device that ZFS takes (SPA_MINDEVSIZE); MaxSize
	// the largest that this package makes.
	MinSize = int64(64) << 20
	MaxSize = int64(256) << 40
)

// withDefaults returns the options with nothing left empty, or what is wrong with
// them.
func (o Options) withDefaults() (Options, error) {
	if o.DevicePath == "" {
		o.DevicePath = DefaultDevicePath
	}
	switch {
	case o.Size < MinSize || o.Size > MaxSize:
		return o, fmt.Errorf("a ZFS pool needs a device of %d to %d bytes, not %d", MinSize, MaxSize, o.Size)
	case !strings.HasPrefix(o.DevicePath, "/") || len(o.DevicePath) > maxMountpoint || strings.ContainsRune(o.DevicePath, 0):
		return o, fmt.Errorf("the path of the pool's device, %q, is not an absolute path", o.DevicePath)
	}
	return o, errors.Join(CheckName(o.Name), CheckPoolProperties(o.PoolProperties), CheckProperties(o.Properties), o.checkDatasets())
}

// maxNameSize is the longest name of a pool (ZFS_MAX_DATASET_NAME_LEN, with room
// for what internal datasets add).
const maxNameSize = 255 - 2 - 2*len("$ORIGIN")

// CheckName says what is wrong with the name of a pool (pool_namecheck, and what
// zpool refuses in names of new pools).
func CheckName(name string) error {
	if name == "" {
		return errors.New("the pool has no name")
	}
	if len(name) > maxNameSize {
		return fmt.Errorf("the pool's name %q has more than %d bytes", name, maxNameSize)
	}
	if c := name[0] | 0x20; c < 'a' || c > 'z' || !validComponent(name) {
		return fmt.Errorf("the pool's name %q is not a letter and then letters, digits and \"-_.: \"", name)
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

// validComponent reports whether a part of a dataset's name has the characters that
// it may have (valid_char, entity_namecheck).
func validComponent(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && !strings.ContainsRune("0123456789-_.: ", rune(c)) {
			return false
		}
	}
	return name != "" && name != "." && name != ".."
}

// maxDatasetName is the longest name of a dataset with that of its pool, without
// the NUL (ZFS_MAX_DATASET_NAME_LEN).
const maxDatasetName = 255

// checkDatasets says what is wrong with the datasets.
func (o *Options) checkDatasets() error {
	known := make(map[string]bool)
	for _, d := range o.Datasets {
		for component := range strings.SplitSeq(d.Name, "/") {
			if !validComponent(component) {
				return fmt.Errorf("the dataset's name %q is not letters, digits and \"-_.: \" between slashes", d.Name)
			}
		}
		switch full := o.Name + "/" + d.Name; {
		case len(full) > maxDatasetName:
			return fmt.Errorf("the dataset's name %q has more than %d bytes", full, maxDatasetName)
		case known[d.Name]:
			return fmt.Errorf("there are two datasets %q", d.Name)
		case d.Root != nil && !d.Root.IsDir():
			return fmt.Errorf("the root of dataset %q is not a directory", d.Name)
		}
		if err := CheckProperties(d.Properties); err != nil {
			return fmt.Errorf("dataset %q: %w", d.Name, err)
		}
		known[d.Name] = true
	}
	return nil
}
