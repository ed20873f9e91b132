package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"diskwright/content"
	"diskwright/finding"
	"diskwright/inspect"
	"diskwright/nixstore"
	"diskwright/progress"
	"diskwright/tree"
)

// isPathError reports whether a file of the host cannot be opened.
func isPathError(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p)
}

const (
	databasePath = "nix/var/nix/db/db.sqlite"
	profilesPath = "nix/var/nix/profiles"
	storePath    = "nix/store"
)

// system verifies the system in the root file system, if there is one, and boot
// entries wherever they are.
func (r *run) system() error {
	trees := make(map[int]*tree.Inode)
	for _, f := range r.img.FileSystems {
		if !f.Detailed {
			continue
		}
		files, err := r.img.Files(f.Partition)
		if err != nil {
			r.skip("files of "+place(f), err.Error())
			continue
		}
		root, err := files.Tree(r.ctx)
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		if err != nil {
			if !r.damaged(f) {
				if err := r.area("files of "+place(f), func(list *finding.List) error {
					list.Add("unreadable", "", "%v", err)
					return nil
				}); err != nil {
					return err
				}
			}
			r.skip("files of "+place(f), err.Error())
			continue
		}
		trees[f.Partition] = root
	}
	if number, err := r.img.Root(); err == nil && trees[number] != nil {
		root := trees[number]
		if err := r.store(root); err != nil {
			return err
		}
		if profiles := root.Lookup(profilesPath); profiles != nil && profiles.IsDir() {
			if err := r.area("profiles", func(list *finding.List) error {
				checkProfiles(list, root, "/"+profilesPath, profiles)
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return r.bootEntries(trees)
}

// store verifies the database of a Nix store, and the store by it.
func (r *run) store(root *tree.Inode) error {
	database, store := root.Lookup(databasePath), root.Lookup(storePath)
	if database == nil || store == nil || !database.IsRegular() || !store.IsDir() {
		return nil
	}
	return r.area("store", func(list *finding.List) error {
		closure, err := r.database(root, database)
		if err != nil {
			if r.ctx.Err() != nil {
				return r.ctx.Err()
			}
			list.Add("store-database", "/"+databasePath, "%v", err)
			return nil
		}
		for _, e := range store.Entries {
			p, err := nixstore.ParsePath(nixstore.StoreDir + "/" + e.Name)
			if err == nil && closure.Find(p) == nil {
				list.Add("store-path", string(p), "it is in the store, and not registered")
			}
		}
		if r.opts.NoNAR {
			for i := range closure {
				if store.Child(closure[i].Path.Base()) == nil {
					list.Add("store-path", string(closure[i].Path), "it is registered, and not in the store")
				}
			}
			r.skip("NAR hashes", "--no-nar")
			return nil
		}
		return r.hashes(list, closure, store)
	})
}

// hashes compares the hash of each path with what is registered.
func (r *run) hashes(list *finding.List, closure nixstore.Closure, store *tree.Inode) error {
	progress.Phase(r.opts.Progress, "hashing the store", closure.NarSize())
	err := nixstore.Verify(r.ctx, closure, store, nixstore.VerifyOptions{Workers: r.opts.Workers, Progress: r.opts.Progress})
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	problems := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		problems = many.Unwrap()
	}
	for _, problem := range problems {
		if problem != nil {
			list.Add("store-path", "", "%v", problem)
		}
	}
	return nil
}

// maxDatabase bounds the copy of a database.
const maxDatabase = 4 << 30

// database reads the database in an image. SQLite needs a file.
func (r *run) database(root, database *tree.Inode) (nixstore.Closure, error) {
	if database.Size() > maxDatabase {
		return nil, fmt.Errorf("it has %d bytes", database.Size())
	}
	if wal := root.Lookup(databasePath + "-wal"); wal != nil && wal.Size() > 0 {
		return nil, errors.New("its write-ahead log is not empty: it was in use")
	}
	dir, err := os.MkdirTemp("", "diskwright-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "db.sqlite")
	if err := copyTo(r.ctx, file, database); err != nil {
		return nil, err
	}
	return nixstore.WholeDatabase(r.ctx, file)
}

func copyTo(ctx context.Context, file string, i *tree.Inode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	p := make([]byte, 1<<20)
	for off := int64(0); off < i.Size(); off += int64(len(p)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		q := p[:min(int64(len(p)), i.Size()-off)]
		if err := content.ReadFull(i.Content, q, off); err != nil {
			return err
		}
		if _, err := f.Write(q); err != nil {
			return err
		}
	}
	return f.Close()
}

// checkProfiles checks that links below the profiles lead somewhere.
func checkProfiles(list *finding.List, root *tree.Inode, at string, dir *tree.Inode) {
	for _, e := range dir.Entries {
		where := at + "/" + e.Name
		switch {
		case e.Inode.IsDir():
			checkProfiles(list, root, where, e.Inode)
		case e.Inode.IsSymlink():
			if !exists(root, where) {
				list.Add("profile", where, "the link leads to %q, which is not there", e.Inode.Target())
			}
		}
	}
}

// exists reports whether there is something at a path of a tree, links followed
// inside of it.
func exists(root *tree.Inode, name string) bool {
	way := []*tree.Inode{root}
	names := strings.Split(name, "/")
	for links := 0; len(names) > 0; {
		next := names[0]
		names = names[1:]
		here := way[len(way)-1]
		switch next {
		case "", ".":
			continue
		case "..":
			way = way[:max(1, len(way)-1)]
			continue
		}
		if !here.IsDir() {
			return false
		}
		child := here.Child(next)
		if child == nil {
			return false
		}
		if !child.IsSymlink() {
			way = append(way, child)
			continue
		}
		if links++; links > 40 {
			return false
		}
		target := child.Target()
		if strings.HasPrefix(target, "/") {
			way = way[:1]
		}
		names = append(strings.Split(target, "/"), names...)
	}
	return true
}

// maxEntry is larger than any file with boot entries.
const maxEntry = 4 << 20

// bootEntries checks the kernels and initial ramdisks that boot loaders' files
// name.
func (r *run) bootEntries(trees map[int]*tree.Inode) error {
	looked := 0
	var list finding.List
	for _, f := range r.img.FileSystems {
		root := trees[f.Partition]
		if root == nil {
			continue
		}
		for _, base := range []string{"", "boot/", "efi/", "boot/efi/"} {
			looked += r.entriesIn(&list, trees, f, root, base)
		}
	}
	if looked == 0 {
		return nil
	}
	return r.take("boot", &list)
}

// entriesIn checks the files of loaders in a directory of a file system, and
// returns how many there are.
func (r *run) entriesIn(list *finding.List, trees map[int]*tree.Inode, f inspect.FileSystem, root *tree.Inode, base string) (looked int) {
	check := func(name string, keywords string, relative string) {
		i := root.Lookup(base + name)
		if i == nil || !i.IsRegular() || i.Size() > maxEntry || i.Size() == 0 {
			return
		}
		looked++
		text := make([]byte, i.Size())
		where := fmt.Sprintf("%s of %s", "/"+base+name, place(f))
		if err := content.ReadFull(i.Content, text, 0); err != nil {
			list.Add("unreadable", where, "%v", err)
			return
		}
		for _, file := range named(text, keywords, relative) {
			if !anywhere(trees, root, base, file) {
				list.Add("boot-entry", where, "it names %q, which is not there", file)
			}
		}
	}
	if entries := root.Lookup(base + "loader/entries"); entries != nil && entries.IsDir() {
		for _, e := range entries.Entries {
			if strings.HasSuffix(e.Name, ".conf") {
				check("loader/entries/"+e.Name, " linux initrd efi devicetree uki ", "")
			}
		}
	}
	check("grub/grub.cfg", " linux linux16 linuxefi initrd initrd16 initrdefi ", "")
	check("grub2/grub.cfg", " linux linux16 linuxefi initrd initrd16 initrdefi ", "")
	check("extlinux/extlinux.conf", " linux kernel initrd fdt fdtdir ", "/"+base+"extlinux")
	return looked
}

// named returns the files that lines with one of the keywords name. What has a
// variable in it cannot be told.
func named(text []byte, keywords, relative string) (files []string) {
	for line := range bytes.Lines(text) {
		words := strings.Fields(string(line))
		if len(words) < 2 || !strings.Contains(keywords, " "+strings.ToLower(words[0])+" ") {
			continue
		}
		for _, word := range words[1:] {
			word = strings.Trim(word, `"'`)
			if strings.HasPrefix(word, "(") { // a disk of GRUB's
				_, word, _ = strings.Cut(word, ")")
			}
			if relative != "" && !strings.HasPrefix(word, "/") {
				word = path.Join(relative, word)
			}
			if !strings.HasPrefix(word, "/") || strings.ContainsAny(word, "$*?\\") {
				break
			}
			files = append(files, word)
			if !strings.HasPrefix(strings.ToLower(words[0]), "initrd") {
				break // what follows are the kernel's parameters
			}
		}
	}
	return files
}

// anywhere reports whether a file is in the file system that names it, or where
// another is mounted at /boot, or in another of the image.
func anywhere(trees map[int]*tree.Inode, root *tree.Inode, base, file string) bool {
	if exists(root, file) || exists(root, base+file) {
		return true
	}
	for _, other := range trees {
		if exists(other, file) || exists(other, strings.TrimPrefix(file, "/boot")) {
			return true
		}
	}
	return false
}
