package du

import (
	"context"
	"fmt"
	"slices"

	"diskwright/content"
	"diskwright/nixstore"
	"diskwright/tree"
)

// Store is a store of Nix in a file system.
type Store struct {
	// Registered says that its database could be read; closures are unknown
	// otherwise.
	Registered bool        `json:"registered"`
	Size       int64       `json:"size"`
	Paths      []StorePath `json:"paths"` // the largest first
}

// StorePath is a store object.
type StorePath struct {
	Path string `json:"path"`
	// Size is that of its files, also of those that other paths have as hard
	// links.
	Size  int64 `json:"size"`
	Files int64 `json:"files"`
	// What the database says: whether the path is valid, the size of its NAR,
	// and of its closure (it and all that it needs) the size and the number of
	// paths. Referrers is how many other paths need it directly.
	Valid        bool  `json:"valid"`
	NarSize      int64 `json:"narSize,omitempty"`
	ClosureSize  int64 `json:"closureSize,omitempty"`
	ClosurePaths int   `json:"closurePaths,omitempty"`
	Referrers    int   `json:"referrers,omitempty"`
}

const (
	databasePath = "/nix/var/nix/db/db.sqlite"
	maxDatabase  = 1 << 30 // bytes; 100,000 paths take about 100 MiB
	// maxClosures is for how many paths closures are computed, which takes time
	// that grows with its square.
	maxClosures = 100_000
)

// addStore looks at the store, if there is one.
func (use *FileSystem) addStore(ctx context.Context, w *walk) error {
	dir := w.root.Lookup(nixstore.StoreDir)
	if dir == nil || !dir.IsDir() {
		return nil
	}
	s := &Store{Paths: []StorePath{}}
	for _, e := range dir.Entries {
		p, err := nixstore.ParsePath(nixstore.StoreDir + "/" + e.Name)
		if err != nil {
			continue // .links, a lock, what builds have left
		}
		path := StorePath{Path: string(p)}
		path.Size, path.Files = w.alone(e.Inode)
		s.Paths = append(s.Paths, path)
	}
	if len(s.Paths) == 0 {
		return nil
	}
	if n := use.Root.find("nix", "store"); n != nil {
		s.Size = n.Size
	}
	closure, err := readDatabase(ctx, w.root)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		use.Problems = append(use.Problems, fmt.Sprintf("%v: the closures of store paths are unknown", err))
	case closure != nil:
		s.Registered = true
		if !s.addClosures(ctx, closure) {
			use.Problems = append(use.Problems, fmt.Sprintf("the store has more than %d paths: their closures were left out", maxClosures))
		}
	}
	slices.SortStableFunc(s.Paths, func(a, b StorePath) int { return compare(b.Size, a.Size) })
	use.Store = s
	return ctx.Err()
}

// alone measures a file and all below it, whatever else its inodes are part of.
func (w *walk) alone(i *tree.Inode) (size, files int64) {
	seen := make(map[*tree.Inode]bool)
	var add func(i *tree.Inode)
	add = func(i *tree.Inode) {
		if _, shared := w.seen[i]; shared {
			if seen[i] {
				return
			}
			seen[i] = true
		}
		size = plus(size, w.size(i))
		files++
		for _, e := range i.Entries {
			add(e.Inode)
		}
	}
	add(i)
	return size, files
}

// find returns what the names lead to, or nil.
func (n *Node) find(names ...string) *Node {
	for _, name := range names {
		at := slices.IndexFunc(n.Children, func(c *Node) bool { return c.Name == name })
		if at < 0 {
			return nil
		}
		n = n.Children[at]
	}
	return n
}

// readDatabase returns what the database of the store in a tree says, or nil if
// there is none.
func readDatabase(ctx context.Context, root *tree.Inode) (nixstore.Closure, error) {
	i := root.Lookup(databasePath)
	if i == nil || !i.IsRegular() || i.Size() == 0 {
		return nil, nil
	}
	if i.Size() > maxDatabase {
		return nil, fmt.Errorf("%q has %d bytes, too many for the database of a store", databasePath, i.Size())
	}
	if log := root.Lookup(databasePath + "-wal"); log != nil && log.Size() > 0 {
		return nil, fmt.Errorf("%q has a write-ahead log, so that the image was in use", databasePath)
	}
	file := make([]byte, i.Size())
	if err := content.ReadFull(i.Content, file, 0); err != nil {
		return nil, fmt.Errorf("%q: %w", databasePath, err)
	}
	return nixstore.ParseDatabase(ctx, file)
}

// addClosures adds what the database says, and reports whether it could.
func (s *Store) addClosures(ctx context.Context, c nixstore.Closure) bool {
	index := make(map[nixstore.Path]int, len(c))
	for n := range c {
		index[c[n].Path] = n
	}
	sizes := make([]int64, len(c))
	referrers := make([]int, len(c))
	references := make([][]int, len(c))
	for n := range c {
		for _, ref := range c[n].References {
			to := index[ref]
			if to != n {
				references[n] = append(references[n], to)
				referrers[to]++
			}
		}
	}
	for k := range s.Paths {
		p := &s.Paths[k]
		if n, ok := index[nixstore.Path(p.Path)]; ok {
			p.Valid, p.NarSize, p.Referrers = true, c[n].NarSize, referrers[n]
			sizes[n] = p.Size
		}
	}
	if len(c) > maxClosures {
		return false
	}
	// Visited holds the last path whose closure a path was met in.
	visited := make([]int, len(c))
	var todo []int
	for k := range s.Paths {
		p := &s.Paths[k]
		n, ok := index[nixstore.Path(p.Path)]
		if !ok || ctx.Err() != nil {
			continue
		}
		todo = append(todo[:0], n)
		visited[n] = k + 1
		for len(todo) > 0 {
			at := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			p.ClosurePaths++
			p.ClosureSize = plus(p.ClosureSize, sizes[at])
			for _, to := range references[at] {
				if visited[to] != k+1 {
					visited[to] = k + 1
					todo = append(todo, to)
				}
			}
		}
	}
	return true
}

// Name returns the name of the path without its hash.
func (p StorePath) Name() string {
	return nixstore.Path(p.Path).Name()
}
