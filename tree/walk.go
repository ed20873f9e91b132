package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"

	"diskwright/content"
)

// DirOptions says what [FromDir] takes over from the host.
type DirOptions struct {
	// KeepOwners keeps the numeric owners of the host. By default
	// everything belongs to 0:0: the files of an image rarely belong to
	// those who build it.
	KeepOwners bool

	// Xattrs are names, or patterns with '*', of the extended attributes to
	// take; nil is [DefaultXattrs], an empty list (or "none", a name that
	// no attribute has) is none. The default leaves labels to the host.
	Xattrs []string

	// Workers is how many directories are walked at the same time; 0 is
	// twice the number of CPUs, since some of them wait for the disk.
	Workers int
}

// FromDir returns the tree below the directory at path. If path is a symbolic
// link to a directory it is followed; links inside are not. Mount points are
// walked into; a directory that contains itself, which mounts can bring
// about, is an error.
//
// The result depends on what is in the directory only, not on the order in
// which the host lists it. Content is not read: it is a [content.HostFile]
// for each file, in a *diskmap.Map if it has holes, and the error of a file
// that changes or cannot be opened comes when it is read. What can be told
// without opening anything (a mode that forbids it) is an error here; so is a
// file that vanishes meanwhile. Several such errors are reported together.
func FromDir(ctx context.Context, path string, opts DirOptions) (*Inode, error) {
	w := newWalk(ctx, opts)
	root := w.dirAt(path)
	if err := w.finish(root); err != nil {
		return nil, err
	}
	return root, nil
}

const (
	// chunk is how many names of a directory one worker looks at: enough
	// to be worth a goroutine, few enough to share a huge directory out.
	chunk = 256

	// maxErrors is how many errors are collected before a walk gives up.
	maxErrors = 10
)

// walk is a walk of one or several directories whose files may be hard links
// of each other.
type walk struct {
	ctx    context.Context
	opts   DirOptions
	xattrs xattrFilter

	idle    chan struct{} // a place for each worker beside the caller
	running sync.WaitGroup
	scratch sync.Pool // of *scratch
	plain   sync.Map  // of the numbers of devices that have no extended attributes

	mu     sync.Mutex
	errs   []error
	failed bool       // too many errors, or the context is done
	links  []identity // of files with several names; see link
}

// identity is what tells files of a running host apart.
type identity struct{ device, inode uint64 }

// found is what lstat tells about a file.
type found struct {
	identity
	mode, uid, gid uint32
	major, minor   uint32
	links          uint64
	size, blocks   int64 // bytes; blocks of 512 bytes, or -1 if unknown
	mtime          Time
	id             content.Identity
}

// hasData reports whether there is something to read.
func (f *found) hasData() bool { return f.mode&TypeMask == TypeRegular && f.size > 0 }

// scratch is the memory that looking at one chunk of names needs.
type scratch struct {
	host  hostScratch
	found []found
}

func newWalk(ctx context.Context, opts DirOptions) *walk {
	xattrs := opts.Xattrs
	if xattrs == nil {
		xattrs = DefaultXattrs()
	}
	workers := opts.Workers
	if workers <= 0 {
		workers = 2 * runtime.GOMAXPROCS(0)
	}
	return &walk{
		ctx:     ctx,
		opts:    opts,
		xattrs:  xattrs,
		idle:    make(chan struct{}, workers-1),
		scratch: sync.Pool{New: func() any { return &scratch{found: make([]found, chunk)} }},
	}
}

// finish waits for the walk to end, reports its errors, and makes one inode
// of the hard links below root.
func (w *walk) finish(root *Inode) error {
	w.running.Wait()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if len(w.errs) > 0 {
		slices.SortFunc(w.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return errors.Join(w.errs...)
	}
	w.joinLinks(root)
	return nil
}

// fork runs f beside the caller if a worker is idle, and in its place if not.
// So no work is ever queued, and memory and open directories stay few.
func (w *walk) fork(group *sync.WaitGroup, f func()) {
	select {
	case w.idle <- struct{}{}:
		group.Go(func() {
			defer func() { <-w.idle }()
			f()
		})
	default:
		f()
	}
}

// report takes note of an error.
func (w *walk) report(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errs) < maxErrors {
		w.errs = append(w.errs, err)
	}
	w.failed = len(w.errs) == maxErrors
}

