package builder

import (
	"context"
	"os"

	"diskwright/content"
	"diskwright/nixos"
	"diskwright/progress"
	"diskwright/spec"
	"diskwright/tree"
)

// configurationPath is where configFile goes.
const configurationPath = "/etc/nixos/configuration.nix"

// sources are what the disk is made of.
type sources struct {
	// root is the tree of all file systems together.
	root *tree.Inode
	// contents are in the tree. Their owners are to be set when it is
	// complete.
	contents []tree.Item
}

// read reads the sources of the spec: root, then contents in their order, then
// the NixOS system, then configFile. Later ones win, but the system leaves alone
// what is there already.
func (b *Build) read(ctx context.Context) (*sources, error) {
	var system *nixos.System
	var err error
	if b.spec.System != "" {
		if system, err = b.readSystem(ctx); err != nil {
			return nil, err
		}
		progress.Phase(b.opts.Progress, "reading tree", 0)
	}
	seconds, clamp := b.spec.Epoch()
	epoch := tree.Time{Sec: seconds}
	if b.spec.OnlyNixStore {
		return &sources{root: system.OnlyStore(epoch)}, nil
	}
	src := &sources{}
	if src.contents, err = b.owners(ctx, system); err != nil {
		return nil, err
	}
	if src.root, err = b.readRoot(ctx, epoch); err != nil {
		return nil, err
	}
	opts := tree.GraftOptions{DirOptions: b.dirOptions(), Epoch: epoch}
	if err := tree.Graft(ctx, src.root, src.contents, opts); err != nil {
		return nil, err
	}
	if clamp {
		tree.ClampTimes(src.root, epoch)
	}
	// After that: store objects may be older than the epoch, and must be as
	// they are.
	if system != nil {
		if err := b.graftSystem(ctx, src.root, system, epoch); err != nil {
			return nil, err
		}
	}
	if err := b.putConfiguration(src.root, epoch); err != nil {
		return nil, b.about("configFile", err)
	}
	return src, nil
}

// readRoot reads the directory or tar that the spec starts from.
func (b *Build) readRoot(ctx context.Context, epoch tree.Time) (*tree.Inode, error) {
	path := b.spec.Root
	switch path {
	case "":
		return tree.NewDir(epoch), nil
	case "-":
		root, spool, err := tree.FromTarStream(ctx, b.opts.Stdin, "standard input", b.tarOptions(epoch))
		b.keep(spool)
		return root, err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil, b.about("root", err)
	}
	if fi.IsDir() {
		return tree.FromDir(ctx, path, b.dirOptions())
	}
	root, spool, err := tree.FromTar(ctx, path, b.tarOptions(epoch))
	b.keep(spool)
	return root, err
}

// keep holds on to a spool until the build is closed.
func (b *Build) keep(spool *tree.Spool) {
	if spool != nil {
		b.spool = append(b.spool, spool)
		b.Report.SpoolBytes += spool.Size()
	}
}

func (b *Build) tarOptions(epoch tree.Time) tree.TarOptions {
	return tree.TarOptions{
		RootOwned: b.spec.Owners == spec.OwnersRoot,
		Xattrs:    b.spec.Xattrs,
		Epoch:     epoch,
		SpoolDir:  b.opts.Spool,
	}
}

func (b *Build) dirOptions() tree.DirOptions {
	return tree.DirOptions{
		KeepOwners: b.spec.Owners == spec.OwnersKeep,
		Xattrs:     b.spec.Xattrs,
		Workers:    b.opts.Workers,
	}
}

// putConfiguration puts the configuration to where NixOS looks for it: configFile if
// there is one, and what the builder zfs makes of it and of the datasets.
func (b *Build) putConfiguration(root *tree.Inode, epoch tree.Time) error {
	switch {
	case b.spec.Builder == spec.BuilderZFS:
		return putZFSConfiguration(root, b.spec.Mounts(), b.spec.ConfigFile, epoch)
	case b.spec.ConfigFile != "":
		return putFile(root, b.spec.ConfigFile, epoch)
	}
	return nil
}

// putFile makes the host's file at path the configuration, as the reference's cp
// does: with the file's mode less the usual umask, and a time of its own.
func putFile(root *tree.Inode, path string, epoch tree.Time) error {
	source, err := content.StatHostFile(path)
	if err != nil {
		return err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	file := tree.NewFile(source, epoch)
	file.Mode = tree.TypeRegular | uint32(fi.Mode().Perm()&^0o022)
	return tree.PutFile(root, configurationPath, file, epoch)
}
