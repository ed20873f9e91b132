package builder

import (
	"diskwright/partition"
)

// Report says what an image is and how it came about. Sizes are bytes.
type Report struct {
	File          string `json:"file"`   // name of the image in the output directory
	Format        string `json:"format"` // "raw"
	DiskSize      int64  `json:"diskSize"`
	DataBytes     int64  `json:"dataBytes"` // what is not a hole
	Epoch         int64  `json:"epoch"`     // time of what Diskwright made, seconds since 1970
	Deterministic bool   `json:"deterministic"`
	Seed          string `json:"seed"`

	// DiskSizeMode is "auto", "min" or "fixed"; AutoSize explains "auto".
	DiskSizeMode string    `json:"diskSizeMode"`
	AutoSize     *AutoSize `json:"autoSize,omitempty"`

	// SpoolBytes is the size of the uncompressed copy of a tar that could not
	// be read in place.
	SpoolBytes int64 `json:"spoolBytes,omitempty"`

	Table partition.Table `json:"table"`
	// FileSystems are those of the table's partitions that have one, in the
	// order of its entries.
	FileSystems []FileSystem `json:"fileSystems"`

	// Notes are what the user should know: deviations from what was asked.
	Notes []string `json:"notes,omitempty"`
}

// FileSystem describes the file system of a partition.
type FileSystem struct {
	Partition  int    `json:"partition"` // number in the table; 0 without a table
	MountPoint string `json:"mountPoint"`
	Type       string `json:"type"` // ext4, ext3, ext2, fat12, fat16, fat32
	Label      string `json:"label"`
	UUID       string `json:"uuid"` // volume id of a FAT, as in 12CE-A600
	Size       int64  `json:"size"`
	BlockSize  int64  `json:"blockSize"` // or the size of a cluster
	Used       int64  `json:"used"`      // with the file system's own metadata
	Free       int64  `json:"free"`      // ext4: including what is reserved for root
	Inodes     int64  `json:"inodes,omitempty"`
	FreeInodes int64  `json:"freeInodes,omitempty"`
}
