package builder

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"diskwright/boot"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/nixos"
	"diskwright/nixstore"
	"diskwright/partition"
	"diskwright/progress"
	"diskwright/spec"
	"diskwright/tree"
	"diskwright/vm"
	"diskwright/vm/host"
	"diskwright/vm/overlay"
)

// A virtual machine that installs the boot loader is between two plans. The first
// is of the tree without one; it is written to a scratch disk, and the machine
// changes that. The second is of the same tree with what has changed. The disk has
// the same size and the same partitions both times: what an installer has noted of
// them stays true.
//
//	sources ─┬─► plan ─► scratch disk ─► virtual machine ─┐
//	         └─ copy ───► what has changed ◄──────────────┘
//	                      └─► plan ─► the image

// sized is what a second plan keeps of the first.
type sized struct {
	disk   int64 // bytes, before the format rounds them up
	inodes int64 // of the root file system
}

// GuestError is why there is no program that could be /init of the virtual
// machine.
type GuestError struct {
	System string // of the machine, as Nix names it: "aarch64-linux"
	GOARCH string // the same, as Go names it
	Err    error
}

func (e *GuestError) Error() string {
	return fmt.Sprintf("the virtual machine needs this program for %s: %v", e.System, e.Err)
}

func (e *GuestError) Unwrap() error { return e.Err }

// planInVM plans the disk of a planner, and has a virtual machine install the boot
// loader on it.
func (b *Build) planInVM(ctx context.Context, first *planner) error {
	machine, err := b.machine()
	if err != nil {
		return err
	}
	changed := tree.Clone(first.root)
	if err := b.planDisk(ctx, first); err != nil {
		return err
	}
	request := b.vmRequest(ctx, changed, first)
	request.Machine, request.Guest = *machine, machine.Guest
	result, err := vm.Install(ctx, request)
	if err != nil {
		return b.aboutVM(ctx, err)
	}
	b.spool = append(b.spool, result)
	if b.spec.KeepDisk {
		return b.keepDisk(result)
	}
	return b.planDisk(ctx, b.secondPlanner(first, changed, result))
}

// secondPlanner returns a planner of the tree that a virtual machine has changed.
func (b *Build) secondPlanner(first *planner, root *tree.Inode, r *vm.Result) *planner {
	report := first.report
	report.FileSystems, report.VM = nil, reportVM(r)
	p := newPlanner(b.spec, b.format, &sources{root: root}, report)
	p.identify, p.size, p.again = first.identify, first.size, true
	p.loader, p.efiVars = installed(r), r.Variables
	for _, name := range r.Files.Left {
		p.note("%s: %q, which is made at random, is not in the image as the virtual machine has left it", b.spec.Called("installMethod"), name)
	}
	if v := r.ChangedVariables; v != nil {
		for _, name := range v.Left {
			p.note("%s: the variable %q, which is made at random, is not in %s", b.spec.Called("touchEFIVars"), name, efiVarsFile)
		}
	}
	return p
}

// machine returns the virtual machine that the spec asks for, without what depends
// on the disk.
func (b *Build) machine() (*host.Machine, error) {
	m := &host.Machine{
		Arch:      strings.TrimSuffix(b.Report.System.Platform, "-linux"),
		MemoryMiB: int(b.spec.MemSize),
		Limit:     time.Duration(b.spec.VMTimeout) * time.Second,
		Report:    b.reportGuest,
	}
	if b.spec.VMAccel != spec.AccelAuto {
		m.Accel = host.Accel(b.spec.VMAccel)
	}
	if b.spec.TouchEFIVars {
		m.Firmware = &host.Firmware{SMM: b.spec.EFISMM}
		var err error
		if m.Firmware.Code, err = filepath.Abs(b.spec.EFIFirmware); err != nil {
			return nil, err
		}
		if m.Firmware.Variables, err = filepath.Abs(b.spec.EFIVariables); err != nil {
			return nil, err
		}
	}
	if err := m.Check(); err != nil {
		return nil, b.about("installMethod", err)
	}
	var err error
	if m.Guest, err = b.guestBinary(m.Arch); err != nil {
		return nil, b.about("installMethod", &GuestError{b.Report.System.Platform, host.GOARCH(m.Arch), err})
	}
	return m, nil
}

// guestBinary returns the path of this program for an architecture.
func (b *Build) guestBinary(arch string) (path string, err error) {
	path = b.opts.GuestBinary
	if path == "" {
		if path, err = os.Executable(); err != nil {
			return "", err
		}
		return path, host.CheckGuest(path, arch)
	}
	if err := host.CheckGuest(path, arch); err != nil {
		return "", err
	}
	// Any program could be started as /init; only this one would say that it is
	// there.
	ours, ok := debug.ReadBuildInfo()
	if info, err := buildinfo.ReadFile(path); err != nil || ok && info.Main.Path != ours.Main.Path {
		return "", fmt.Errorf("%q is another program", path)
	}
	return path, nil
}

// reportGuest passes on what happens in the virtual machine.
func (b *Build) reportGuest(e host.Event) {
	switch {
	case e.Step != "":
		progress.Phase(b.opts.Progress, "virtual machine: "+e.Step, 0)
	case len(e.Output) > 0 && b.opts.GuestOutput != nil:
		// Nobody could be told that nobody can be told.
		_, _ = b.opts.GuestOutput.Write(e.Output)
	}
}

