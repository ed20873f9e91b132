package builder

import (
	"context"
	"errors"

	"diskwright/diskmap"
	"diskwright/filesystem/ext4"
	"diskwright/spec"
	"diskwright/tree"

	"github.com/google/uuid"
)

// Ext is an ext2, ext3 or ext4 that stands alone.
type Ext struct {
	Size  FileSystemSize
	Kind  ext4.Kind
	Label string
	UUID  uuid.UUID // the nil UUID is one that is derived from the seed
}

func (e Ext) size() FileSystemSize { return e.Size }

// check implements [Maker]: what goes wrong without files was asked for.
func (e Ext) check() error {
	_, err := ext4.NewGeometry(&ext4.Options{Size: mebibyte, Kind: e.Kind, Label: e.Label})
	return err
}

// make implements [Maker]. An automatic size leaves what an automatic size of a
// disk leaves: a tenth of the blocks, and some inodes.
func (e Ext) make(ctx context.Context, b *Build, root *tree.Inode) (*diskmap.Map, FileSystem, error) {
	seconds, _ := b.spec.Epoch()
	opts := ext4.Options{
		Kind:         e.Kind,
		Label:        e.Label,
		UUID:         e.UUID,
		HashSeed:     b.identify(roleHashSeed),
		JournalUUID:  b.identify(roleJournalUUID),
		ChecksumSeed: b.identify.word(roleCsumSeed),
		Epoch:        seconds,
	}
	if e.UUID == uuid.Nil {
		opts.UUID = b.identify(roleFSUUID)
	}
	if b.spec.FSProfile == spec.ProfileCompatible {
		opts.Profile = ext4.Compatible
	}
	need, err := ext4.Measure(root, opts)
	if err != nil {
		return nil, FileSystem{}, err
	}
	fs, opts, err := e.plan(ctx, need, opts)
	if err != nil {
		return nil, FileSystem{}, err
	}
	return fs.Map(), aboutExt(opts, fs.Stats()), nil
}

// plan chooses the size and plans the file system.
func (e Ext) plan(ctx context.Context, need ext4.Need, opts ext4.Options) (*ext4.FileSystem, ext4.Options, error) {
	var slack ext4.Slack
	step := int64(ext4Block)
	switch e.Size.Mode {
	case spec.DiskSizeFixed:
		opts.Size = e.Size.Bytes
		fs, err := ext4.Plan(need, opts)
		var space *ext4.NoSpaceError
		if errors.As(err, &space) {
			err = sizeError(e, err)
		}
		return fs, opts, err
	case spec.DiskSizeAuto:
		slack.Percent, step = freePercent, mebibyte
		opts.Inodes = need.Inodes + freeInodes
	}
	size, err := ext4.MinSize(need, opts, slack)
	if err != nil {
		return nil, opts, err
	}
	for opts.Size = roundUp(size, step); ; opts.Size += step {
		if err := ctx.Err(); err != nil {
			return nil, opts, err
		}
		fs, err := ext4.Plan(need, opts)
		var space *ext4.NoSpaceError
		switch {
		case err == nil && (e.Size.Mode == spec.DiskSizeMin || e.comfortable(fs)):
			return fs, opts, nil
		case err != nil && !errors.As(err, &space):
			return nil, opts, err
		}
		// The journal grows in steps: rounded up, a size may have less room.
	}
}

// comfortable reports whether a file system has what an automatic size leaves
// free, and the journal that its kind promises, for which mke2fs has no room in
// the smallest ones.
func (e Ext) comfortable(fs *ext4.FileSystem) bool {
	return comfortable(fs.Stats()) && (e.Kind == ext4.Ext2 || fs.Geometry().JournalBlocks > 0)
}
