package builder

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/zfs"
	"diskwright/partition"
	"diskwright/spec"
	"diskwright/tree"
)

// Pool is a ZFS pool that stands alone: as the content of a partition, or on a
// disk that is its own.
type Pool struct {
	Size FileSystemSize // of the partition, or of the disk
	Name string
	// Features, PoolProperties and Properties are as in package zfs.
	Features       string
	PoolProperties map[string]string
	Properties     map[string]string
	Datasets       []PoolDataset
	// WholeDisk puts the table around the pool that `zpool create` writes on a
	// disk. Only such pools grow by themselves with their disk.
	WholeDisk bool
}

// PoolDataset is a file system below that of the pool.
type PoolDataset struct {
	Name       string // with the pool's
	Mount      string // path of what it holds of the tree; empty is nothing
	Properties map[string]string
}

// ParsePoolDataset reads NAME[,mount=PATH][,PROPERTY=VALUE…].
func ParsePoolDataset(text string) (PoolDataset, error) {
	fields := strings.Split(text, ",")
	name := fields[0]
	properties, err := ParseProperties(fields[1:])
	if err != nil {
		return PoolDataset{}, err
	}
	if strings.Contains(name, "=") {
		return PoolDataset{}, fmt.Errorf("%q does not begin with the name of a dataset: want NAME[,mount=PATH][,PROPERTY=VALUE…]", text)
	}
	d := PoolDataset{Name: name, Mount: properties["mount"], Properties: properties}
	delete(properties, "mount")
	return d, nil
}

// ParseProperties reads texts of the form PROPERTY=VALUE.
func ParseProperties(texts []string) (map[string]string, error) {
	properties := make(map[string]string)
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not PROPERTY=VALUE", text)
		}
		if _, twice := properties[name]; twice {
			return nil, fmt.Errorf("%q is given twice", name)
		}
		properties[name] = value
	}
	return properties, nil
}

func (p Pool) size() FileSystemSize { return p.Size }

// check implements [Maker]: what goes wrong without files was asked for.
func (p Pool) check() error {
	if p.Size.Mode == spec.DiskSizeMin {
		return errors.New(`--size: min: a pool cannot be without room, in which ZFS writes what it changes; give "auto" or a size`)
	}
	opts, err := p.options()
	if err != nil {
		return problems(err)
	}
	if _, err := opts.Populate(tree.NewDir(tree.Time{}), tree.Time{}); err != nil {
		return err
	}
	opts.Size = 1 << 30 // any size that is enough
	if p.Size.Mode == spec.DiskSizeFixed && !p.WholeDisk {
		opts.Size = p.Size.Bytes
	}
	return problems(opts.Check())
}

// problems returns the errors that are joined in err one by one.
func problems(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, problems(e))
	}
	return spec.Join(list...)
}

// options returns what the pool is but for its size and content.
func (p Pool) options() (zfs.Options, error) {
	opts := zfs.Options{
		Name:           p.Name,
		Features:       p.Features,
		PoolProperties: p.PoolProperties,
		Properties:     p.Properties,
		WholeDisk:      p.WholeDisk,
	}
	var errs []error
	for _, d := range p.Datasets {
		name, below := strings.CutPrefix(d.Name, p.Name+"/")
		if !below {
			errs = append(errs, fmt.Errorf("the dataset %q is not below the pool, as %q would be", d.Name, p.Name+"/"+d.Name))
		}
		opts.Datasets = append(opts.Datasets, zfs.Dataset{Name: name, Mount: d.Mount, Properties: d.Properties})
		if d.Mount != "" {
			if err := zfs.CheckMount(d.Mount); err != nil {
				errs = append(errs, fmt.Errorf("dataset %q: mount: %w", d.Name, err))
			}
		}
	}
	return opts, errors.Join(errs...)
}

// make implements [Maker].
func (p Pool) make(ctx context.Context, b *Build, root *tree.Inode) (*diskmap.Map, FileSystem, error) {
	seconds, _ := b.spec.Epoch()
	opts, err := p.options()
	if err != nil {
		return nil, FileSystem{}, err
	}
	seed := b.identify(rolePool)
	opts.Seed, opts.Epoch, opts.Workers = seed[:], seconds, b.opts.Workers
	if root, err = opts.Populate(root, tree.Time{Sec: seconds}); err != nil {
		return nil, FileSystem{}, err
	}
	size := p.Size.Bytes
	if p.Size.Mode == spec.DiskSizeAuto {
		if size, err = p.autoSize(ctx, root, opts); err != nil {
			return nil, FileSystem{}, err
		}
	}
	disk, about, err := p.plan(ctx, b, root, opts, size)
	var space *zfs.NoSpaceError
	if errors.As(err, &space) {
		err = fmt.Errorf("%w; --size %dM would do", sizeError(p, err), roundUp(size+space.Missing, mebibyte)/mebibyte)
	}
	return disk, about, err
}

// autoSize returns a size at which nothing needs to be compressed for the tree to
// leave a tenth of the pool free, beside what ZFS keeps for itself: reading all
// files to learn what they become would take as long as making the pool.
func (p Pool) autoSize(ctx context.Context, root *tree.Inode, opts zfs.Options) (int64, error) {
	size, err := zfs.SmallestSize(ctx, root, opts, freePercent)
	if p.WholeDisk {
		size += wholeDiskTable
	}
	return roundUp(size, mebibyte), err
}

// wholeDiskTable is what `zpool create` takes of a disk: a MiB before the pool, 8 MiB
// behind it, and the rest of the last MiB.
const wholeDiskTable = 10 * mebibyte

// plan plans the pool in size bytes, with the table around it if it has a disk.
func (p Pool) plan(ctx context.Context, b *Build, root *tree.Inode, opts zfs.Options, size int64) (*diskmap.Map, FileSystem, error) {
	opts.Size = size
	var err error
	var table *partition.Table
	var part partition.Partition
	offset := int64(0)
	if p.WholeDisk {
		table, err = partition.PlanZFS(partition.ZFSRequest{Layout: partition.ZFSRoot, DiskSize: size, Identify: b.identify})
		var few *partition.SizeError
		if errors.As(err, &few) {
			return nil, FileSystem{}, fmt.Errorf("--size: %d bytes are out of range: %s; the limit is %d", few.Have, few.Reason, few.Limit)
		}
		if err != nil {
			return nil, FileSystem{}, err
		}
		part, _ = table.ByRole(partition.Root)
		opts.Size, offset = table.Size(part), table.Offset(part)
		b.Report.Table = *table
	}
	if err := b.spoolPool(&opts, offset); err != nil {
		return nil, FileSystem{}, err
	}
	pool, err := zfs.New(ctx, root, opts)
	if err != nil {
		return nil, FileSystem{}, err
	}
	about := aboutPool(opts, pool)
	about.Partition = part.Number
	for _, d := range p.Datasets {
		about.Datasets = append(about.Datasets, Dataset{d.Name, d.Mount})
	}
	if table == nil {
		return pool.Map(), about, nil
	}
	disk, err := table.Map(map[int]content.Source{part.Number: pool.Map()})
	return disk, about, err
}
