package tree

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"diskwright/content"
	"diskwright/diskmap"
)

// WriteTar writes the files of a tree as a tar archive: what
//
//	tar --create --format=posix --xattrs --acls --numeric-owner --sort=name .
//
// makes of a directory, with names that begin with "./". Hard links are kept.
// Holes are written as zeros. Sockets, which tar cannot hold, are left out; their
// paths are given to skipped. Access lists are in getxattr's form, and as text
// too, since GNU tar restores one and others the other.
func WriteTar(ctx context.Context, w io.Writer, root *Inode, skipped func(path string)) error {
	t := &tarWriter{ctx: ctx, w: tar.NewWriter(w), skipped: skipped, first: make(map[*Inode]string), copy: make([]byte, 1<<20)}
	for _, i := range Number(root) {
		if i.Links > 1 && !i.IsDir() {
			t.first[i] = "" // has several names
		}
	}
	if err := t.write("./", root); err != nil {
		return err
	}
	return t.w.Close()
}

type tarWriter struct {
	ctx     context.Context
	w       *tar.Writer
	skipped func(path string)
	first   map[*Inode]string // the name under which the file was written
	copy    []byte
}

func (t *tarWriter) write(name string, i *Inode) error {
	if err := context.Cause(t.ctx); err != nil {
		return err
	}
	if i.Type() == TypeSocket {
		t.skipped(name)
		return nil
	}
	if err := t.member(name, i); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	for _, e := range i.Entries {
		child := name + e.Name
		if e.Inode.IsDir() {
			child += "/"
		}
		if err := t.write(child, e.Inode); err != nil {
			return err
		}
	}
	return nil
}

func (t *tarWriter) member(name string, i *Inode) error {
	h := &tar.Header{
		Format: tar.FormatPAX, Name: name, Mode: int64(i.Mode & PermMask), Uid: int(i.UID), Gid: int(i.GID),
		ModTime: time.Unix(i.Mtime.Sec, int64(i.Mtime.Nsec)),
	}
	first, several := t.first[i]
	switch {
	case first != "":
		h.Typeflag, h.Linkname = tar.TypeLink, first
		return t.w.WriteHeader(h)
	case several:
		t.first[i] = name
	}
	switch i.Type() {
	case TypeRegular:
		h.Typeflag, h.Size = tar.TypeReg, i.Size()
	case TypeDir:
		h.Typeflag = tar.TypeDir
	case TypeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, i.Target()
	case TypeChar:
		h.Typeflag = tar.TypeChar
	case TypeBlock:
		h.Typeflag = tar.TypeBlock
	case TypeFIFO:
		h.Typeflag = tar.TypeFifo
	}
	h.Devmajor, h.Devminor = int64(i.Major), int64(i.Minor)
	if err := addXattrs(h, i.Xattrs); err != nil {
		return err
	}
	if err := t.w.WriteHeader(h); err != nil {
		return err
	}
	return t.data(i)
}

// addXattrs adds the records of extended attributes and access lists.
func addXattrs(h *tar.Header, xattrs []Xattr) error {
	for _, x := range xattrs {
		if strings.Contains(x.Name, "=") {
			return fmt.Errorf("tar cannot hold the extended attribute %q, with a \"=\" in its name", x.Name)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = make(map[string]string)
		}
		h.PAXRecords["SCHILY.xattr."+x.Name] = string(x.Value)
		if kind, ok := strings.CutPrefix(x.Name, "system.posix_acl_"); ok {
			acl, err := decodeACL(x.Value)
			if err != nil {
				return err
			}
			h.PAXRecords["SCHILY.acl."+kind] = formatACL(acl)
		}
	}
	return nil
}

// data writes the content of a regular file.
func (t *tarWriter) data(i *Inode) error {
	if !i.IsRegular() || i.Content == nil {
		return nil
	}
	at := int64(0)
	zeros := func(to int64) error {
		clear(t.copy)
		for at < to {
			n, err := t.w.Write(t.copy[:min(to-at, int64(len(t.copy)))])
			if at += int64(n); err != nil {
				return err
			}
			if err := context.Cause(t.ctx); err != nil {
				return err
			}
		}
		return nil
	}
	for e := range diskmap.ExtentsOf(i.Content) {
		if err := zeros(e.Offset); err != nil {
			return err
		}
		for off := int64(0); off < e.Length; {
			p := t.copy[:min(e.Length-off, int64(len(t.copy)))]
			if err := content.ReadFull(e, p, off); err != nil {
				return err
			}
			if _, err := t.w.Write(p); err != nil {
				return err
			}
			off += int64(len(p))
			if err := context.Cause(t.ctx); err != nil {
				return err
			}
		}
		at = e.End()
	}
	return zeros(i.Size())
}
