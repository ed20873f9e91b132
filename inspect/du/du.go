// Package du tells what takes the space of a disk image.
//
//	disk ─┬─ partition table, gaps
//	      └─ partition ─┬─ files ─┬─ by directory        [Node]
//	                    │         ├─ by what they are    [Kind]
//	                    │         ├─ by store path       [Store]
//	                    │         └─ equal ones          [Duplicates]
//	                    ├─ metadata: journal, inodes, …
//	                    └─ free
//
// # Sizes
//
// The size of a file is that of the blocks that it takes on the disk, as du has
// it; its length is what it holds, as ls has it. A file with several names counts
// once, where it is met first. What a file system has for itself, and not for one
// file, is its metadata. Files, metadata and free space add up to the file
// system, and partitions, gaps and the table to the disk.
//
// FAT does not say how much directories take: they count as metadata there.
package du

import (
	"context"
	"fmt"
	"slices"

	"diskwright/inspect"
	"diskwright/partition"
	"diskwright/progress"
)

// Options of [Image]. The zero value looks at everything.
type Options struct {
	// Partitions are the numbers of those whose files are looked at (0 is the
	// whole disk); nil is all that can be read.
	Partitions []int
	// NoDuplicates does not look for equal files, for which files of the same
	// size have to be read.
	NoDuplicates bool
	Workers      int           // 0 is one for each CPU
	Progress     progress.Sink // may be nil
}

// Usage is what takes the space of an image.
type Usage struct {
	File        string       `json:"file,omitempty"` // path, if it was opened by one
	Format      string       `json:"format"`         // "raw", "qcow2", …
	FileSize    int64        `json:"fileSize"`
	DiskSize    int64        `json:"diskSize"`
	Parts       []Part       `json:"parts"`       // of the disk, in the order of their places
	FileSystems []FileSystem `json:"fileSystems"` // that were looked at
}

// Part is a partition, or what lies outside of partitions.
type Part struct {
	What      string `json:"what"`                // "partition", "gap", "partition table" or "disk"
	Partition int    `json:"partition,omitempty"` // number
	Type      string `json:"type,omitempty"`      // of its file system: see [inspect.FileSystem]
	Label     string `json:"label,omitempty"`     // of the file system, or the name in the table
	Offset    int64  `json:"offset"`
	Size      int64  `json:"size"`
	// Used and Free are those of the file system, if that can be read.
	Used int64 `json:"used,omitempty"`
	Free int64 `json:"free,omitempty"`
}

// FileSystem is what takes the space of a file system.
type FileSystem struct {
	Partition int    `json:"partition"` // number in the table; 0 is the whole disk
	Type      string `json:"type"`
	Label     string `json:"label,omitempty"`
	Size      int64  `json:"size"`
	// Files is the size of all files and directories, Metadata that of
	// everything else, and Free the rest, of which Reserved is for root.
	Files    int64 `json:"files"`
	Metadata int64 `json:"metadata"`
	Free     int64 `json:"free"`
	Reserved int64 `json:"reserved,omitempty"`
	// Areas are the parts of the metadata.
	Areas []Area `json:"areas"`

	Root       *Node       `json:"-"`
	Kinds      []KindUse   `json:"kinds"` // the largest first
	Store      *Store      `json:"store,omitempty"`
	Duplicates *Duplicates `json:"duplicates,omitempty"`
	Problems   []string    `json:"problems,omitempty"`
}

// Area is a part of the metadata.
type Area struct {
	What string `json:"what"`
	Size int64  `json:"size"`
}

// KindUse is what files of a kind take.
type KindUse struct {
	Kind   Kind  `json:"kind"`
	Size   int64 `json:"size"`
	Length int64 `json:"length"`
	Files  int64 `json:"files"`
}

// Image looks at what takes the space of an image. What is wrong with a file
// system is an error; what is wrong with the database of its store is one of its
// problems.
func Image(ctx context.Context, img *inspect.Image, opts Options) (*Usage, error) {
	u := &Usage{
		File: img.File, Format: img.Format, FileSize: img.FileSize, DiskSize: img.DiskSize,
		Parts: Parts(img), FileSystems: []FileSystem{},
	}
	for _, fs := range img.FileSystems {
		chosen := slices.Contains(opts.Partitions, fs.Partition)
		if !fs.Detailed || opts.Partitions != nil && !chosen {
			continue
		}
		use, err := fileSystem(ctx, img, fs, opts)
		if err != nil {
			return nil, err
		}
		u.FileSystems = append(u.FileSystems, *use)
	}
	return u, nil
}

// Parts cuts the disk of an image up.
func Parts(img *inspect.Image) (list []Part) {
	rest := img.DiskSize
	for _, p := range img.Table.Partitions {
		if p.Role == partition.Extended {
			continue
		}
		part := Part{What: "partition", Partition: p.Number, Label: p.Name, Offset: img.Table.Offset(p), Size: img.Table.Size(p)}
		part.describe(img.FileSystem(p.Number))
		list = append(list, part)
		rest -= part.Size
	}
	if len(list) == 0 {
		part := Part{What: "disk", Size: img.DiskSize}
		part.describe(img.FileSystem(0))
		return []Part{part}
	}
	for _, g := range img.Gaps {
		list = append(list, Part{What: "gap", Offset: g.Offset, Size: g.Size})
		rest -= g.Size
	}
	if rest > 0 { // it is not if partitions overlap
		list = append(list, Part{What: "partition table", Size: rest})
	}
	slices.SortStableFunc(list, func(a, b Part) int {
		return compare(a.Offset, b.Offset)
	})
	return list
}

// describe adds what the file system in a part, or nil, says of itself.
func (p *Part) describe(fs *inspect.FileSystem) {
	if fs == nil {
		return
	}
	p.Type, p.Used, p.Free = fs.Type, fs.Used, fs.Free
	if fs.Label != "" {
		p.Label = fs.Label
	}
}

func fileSystem(ctx context.Context, img *inspect.Image, fs inspect.FileSystem, opts Options) (*FileSystem, error) {
	progress.Phase(opts.Progress, "reading files", 0)
	files, err := img.Files(fs.Partition)
	if err != nil {
		return nil, err
	}
	w, err := newWalk(ctx, files, fs)
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", fs.Partition, err)
	}
	use := &FileSystem{
		Partition: fs.Partition, Type: fs.Type, Label: fs.Label, Size: fs.Size, Free: fs.Free, Reserved: fs.Reserved,
		Root: w.node("", "", w.root, ""),
	}
	use.Files = use.Root.Size
	use.Metadata = fs.Used - use.Files
	if use.Metadata < 0 {
		use.Problems = append(use.Problems, fmt.Sprintf("its files claim %d bytes, but only %d are in use", use.Files, fs.Used))
		use.Metadata = 0
	}
	use.Areas = areas(files, use.Metadata)
	use.Kinds = w.kindList()
	if err := use.addStore(ctx, w); err != nil {
		return nil, err
	}
	if opts.NoDuplicates {
		return use, nil
	}
	use.Duplicates, err = duplicates(ctx, w, opts)
	return use, err
}
