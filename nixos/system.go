package nixos

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"diskwright/content"
	"diskwright/nixstore"
	"diskwright/tree"
)

// System is a NixOS system that is to become part of a tree.
type System struct {
	Toplevel        nixstore.Path
	AdditionalPaths []nixstore.Path // have no root: they are garbage, from the system's point of view
	Channel         nixstore.Path   // of the user root; empty is none

	// Closure is that of all these paths, and Store the tree of their objects,
	// as nixstore.Tree returns it. It becomes part of the result.
	Closure nixstore.Closure
	Store   *tree.Inode
}

// Owner and mode of /nix/store, as Nix makes them when it runs on the system:
// members of the group nixbld build in it, and do not remove what others built.
const (
	storeMode = 0o1775
	nixbldGID = 30000 // nixpkgs, nixos/modules/misc/ids.nix
)

// schemaVersion is what Nix 2.0 and later write into the file schema, without a
// newline (src/libstore/local-store.hh: nixSchemaVersion).
const schemaVersion = "10"

const (
	profiles       = "/nix/var/nix/profiles"
	channelProfile = profiles + "/per-user/root/channels"
)

// Validate checks that the paths of the system are in its closure, and that the
// toplevel can be one.
func (s *System) Validate() error {
	var problems []error
	check := func(what string, path nixstore.Path) {
		if s.Closure.Find(path) == nil {
			problems = append(problems, fmt.Errorf("%s: %q is missing from the closure", what, path))
		}
	}
	check("system", s.Toplevel)
	for _, path := range s.AdditionalPaths {
		check("additionalPaths", path)
	}
	if s.Channel != "" {
		check("channel", s.Channel)
	}
	if top := s.Store.Child(s.Toplevel.Base()); top != nil && !top.IsDir() {
		problems = append(problems, fmt.Errorf("system: %q is not a directory: want the toplevel of a NixOS system", s.Toplevel))
	}
	return errors.Join(problems...)
}

// Graft puts the system into the tree at root. What is made, and the database's
// registrations, carry the time epoch. Directories that are there already stay
// as they are; a database of Nix that is there is an error.
//
// Derivers are not registered, so that the result does not depend on how the
// host came by a path.
func (s *System) Graft(ctx context.Context, root *tree.Inode, epoch tree.Time) error {
	if err := s.Validate(); err != nil {
		return err
	}
	closure := make(nixstore.Closure, len(s.Closure))
	for n, info := range s.Closure {
		info.Deriver = ""
		closure[n] = info
	}
	database, err := nixstore.Database(ctx, closure, s.Store, epoch.Sec)
	if err != nil {
		return err
	}
	g := &grafter{root: root, epoch: epoch}
	g.skeleton()
	g.store(s.Store)
	g.database(database)
	g.state()
	g.systemProfile(s.Toplevel)
	if s.Channel != "" {
		g.channel(s.Channel)
	}
	return g.err
}

// OnlyStore returns a tree that has the store objects in its root, and nothing
// else: an image to be mounted at /nix/store.
func (s *System) OnlyStore(epoch tree.Time) *tree.Inode {
	root := tree.NewDir(epoch)
	root.Entries = s.Store.Entries
	return root
}

// grafter adds to a tree, up to the first error.
type grafter struct {
	root  *tree.Inode
	epoch tree.Time
	err   error
}

// skeleton makes the directories that initial ramdisks of every age mount over,
// or expect, and what tells scripts that this is NixOS.
func (g *grafter) skeleton() {
	for _, name := range []string{"/dev", "/proc", "/sys", "/run", "/var", "/etc"} {
		g.dir(name, 0o755)
	}
	g.dir("/tmp", 0o1777)
	if etc := g.dir("/etc", 0o755); etc != nil && etc.Child("NIXOS") == nil {
		g.file("/etc/NIXOS", 0o644, "")
	}
	g.dir("/etc/nixos", 0o755)
}

