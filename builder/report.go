package builder

import (
	"diskwright/partition"
)

// Report says what an image is and how it came about. Sizes are bytes.
type Report struct {
	// Disk is the disk, if there is one. If there are several they are Disks, and it
	// is zero.
	Disk
	Disks []Disk `json:"disks,omitempty"`

	Format        string `json:"format"` // "raw"
	Epoch         int64  `json:"epoch"`  // time of what Diskwright made, seconds since 1970
	Deterministic bool   `json:"deterministic"`
	Seed          string `json:"seed"`

	// DiskSizeMode is "auto", "min" or "fixed"; AutoSize explains "auto".
	DiskSizeMode string    `json:"diskSizeMode"`
	AutoSize     *AutoSize `json:"autoSize,omitempty"`

	// SpoolBytes is the size of the uncompressed copy of a tar that could not
	// be read in place.
	SpoolBytes int64 `json:"spoolBytes,omitempty"`

	// System is the NixOS system in the image, if there is one.
	System *System `json:"system,omitempty"`

	// BootLoader is the one that was installed, if any.
	BootLoader *BootLoader `json:"bootLoader,omitempty"`

	// VM is what a virtual machine has installed, if one did.
	VM *VM `json:"vm,omitempty"`

	// Notes are what the user should know: deviations from what was asked.
	Notes []string `json:"notes,omitempty"`
}

// All returns the disks, however many there are.
func (r *Report) All() []*Disk {
	if len(r.Disks) == 0 {
		return []*Disk{&r.Disk}
	}
	all := make([]*Disk, len(r.Disks))
	for i := range r.Disks {
		all[i] = &r.Disks[i]
	}
	return all
}

// Disk describes a disk.
type Disk struct {
	Role      string `json:"role,omitempty"` // of several: "boot" or "root"
	File      string `json:"file,omitempty"` // name of the image in the output directory
	DiskSize  int64  `json:"diskSize,omitempty"`
	DataBytes int64  `json:"dataBytes,omitempty"` // what is not a hole

	Table partition.Table `json:"table,omitzero"`
	// FileSystems are those of the table's partitions that have one, in the
	// order of its entries.
	FileSystems []FileSystem `json:"fileSystems,omitempty"`
}

// System describes a NixOS system and its store.
type System struct {
	Toplevel        string   `json:"toplevel"`           // its store path
	Version         string   `json:"version,omitempty"`  // as boot menus show it
	Platform        string   `json:"platform,omitempty"` // as in "x86_64-linux"
	Channel         string   `json:"channel,omitempty"`
	AdditionalPaths []string `json:"additionalPaths,omitempty"`

	StorePaths    int        `json:"storePaths"`              // number of the store's paths
	NarBytes      int64      `json:"narBytes"`                // size of their NARs together
	DatabaseBytes int64      `json:"databaseBytes,omitempty"` // size of the store's database
	Verified      bool       `json:"verified"`                // all paths have the hashes that are registered
	Optimised     *Optimised `json:"optimised,omitempty"`
}

// Optimised says what hard links in the store have saved.
type Optimised struct {
	Files int64 `json:"files"` // that have no inode of their own
	Bytes int64 `json:"bytes"`
}

// BootLoader describes an installed boot loader.
type BootLoader struct {
	Name     string    `json:"name"`               // as in bootLoader
	Detected bool      `json:"detected"`           // the system said which, and with which settings
	EFIEntry *EFIEntry `json:"efiEntry,omitempty"` // what efi-vars.fd has, if there is one
}

// EFIEntry is a boot entry of the firmware.
type EFIEntry struct {
	Description string `json:"description"`
	Path        string `json:"path"` // of the program, on the EFI system partition
}

// VM describes what a virtual machine has installed. Paths are those of the image.
type VM struct {
	// KeptDisk is that the image is the disk as the virtual machine has left it.
	// Then what has changed there is unknown.
	KeptDisk bool `json:"keptDisk"`

	Changes
	// LeftOut are files that are not in the image as the virtual machine has left
	// them, because they are random, and Random those that are.
	LeftOut []string `json:"leftOut,omitempty"`
	Random  []string `json:"random,omitempty"`

	BootCode bool      `json:"bootCode,omitempty"` // the first sector has another program
	Active   int       `json:"active,omitempty"`   // number of the partition that was made active
	Written  []Written `json:"written,omitempty"`  // outside of file systems

	// Variables are those of the firmware.
	Variables *Variables `json:"variables,omitempty"`
}

// Changes are names of what has changed.
type Changes struct {
	Added   []string `json:"added,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Variables are what has become of variables of the firmware.
type Variables struct {
	Changes
	LeftOut []string `json:"leftOut,omitempty"` // because they are random
}

// Written is a run of bytes of the disk.
type Written struct {
	Offset int64 `json:"offset"`
	Bytes  int64 `json:"bytes"`
}

// FileSystem describes the file system of a partition.
type FileSystem struct {
	Partition  int    `json:"partition"` // number in the table; 0 without a table
	MountPoint string `json:"mountPoint"`
	Type       string `json:"type"` // ext4, ext3, ext2, fat12, fat16, fat32, zfs
	Label      string `json:"label"`
	UUID       string `json:"uuid"` // volume id of a FAT, as in 12CE-A600; GUID of a pool, a number
	Size       int64  `json:"size"`
	BlockSize  int64  `json:"blockSize"` // or the size of a cluster, or the smallest of a pool
	Used       int64  `json:"used"`      // with the file system's own metadata
	Free       int64  `json:"free"`      // including what ext4 reserves for root, and ZFS for itself
	Inodes     int64  `json:"inodes,omitempty"`
	FreeInodes int64  `json:"freeInodes,omitempty"`

	// Datasets are the file systems of a pool, in the order in which they were made.
	Datasets []Dataset `json:"datasets,omitempty"`
}

// Dataset describes a file system of a pool.
type Dataset struct {
	Name       string `json:"name"` // with the pool's
	MountPoint string `json:"mountPoint,omitempty"`
}