// stopped reports whether going on is useless.
func (w *walk) stopped() bool {
	if w.ctx.Err() != nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// place is a directory on the way from a root to where the walk is.
type place struct {
	up   *place
	dir  *content.Dir
	path string // of dir
	identity
}

// child returns the path of a name in the directory.
func (p *place) child(name string) string {
	if strings.HasSuffix(p.path, "/") {
		return p.path + name
	}
	return p.path + "/" + name
}

// dirAt starts the walk of the directory at path, links followed. The result
// is complete after finish.
func (w *walk) dirAt(path string) *Inode {
	var f found
	switch err := workingDir.stat(path, &f); {
	case err != nil:
		w.report(atPath(path, err))
		return nil
	case f.mode&TypeMask != TypeDir:
		w.report(fmt.Errorf("%q is not a directory", path))
		return nil
	}
	node := &Inode{}
	w.fill(node, &f)
	s := w.scratch.Get().(*scratch)
	// Those of the directory, not of a link to it.
	w.takeXattrs(node, path+"/.", f.device, s)
	w.scratch.Put(s)
	w.walkDir(&place{dir: content.NewDir(path), path: path, identity: f.identity}, node)
	return node
}

// at starts the walk of whatever is at path, links not followed.
func (w *walk) at(path string) *Inode {
	s := w.scratch.Get().(*scratch)
	defer w.scratch.Put(s)
	f := &s.found[0]
	err := workingDir.lstat(path, f)
	if err != nil {
		w.report(atPath(path, err))
		return nil
	}
	if f.mode&TypeMask == TypeDir {
		return w.dirAt(path)
	}
	node := &Inode{}
	w.fill(node, f)
	w.takeContent(node, workingDir, path, path, f, content.NewHostFile(nil, path, f.id), s)
	w.takeXattrs(node, path, f.device, s)
	return node
}

// walkDir reads the directory here and what is below it into node.
func (w *walk) walkDir(here *place, node *Inode) {
	if w.stopped() {
		return
	}
	for p := here.up; p != nil; p = p.up {
		if p.identity == here.identity && here.identity != (identity{}) {
			w.report(fmt.Errorf("%q is the same directory as %q above it, as a bind mount can make it: it would never end",
				here.path, p.path))
			return
		}
	}
	subdirs := w.readDir(here, node)
	if len(subdirs) == 0 {
		return
	}
	dirs := make([]content.Dir, len(subdirs))
	for n, sub := range subdirs {
		name := node.Entries[sub.entry].Name
		dirs[n] = here.dir.Sub(name)
		next := &place{up: here, dir: &dirs[n], path: here.child(name), identity: sub.identity}
		w.fork(&w.running, func() { w.walkDir(next, node.Entries[sub.entry].Inode) })
	}
}

// subdir is a directory that was found, as the number of its entry.
type subdir struct {
	entry int
	identity
}

// readDir fills node's entries with the names of the directory and what lstat
// tells about them. It returns those that are directories.
func (w *walk) readDir(here *place, node *Inode) []subdir {
	h, err := openDir(here.path, here.up == nil)
	if err != nil {
		w.report(whileWalking(here.path, err))
		return nil
	}
	defer h.close()
	s := w.scratch.Get().(*scratch)
	names, err := h.names(here.identity, s)
	w.scratch.Put(s)
	if err != nil {
		w.report(whileWalking(here.path, err))
		return nil
	}
	packNames(names)

	inodes := make([]Inode, len(names))
	node.Entries = make([]Entry, len(names))
	for n, name := range names {
		node.Entries[n] = Entry{name, &inodes[n]}
	}
	if len(names) <= chunk {
		return w.readEntries(here, h, node.Entries, 0)
	}

	var group sync.WaitGroup
	var mu sync.Mutex
	var subdirs []subdir
	for from := 0; from < len(names); from += chunk {
		entries := node.Entries[from:min(from+chunk, len(names))]
		w.fork(&group, func() {
			part := w.readEntries(here, h, entries, from)
			mu.Lock()
			subdirs = append(subdirs, part...)
			mu.Unlock()
		})
	}
	group.Wait()
	return subdirs
}

// packNames sorts names and gives them one common string to live in.
func packNames(names []string) {
	slices.Sort(names)
	all := strings.Join(names, "")
	for n, name := range names {
		names[n], all = all[:len(name)], all[len(name):]
	}
}

// readEntries fills the inodes of at most chunk entries of the directory
// here, of which first is the number of the first.
func (w *walk) readEntries(here *place, h dirHandle, entries []Entry, first int) (subdirs []subdir) {
	if w.stopped() {
		return nil
	}
	s := w.scratch.Get().(*scratch)
	defer w.scratch.Put(s)
	regular := 0
	for n, e := range entries {
		f := &s.found[n]
		if err := h.lstat(e.Name, f); err != nil {
			w.report(whileWalking(here.child(e.Name), err))
			f.mode = 0
		}
		switch {
		case f.mode&TypeMask == TypeDir:
			subdirs = append(subdirs, subdir{first + n, f.identity})
		case f.hasData():
			regular++
		}
	}
	files := make([]content.HostFile, regular)
	for n, e := range entries {
		f := &s.found[n]
		if f.mode == 0 {
			continue
		}
		w.fill(e.Inode, f)
		var file *content.HostFile
		if f.hasData() {
			file, files = &files[0], files[1:]
			*file = *content.NewHostFile(here.dir, e.Name, f.id)
		}
		path := here.child(e.Name)
		w.takeContent(e.Inode, h, path, e.Name, f, file, s)
		w.takeXattrs(e.Inode, path, f.device, s)
	}
	return subdirs
}

// fill sets what lstat tells.
func (w *walk) fill(node *Inode, f *found) {
	node.Mode = f.mode
	if w.opts.KeepOwners {
		node.UID, node.GID = f.uid, f.gid
	}
	node.Major, node.Minor = f.major, f.minor
	node.Mtime = f.mtime
	if f.links > 1 && f.mode&TypeMask != TypeDir {
		w.link(node, f.identity)
	}
}

// takeContent sets the content of what is not a directory: file, if it is
// regular.
func (w *walk) takeContent(node *Inode, h dirHandle, path, name string, f *found, file *content.HostFile, s *scratch) {
	var err error
	switch f.mode & TypeMask {
	case TypeRegular:
		if !f.hasData() {
			return // nothing will be read, so nothing need be readable
		}
		if err = h.readable(name, f); err != nil {
			break
		}
		node.Content = file
		if f.blocks >= 0 && f.blocks*512 < f.size {
			node.Content, err = withHoles(file, h, name, f)
		}
	case TypeSymlink:
		node.Content, err = h.readlink(name, f.size, s)
	case TypeDir, TypeChar, TypeBlock, TypeFIFO, TypeSocket:
	default:
		w.report(fmt.Errorf("%q is of a type that an image cannot have (mode %#o)", path, f.mode))
	}
	if err != nil {
		w.report(whileWalking(path, err))
	}
}

// takeXattrs sets the extended attributes.
func (w *walk) takeXattrs(node *Inode, path string, device uint64, s *scratch) {
	if len(w.xattrs) == 0 {
		return
	}
	if _, plain := w.plain.Load(device); plain {
		return
	}
	attrs, supported, err := readXattrs(path, w.xattrs, s)
	if err != nil {
		w.report(whileWalking(path, err))
		return
	}
	if !supported {
		w.plain.Store(device, true)
	}
	node.Xattrs = attrs
}

// link takes note that a file has several names on the host. Until joinLinks
// its Ordinal is one more than the number of its identity.
func (w *walk) link(node *Inode, id identity) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links = append(w.links, id)
	node.Ordinal = uint32(len(w.links))
}

