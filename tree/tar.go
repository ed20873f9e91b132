package tree

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unique"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/tree/tarfile"
)

// TarOptions says how [FromTar] reads an archive.
type TarOptions struct {
	// RootOwned gives everything to 0:0. By default the numeric owners of
	// the archive are kept: that is what archives are for.
	RootOwned bool

	// Xattrs are names, or patterns with '*', of the extended attributes to
	// take; nil is all that the archive has, an empty list is none.
	Xattrs []string

	// Epoch is the modification time of directories that the archive does
	// not have, but has files in.
	Epoch Time

	// SpoolDir is where an archive that cannot be read in place is written
	// to; empty is the system's directory for temporary files.
	SpoolDir string

	// Progress, if not nil, is told how many bytes have been spooled.
	Progress func(spooled int64)
}

// FromTar returns the tree in the archive at path: v7, ustar, pax, star or
// GNU, with sparse files, extended attributes and ACLs.
//
// The content of files is that part of the archive. A plain file is read in
// place, and must not change until the image is written. One that cannot
// seek, or is compressed with gzip or zstd, is written to a [Spool] first,
// uncompressed; the caller closes it when the tree is no longer needed. It is
// nil if there is none.
//
// Leading slashes and "./" mean nothing; ".." in a name is an error. A later
// member replaces an earlier one of the same name; a directory only has its
// metadata replaced. A hard link leads to what its target is at that point of
// the archive. A member "./" has the metadata of the root. Directories that
// the archive lacks are made: 0755, owned by root.
func FromTar(ctx context.Context, path string, opts TarOptions) (*Inode, *Spool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, atPath(path, err)
	}
	defer f.Close()
	if inPlace(f) {
		root, err := tarInPlace(ctx, path, opts)
		return root, nil, err
	}
	return FromTarStream(ctx, f, path, opts)
}

// FromTarStream is [FromTar] for an archive that is read from r to its end,
// and spooled. name is what errors call it.
func FromTarStream(ctx context.Context, r io.Reader, name string, opts TarOptions) (*Inode, *Spool, error) {
	plain, free, err := decompressed(r)
	if err != nil {
		return nil, nil, atPath(name, err)
	}
	defer free()
	spool, err := newSpool(ctx, plain, opts.SpoolDir, opts.Progress)
	if err != nil {
		return nil, nil, atPath(name, err)
	}
	root, err := readTar(ctx, spool, spool, opts)
	if err != nil {
		spool.Close()
		return nil, nil, atPath(name, err)
	}
	return root, spool, nil
}

// inPlace reports whether a file is one that need not be spooled.
func inPlace(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	magic := make([]byte, magicSize)
	n, err := f.ReadAt(magic, 0)
	return (err == nil || err == io.EOF) && !isCompressed(magic[:n])
}

// tarInPlace reads an archive that stays where it is.
func tarInPlace(ctx context.Context, path string, opts TarOptions) (*Inode, error) {
	archive, err := content.StatHostFile(path)
	if err != nil {
		return nil, atPath(path, err)
	}
	b, err := archive.Borrow()
	if err != nil {
		return nil, err
	}
	root, err := readTar(ctx, b.File, archive, opts)
	if changed := b.Return(); changed != nil {
		return nil, changed
	}
	if err != nil {
		return nil, atPath(path, err)
	}
	return root, nil
}

// readTar reads the headers of an archive from r. Its bytes are src's.
func readTar(ctx context.Context, r io.ReaderAt, src content.Source, opts TarOptions) (*Inode, error) {
	t := tarTree{
		src:    src,
		opts:   opts,
		xattrs: opts.Xattrs,
		root:   NewDir(opts.Epoch),
		index:  make(map[*Inode]*nameIndex),
	}
	if t.xattrs == nil {
		t.xattrs = xattrFilter{"*"}
	}
	members := tarfile.NewReader(r, src.Size())
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		h, err := members.Next()
		if err == io.EOF {
			t.finish()
			return t.root, nil
		}
		if err != nil {
			return nil, err
		}
		if err := t.add(h); err != nil {
			return nil, &tarfile.Error{Offset: h.Offset, Name: h.Name, Err: err}
		}
	}
}

// tarTree is a tree while its archive is read. Its directories are in the
// order of the archive until finish sorts them.
type tarTree struct {
	src    content.Source
	opts   TarOptions
	xattrs xattrFilter
	root   *Inode

	// index finds the entries of large directories.
	index map[*Inode]*nameIndex

	// The last directory that something was put into: mostly the next one.
	lastPath string
	lastDir  *Inode

	spare []Inode         // inodes are made in slabs,
	text  strings.Builder // and so are names
}

