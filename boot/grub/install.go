package grub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"diskwright/boot"
	"diskwright/partition"
	"diskwright/tree"
)

// Install installs GRUB with the settings of the request, which must have some
// for it. It runs grub-mkimage (see the package's documentation), and stops it
// when ctx is done.
func Install(ctx context.Context, r *boot.Request) (*boot.Installation, error) {
	if r.Settings.GRUB == nil {
		return nil, errors.New("these are no settings of grub")
	}
	in, err := install(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", boot.GRUBName, err)
	}
	return in, nil
}

func install(ctx context.Context, r *boot.Request) (*boot.Installation, error) {
	if r.Disk.Layout() == partition.EFIXBOOTLDR {
		return nil, fmt.Errorf("partitionTableType %s has two boot partitions, and GRUB knows one: want systemd-boot, or another partitionTableType", partition.EFIXBOOTLDR)
	}
	if r.System == nil && len(r.Settings.Entries) == 0 {
		return nil, errors.New("entries is empty: the root tree has no NixOS system, so the menu must be given")
	}
	g := forLayout(r)
	in := &boot.Installation{}
	for _, b := range g.Boots() {
		if len(b.Devices) == 0 {
			return nil, fmt.Errorf("devices is empty: want the name of a device, which means the image's own disk, or %q", boot.NoDevice)
		}
		m := &mirror{ctx: ctx, r: r, g: g, in: in, boot: b}
		m.boot.Path = path.Clean(b.Path)
		if err := m.install(); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// forLayout returns the settings of a request. Those for a system that is not
// NixOS need not say what firmware is to start it: all that the layout is for.
func forLayout(r *boot.Request) *boot.GRUB {
	g := *r.Settings.GRUB
	if r.System != nil || g.Device != "" || len(g.Devices) > 0 || len(g.MirroredBoots) > 0 {
		return &g
	}
	g.Devices = []string{boot.NoDevice}
	if _, ok := r.Disk.ByRole(partition.BIOSBoot); ok || r.Disk.Table.Scheme == partition.MBR {
		g.Devices = []string{"/dev/disk"} // any name
	}
	if _, ok := r.Disk.ByRole(partition.ESP); ok && !g.EFISupport {
		g.EFISupport = true
		g.EFIInstallAsRemovable = !r.Settings.EFI.CanTouchEFIVariables
	}
	return &g
}

// mirror installs one element of mirroredBoots. Of several that install boot
// code the last one's is started, as on a real disk.
type mirror struct {
	ctx  context.Context
	r    *boot.Request
	g    *boot.GRUB
	boot boot.GRUBBoot
	in   *boot.Installation
}

// install does what install-grub.pl does.
func (m *mirror) install() error {
	if err := m.check(); err != nil {
		return err
	}
	if err := m.configure(); err != nil {
		return err
	}
	if !m.bios() && !m.efi() {
		return nil
	}
	return m.installPlatforms()
}

// configure adds what install-grub.pl writes itself: all but GRUB.
func (m *mirror) configure() error {
	mode := uint32(0o755)
	if m.r.System != nil {
		mode = 0o700
	}
	m.in.AddDir(m.prefix(), mode, m.r.Epoch)
	if err := m.installMenu(); err != nil {
		return err
	}
	if err := m.prepare(); err != nil {
		return err
	}
	if m.r.System != nil {
		state, err := m.state()
		if err != nil {
			return err
		}
		m.in.AddText(m.prefix()+"/state", 0o644, state, m.r.Epoch)
	}
	return m.finish()
}

// prefix is GRUB's own directory.
func (m *mirror) prefix() string { return path.Join(m.boot.Path, "grub") }

// check refuses what the disk has no place for.
func (m *mirror) check() error {
	disk := m.r.Disk
	if m.efi() {
		if err := disk.CheckESP("efiSysMountPoint", m.espMountPoint()); err != nil {
			return err
		}
		if m.g.EFIInstallAsRemovable && m.r.Settings.EFI.CanTouchEFIVariables {
			return errors.New("efiInstallAsRemovable and canTouchEfiVariables are both true: a loader that goes by the name of any has no boot entry; want one of them")
		}
	}
	if !m.bios() {
		return nil
	}
	for _, device := range m.boot.Devices {
		if err := disk.CheckDevice("devices", device); err != nil {
			return err
		}
	}
	if _, ok := disk.ByRole(partition.BIOSBoot); disk.Table.Scheme == partition.GPT && !ok {
		return fmt.Errorf("devices is %q: %s has no BIOS boot partition; want %q, or partitionTableType hybrid or legacy+gpt",
			m.boot.Devices, disk.Parameter(), boot.NoDevice)
	}
	return nil
}

// installMenu adds grub.cfg and what it refers to.
func (m *mirror) installMenu() error {
	menu := &menu{mirror: m, out: &strings.Builder{}, copies: map[string]string{}}
	text, err := menu.render()
	if err != nil {
		return err
	}
	m.in.AddText(m.prefix()+"/grub.cfg", 0o644, text, m.r.Epoch)
	return m.copyKernels(menu.copies)
}

// copyKernels adds the files that the menu reads from /boot/kernels, and removes
// others from there.
func (m *mirror) copyKernels(copies map[string]string) error {
	dir := path.Join(m.boot.Path, "kernels")
	if old, _, err := m.r.Files.Lookup(dir); err == nil && old.IsDir() {
		for _, e := range old.Entries {
			if copies[e.Name] == "" && !strings.HasPrefix(e.Name, ".") && !e.Inode.IsDir() {
				m.in.Remove = append(m.in.Remove, dir+"/"+e.Name)
			}
		}
	}
	if len(copies) > 0 {
		m.in.AddDir(dir, 0o755, m.r.Epoch)
	}
	for _, name := range sortedKeys(copies) {
		if err := m.copyFile(copies[name], dir+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// installPlatforms does what grub-install does for each platform.
func (m *mirror) installPlatforms() error {
	fs, rest := m.r.Disk.At(m.prefix())
	modules, device, err := m.path(fs)
	if err != nil {
		return err
	}
	if m.bios() {
		if err := m.installBIOS(append(modules, "biosdisk"), device+rest); err != nil {
			return fmt.Errorf("for %s: %w", m.g.Target, err)
		}
	}
	if m.efi() {
		if err := m.installEFI(modules, device+rest); err != nil {
			return fmt.Errorf("for %s: %w", m.g.TargetEFI, err)
		}
	}
	return nil
}

// path returns the modules that read a file system, in grub-install's order,
// and the device that it is on: a partition of the disk that GRUB was started
// from.
func (m *mirror) path(fs boot.FileSystem) (modules []string, device string, err error) {
	switch fs.Type {
	case "vfat":
		modules = []string{"fat"}
	case "ext2", "ext3", "ext4":
		modules = []string{"ext2"}
	default:
		return nil, "", fmt.Errorf("GRUB's files are on %s, a file system of type %q: want vfat or ext4", fs.MountPoint, fs.Type)
	}
	switch m.r.Disk.Table.Scheme {
	case partition.MBR:
		return append(modules, "part_msdos"), fmt.Sprintf("(,msdos%d)", fs.Partition), nil
	case partition.GPT:
		return append(modules, "part_gpt"), fmt.Sprintf("(,gpt%d)", fs.Partition), nil
	}
	return nil, "", fmt.Errorf("%s has no partition for GRUB's files", m.r.Disk.Parameter())
}

// installBIOS adds the platform of PCs with a BIOS, and what it embeds.
func (m *mirror) installBIOS(modules []string, prefix string) error {
	p, err := m.installPlatform("grub", m.g.Grub, m.g.Target)
	if err != nil {
		return err
	}
	cores, err := m.mkimage(p, modules, prefix)
	if err != nil {
		return err
	}
	core := cores[0]
	image, err := p.read("boot.img")
	if err != nil {
		return err
	}
	start, room, err := m.place()
	if err != nil {
		return err
	}
	embedded, err := embeddedCore(core, start, room)
	if err != nil {
		return err
	}
	if m.in.BootCode, err = bootCode(image, m.r.Disk.Table.BootCode, start); err != nil {
		return err
	}
	m.in.Embed = []boot.Embedded{{Offset: start * sectorSize, Data: embedded}}
	dir := path.Join(m.prefix(), m.g.Target)
	m.in.AddText(dir+"/boot.img", 0o644, string(image), m.r.Epoch)
	m.in.AddText(dir+"/core.img", 0o644, string(core), m.r.Epoch)
	return nil
}

// place returns where the core image goes, in sectors: into the BIOS boot
// partition, or behind the MBR up to the first partition.
func (m *mirror) place() (start, room int64, err error) {
	table := m.r.Disk.Table
	if part, ok := table.ByRole(partition.BIOSBoot); ok {
		return part.Start, part.Sectors, nil
	}
	first := slices.MinFunc(table.Partitions, func(a, b partition.Partition) int { return cmp.Compare(a.Start, b.Start) })
	if first.Start <= 1 {
		return 0, 0, fmt.Errorf("the first partition begins in sector %d: there is no gap behind the MBR", first.Start)
	}
	return 1, first.Start - 1, nil
}

// fileNames are the names of a platform's loader on the EFI system partition: in
// EFI/BOOT, where firmware looks, and in a directory of its own.
var fileNames = map[string]struct{ removable, own string }{
	"x86_64-efi": {"BOOTX64.EFI", "grubx64.efi"},
	"i386-efi":   {"BOOTIA32.EFI", "grubia32.efi"},
	"arm64-efi":  {"BOOTAA64.EFI", "grubaa64.efi"},
}

// installEFI adds a platform of UEFI, and the program on the EFI system
// partition.
func (m *mirror) installEFI(modules []string, prefix string) error {
	names, ok := fileNames[m.g.TargetEFI]
	if !ok {
		return fmt.Errorf("grubTargetEfi is %q: want one of %s", m.g.TargetEFI, strings.Join(sortedKeys(fileNames), ", "))
	}
	p, err := m.installPlatform("grubEfi", cmp.Or(m.g.GrubEFI, m.g.Grub), m.g.TargetEFI)
	if err != nil {
		return err
	}
	// grub-install makes another one, without a prefix, that nothing uses.
	cores, err := m.mkimage(p, modules, prefix, "")
	if err != nil {
		return err
	}
	core, bare := cores[0], cores[1]
	dir := path.Join(m.prefix(), m.g.TargetEFI)
	m.in.AddText(dir+"/core.efi", 0o644, string(core), m.r.Epoch)
	m.in.AddText(dir+"/grub.efi", 0o644, string(bare), m.r.Epoch)

	id, err := m.bootloaderID()
	if err != nil {
		return err
	}
	folder, name := id, names.own
	if m.g.EFIInstallAsRemovable {
		folder, name = "BOOT", names.removable
	}
	m.in.AddText(path.Join(m.espMountPoint(), "EFI", folder, name), 0o644, string(core), m.r.Epoch)
	if m.r.Settings.EFI.CanTouchEFIVariables {
		m.in.EFIEntry = &boot.EFIEntry{Description: id, Path: `\EFI\` + id + `\` + names.own}
	}
	return nil
}

// newFile is a file of an installation.
func newFile(name string, i *tree.Inode) boot.File { return boot.File{Path: name, Inode: i} }

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
