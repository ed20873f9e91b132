package builder

import (
	"context"
	"errors"
	"fmt"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/zfs"
	"diskwright/partition"
	"diskwright/tree"
)

// The builder zfs has one tree as well, until the boot loader is installed. Then it
// is cut into that of the FAT at /boot and those of the datasets. With one disk the
// pool is a partition of what otherwise is the boot disk.
//
//	          ┌─► /boot ─────────► FAT  ──► boot disk
//	tree ─────┤
//	          └─► /, /nix, … ────► pool ──► root disk

// rolePool is that of the seed of a pool's identifiers and salts.
const rolePool = "zfs-pool"

// poolDisk is a disk that is being planned for the builder zfs.
type poolDisk struct {
	about *Disk
	table *partition.Table
	parts map[int]content.Source
}

// planPool returns the disks of the builder zfs.
func (p *planner) planPool(ctx context.Context) ([]*diskmap.Map, error) {
	p.report.DiskSizeMode = "fixed"
	var esp bool
	if p.spec.InstallsBootLoader() {
		err := p.installBootLoader(ctx, func(s *boot.Settings) (*boot.Disk, error) {
			esp = s.Loader() == boot.SystemdBootName
			return p.poolBootDisk(esp)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := tree.Own(p.root, p.contents); err != nil {
		return nil, err
	}
	disks, err := p.poolDisks(esp)
	if err != nil {
		return nil, err
	}
	p.embed(disks[0].table)
	var maps []*diskmap.Map
	for _, d := range disks {
		if err := p.fillPoolDisk(ctx, d); err != nil {
			return nil, err
		}
		if err := p.fitFormat(d.table); err != nil {
			return nil, err
		}
		d.about.Table, d.about.DiskSize = *d.table, d.table.DiskSize
		m, err := d.table.Map(d.parts)
		if err != nil {
			return nil, err
		}
		maps = append(maps, m)
	}
	return maps, nil
}

// poolTable returns the table of the disk with a role.
func (p *planner) poolTable(role string, esp bool) (*partition.Table, error) {
	request := p.spec.PoolDisk(role)
	request.ESPType, request.Identify = esp, p.identify.disk(role)
	return partition.PlanZFS(request)
}

// poolDisks returns the disks with nothing on them, the one that starts first.
func (p *planner) poolDisks(esp bool) (disks []*poolDisk, err error) {
	roles := p.spec.Roles()
	if len(roles) > 1 {
		p.report.Disks = make([]Disk, len(roles))
	}
	for i, about := range p.report.All() {
		d := &poolDisk{about: about, parts: map[int]content.Source{}}
		if d.table, err = p.poolTable(roles[i], esp); err != nil {
			return nil, err
		}
		about.Role, about.File = roles[i], p.spec.Filename(roles[i])
		disks = append(disks, d)
	}
	return disks, nil
}

// poolBootDisk returns what boot loaders know of the disk that they are installed
// on, and of all file systems.
func (p *planner) poolBootDisk(esp bool) (*boot.Disk, error) {
	table, err := p.poolTable(p.spec.Roles()[0], esp)
	if err != nil {
		return nil, err
	}
	disk := &boot.Disk{Table: table}
	for _, part := range table.Partitions {
		if hasFAT(part) {
			disk.FileSystems = append(disk.FileSystems, p.bootFAT(table, part))
		}
	}
	for _, name := range p.spec.DatasetNames() {
		if mount := p.spec.Datasets[name].Mount; mount != "" {
			disk.FileSystems = append(disk.FileSystems, boot.FileSystem{MountPoint: mount, Type: boot.TypeZFS, Provided: name})
		}
	}
	return disk, nil
}

// fillPoolDisk plans the file systems of a disk. The boot disk comes first, so that
// what lies in the FAT is not in the pool.
func (p *planner) fillPoolDisk(ctx context.Context, d *poolDisk) error {
	for _, part := range d.table.Partitions {
		var m *diskmap.Map
		var about FileSystem
		var err error
		switch {
		case part.Role == partition.Root:
			m, about, err = p.planPoolOn(ctx, d.table, part)
		case hasFAT(part):
			if p.boots[part.MountPoint], err = tree.Split(p.root, part.MountPoint, p.epoch); err == nil {
				m, about, err = p.planFAT(d.table, part)
			}
		default:
			continue
		}
		if err != nil {
			return err
		}
		d.about.FileSystems = append(d.about.FileSystems, about)
		d.parts[part.Number] = m
	}
	return nil
}

// planPoolOn plans and describes the pool on a partition.
func (p *planner) planPoolOn(ctx context.Context, table *partition.Table, part partition.Partition) (*diskmap.Map, FileSystem, error) {
	opts := p.spec.PoolOptions(table.Size(part))
	seed := p.identify(rolePool)
	opts.Seed, opts.Epoch, opts.Workers = seed[:], p.epoch.Sec, p.workers
	opts.WholeDisk, opts.DevicePath = true, "/dev/vdb1" // where the reference's virtual machine has it
	if table.Layout == partition.ZFSSingle {
		opts.WholeDisk, opts.DevicePath = false, "/dev/vda3"
	}
	var err error
	if err = p.spoolPool(&opts, table.Offset(part)); err != nil {
		return nil, FileSystem{}, err
	}
	root, err := opts.Populate(p.root, p.epoch)
	if err != nil {
		return nil, FileSystem{}, fmt.Errorf("%s: %w", p.spec.Called("datasets"), err)
	}
	pool, err := zfs.New(ctx, root, opts)
	if err != nil {
		return nil, FileSystem{}, p.poolError(err)
	}
	about := aboutPool(opts, pool)
	about.Partition = part.Number
	for _, name := range p.spec.DatasetNames() {
		mount := p.spec.Datasets[name].Mount
		about.Datasets = append(about.Datasets, Dataset{name, mount})
		if mount == "/" {
			about.MountPoint = mount
		}
	}
	return pool.Map(), about, nil
}

// spoolPool gives a pool that begins at an offset of its disk a spool, if there may
// be one. If the image has the bytes of the disk as they are, the spool becomes the
// image.
func (b *Build) spoolPool(opts *zfs.Options, offset int64) error {
	if b.opts.PlanOnly || b.opts.Spool == "" {
		return nil
	}
	spool, err := tree.CreateSpool(b.opts.Spool)
	if err != nil {
		return err
	}
	b.keep(spool)
	opts.Spool = diskSpool{spool, offset}
	if b.format.IsPlain() {
		opts.SpoolAll, b.begun = true, spool.File()
	}
	return nil
}

// diskSpool is a spool in which everything lies where it lies on the disk.
type diskSpool struct {
	*tree.Spool
	offset int64 // of the pool
}

// WriteAt implements [io.WriterAt].
func (s diskSpool) WriteAt(p []byte, off int64) (int, error) {
	return s.Spool.WriteAt(p, s.offset+off)
}

// Part implements [zfs.Spool].
func (s diskSpool) Part(off, n int64) content.Source {
	return content.Part{File: s.File(), Offset: s.offset + off, Length: n}
}

// poolError says what rootSize would do for a tree that does not fit.
func (p *planner) poolError(err error) error {
	var space *zfs.NoSpaceError
	if !errors.As(err, &space) {
		return err
	}
	name := p.spec.Called("rootSize")
	return fmt.Errorf("%s: %d MiB are too small: %w; %s %d would do", name, p.spec.RootSize, err, name, p.spec.RootSize+roundUp(space.Missing, mebibyte)/mebibyte)
}

// aboutPool describes a pool.
func aboutPool(opts zfs.Options, pool *zfs.Pool) FileSystem {
	stats := pool.Stats()
	return FileSystem{
		Type:      boot.TypeZFS,
		Label:     opts.Name,
		UUID:      fmt.Sprint(pool.GUID()),
		Size:      stats.Size,
		BlockSize: stats.BlockSize,
		Used:      stats.Allocated,
		Free:      stats.Size - stats.Allocated,
	}
}