// vmRequest says what to install, but for the machine.
func (b *Build) vmRequest(ctx context.Context, root *tree.Inode, first *planner) *vm.Request {
	r := &vm.Request{
		Root:     root,
		Toplevel: b.Report.System.Toplevel,
		Disk:     b.Map(),
		Table:    &first.report.Table,
		RootType: first.rootOptions(0).Kind.String(),
		Links:    b.vmLinks(ctx, root),
		Epoch:    first.epoch,
		Keep:     b.spec.KeepDisk,
		Dir:      b.opts.Spool,
		Workers:  b.opts.Workers,
		Progress: b.opts.Progress,
	}
	for _, c := range b.spec.Contents {
		if c.User != "" {
			r.Owners = append(r.Owners, vm.Owner{Path: c.Target, User: c.User, Group: c.Group})
		}
	}
	return r
}

// vmLinks returns names that the system's installer has for the disk: those that
// the spec says, and those that are in settings that can be read.
func (b *Build) vmLinks(ctx context.Context, root *tree.Inode) []string {
	links := slices.Clone(b.spec.VMDevices)
	settings, err := nixos.ReadBootLoader(ctx, root.Lookup(nixstore.StoreDir), nixstore.Path(b.Report.System.Toplevel))
	if err != nil || settings == nil {
		return links // an installer that is not known is why there is a virtual machine
	}
	var devices []string
	if settings.GRUB != nil {
		for _, boot := range settings.GRUB.Boots() {
			devices = append(devices, boot.Devices...)
		}
	}
	if settings.Limine != nil {
		devices = append(devices, settings.Limine.BIOSDevice)
	}
	for _, name := range devices {
		if strings.HasPrefix(name, "/dev/") && filepath.Clean(name) == name && !slices.Contains(links, name) {
			links = append(links, name)
		}
	}
	return links
}

// aboutVM says which parameter an error of a virtual machine is about, and what
// else could be asked for.
func (b *Build) aboutVM(ctx context.Context, err error) error {
	var place *overlay.PlaceError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &place):
		return b.about("installMethod", fmt.Errorf("%w; keepDisk takes the disk as it is", err))
	default:
		return b.about("installMethod", err)
	}
}

// installed returns what is outside of file systems as a boot loader that was
// installed.
func installed(r *vm.Result) *boot.Installation {
	loader := &boot.Installation{BootCode: r.Areas.BootCode, Active: r.Areas.Active}
	for _, area := range r.Areas.Embedded {
		loader.Embed = append(loader.Embed, boot.Embedded{Offset: area.Offset, Data: area.Data})
	}
	return loader
}

// keepDisk takes the disk as the virtual machine has left it.
func (b *Build) keepDisk(r *vm.Result) error {
	disk, err := r.Disk()
	if err != nil {
		return err
	}
	b.disks, b.efiVars = []*diskmap.Map{disk}, r.Variables
	b.Report.DataBytes = disk.DataSize()
	for n := range b.Report.FileSystems {
		if err := b.Report.FileSystems[n].reread(disk, &b.Report.Table); err != nil {
			return err
		}
	}
	b.Report.Deterministic = false
	b.Report.VM = reportVM(r)
	b.Report.Notes = append(b.Report.Notes, b.spec.Called("keepDisk")+": the disk is as the virtual machine has left it; another build has other bytes")
	for _, name := range r.Random {
		b.Report.Notes = append(b.Report.Notes, fmt.Sprintf("%s: %q, which was made at random, is in the image", b.spec.Called("keepDisk"), name))
	}
	return nil
}

// reread makes a description of a file system true of a disk on which it was
// changed.
func (fs *FileSystem) reread(disk *diskmap.Map, table *partition.Table) error {
	part := table.Partitions[slices.IndexFunc(table.Partitions, func(p partition.Partition) bool { return p.Number == fs.Partition })]
	section := io.NewSectionReader(disk, table.Offset(part), table.Size(part))
	if part.Role == partition.Root {
		v, err := ext4.Open(section, section.Size())
		if err != nil {
			return fmt.Errorf("reading %s back: %w", fs.MountPoint, err)
		}
		s := v.Superblock()
		fs.Free, fs.FreeInodes = int64(s.FreeBlocks)*fs.BlockSize, int64(s.FreeInodes)
		fs.Used = fs.Size - fs.Free
		return nil
	}
	v, err := fat.Open(section, section.Size())
	if err != nil {
		return fmt.Errorf("reading %s back: %w", fs.MountPoint, err)
	}
	info, err := v.Info()
	if err != nil {
		return fmt.Errorf("reading %s back: %w", fs.MountPoint, err)
	}
	fs.Free, fs.Used = info.Free(), info.Size-info.Free()
	return nil
}

// reportVM says what a virtual machine has changed.
func reportVM(r *vm.Result) *VM {
	report := &VM{KeptDisk: r.Files == nil, Random: r.Random}
	if f := r.Files; f != nil {
		report.Changes, report.LeftOut = Changes{f.Added, f.Changed, f.Removed}, f.Left
	}
	if a := r.Areas; a != nil {
		report.BootCode, report.Active = a.BootCode != nil, a.Active
		for _, area := range a.Embedded {
			report.Written = append(report.Written, Written{area.Offset, int64(len(area.Data))})
		}
	}
	if v := r.ChangedVariables; v != nil {
		report.Variables = &Variables{Changes{v.Added, v.Changed, v.Removed}, v.Left}
	}
	return report
}
