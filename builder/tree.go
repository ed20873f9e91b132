package builder

import (
	"context"
	"fmt"
	"os"

	"diskwright/content"
	"diskwright/spec"
	"diskwright/tree"
)

// configurationPath is where configFile goes.
const configurationPath = "/etc/nixos/configuration.nix"

// readTree returns the tree that the sources of s make: root, then contents in
// their order, then configFile. Later ones win.
func (b *Build) readTree(ctx context.Context, s *spec.Spec) (*tree.Inode, error) {
	seconds, clamp := s.Epoch()
	epoch := tree.Time{Sec: seconds}
	root, err := b.readRoot(ctx, s, epoch)
	if err != nil {
		return nil, err
	}
	if err := b.graftContents(ctx, root, s, epoch); err != nil {
		return nil, err
	}
	if clamp {
		tree.ClampTimes(root, epoch)
	}
	return root, nil
}

// readRoot reads the directory or tar that s starts from.
func (b *Build) readRoot(ctx context.Context, s *spec.Spec, epoch tree.Time) (*tree.Inode, error) {
	switch s.Root {
	case "":
		return tree.NewDir(epoch), nil
	case "-":
		root, spool, err := tree.FromTarStream(ctx, b.opts.Stdin, "standard input", b.tarOptions(s, epoch))
		b.keep(spool)
		return root, err
	}
	fi, err := os.Stat(s.Root)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if fi.IsDir() {
		return tree.FromDir(ctx, s.Root, b.dirOptions(s))
	}
	root, spool, err := tree.FromTar(ctx, s.Root, b.tarOptions(s, epoch))
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

func (b *Build) tarOptions(s *spec.Spec, epoch tree.Time) tree.TarOptions {
	return tree.TarOptions{
		RootOwned: s.Owners == spec.OwnersRoot,
		Xattrs:    s.Xattrs,
		Epoch:     epoch,
		SpoolDir:  b.opts.Spool,
	}
}

func (b *Build) dirOptions(s *spec.Spec) tree.DirOptions {
	return tree.DirOptions{
		KeepOwners: s.Owners == spec.OwnersKeep,
		Xattrs:     s.Xattrs,
		Workers:    b.opts.Workers,
	}
}

// graftContents puts contents and configFile over the root.
func (b *Build) graftContents(ctx context.Context, root *tree.Inode, s *spec.Spec, epoch tree.Time) error {
	items := make([]tree.Item, len(s.Contents))
	for i, c := range s.Contents {
		items[i] = tree.Item(c)
	}
	if err := tree.Graft(ctx, root, items, tree.GraftOptions{DirOptions: b.dirOptions(s), Epoch: epoch}); err != nil {
		return err
	}
	if s.ConfigFile == "" {
		return nil
	}
	if err := putConfiguration(root, s.ConfigFile, epoch); err != nil {
		return fmt.Errorf("configFile: %w", err)
	}
	return nil
}

// putConfiguration puts the host's file at path where NixOS looks for its
// configuration, as the reference's cp does: with the file's mode less the
// usual umask, and a time of its own.
func putConfiguration(root *tree.Inode, path string, epoch tree.Time) error {
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
