package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"diskwright/nixos"
	"diskwright/nixstore"
	"diskwright/progress"
	"diskwright/spec"
	"diskwright/tree"
)

// databasePath is where a system's store has its database.
const databasePath = "nix/var/nix/db/db.sqlite"

// readSystem reads the NixOS system that the spec asks for, and what its store
// has to be beside it. Of the store's files it reads nothing unless they are to
// be verified or optimised.
func (b *Build) readSystem(ctx context.Context) (*nixos.System, error) {
	store := nixstore.At(b.spec.StoreDir)
	system, err := b.resolveSystem(store)
	if err != nil {
		return nil, err
	}
	if system.Closure, err = b.readClosure(ctx, store, system); err != nil {
		return nil, err
	}
	system.Store, err = nixstore.Tree(ctx, system.Closure, store.Dir, nixstore.TreeOptions{Workers: b.opts.Workers})
	if err != nil {
		return nil, b.aboutPaths(err)
	}
	if err := system.Validate(); err != nil {
		return nil, err
	}
	if b.spec.VerifyStore {
		if err := b.verifyStore(ctx, system); err != nil {
			return nil, err
		}
	}
	b.Report.System, err = reportSystem(ctx, system)
	if err != nil {
		return nil, b.about("system", err)
	}
	b.Report.System.Verified = b.spec.VerifyStore
	if b.spec.OptimiseStore {
		if err := b.optimiseStore(ctx, system); err != nil {
			return nil, err
		}
	}
	return system, nil
}

// about says which parameter an error is about, as the user knows it.
func (b *Build) about(parameter string, err error) error {
	return fmt.Errorf("%s: %w", b.spec.Called(parameter), err)
}

// aboutPaths is about for an error that may be about any of the store paths that
// the user named.
func (b *Build) aboutPaths(err error) error {
	names := []string{b.spec.Called("system")}
	if b.spec.CopiesChannel() {
		names = append(names, b.spec.Called("channel"))
	}
	if len(b.spec.AdditionalPaths) > 0 {
		names = append(names, b.spec.Called("additionalPaths"))
	}
	return fmt.Errorf("%s: %w", strings.Join(names, ", "), err)
}

// resolveSystem finds out which store paths the spec means.
func (b *Build) resolveSystem(store nixstore.Store) (*nixos.System, error) {
	system := &nixos.System{}
	var err error
	if system.Toplevel, err = store.Resolve(b.spec.System); err != nil {
		return nil, b.about("system", err)
	}
	if b.spec.CopiesChannel() {
		if system.Channel, err = store.Resolve(b.spec.Channel); err != nil {
			return nil, b.about("channel", err)
		}
	}
	for _, arg := range b.spec.AdditionalPaths {
		path, err := store.Resolve(arg)
		if err != nil {
			return nil, b.about("additionalPaths", err)
		}
		system.AdditionalPaths = append(system.AdditionalPaths, path)
	}
	return system, nil
}

// readClosure returns the closure of the system's paths.
func (b *Build) readClosure(ctx context.Context, store nixstore.Store, system *nixos.System) (nixstore.Closure, error) {
	roots := append([]nixstore.Path{system.Toplevel}, system.AdditionalPaths...)
	if system.Channel != "" {
		roots = append(roots, system.Channel)
	}
	if b.spec.ClosureInfo == "" {
		closure, err := nixstore.FromDatabase(ctx, store.Database, roots...)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, b.about("system", fmt.Errorf("%w; where Nix has no database, give closureInfo", err))
		case err != nil:
			return nil, b.aboutPaths(err)
		}
		return closure, nil
	}
	all, err := nixstore.FromClosureInfo(b.spec.ClosureInfo)
	if err != nil {
		return nil, b.about("closureInfo", err)
	}
	closure, err := all.Reachable(roots...)
	if err != nil {
		return nil, b.about("closureInfo", err)
	}
	return closure, nil
}

// verifyStore compares the store with its registrations.
func (b *Build) verifyStore(ctx context.Context, system *nixos.System) error {
	progress.Phase(b.opts.Progress, "verifying store", system.Closure.NarSize())
	opts := nixstore.VerifyOptions{Workers: b.opts.Workers, Progress: b.opts.Progress}
	if err := nixstore.Verify(ctx, system.Closure, system.Store, opts); err != nil {
		return fmt.Errorf("%s: the store is not what it should be:\n%w", b.spec.Called("verifyStore"), err)
	}
	return nil
}

// optimiseStore makes hard links of equal files.
func (b *Build) optimiseStore(ctx context.Context, system *nixos.System) error {
	progress.Phase(b.opts.Progress, "optimising store", 0)
	saved, err := nixstore.Optimise(ctx, system.Store, nixstore.OptimiseOptions{Workers: b.opts.Workers, Progress: b.opts.Progress})
	if err != nil {
		return b.about("optimiseStore", err)
	}
	b.Report.System.Optimised = &Optimised{saved.Files, saved.Bytes}
	return nil
}

// reportSystem describes a system.
func reportSystem(ctx context.Context, system *nixos.System) (*System, error) {
	top, err := nixos.ReadToplevel(ctx, system.Store, system.Toplevel)
	if err != nil {
		return nil, err
	}
	r := &System{
		Toplevel:   string(top.Path),
		Version:    top.Label,
		Platform:   top.Platform,
		Channel:    string(system.Channel),
		StorePaths: len(system.Closure),
		NarBytes:   system.Closure.NarSize(),
	}
	for _, path := range system.AdditionalPaths {
		r.AdditionalPaths = append(r.AdditionalPaths, string(path))
	}
	return r, nil
}

// graftSystem puts the system into the tree, and takes note of what that adds
// to the files that were given.
func (b *Build) graftSystem(ctx context.Context, root *tree.Inode, system *nixos.System, epoch tree.Time) error {
	if err := system.Graft(ctx, root, epoch); err != nil {
		return err
	}
	b.Report.System.DatabaseBytes = root.Lookup(databasePath).Size()
	return nil
}

// owners returns the elements of contents with the numbers of the users and
// groups that they name.
func (b *Build) owners(ctx context.Context, system *nixos.System) ([]tree.Item, error) {
	var users *nixos.Users // nobody
	items := make([]tree.Item, len(b.spec.Contents))
	for n, c := range b.spec.Contents {
		items[n] = tree.Item(c)
		if c.User == "" {
			continue
		}
		if b.spec.InstallsInVM() { // the system itself knows them
			items[n].User, items[n].Group = "", ""
			continue
		}
		if users == nil && system != nil {
			var err error
			if users, err = readUsers(ctx, system); err != nil {
				return nil, b.about("system", err)
			}
		}
		if err := resolveOwner(&items[n], c, users); err != nil {
			return nil, fmt.Errorf("contents[%d]: %w", n, err)
		}
	}
	return items, nil
}

// readUsers reads the users and groups that a system has once it has started.
func readUsers(ctx context.Context, system *nixos.System) (*nixos.Users, error) {
	top, err := nixos.ReadToplevel(ctx, system.Store, system.Toplevel)
	if err != nil {
		return nil, err
	}
	return nixos.ReadUsers(ctx, system.Store, top)
}

// resolveOwner sets an item's owner to the numbers of that of a content.
func resolveOwner(item *tree.Item, c spec.Content, users *nixos.Users) error {
	uid, err := users.UID(c.User)
	if err != nil {
		return err
	}
	gid, err := users.GID(c.Group)
	if err != nil {
		return err
	}
	item.User, item.Group = fmt.Sprint(uid), fmt.Sprint(gid)
	return nil
}
