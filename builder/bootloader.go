package builder

import (
	"context"
	"errors"
	"fmt"

	"diskwright/boot"
	"diskwright/boot/extlinux"
	"diskwright/boot/grub"
	"diskwright/boot/initscript"
	"diskwright/boot/limine"
	"diskwright/boot/systemdboot"
	"diskwright/content"
	"diskwright/nixos"
	"diskwright/nixstore"
	"diskwright/partition"
	"diskwright/spec"

	"github.com/google/uuid"
)

// loaders install boot loaders, by their names in settings.
var loaders = map[string]func(context.Context, *boot.Request) (*boot.Installation, error){
	boot.SystemdBootName: systemdboot.Install,
	boot.GRUBName:        grub.Install,
	boot.LimineName:      limine.Install,
	boot.ExtlinuxName:    extlinux.Install,
	boot.InitScriptName:  initscript.Install,
}

// installBootLoader adds the boot loader's files to the tree, and takes note of
// what else it puts on the disk, which is as diskFor says.
func (p *planner) installBootLoader(ctx context.Context, diskFor func(*boot.Settings) (*boot.Disk, error)) error {
	if !p.spec.InstallsBootLoader() {
		return nil
	}
	files := boot.Files{Root: p.root}
	settings, err := p.bootSettings(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", p.spec.Called("system"), err)
	}
	if settings == nil {
		p.note("%s: the system has no boot loader that could be installed", p.spec.Called("installBootLoader"))
		return nil
	}
	disk, err := diskFor(settings)
	if err != nil {
		return err
	}
	fats, err := p.fatMounts(disk, files)
	if err != nil {
		return err
	}
	request := &boot.Request{Settings: settings, Files: files, Disk: disk, Epoch: p.epoch, Identify: p.identify}
	if s := p.report.System; s != nil {
		if request.System, err = boot.ReadSystem(ctx, files, s.Toplevel, p.epoch.Sec); err != nil {
			return fmt.Errorf("%s: %w", p.spec.Called("system"), err)
		}
	}
	if p.loader, err = loaders[settings.Loader()](ctx, request); err != nil {
		return fmt.Errorf("%s: %w", p.spec.Called("bootLoader"), err)
	}
	p.report.BootLoader = &BootLoader{Name: settings.Loader(), Detected: p.spec.BootLoader == nil}
	if e := p.loader.EFIEntry; e != nil {
		p.report.BootLoader.EFIEntry = &EFIEntry{e.Description, e.Path}
	}
	return p.loader.Apply(p.root, fats, p.epoch)
}

// fatMounts returns the mount points of FATs. They must be what they are called:
// what a link leads to would be on another file system for the boot loader than
// for the system.
func (p *planner) fatMounts(disk *boot.Disk, files boot.Files) (points []string, err error) {
	for _, fs := range disk.FileSystems {
		if fs.Type != boot.TypeFAT {
			continue
		}
		_, real, err := files.Lookup(fs.MountPoint)
		if err == nil && real != fs.MountPoint {
			return nil, fmt.Errorf("%s has a partition on %s, which is a symbolic link to %q in the image: want a directory",
				p.layoutAsGiven(), fs.MountPoint, real)
		}
		points = append(points, fs.MountPoint)
	}
	return points, nil
}

// bootSettings returns the settings of the boot loader: those of the spec, or what
// the system says. Nil is that it says it has none.
func (p *planner) bootSettings(ctx context.Context) (*boot.Settings, error) {
	if p.spec.BootLoader != nil {
		return p.spec.BootLoader, nil
	}
	store := p.root.Lookup(nixstore.StoreDir)
	if p.report.System == nil || store == nil {
		return nil, errors.New("there is none to read the boot loader of")
	}
	return nixos.ReadBootLoader(ctx, store, nixstore.Path(p.report.System.Toplevel))
}

// layoutAsGiven names the parameter that says which partitions there are, and its
// value.
func (p *planner) layoutAsGiven() string {
	if p.spec.Builder == spec.BuilderZFS {
		return fmt.Sprintf("%s: %s", p.spec.Called("builder"), p.spec.Builder)
	}
	return fmt.Sprintf("%s: %s", p.spec.Called("partitionTableType"), p.request.Layout)
}

// bootDisk returns what boot loaders know of the disk before its size is known.
func (p *planner) bootDisk(*boot.Settings) (*boot.Disk, error) {
	table, err := p.smallestTable()
	if err != nil {
		return nil, err
	}
	disk := &boot.Disk{Table: table}
	for _, part := range table.Partitions {
		switch {
		case part.Role == partition.Root:
			opts := p.rootOptions(0)
			disk.FileSystems = append(disk.FileSystems, boot.FileSystem{
				MountPoint: "/",
				Partition:  part.Number,
				Type:       opts.Kind.String(),
				UUID:       uuid.UUID(opts.UUID).String(),
				Label:      opts.Label,
			})
		case hasFAT(part):
			disk.FileSystems = append(disk.FileSystems, p.bootFAT(table, part))
		}
	}
	return disk, nil
}

// bootFAT returns what boot loaders know of the file system of a boot partition.
func (p *planner) bootFAT(table *partition.Table, part partition.Partition) boot.FileSystem {
	return boot.FileSystem{
		MountPoint: part.MountPoint,
		Partition:  part.Number,
		Type:       boot.TypeFAT,
		UUID:       volumeName(p.volumeID(table, part)),
		Label:      part.Label,
	}
}

// embed puts the boot loader's code onto the disk.
func (p *planner) embed(table *partition.Table) {
	if p.loader == nil {
		return
	}
	if p.loader.BootCode != nil {
		table.BootCode = p.loader.BootCode
	}
	for _, e := range p.loader.Embed {
		table.Embedded = append(table.Embedded, partition.Embedded{Offset: e.Offset, Content: content.Bytes(e.Data)})
	}
	if p.loader.Active == 0 {
		return
	}
	for i := range table.Partitions {
		if table.Partitions[i].Active {
			return
		}
	}
	for i := range table.Partitions {
		table.Partitions[i].Active = table.Partitions[i].Number == p.loader.Active
	}
}
