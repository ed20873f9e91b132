// Package overlay carries over to a tree what an installer has changed on a disk
// that was made from that tree.
//
//	tree ──► disk ──► guest changes it ──► tree as read back
//	  │                                        │
//	  └──────────── Apply ◄────────────────────┘
//
// The installer is a source of files, not the maker of the image: what comes of
// its work is the difference between two trees, and the disk is planned again
// from that. So its file systems' structure, the order of their files and all
// times are those of every image; times after the epoch become the epoch.
//
// What an installer makes at random, and what a system makes itself when it is
// missing, does not become part of the tree: see [Random].
package overlay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"diskwright/content"
	"diskwright/tree"
)

// Random are the files that are made at random, by their paths in the root tree or in
// a boot partition: they stay what they were, or are left out. Each system or loader
// makes its own when it starts and has none; nobody wants to share a secret key with
// everybody who has the image.
var Random = []string{
	"/etc/machine-id",
	"/etc/ssh/ssh_host_dsa_key", "/etc/ssh/ssh_host_dsa_key.pub",
	"/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ecdsa_key.pub",
	"/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub",
	"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub",
	"/loader/random-seed",
	// Nix's database. Who asks Nix for the generations of a profile, as the
	// installers of most loaders do, finds it with write-ahead logging afterwards,
	// whose files have salts.
	"/nix/var/nix/db/db.sqlite", "/nix/var/nix/db/db.sqlite-shm", "/nix/var/nix/db/db.sqlite-wal",
	"/var/lib/dbus/machine-id",
	"/var/lib/systemd/credential.secret",
	"/var/lib/systemd/random-seed",
}

// Options say what counts as a change.
type Options struct {
	Epoch tree.Time
	// FATs are the mount points of FATs, which have no owners, modes and exact
	// times: what is on them is compared by type and content.
	FATs []string
}

// Report is what has become of the tree. Paths are absolute, and sorted by bytes
// within a directory.
type Report struct {
	Added, Changed, Removed []string
	// Left are files that were changed or made, and left out: they are random.
	Left []string
}

// Mount puts the tree of a file system at a path of another's, as it was mounted
// when it was changed. What is below the path is hidden by it. The directory stays
// what it was: the root of a FAT has neither a time nor an owner.
func Mount(root *tree.Inode, path string, fs *tree.Inode) error {
	dir := root.Lookup(path)
	if dir == nil || !dir.IsDir() {
		return fmt.Errorf("%q was mounted on, and is not a directory of the root file system", path)
	}
	fs.Mode, fs.UID, fs.GID, fs.Mtime, fs.Xattrs = dir.Mode, dir.UID, dir.GID, dir.Mtime, dir.Xattrs
	return tree.PutFile(root, path, fs, tree.Time{})
}

// Apply changes the tree at root to what after is, as it was read back. Where
// nothing is changed the tree keeps its inodes, and with them the sources of
// their content. After becomes part of the tree.
func Apply(ctx context.Context, root, after *tree.Inode, o Options) (*Report, error) {
	// mkfs makes it, and so will the next.
	const recovery = "lost+found"
	if root.Child(recovery) == nil {
		after.RemoveChild(recovery)
	}
	m := &merger{ctx: ctx, o: o, report: &Report{}, twins: map[*tree.Inode]*tree.Inode{}, pairs: map[*tree.Inode]*tree.Inode{}}
	if err := m.directory("", root, after, m.isFAT("/")); err != nil {
		return nil, err
	}
	// New names of files that are there already are links to those.
	for _, p := range m.adopted {
		if twin := m.twins[p.inode]; twin != nil {
			p.dir.SetChild(p.name, twin)
		}
	}
	return m.report, nil
}

// merger applies a tree to another.
type merger struct {
	ctx    context.Context
	o      Options
	report *Report
	// twins are the tree's inodes that are the same as ones of after, and pairs
	// the other way round: a file with two names there may have become two.
	twins, pairs map[*tree.Inode]*tree.Inode
	adopted      []place
}

// place is where a file of after is in the tree.
type place struct {
	dir   *tree.Inode
	name  string
	inode *tree.Inode
}

func (m *merger) isFAT(path string) bool { return slices.Contains(m.o.FATs, path) }

// isRandom reports whether the file at a path is left out.
func (m *merger) isRandom(path string) bool {
	for _, name := range Random {
		if path == name {
			return true
		}
		for _, mount := range m.o.FATs {
			if path == mount+name {
				return true
			}
		}
	}
	return false
}

// directory merges what is in two directories.
func (m *merger) directory(path string, into, after *tree.Inode, fat bool) error {
	if err := m.ctx.Err(); err != nil {
		return context.Cause(m.ctx)
	}
	m.metadata(into, after, fat)
	for _, e := range slices.Clone(into.Entries) {
		if name := path + "/" + e.Name; after.Child(e.Name) == nil {
			if m.isRandom(name) {
				m.report.Left = append(m.report.Left, name)
				continue
			}
			m.report.Removed = append(m.report.Removed, name)
			into.RemoveChild(e.Name)
		}
	}
	for _, e := range after.Entries {
		name := path + "/" + e.Name
		if err := m.entry(name, into, e, fat || m.isFAT(name)); err != nil {
			return err
		}
	}
	return nil
}

