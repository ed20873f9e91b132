package systemdboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/partition"
	"diskwright/tree"
)

// Install returns what installing systemd-boot adds to an image.
func Install(ctx context.Context, r *boot.Request) (*boot.Installation, error) {
	if r.Settings.SystemdBoot == nil {
		return nil, errors.New("these are no settings of systemd-boot")
	}
	i := &installer{Request: r, s: r.Settings.SystemdBoot, out: &boot.Installation{}}
	if err := i.mounts(); err != nil {
		return nil, err
	}
	if r.System == nil {
		return i.out, errors.Join(i.loader(), i.otherMenu())
	}
	if len(r.Settings.Entries) > 0 {
		return nil, errors.New("entries: a NixOS system makes its own; want extraEntries, or an image without system")
	}
	return i.out, errors.Join(i.loader(), i.menu(ctx), i.extra())
}

// installer adds to an installation.
type installer struct {
	*boot.Request
	s   *boot.SystemdBoot
	out *boot.Installation

	esp  string // where the EFI system partition is mounted
	boot string // likewise of kernels and entries
}

// mounts finds the partitions, and checks that they are where the settings say.
func (i *installer) mounts() error {
	esp, err := i.Disk.ESP(boot.SystemdBootName)
	if err != nil {
		return err
	}
	i.esp, i.boot = esp.MountPoint, esp.MountPoint
	option := i.Settings.EFI.EFISysMountPoint
	if option != "" {
		if err := i.Disk.CheckESP("efi.efiSysMountPoint", path.Clean(option)); err != nil {
			return err
		}
	}
	xbootldr, has := i.Disk.ByRole(partition.Boot)
	switch wanted := i.s.XBOOTLDRMountPoint; {
	case wanted == nil && option == "" && has:
		i.boot = xbootldr.MountPoint
	case wanted == nil:
	case !has:
		return fmt.Errorf("systemd-boot.xbootldrMountPoint is %q: %s has no such partition; want null, or efixbootldr", *wanted, i.Disk.Parameter())
	case path.Clean(*wanted) != xbootldr.MountPoint:
		return fmt.Errorf("systemd-boot.xbootldrMountPoint is %q: %s has that partition at %s", *wanted, i.Disk.Parameter(), xbootldr.MountPoint)
	default:
		i.boot = xbootldr.MountPoint
	}
	return nil
}

// loader adds what bootctl install does.
func (i *installer) loader() error {
	arch, err := i.architecture()
	if err != nil {
		return err
	}
	binary, err := i.binary(arch)
	if err != nil {
		return err
	}
	for _, dir := range []string{"/EFI", "/EFI/systemd", "/EFI/BOOT", "/loader", "/loader/keys"} {
		i.out.AddDir(i.esp+dir, 0o755, i.Epoch)
	}
	for _, dir := range []string{"/loader", "/loader/entries", "/EFI", "/EFI/Linux"} {
		i.out.AddDir(i.boot+dir, 0o755, i.Epoch)
	}
	for _, name := range []string{"/EFI/systemd/systemd-boot" + arch + ".efi", "/EFI/BOOT/BOOT" + strings.ToUpper(arch) + ".EFI"} {
		i.out.AddFile(i.esp+name, 0o644, binary.Content, binary.Mtime)
	}
	// Tells that entries are sorted as the Boot Loader Specification says.
	i.out.AddText(i.boot+"/loader/entries.srel", 0o644, "type1\n", i.Epoch)
	if i.Settings.EFI.CanTouchEFIVariables {
		i.out.EFIEntry = &boot.EFIEntry{
			Description: "Linux Boot Manager",
			Path:        `\EFI\systemd\systemd-boot` + arch + `.efi`,
		}
	}
	return nil
}

// architectures are the names that UEFI and systemd have for those of Nix.
var architectures = map[string]string{
	"x86_64":      "x64",
	"i686":        "ia32",
	"aarch64":     "aa64",
	"armv6l":      "arm",
	"armv7l":      "arm",
	"riscv64":     "riscv64",
	"loongarch64": "loongarch64",
}

// architecture returns what UEFI calls the system's architecture: what NixOS
// says, or whatever loader there is.
func (i *installer) architecture() (string, error) {
	if i.System != nil {
		generations := i.System.Profiles[0].Generations
		if len(generations) == 0 {
			return "", errors.New("systemd-boot: the system has no generation in /nix/var/nix/profiles")
		}
		platform := generations[len(generations)-1].System
		cpu, _, _ := strings.Cut(platform, "-")
		if arch, ok := architectures[cpu]; ok {
			return arch, nil
		}
		return "", fmt.Errorf("systemd-boot: no loader is known for systems of %q", platform)
	}
	if i.s.EFIBinary != "" {
		name := strings.TrimSuffix(path.Base(i.s.EFIBinary), ".signed")
		arch, ok := strings.CutPrefix(strings.TrimSuffix(name, ".efi"), "systemd-boot")
		if !ok || arch == "" {
			return "", fmt.Errorf("systemd-boot.efiBinary is %q: want a file named systemd-bootARCH.efi, as in systemd-bootx64.efi", i.s.EFIBinary)
		}
		return arch, nil
	}
	names, err := i.Files.ReadDir(i.packageDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, name := range names {
		arch, ok := strings.CutPrefix(strings.TrimSuffix(name, ".signed"), "systemd-boot")
		if arch, isEFI := strings.CutSuffix(arch, ".efi"); ok && isEFI {
			return arch, nil
		}
	}
	return "", fmt.Errorf("systemd-boot: the image has no systemd-boot*.efi in %s: install the package systemd-boot-efi into root, or set systemd-boot.efiBinary to a file of this machine", i.packageDir())
}

// packageDir returns the directory of the image that has the loader.
func (i *installer) packageDir() string {
	switch {
	case i.s.Systemd != "":
		return i.s.Systemd + "/lib/systemd/boot/efi"
	case i.System != nil:
		return i.System.Toplevel + "/systemd/lib/systemd/boot/efi"
	}
	return "/usr/lib/systemd/boot/efi"
}

// binary returns the loader; a signed one is preferred, as by bootctl.
func (i *installer) binary(arch string) (*tree.Inode, error) {
	if i.s.EFIBinary != "" {
		src, err := content.StatHostFile(i.s.EFIBinary)
		if err != nil {
			return nil, fmt.Errorf("systemd-boot.efiBinary: %w", err)
		}
		return tree.NewFile(src, i.Epoch), nil
	}
	name := i.packageDir() + "/systemd-boot" + arch + ".efi"
	if i.Files.Exists(name + ".signed") {
		name += ".signed"
	}
	file, _, err := i.Files.Regular(name)
	if err != nil {
		return nil, fmt.Errorf("systemd-boot: the system has no loader: %w", err)
	}
	return file, nil
}
