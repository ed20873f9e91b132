package tree

import (
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"diskwright/content"
)

// FS returns a tree as a file system of package io/fs, for programs that take
// one. It is less than the tree: names that are not UTF-8 are left out, since
// [fs.ValidPath] refuses them; owners, attributes and which names are hard links
// are behind [fs.FileInfo.Sys], which returns the *Inode. Links are not followed:
// io/fs has no notion of them but [fs.ReadLinkFS].
func FS(root *Inode) fs.ReadLinkFS { return treeFS{root} }

type treeFS struct{ root *Inode }

// find returns the inode at a path.
func (f treeFS) find(op, name string) (*Inode, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	i := f.root.Lookup(name)
	if i == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return i, nil
}

// Open implements [fs.FS].
func (f treeFS) Open(name string) (fs.File, error) {
	i, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	info := fileInfo{path.Base(name), i}
	if i.IsDir() {
		return &openDirectory{fileInfo: info, path: name, rest: dirEntries(i)}, nil
	}
	src := i.Content
	if src == nil || !i.IsRegular() {
		src = content.Bytes(nil)
	}
	return &openFile{fileInfo: info, path: name, SectionReader: io.NewSectionReader(src, 0, src.Size())}, nil
}

// Stat implements [fs.StatFS].
func (f treeFS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name) }

// Lstat implements [fs.ReadLinkFS].
func (f treeFS) Lstat(name string) (fs.FileInfo, error) { return f.stat("lstat", name) }

func (f treeFS) stat(op, name string) (fs.FileInfo, error) {
	i, err := f.find(op, name)
	if err != nil {
		return nil, err
	}
	return fileInfo{path.Base(name), i}, nil
}

// ReadLink implements [fs.ReadLinkFS].
func (f treeFS) ReadLink(name string) (string, error) {
	i, err := f.find("readlink", name)
	if err != nil {
		return "", err
	}
	if !i.IsSymlink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return i.Target(), nil
}

// ReadDir implements [fs.ReadDirFS].
func (f treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	i, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !i.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	return dirEntries(i), nil
}

func dirEntries(dir *Inode) []fs.DirEntry {
	list := make([]fs.DirEntry, 0, len(dir.Entries))
	for _, e := range dir.Entries {
		if utf8.ValidString(e.Name) && !strings.Contains(e.Name, "/") {
			list = append(list, fs.FileInfoToDirEntry(fileInfo{e.Name, e.Inode}))
		}
	}
	return list
}

// fileInfo is what there is to know of a file.
type fileInfo struct {
	name  string
	inode *Inode
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.inode.Size() }
func (i fileInfo) IsDir() bool        { return i.inode.IsDir() }
func (i fileInfo) Sys() any           { return i.inode }
func (i fileInfo) ModTime() time.Time { return time.Unix(i.inode.Mtime.Sec, int64(i.inode.Mtime.Nsec)) }

func (i fileInfo) Mode() fs.FileMode {
	return fileMode(i.inode.Mode&PermMask) | map[uint32]fs.FileMode{
		TypeDir: fs.ModeDir, TypeSymlink: fs.ModeSymlink, TypeBlock: fs.ModeDevice,
		TypeChar: fs.ModeDevice | fs.ModeCharDevice, TypeFIFO: fs.ModeNamedPipe, TypeSocket: fs.ModeSocket,
	}[i.inode.Type()]
}

// openFile is an open file. It can seek, and read at offsets.
type openFile struct {
	fileInfo
	path string
	*io.SectionReader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.fileInfo, nil }
func (f *openFile) Close() error               { return nil }

// Size is that of the file, which both of its parts know.
func (f *openFile) Size() int64 { return f.SectionReader.Size() }

// Read implements [io.Reader].
func (f *openFile) Read(p []byte) (int, error) {
	n, err := f.SectionReader.Read(p)
	if err != nil && err != io.EOF {
		err = &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
	return n, err
}

// openDirectory is an open directory.
type openDirectory struct {
	fileInfo
	path string
	rest []fs.DirEntry
}

func (d *openDirectory) Stat() (fs.FileInfo, error) { return d.fileInfo, nil }
func (d *openDirectory) Close() error               { return nil }

// Read implements [fs.File]: a directory cannot be read so.
func (d *openDirectory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: fs.ErrInvalid}
}

// ReadDir implements [fs.ReadDirFile].
func (d *openDirectory) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	list := d.rest[:min(n, len(d.rest))]
	d.rest = d.rest[len(list):]
	return list, nil
}