// entry merges what after has by a name.
func (m *merger) entry(path string, into *tree.Inode, e tree.Entry, fat bool) error {
	old := into.Child(e.Name)
	if old != nil && old.IsDir() && e.Inode.IsDir() {
		if !m.sameMetadata(old, e.Inode, fat) {
			m.report.Changed = append(m.report.Changed, path)
		}
		return m.directory(path, old, e.Inode, fat)
	}
	same, err := m.sameFile(old, e.Inode)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if pair := m.pairs[old]; pair != nil && pair != e.Inode {
		same = false
	}
	if same {
		// It may have been given to somebody.
		if !m.sameMetadata(old, e.Inode, fat) {
			m.report.Changed = append(m.report.Changed, path)
		}
		m.twins[e.Inode], m.pairs[old] = old, e.Inode
		m.metadata(old, e.Inode, fat)
		return nil
	}
	if m.isRandom(path) {
		m.report.Left = append(m.report.Left, path)
		return nil
	}
	if old == nil {
		m.report.Added = append(m.report.Added, path)
	} else {
		m.report.Changed = append(m.report.Changed, path)
	}
	into.SetChild(e.Name, e.Inode)
	m.adopt(path, into, e)
	return nil
}

// adopt makes an entry, which is new, a part of the tree.
func (m *merger) adopt(path string, into *tree.Inode, new tree.Entry) {
	i := new.Inode
	i.Mtime = m.clamp(i.Mtime)
	if !i.IsDir() {
		m.adopted = append(m.adopted, place{into, new.Name, i})
		return
	}
	for _, e := range slices.Clone(i.Entries) {
		name := path + "/" + e.Name
		if m.isRandom(name) {
			m.report.Left = append(m.report.Left, name)
			i.RemoveChild(e.Name)
			continue
		}
		m.report.Added = append(m.report.Added, name)
		m.adopt(name, i, e)
	}
}

// clamp returns a time that is not later than the epoch, as SOURCE_DATE_EPOCH asks
// for.
func (m *merger) clamp(t tree.Time) tree.Time {
	if m.o.Epoch.Before(t) {
		return m.o.Epoch
	}
	return t
}

// metadata carries over what is not content. Times of FATs say nothing: what is
// unchanged on one keeps that of the tree.
func (m *merger) metadata(into, after *tree.Inode, fat bool) {
	if fat {
		return
	}
	into.Mode, into.UID, into.GID, into.Xattrs = after.Mode, after.UID, after.GID, after.Xattrs
	// A file system with small inodes has no parts of a second.
	if after.Mtime.Sec != into.Mtime.Sec || after.Mtime.Nsec != 0 && after.Mtime.Nsec != into.Mtime.Nsec {
		into.Mtime = m.clamp(after.Mtime)
	}
}

// sameMetadata reports whether two files of one type differ in nothing but
// content and time.
func (m *merger) sameMetadata(a, b *tree.Inode, fat bool) bool {
	return fat || a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && slices.EqualFunc(a.Xattrs, b.Xattrs, func(a, b tree.Xattr) bool {
		return a.Name == b.Name && bytes.Equal(a.Value, b.Value)
	})
}

// sameFile reports whether two files, of which the first may be missing, have the same
// content, whoever they belong to.
func (m *merger) sameFile(a, b *tree.Inode) (bool, error) {
	if a == nil || a.Type() != b.Type() || a.IsDir() {
		return false, nil
	}
	return m.sameData(a, b)
}

// sameData reports whether two files of one type, which are no directories, have the
// same content, or lead to the same place.
func (m *merger) sameData(a, b *tree.Inode) (bool, error) {
	switch {
	case a.Size() != b.Size():
		return false, nil
	case a.Type() == tree.TypeChar || a.Type() == tree.TypeBlock:
		return a.Major == b.Major && a.Minor == b.Minor, nil
	case a.Size() == 0:
		return true, nil
	}
	return m.sameContent(a.Content, b.Content)
}

// piece is how much of two files is compared at a time.
const piece = 256 << 10

func (m *merger) sameContent(a, b content.Source) (bool, error) {
	var bufs [2][]byte
	for n := range bufs {
		bufs[n] = make([]byte, min(piece, a.Size()))
	}
	for offset := int64(0); offset < a.Size(); offset += piece {
		if err := m.ctx.Err(); err != nil {
			return false, context.Cause(m.ctx)
		}
		n := min(piece, a.Size()-offset)
		for i, src := range []io.ReaderAt{a, b} {
			if err := content.ReadFull(src, bufs[i][:n], offset); err != nil {
				return false, err
			}
		}
		if !bytes.Equal(bufs[0][:n], bufs[1][:n]) {
			return false, nil
		}
	}
	return true, nil
}
