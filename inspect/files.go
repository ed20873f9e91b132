package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/partition"
	"diskwright/tree"
)

// Files are the files of a file system. Their names are bytes, as a tree has
// them, and their content is read when it is asked for.
type Files interface {
	// Tree returns all files.
	Tree(ctx context.Context) (*tree.Inode, error)
	// Lookup returns the file at a path, and its entries if it is a
	// directory, but nothing below those. Symbolic links on the way are
	// followed inside of the file system, and the last one if follow says so.
	// What does not exist is [fs.ErrNotExist].
	Lookup(path string, follow bool) (*tree.Inode, error)
}

// Files returns the files of the file system in the partition with that number,
// 0 for the whole disk. They are read from the image: it must stay open. Those of a
// ZFS pool are of all its file systems, joined at their mount points.
func (img *Image) Files(number int) (Files, error) { return img.files(number, "") }

// Choose returns the files that a user means: what [Image.Select] takes, or the name
// of a dataset of a ZFS pool ("tank/home", "tank/home@monday"; "tank/" is that of
// the pool itself), whose files are alone then.
func (img *Image) Choose(selector string) (Files, error) {
	for _, fs := range img.FileSystems {
		if fs.Pool != nil && strings.HasPrefix(selector, fs.Label) && strings.ContainsAny(selector, "/@") {
			for _, d := range fs.Pool.Datasets {
				if d.Name == strings.TrimSuffix(selector, "/") {
					return img.files(fs.Partition, d.Name)
				}
			}
		}
	}
	number, err := img.Select(selector)
	if err != nil {
		return nil, err
	}
	return img.Files(number)
}

// files returns the files of a file system, or of one dataset of it.
func (img *Image) files(number int, dataset string) (Files, error) {
	fs := img.FileSystem(number)
	if fs == nil {
		return nil, fmt.Errorf("%s holds no file system that is known here", where(number))
	}
	r := io.NewSectionReader(img.r, 0, img.DiskSize)
	if p := img.partition(number); p != nil {
		r = img.Content(*p)
	}
	var (
		files Files
		err   error
	)
	switch {
	case strings.HasPrefix(fs.Type, "ext"):
		files, err = ext4.Open(r, r.Size())
	case strings.HasPrefix(fs.Type, "fat"):
		var v *fat.Volume
		v, err = fat.Open(r, r.Size())
		files = fatFiles{v}
	case fs.Type == typeZFS:
		files, err = zfsFiles(r, dataset)
	default:
		return nil, fmt.Errorf("%s holds %s; what can be read is ext2, ext3, ext4, FAT and ZFS", where(number), fs.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where(number), err)
	}
	return files, nil
}

func where(number int) string {
	if number == 0 {
		return "the disk"
	}
	return fmt.Sprintf("partition %d", number)
}

// Select returns the number of the partition that a user means: by its number,
// by the label of its file system, by its name in a GPT, or as "esp". The empty
// selector means the root file system: see [Image.Root].
func (img *Image) Select(selector string) (int, error) {
	if selector == "" {
		return img.Root()
	}
	if n, err := strconv.Atoi(selector); err == nil {
		if n != 0 && img.partition(n) == nil {
			return 0, fmt.Errorf("there is no partition %d, but %s", n, img.choices())
		}
		return n, nil
	}
	for _, match := range []func(p partition.Partition) bool{
		func(p partition.Partition) bool {
			return selector == "esp" && (p.TypeGUID == partition.TypeESP || p.TypeCode == partition.CodeESP)
		},
		func(p partition.Partition) bool {
			fs := img.FileSystem(p.Number)
			return fs != nil && fs.Label == selector
		},
		func(p partition.Partition) bool { return p.Name == selector },
	} {
		switch matches := img.matching(match); len(matches) {
		case 0:
		case 1:
			return matches[0], nil
		default:
			return 0, fmt.Errorf("%q means each of the partitions %v: take a number", selector, matches)
		}
	}
	if fs := img.FileSystem(0); fs != nil && fs.Label == selector {
		return 0, nil
	}
	return 0, fmt.Errorf("no partition is %q; there is %s", selector, img.choices())
}

// Root returns the number of the partition with the root file system: the
// largest ext2, ext3, ext4 or ZFS pool, or where there is none the largest FAT.
func (img *Image) Root() (int, error) {
	best := -1
	for i, fs := range img.FileSystems {
		if fs.Detailed && (best < 0 || rank(fs) > rank(img.FileSystems[best]) ||
			rank(fs) == rank(img.FileSystems[best]) && fs.Size > img.FileSystems[best].Size) {
			best = i
		}
	}
	if best < 0 {
		return 0, errors.New("it has no ext2, ext3, ext4, FAT or ZFS file system, and no other can be read")
	}
	return img.FileSystems[best].Partition, nil
}

func rank(fs FileSystem) int {
	if strings.HasPrefix(fs.Type, "fat") {
		return 0
	}
	return 1
}

func (img *Image) matching(match func(partition.Partition) bool) (numbers []int) {
	for _, p := range img.Table.Partitions {
		if match(p) {
			numbers = append(numbers, p.Number)
		}
	}
	return numbers
}

// choices names what can be selected.
func (img *Image) choices() string {
	var list []string
	for _, fs := range img.FileSystems {
		name := fmt.Sprintf("%d (%s", fs.Partition, fs.Type)
		if fs.Label != "" {
			name += fmt.Sprintf(", %q", fs.Label)
		}
		list = append(list, name+")")
	}
	if len(list) == 0 {
		return "none with a file system"
	}
	return strings.Join(list, ", ")
}

func (img *Image) partition(number int) *partition.Partition {
	i := slices.IndexFunc(img.Table.Partitions, func(p partition.Partition) bool { return p.Number == number })
	if i < 0 {
		return nil
	}
	return &img.Table.Partitions[i]
}

// fatFiles are those of a FAT, which has no links to follow.
type fatFiles struct{ *fat.Volume }

func (f fatFiles) Lookup(path string, _ bool) (*tree.Inode, error) { return f.LookupInode(path) }