// indexed is how many entries a directory has before it gets an index.
const indexed = 32

// child returns the number of the entry called name, or -1.
func (t *tarTree) child(dir *Inode, name string) int {
	if len(dir.Entries) < indexed {
		return slices.IndexFunc(dir.Entries, func(e Entry) bool { return e.Name == name })
	}
	index := t.index[dir]
	if index == nil {
		index = &nameIndex{}
		for n := range dir.Entries {
			index.add(dir.Entries, n)
		}
		t.index[dir] = index
	}
	return index.find(dir.Entries, name)
}

// set makes name lead to i, whatever it led to.
func (t *tarTree) set(dir *Inode, name string, i *Inode) {
	if n := t.child(dir, name); n >= 0 {
		dir.Entries[n].Inode = i
		return
	}
	dir.Entries = append(dir.Entries, Entry{t.keep(name), i})
	if index := t.index[dir]; index != nil {
		index.add(dir.Entries, len(dir.Entries)-1)
	}
}

// keep returns a copy of a name that does not hold on to the path it is from.
func (t *tarTree) keep(name string) string {
	if t.text.Cap()-t.text.Len() < len(name) {
		t.text = strings.Builder{}
		t.text.Grow(16 << 10)
	}
	start := t.text.Len()
	t.text.WriteString(name)
	return t.text.String()[start:]
}

// inode returns a new inode.
func (t *tarTree) inode() *Inode {
	if len(t.spare) == 0 {
		t.spare = make([]Inode, 64)
	}
	i := &t.spare[0]
	t.spare = t.spare[1:]
	return i
}

// add puts a member in place.
func (t *tarTree) add(h *tarfile.Header) error {
	dirPath, name, err := splitMember(h.Name)
	if err != nil {
		return err
	}
	if name == "" {
		if h.Type != tarfile.TypeDir {
			return fmt.Errorf("this is the root, and not a directory")
		}
		return t.describe(t.root, h)
	}
	dir, err := t.dir(dirPath)
	if err != nil {
		return err
	}
	switch h.Type {
	case tarfile.TypeLink:
		target, err := t.target(h.Linkname)
		if err != nil {
			return err
		}
		t.set(dir, name, target)
		return nil
	case tarfile.TypeDir:
		if n := t.child(dir, name); n >= 0 && dir.Entries[n].Inode.IsDir() {
			return t.describe(dir.Entries[n].Inode, h)
		}
	}
	i := t.inode()
	if err := t.describe(i, h); err != nil {
		return err
	}
	t.lastDir = nil // should it be what is replaced, or in it
	t.set(dir, name, i)
	t.lastPath, t.lastDir = dirPath, dir
	return nil
}

// splitMember returns the directory and the name in it of a member, both empty
// for the root. The directory has neither leading nor trailing slashes.
func splitMember(path string) (dir, name string, err error) {
	clean := path
	// Most paths are clean. Others get so here.
	if strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.Contains(path, "//") ||
		strings.HasPrefix(path, ".") || strings.Contains(path, "/.") {
		var names []string
		for name := range strings.SplitSeq(path, "/") {
			switch name {
			case "", ".":
			case "..":
				return "", "", fmt.Errorf("%q has a \"..\": want paths from the root of the archive", path)
			default:
				names = append(names, name)
			}
		}
		clean = strings.Join(names, "/")
	}
	cut := strings.LastIndexByte(clean, '/')
	dir, name = clean[:max(cut, 0)], clean[cut+1:]
	if len(name) > NameMax {
		return "", "", fmt.Errorf("a name of %d bytes: at most %d are possible", len(name), NameMax)
	}
	return dir, name, nil
}

// dir returns the directory at a clean path, made if the archive has not had
// it.
func (t *tarTree) dir(path string) (*Inode, error) {
	if t.lastDir != nil && t.lastPath == path {
		return t.lastDir, nil
	}
	dir := t.root
	if path == "" {
		return dir, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		n := t.child(dir, name)
		if n < 0 {
			if len(name) > NameMax {
				return nil, fmt.Errorf("a name of %d bytes: at most %d are possible", len(name), NameMax)
			}
			i := t.inode()
			*i = *NewDir(t.opts.Epoch)
			t.set(dir, name, i)
			dir = i
			continue
		}
		if dir = dir.Entries[n].Inode; !dir.IsDir() {
			return nil, fmt.Errorf("this is inside of %q, which is not a directory in the archive", name)
		}
	}
	return dir, nil
}

