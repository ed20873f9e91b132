package nixstore

import (
	"context"

	"diskwright/progress"
	"diskwright/tree"
)

// OptimiseOptions says how [Optimise] works.
type OptimiseOptions struct {
	Workers  int           // 0 is twice the number of CPUs
	Progress progress.Sink // may be nil; counts bytes read, of an unknown total
}

// Saving is what [Optimise] has saved.
type Saving struct {
	Files int64 // that no longer have an inode of their own
	Bytes int64 // of their content
}

// maxNames is how many names an inode may have: the limit of ext4
// (fs/ext4/ext4.h: EXT4_LINK_MAX), the lowest of the file systems that are
// written.
const maxNames = 65000

// Optimise makes hard links of files that are equal in the tree that [Tree]
// returned, as nix-store --optimise does: of regular files with the same
// content, if both are executable or neither is (empty ones are equal, too),
// and of symbolic links with the same target. The first in the order of paths
// keeps its inode; one with 65,000 names has no more, and the next begins
// another.
//
// The directory /nix/store/.links, where Nix finds equal files by their hash,
// is not filled: Nix does that when it optimises next.
func Optimise(ctx context.Context, store *tree.Inode, opts OptimiseOptions) (Saving, error) {
	names := namesOf(store, nil)
	sums, err := hashAlike(ctx, names, opts)
	if err != nil {
		return Saving{}, err
	}
	var saved Saving
	type original struct {
		inode *tree.Inode
		names int
	}
	originals := make(map[likeness]*original)
	for _, e := range names {
		like := likenessOf(e.Inode)
		if like.unread() {
			sum, ok := sums[e.Inode]
			if !ok {
				continue // there is no other like it
			}
			like.sum = sum
		}
		o := originals[like]
		switch {
		case o == nil || o.names == maxNames:
			originals[like] = &original{e.Inode, 1}
		case o.inode == e.Inode:
			o.names++
		default:
			saved.Files++
			saved.Bytes += e.Inode.Size()
			e.Inode = o.inode
			o.names++
		}
	}
	return saved, nil
}

// likeness is what equal files have in common.
type likeness struct {
	mode   uint32
	size   int64
	target string // of a symbolic link
	sum    Hash   // of a file that has been read
}

// likenessOf returns what can be told without reading.
func likenessOf(i *tree.Inode) likeness {
	like := likeness{mode: i.Mode, size: i.Size()}
	if i.IsSymlink() {
		like.target = i.Target()
	}
	return like
}

// unread reports whether files of this likeness may yet differ.
func (l likeness) unread() bool { return l.mode&tree.TypeMask == tree.TypeRegular && l.size > 0 }

// namesOf appends the entries of all that is not a directory, in the order of
// paths.
func namesOf(dir *tree.Inode, names []*tree.Entry) []*tree.Entry {
	for n := range dir.Entries {
		if e := &dir.Entries[n]; e.Inode.IsDir() {
			names = namesOf(e.Inode, names)
		} else {
			names = append(names, e)
		}
	}
	return names
}

// hashAlike reads the files that may be equal to another, and returns their NAR
// hashes.
func hashAlike(ctx context.Context, names []*tree.Entry, opts OptimiseOptions) (map[*tree.Inode]Hash, error) {
	alike := make(map[likeness][]*tree.Inode)
	for _, e := range names {
		if like := likenessOf(e.Inode); like.unread() {
			alike[like] = append(alike[like], e.Inode)
		}
	}
	sums := make(map[*tree.Inode]Hash)
	var files []*tree.Inode // in the order of paths, for the sake of the disk
	for _, e := range names {
		if _, known := sums[e.Inode]; !known && len(alike[likenessOf(e.Inode)]) > 1 {
			sums[e.Inode] = Hash{}
			files = append(files, e.Inode)
		}
	}
	list := make([]Hash, len(files))
	done := progress.Adder(opts.Progress)
	err := parallel(ctx, len(files), opts.Workers, func(i int) (err error) {
		list[i], _, err = hashTree(ctx, files[i], done)
		return err
	})
	for n, i := range files {
		sums[i] = list[n]
	}
	return sums, err
}
