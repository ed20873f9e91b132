package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"diskwright/inspect"
	"diskwright/tree"

	"github.com/spf13/cobra"
)

type lsOptions struct {
	filesOptions
	long, recursive bool
}

func newLsCommand(a *app) *cobra.Command {
	var opts lsOptions
	cmd := &cobra.Command{
		Use:   "ls IMAGE [PATH...] [flags]",
		Short: "List files of a disk image",
		Long: `List the files at the paths in the image, or all that is at its root: of
directories what is in them, everything else itself. Names that would not stay in
their line are quoted.
` + partitionHelp + exitStatusHelp,
		Example: `  diskwright ls -l out/nixos.img /etc
  diskwright ls -R -p esp out/nixos.img
  diskwright ls --json out/nixos.img /nix/store`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runLs(cmd.Context(), opts, args[0], args[1:])
		},
	}
	opts.add(cmd)
	cmd.Flags().BoolVarP(&opts.long, "long", "l", false, "show type, mode, owner, size, time and the targets of links")
	cmd.Flags().BoolVarP(&opts.recursive, "recursive", "R", false, "list what is below directories, too, by whole paths")
	return cmd
}

func (a *app) runLs(ctx context.Context, opts lsOptions, image string, paths []string) error {
	a.begin(workOptions{json: opts.json})
	img, files, err := opts.openFiles(image)
	if err != nil {
		return err
	}
	defer img.Close()
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	list := []listed{}
	for _, path := range paths {
		found, err := opts.list(ctx, files, path)
		if err != nil {
			return notFound(path, err)
		}
		list = append(list, found...)
	}
	entries := []fileEntry{}
	if opts.json {
		for _, l := range list {
			e, err := newFileEntry(l)
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
	}
	return a.ui.result(lsResult{entries}, func(w io.Writer) error { return printFiles(w, list, opts.long) })
}

// lsResult is what ls --json writes.
type lsResult struct {
	Entries []fileEntry `json:"entries"`
}

// listed is a file and what it is called.
type listed struct {
	path   string
	isName bool // in the directory that was asked for
	inode  *tree.Inode
}

// list returns what there is to show of a path.
func (o *lsOptions) list(ctx context.Context, files inspect.Files, path string) (list []listed, err error) {
	if o.recursive {
		root, err := wholeTree(ctx, files, []string{path})
		if err != nil {
			return nil, err
		}
		return below(root, path), nil
	}
	i, err := files.Lookup(path, strings.HasSuffix(path, "/"))
	if err != nil {
		return nil, err
	}
	if !i.IsDir() {
		return []listed{{path, false, i}}, nil
	}
	for _, e := range i.Entries {
		list = append(list, listed{e.Name, true, e.Inode})
	}
	return list, nil
}

// below returns everything below a path, and itself if it is no directory, by
// whole paths.
func below(root *tree.Inode, path string) (list []listed) {
	var walk func(path string, i *tree.Inode)
	walk = func(path string, i *tree.Inode) {
		for _, e := range i.Entries {
			list = append(list, listed{path + "/" + e.Name, false, e.Inode})
			walk(path+"/"+e.Name, e.Inode)
		}
	}
	clean := ""
	at := root
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		clean += "/" + name
		at = at.Child(name)
	}
	if !at.IsDir() {
		return []listed{{clean, false, at}}
	}
	walk(clean, at)
	return list
}

func printFiles(w io.Writer, list []listed, long bool) error {
	t := newTable(w)
	for _, l := range list {
		if !long {
			t.line("%s", show(l.path))
			continue
		}
		i := l.inode
		size := fmt.Sprint(i.Size())
		switch i.Type() {
		case tree.TypeDir:
			size = "-"
		case tree.TypeChar, tree.TypeBlock:
			size = fmt.Sprintf("%d,%d", i.Major, i.Minor)
		}
		name := show(l.path)
		if i.IsSymlink() {
			name += " -> " + show(i.Target())
		}
		t.line("%s\t%d\t%d\t%s\t%s\t%s", modeString(i), i.UID, i.GID, size,
			time.Unix(i.Mtime.Sec, 0).UTC().Format("2006-01-02 15:04:05"), name)
	}
	return t.flush()
}

// modeString shows type and permissions as ls -l does; a plus says that there
// are extended attributes.
func modeString(i *tree.Inode) string {
	s := []byte("?rwxrwxrwx")
	s[0] = map[uint32]byte{
		tree.TypeRegular: '-', tree.TypeDir: 'd', tree.TypeSymlink: 'l', tree.TypeChar: 'c', tree.TypeBlock: 'b',
		tree.TypeFIFO: 'p', tree.TypeSocket: 's',
	}[i.Type()]
	for bit := range 9 {
		if i.Mode&(0o400>>bit) == 0 {
			s[1+bit] = '-'
		}
	}
	for _, special := range []struct {
		mode, exec uint32
		at         int
		set, clear byte
	}{{0o4000, 0o100, 3, 's', 'S'}, {0o2000, 0o010, 6, 's', 'S'}, {0o1000, 0o001, 9, 't', 'T'}} {
		if i.Mode&special.mode != 0 {
			s[special.at] = special.clear
			if i.Mode&special.exec != 0 {
				s[special.at] = special.set
			}
		}
	}
	if len(i.Xattrs) > 0 {
		s = append(s, '+')
	}
	return string(s)
}