// store moves the store objects to their place.
func (g *grafter) store(objects *tree.Inode) {
	g.dir("/nix", 0o755)
	store := g.dir("/nix/store", 0o755)
	if store == nil {
		return
	}
	store.Mode = tree.TypeDir | storeMode
	store.UID, store.GID = 0, nixbldGID
	others := store.Entries
	store.Entries = objects.Entries
	for _, e := range others {
		if store.Child(e.Name) == nil {
			store.SetChild(e.Name, e.Inode)
		}
	}
	g.dir("/nix/store/.links", 0o755)
}

// database puts the database in its place. Locks are empty files.
func (g *grafter) database(file []byte) {
	dir := g.dir("/nix/var/nix/db", 0o755)
	if dir != nil && dir.Child("db.sqlite") != nil {
		g.fail(errors.New("there is a store with a database at /nix/var/nix/db already: a system cannot be added to it"))
		return
	}
	g.file("/nix/var/nix/db/db.sqlite", 0o644, string(file))
	g.file("/nix/var/nix/db/schema", 0o644, schemaVersion)
	g.file("/nix/var/nix/db/big-lock", 0o600, "")
	g.file("/nix/var/nix/gc.lock", 0o600, "")
}

// state makes the directories that Nix keeps its state in.
func (g *grafter) state() {
	g.dir("/nix/var/nix/temproots", 0o755)
	g.dir("/nix/var/nix/gcroots/auto", 0o755)
	g.dir("/nix/var/nix/gcroots/per-user", 0o755)
	g.dir(profiles+"/per-user", 0o755)
	// Nix before 2.34 makes this with gcroots; an installation from elsewhere
	// leaves a path of elsewhere in it.
	g.symlink("/nix/var/nix/gcroots/profiles", profiles)
}

// systemProfile makes the toplevel the system's first generation.
func (g *grafter) systemProfile(toplevel nixstore.Path) {
	g.profile(profiles+"/system", toplevel)
}

// channel makes the channel the first generation of root's channels, where
// nix-env and <nixpkgs> look for it.
func (g *grafter) channel(path nixstore.Path) {
	g.dir(profiles+"/per-user/root", 0o755)
	g.profile(channelProfile, path)
	// As activation leaves it: nixos-install makes it 0755.
	g.dir("/root", 0o700)
	g.dir("/root/.nix-defexpr", 0o700)
	g.symlink("/root/.nix-defexpr/channels", channelProfile)
}

// profile makes a profile with one generation.
func (g *grafter) profile(path string, target nixstore.Path) {
	const generation = "-1-link"
	g.symlink(path+generation, string(target))
	g.symlink(path, path[strings.LastIndexByte(path, '/')+1:]+generation)
}

// dir returns the directory at path. If it has to be made, it has this mode, and
// those above it 0755.
func (g *grafter) dir(path string, mode uint32) *tree.Inode {
	slash := strings.LastIndexByte(path, '/')
	above := g.makeDir(path[:slash])
	if above == nil {
		return nil
	}
	missing := above.Child(path[slash+1:]) == nil
	dir := g.makeDir(path)
	if missing && dir != nil {
		dir.Mode = tree.TypeDir | mode
	}
	return dir
}

func (g *grafter) makeDir(path string) *tree.Inode {
	if g.err != nil {
		return nil
	}
	dir, err := tree.MakeDir(g.root, path, g.epoch)
	g.fail(err)
	return dir
}

func (g *grafter) file(path string, mode uint32, text string) {
	file := tree.NewFile(nil, g.epoch)
	if text != "" {
		file.Content = content.Bytes(text)
	}
	file.Mode = tree.TypeRegular | mode
	g.put(path, file)
}

func (g *grafter) symlink(path, target string) {
	g.put(path, tree.NewSymlink(target, g.epoch))
}

func (g *grafter) put(path string, i *tree.Inode) {
	if g.err == nil {
		g.fail(tree.PutFile(g.root, path, i, g.epoch))
	}
}

// fail takes note of the first error.
func (g *grafter) fail(err error) {
	if g.err == nil && err != nil {
		g.err = fmt.Errorf("system: %w", err)
	}
}
