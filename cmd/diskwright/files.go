package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"diskwright/inspect"
	"diskwright/tree"

	"github.com/spf13/cobra"
)

// filesOptions are what the commands share that look at the files of an image.
type filesOptions struct {
	partition string
	json      bool
}

const partitionHelp = `
Paths are in the root file system: the largest ext2, ext3, ext4 or ZFS pool of the
image, of a pool all its file systems joined at their mount points. Of another take
--partition with its number, its label, or "esp"; or the name of a dataset, as in
tank/home or tank/home@monday.
`

// add registers the flags.
func (o *filesOptions) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.partition, "partition", "p", "", "the file system in the partition with this number or `LABEL`, or in the ESP (esp), or this ZFS dataset; 0 is the whole disk")
	cmd.Flags().BoolVar(&o.json, "json", false, "write the result as JSON to standard output, and everything else as JSON lines to standard error")
	cmd.SetUsageFunc(groupedUsage)
}

// openFiles opens the chosen file system of the image at path. The image is to
// be closed.
func (o *filesOptions) openFiles(path string) (*inspect.Image, inspect.Files, error) {
	image, err := inspect.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the image: %w", err)
	}
	files, err := image.Choose(o.partition)
	if err == nil {
		return image, files, nil
	}
	image.Close()
	return nil, nil, fmt.Errorf("%q: %w", path, err)
}

// wholeTree returns the tree of the files at and below the paths, with the
// directories above them, or the whole tree if there are none.
func wholeTree(ctx context.Context, files inspect.Files, paths []string) (*tree.Inode, error) {
	root, err := files.Tree(ctx)
	if err != nil || len(paths) == 0 {
		return root, err
	}
	chosen := *root
	chosen.Entries = nil
	for _, path := range paths {
		if err := choose(&chosen, root, strings.Split(path, "/")); err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
	}
	return &chosen, nil
}

// choose adds what the names lead to from the directory from to the directory
// to, which is a copy of it without some of its entries.
func choose(to, from *tree.Inode, names []string) error {
	for len(names) > 0 && (names[0] == "" || names[0] == ".") {
		names = names[1:]
	}
	if len(names) == 0 {
		to.Entries = from.Entries
		return nil
	}
	next := from.Child(names[0])
	if next == nil {
		return fs.ErrNotExist
	}
	if !next.IsDir() {
		if len(names) > 1 {
			return fmt.Errorf("%q is not a directory: %w", names[0], fs.ErrNotExist)
		}
		to.SetChild(names[0], next)
		return nil
	}
	child := to.Child(names[0])
	if child == nil {
		dir := *next
		dir.Entries = nil
		child = &dir
		to.SetChild(names[0], child)
	}
	return choose(child, next, names[1:])
}

// fileEntry is a file as --json has it: a name in a directory, or a path.
type fileEntry struct {
	Name       string            `json:"name,omitempty"`
	NameBase64 string            `json:"nameBase64,omitempty"` // in place of a name that is not UTF-8
	Path       string            `json:"path,omitempty"`
	PathBase64 string            `json:"pathBase64,omitempty"` // likewise
	Type       string            `json:"type"`
	Mode       string            `json:"mode"` // permissions, octal
	UID        uint32            `json:"uid"`
	GID        uint32            `json:"gid"`
	Size       int64             `json:"size,omitempty"`
	Modified   time.Time         `json:"modified"`
	Target     string            `json:"target,omitempty"`       // of a symbolic link
	TargetB64  string            `json:"targetBase64,omitempty"` // in place of one that is not UTF-8
	Device     string            `json:"device,omitempty"`       // MAJOR:MINOR
	Xattrs     map[string]string `json:"xattrs,omitempty"`       // values in base64
}

func newFileEntry(l listed) (fileEntry, error) {
	i := l.inode
	e := fileEntry{
		Type: i.TypeName(), Mode: fmt.Sprintf("%04o", i.Mode&tree.PermMask), UID: i.UID, GID: i.GID,
		Modified: time.Unix(i.Mtime.Sec, int64(i.Mtime.Nsec)).UTC(),
	}
	if l.isName {
		e.Name, e.NameBase64 = inspect.EncodeName(l.path)
	} else {
		e.Path, e.PathBase64 = inspect.EncodeName(l.path)
	}
	switch i.Type() {
	case tree.TypeRegular:
		e.Size = i.Size()
	case tree.TypeSymlink:
		e.Target, e.TargetB64 = inspect.EncodeName(i.Target())
	case tree.TypeChar, tree.TypeBlock:
		e.Device = fmt.Sprintf("%d:%d", i.Major, i.Minor)
	}
	for _, x := range i.Xattrs {
		if e.Xattrs == nil {
			e.Xattrs = make(map[string]string)
		}
		e.Xattrs[x.Name] = base64.StdEncoding.EncodeToString(x.Value)
	}
	if year := e.Modified.Year(); year < 0 || year > 9999 { // which RFC 3339 has no room for
		return e, fmt.Errorf("%q: modified in the year %d", l.path, year)
	}
	return e, nil
}

// notFound makes a short error of what is not there.
func notFound(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q is not in the image", path)
	}
	return err
}
