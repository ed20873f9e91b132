package boot

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/tree"

	"github.com/google/uuid"
)

// Request is what a loader is installed for.
type Request struct {
	Settings *Settings
	Files    Files   // the root tree, not yet split
	System   *System // nil if there is none: Settings.Entries say what there is
	Disk     *Disk
	Epoch    tree.Time // of files that are made

	// Identify returns the identifiers that the reference leaves random, one for
	// each role. It may be nil, and what asks for one is left out then.
	Identify func(role string) uuid.UUID
}

// Installation is what installing a loader adds to an image.
type Installation struct {
	// Remove are paths that go before anything is added, with all below them,
	// if they are there.
	Remove []string
	// Files are added in this order; directories that they need and that are
	// not among them are made.
	Files []File

	// BootCode is the boot code for sector 0, at most 440 bytes: the rest of
	// the sector belongs to the partition table. Nil is none.
	BootCode []byte
	// Embed are bytes for places of the disk that belong to no file system.
	Embed []Embedded
	// Active is the number of the MBR partition that must be active if none is;
	// 0 is none.
	Active int

	// EFIEntry is the boot entry for the firmware's variables, nil if there is
	// none or if the loader may not touch them.
	EFIEntry *EFIEntry
}

// File is a file of any type at an absolute path of the root tree.
type File struct {
	Path string
	// Inode is the file. A directory takes its place together with what is in
	// it; an empty one leaves a directory that is there as it is.
	Inode *tree.Inode
}

// Embedded is a run of bytes at an offset of the disk, in bytes.
type Embedded struct {
	Offset int64
	Data   []byte
}

// EFIEntry is a boot entry of the firmware: a program on the EFI system
// partition.
type EFIEntry struct {
	Description string // as in "Linux Boot Manager"
	Path        string // as in `\EFI\systemd\systemd-bootx64.efi`
}

// AddText adds a file with that text.
func (in *Installation) AddText(name string, mode uint32, text string, mtime tree.Time) {
	in.AddFile(name, mode, content.Bytes(text), mtime)
}

// AddFile adds a regular file with permissions mode and the content of src.
func (in *Installation) AddFile(name string, mode uint32, src content.Source, mtime tree.Time) {
	file := tree.NewFile(nil, mtime)
	if src != nil && src.Size() > 0 {
		file.Content = src
	}
	file.Mode = tree.TypeRegular | mode
	in.Files = append(in.Files, File{name, file})
}

// AddDir adds an empty directory with permissions mode.
func (in *Installation) AddDir(name string, mode uint32, mtime tree.Time) {
	dir := tree.NewDir(mtime)
	dir.Mode = tree.TypeDir | mode
	in.Files = append(in.Files, File{name, dir})
}

// AddCopy adds a copy of i and, if it is a directory, of all below it. Modes and
// times are kept.
func (in *Installation) AddCopy(name string, i *tree.Inode) {
	in.Files = append(in.Files, File{name, clone(i)})
}

// clone copies a tree. Content is shared; hard links become files of their own.
func clone(i *tree.Inode) *tree.Inode {
	c := *i
	c.Entries = slices.Clone(i.Entries)
	for n, e := range c.Entries {
		c.Entries[n].Inode = clone(e.Inode)
	}
	return &c
}

// Has reports whether a file is added at name.
func (in *Installation) Has(name string) bool {
	return slices.ContainsFunc(in.Files, func(f File) bool { return f.Path == name })
}

// Apply removes and adds the files. fats are the mount points of FATs, where
// names that differ only in case are one name: what is added goes by the name
// that is there. Links on the way are followed, below a FAT's mount point as
// well; there should be none.
func (in *Installation) Apply(root *tree.Inode, fats []string, epoch tree.Time) error {
	var problems []error
	for _, name := range in.Remove {
		name = fold(root, fats, name)
		dir, base := path.Split(name)
		if above, _, err := (Files{root}).Lookup(dir); err == nil && above.IsDir() {
			above.RemoveChild(base)
		}
	}
	for _, f := range in.Files {
		name := fold(root, fats, f.Path)
		if f.Inode.IsDir() && len(f.Inode.Entries) == 0 {
			if old, _, err := (Files{root}).Lookup(name); err == nil && old.IsDir() {
				continue
			}
		}
		if err := tree.PutFile(root, name, f.Inode, epoch); err != nil {
			problems = append(problems, fmt.Errorf("boot loader: %w", err))
		}
	}
	return errors.Join(problems...)
}

// fold replaces the names in a path below the mount point of a FAT by those that
// differ only in case and are there.
func fold(root *tree.Inode, fats []string, name string) string {
	mount := ""
	for _, fat := range fats {
		if _, ok := Below(name, fat); ok && len(fat) > len(mount) {
			mount = fat
		}
	}
	rest, _ := Below(name, mount)
	if mount == "" || rest == "" {
		return name
	}
	folded := mount
	here, _, err := Files{root}.Lookup(mount)
	for part := range strings.SplitSeq(rest[1:], "/") {
		if err == nil && here != nil && here.IsDir() {
			part = sameName(here, part)
			here = here.Child(part)
		}
		folded += "/" + part
	}
	return folded
}

// sameName returns the name in dir that a FAT takes for the same as name, or
// name.
func sameName(dir *tree.Inode, name string) string {
	if dir.Child(name) != nil {
		return name
	}
	for _, e := range dir.Entries {
		if strings.EqualFold(e.Name, name) {
			return e.Name
		}
	}
	return name
}