// joinLinks makes all names of a file lead to the inode of the first of them,
// in the order of the tree: which name a file is opened by must not depend on
// the workers.
func (w *walk) joinLinks(root *Inode) {
	if len(w.links) == 0 {
		return
	}
	first := make(map[identity]*Inode)
	eachDir(root, func(dir *Inode) {
		for n, e := range dir.Entries {
			if e.Inode.Ordinal == 0 {
				continue
			}
			id := w.links[e.Inode.Ordinal-1]
			if same := first[id]; same != nil {
				dir.Entries[n].Inode = same
			} else {
				first[id] = e.Inode
			}
		}
	})
	for _, node := range first {
		node.Ordinal = 0
	}
	root.Ordinal = 0
}

// eachDir calls f for every directory from root down, parents first, in the
// order of names.
func eachDir(root *Inode, f func(dir *Inode)) {
	if !root.IsDir() {
		return
	}
	f(root)
	for _, e := range root.Entries {
		if e.Inode.IsDir() {
			eachDir(e.Inode, f)
		}
	}
}

// errReplaced says that a name leads to something else than a moment ago.
var errReplaced = fmt.Errorf("replaced while the tree was walked: %w", content.ErrChanged)

// whileWalking makes the error of a file that was there a moment ago.
func whileWalking(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("gone while the tree was walked: %w", content.ErrChanged)
	}
	return atPath(path, err)
}

// atPath names the path of an error.
func atPath(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // it names the path, or a part of it, unquoted
	}
	return fmt.Errorf("%q: %w", path, err)
}
