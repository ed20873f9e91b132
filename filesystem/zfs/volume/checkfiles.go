package volume

import (
	"fmt"
	"slices"
	"strconv"

	"diskwright/filesystem/zfs/ondisk"
	"diskwright/tree"
)

// Kinds of findings in file systems.
const (
	findDirectory  = "directory"
	findLinks      = "link-count"
	findUnattached = "unattached"
)

// files checks the names in all file systems: that they lead to files of the type
// that they say, and that each file has as many names as links. Snapshots are not
// looked at: each was a file system, and what was wrong with it is most often still.
func (c *checker) files() error {
	for _, d := range c.datasets {
		if d.Kind != KindFileSystem || d.Pointer.IsHole() {
			continue
		}
		fs, err := d.FileSystem()
		if err != nil {
			c.list.Add(findUnreadable, d.Name, "%v", err)
			continue
		}
		f := &filesCheck{checker: c, fs: fs, name: d.Name, known: make(map[uint64]*fileState)}
		if err := f.check(); err != nil {
			return err
		}
	}
	return nil
}

// filesCheck is the check of a file system.
type filesCheck struct {
	*checker
	fs    *FileSystem
	name  string
	known map[uint64]*fileState // by object
}

// fileState is what is known of a file.
type fileState struct {
	mode, links, names, subdirectories uint32
	parent                             uint64
	hidden                             bool // it holds attributes, or was removed while it was open
}

func (f *filesCheck) bad(kind string, number uint64, format string, args ...any) {
	f.list.Add(kind, f.name+", "+objectName(number), format, args...)
}

func (f *filesCheck) check() error {
	var directories []uint64
	err := f.eachObject(f.fs.set, func(number uint64, d *ondisk.DNode) error {
		if d.BonusType != ondisk.TypeSA {
			return nil
		}
		n, err := f.fs.Node(number)
		if err != nil {
			f.bad(findObject, number, "%v", err)
			return nil
		}
		f.known[number] = &fileState{
			mode: uint32(n.Mode), links: uint32(min(n.Links, 1<<32-1)), parent: n.Parent, hidden: n.Flags&flagXattr != 0,
		}
		if n.IsDir() {
			directories = append(directories, number)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, number := range directories {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		f.directory(number)
	}
	f.removed()
	return f.links()
}

// flagXattr is that of directories and files that hold attributes (ZFS_XATTR).
const flagXattr = 0x1

// directory checks the names in a directory.
func (f *filesCheck) directory(number uint64) {
	n, err := f.fs.Node(number)
	if err != nil {
		return // which was found before
	}
	entries, err := f.fs.entries(n)
	if err != nil {
		f.bad(findDirectory, number, "%v", err)
		return
	}
	for _, e := range entries {
		child := f.known[e.Object]
		switch {
		case child == nil:
			f.bad(findDirectory, number, "%q leads to object %d, which is no file", e.Name, e.Object)
			continue
		case child.mode&tree.TypeMask != e.Type && e.Type != 0:
			f.bad(findDirectory, number, "%q is said to have type %#o, and has mode %#o", e.Name, e.Type, child.mode)
		case child.mode&tree.TypeMask == tree.TypeDir && child.parent != number:
			f.bad(findDirectory, number, "%q says that directory %d has it", e.Name, child.parent)
		}
		child.names++
		if child.mode&tree.TypeMask == tree.TypeDir {
			f.known[number].subdirectories++
		}
	}
	if n.Size != uint64(len(entries))+2 {
		f.bad(findDirectory, number, "it says to have %d names, and has %d", n.Size, len(entries)+2)
	}
}

// removed notes the files that have no names, because they were open when they lost
// them.
func (f *filesCheck) removed() {
	number, ok, err := f.fs.set.zapNumber(masterNode, "DELETE_QUEUE")
	if err != nil || !ok {
		return
	}
	entries, err := f.fs.set.zapEntries(number)
	if err != nil {
		f.bad(findObject, number, "%v", err)
		return
	}
	for _, e := range entries {
		if object, err := strconv.ParseUint(e.Name, 16, 64); err == nil && f.known[object] != nil {
			f.known[object].hidden = true
		}
	}
}

// links compares names with links.
func (f *filesCheck) links() error {
	var numbers []uint64
	for number := range f.known {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		s := f.known[number]
		want := s.names
		if s.mode&tree.TypeMask == tree.TypeDir {
			want = 2 + s.subdirectories
		}
		switch {
		case s.hidden:
		case s.names == 0 && number != f.fs.root:
			f.bad(findUnattached, number, "no name leads to it")
		case s.names > 1 && s.mode&tree.TypeMask == tree.TypeDir:
			f.bad(findDirectory, number, "a directory with %d names", s.names)
		case s.links != want:
			f.bad(findLinks, number, "it has %s, but says %d", linksText(s, want), s.links)
		}
	}
	return f.ctx.Err()
}

func linksText(s *fileState, links uint32) string {
	if s.mode&tree.TypeMask == tree.TypeDir {
		return fmt.Sprintf("%d directories and so %d links", s.subdirectories, links)
	}
	return fmt.Sprintf("%d names", links)
}
