package inspect

import (
	"errors"
	"fmt"
	"io"
	"time"

	"diskwright/filesystem/fat"
)

// FileSystem is what is found in a partition. A file system of a known type
// that cannot be read has the type "ext", "fat" or "zfs", and a problem.
type FileSystem struct {
	Partition int `json:"partition"` // number in the table; 0 is the whole disk
	// Type is ext2, ext3, ext4, fat12, fat16, fat32, zfs or the name of another file
	// system or of what else fills partitions: swap, luks, lvm.
	Type string `json:"type"`
	// Detailed says that the fields below are known. Of types that are only told
	// by their magic number they are zero.
	Detailed bool `json:"detailed"`

	Label string `json:"label,omitempty"`
	UUID  string `json:"uuid,omitempty"` // volume id of a FAT, as in 12CE-A600; GUID of a pool, decimal

	Size      int64 `json:"size,omitempty"`      // as the file system has it
	BlockSize int64 `json:"blockSize,omitempty"` // or the size of a cluster
	Used      int64 `json:"used,omitempty"`      // with the file system's own metadata
	Free      int64 `json:"free,omitempty"`      // ext: including what is reserved
	Reserved  int64 `json:"reserved,omitempty"`  // ext: for root

	// Of ext.
	Inodes      int64      `json:"inodes,omitempty"`
	FreeInodes  int64      `json:"freeInodes,omitempty"`
	InodeSize   int64      `json:"inodeSize,omitempty"`
	Features    []string   `json:"features,omitempty"` // as dumpe2fs names them; of ZFS the active ones
	State       string     `json:"state,omitempty"`    // "clean", "not clean", …; of ZFS "exported", "active", "destroyed"
	LastMounted string     `json:"lastMounted,omitempty"`
	Created     *time.Time `json:"created,omitempty"`
	Mounted     *time.Time `json:"mounted,omitempty"`
	Written     *time.Time `json:"written,omitempty"`
	Checked     *time.Time `json:"checked,omitempty"`

	Pool *Pool `json:"pool,omitempty"` // of ZFS

	Problems []string `json:"problems,omitempty"`
}

// findFileSystem returns what is in a partition, or nil if it is not known.
func findFileSystem(r *io.SectionReader) (*FileSystem, error) {
	ext, err := readExt(r)
	if err != nil || ext != nil && ext.Detailed {
		return ext, err
	}
	// Before FAT: NTFS, exFAT and others begin like one.
	name, err := findMagic(r)
	if err != nil {
		return nil, err
	}
	if name != "" {
		return &FileSystem{Type: name}, nil
	}
	// Labels at both ends tell a pool, even if a FAT was in its place before.
	fs, err := readZFS(r)
	if err != nil || fs != nil {
		return fs, err
	}
	fs, err = readFAT(r)
	if err == nil && fs == nil {
		fs = ext // a superblock that cannot be one, and nothing better
	}
	return fs, err
}

// readFAT reads a FAT, or returns nil if there is none.
func readFAT(r *io.SectionReader) (*FileSystem, error) {
	info, err := fat.ReadInfo(r, r.Size())
	switch {
	case errors.Is(err, fat.ErrNotFAT):
		return nil, nil
	case errors.Is(err, fat.ErrCorrupt):
		return &FileSystem{Type: "fat", Problems: []string{err.Error()}}, nil
	case err != nil:
		return nil, err
	}
	return &FileSystem{
		Type:      fmt.Sprintf("fat%d", info.Bits),
		Detailed:  true,
		Label:     info.Label,
		UUID:      fmt.Sprintf("%04X-%04X", info.VolumeID>>16, info.VolumeID&0xffff),
		Size:      info.Size,
		BlockSize: info.ClusterSize,
		Used:      info.Size - info.Free(),
		Free:      info.Free(),
	}, nil
}