// target returns what a hard link leads to.
func (t *tarTree) target(path string) (*Inode, error) {
	dirPath, name, err := splitMember(path)
	if err != nil {
		return nil, fmt.Errorf("hard link: %w", err)
	}
	i := t.root
	for part := range strings.SplitSeq(dirPath+"/"+name, "/") {
		if part == "" {
			continue
		}
		n := -1
		if i.IsDir() {
			n = t.child(i, part)
		}
		if n < 0 {
			return nil, fmt.Errorf("a hard link to %q, which the archive does not have before it", path)
		}
		i = i.Entries[n].Inode
	}
	if i.IsDir() {
		return nil, fmt.Errorf("a hard link to %q, which is a directory", path)
	}
	return i, nil
}

// tarTypes translates types.
var tarTypes = map[byte]uint32{
	tarfile.TypeRegular: TypeRegular, tarfile.TypeSymlink: TypeSymlink, tarfile.TypeChar: TypeChar,
	tarfile.TypeBlock: TypeBlock, tarfile.TypeDir: TypeDir, tarfile.TypeFIFO: TypeFIFO,
}

// describe sets all that the archive says of a member.
func (t *tarTree) describe(i *Inode, h *tarfile.Header) (err error) {
	i.Mode = tarTypes[h.Type] | h.Mode
	if !t.opts.RootOwned {
		i.UID, i.GID = h.UID, h.GID
	}
	i.Major, i.Minor = h.Major, h.Minor
	i.Mtime = Time{h.Mtime.Sec, h.Mtime.Nsec}
	switch i.Type() {
	case TypeRegular:
		i.Content, err = t.content(h)
	case TypeSymlink:
		i.Mode = TypeSymlink | 0o777 // what Linux has, whatever the archive says
		if h.Linkname == "" {
			return fmt.Errorf("a symbolic link without a target")
		}
		i.Content = content.Bytes(h.Linkname)
	}
	if err != nil {
		return err
	}
	i.Xattrs, err = t.attributes(i, h)
	return err
}

// content returns the content of a file.
func (t *tarTree) content(h *tarfile.Header) (content.Source, error) {
	if h.Size == 0 {
		return nil, nil
	}
	if len(h.Data) == 1 && h.Data[0].Length == h.Size {
		return content.Section(t.src, h.Data[0].Position, h.Size), nil
	}
	var b diskmap.Builder
	b.Reserve(len(h.Data))
	for _, d := range h.Data {
		b.Place(d.Offset, content.Section(t.src, d.Position, d.Length))
	}
	return b.Map(h.Size)
}

// attributes returns the extended attributes, ACLs in the kernel's form. An
// access list sets permissions, too.
func (t *tarTree) attributes(i *Inode, h *tarfile.Header) ([]Xattr, error) {
	if len(h.Xattrs) == 0 && h.ACLAccess == "" && h.ACLDefault == "" {
		return nil, nil
	}
	var attrs []Xattr
	for _, x := range h.Xattrs {
		if t.xattrs.match([]byte(x.Name)) {
			attrs = append(attrs, Xattr{unique.Make(x.Name).Value(), x.Value})
		}
	}
	for _, acl := range []struct{ name, text string }{{xattrACLAccess, h.ACLAccess}, {xattrACLDefault, h.ACLDefault}} {
		at := slices.IndexFunc(attrs, func(x Xattr) bool { return x.Name == acl.name })
		var list []aclEntry
		var err error
		switch {
		case at >= 0: // GNU tar writes both; this one has numbers
			list, err = decodeACL(attrs[at].Value)
			attrs = slices.Delete(attrs, at, at+1)
		case acl.text != "" && t.xattrs.match([]byte(acl.name)):
			list, err = parseACL(acl.text)
		}
		if err != nil {
			return nil, err
		}
		if list == nil || i.IsSymlink() {
			continue
		}
		if acl.name == xattrACLAccess {
			i.Mode = i.Mode&^0o777 | modeOfACL(list)
			if isModeACL(list) {
				continue
			}
		}
		attrs = append(attrs, Xattr{acl.name, encodeACL(list)})
	}
	slices.SortFunc(attrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return attrs, nil
}

// finish sorts the directories, and gives each no more memory than it needs.
func (t *tarTree) finish() {
	t.index = nil
	eachDir(t.root, func(dir *Inode) {
		entries := make([]Entry, len(dir.Entries))
		copy(entries, dir.Entries)
		slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
		dir.Entries = entries
	})
}
