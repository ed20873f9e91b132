// Package extlinux writes the menu that U-Boot and others read in the format of
// SYSLINUX's extlinux, as NixOS's generic-extlinux-compatible does.
//
//	/boot
//	├── extlinux/extlinux.conf
//	└── nixos/HASH-linux-6.12.1-Image     kernels, initrds and directories of device trees:
//	                                      what is in the store, with "-" for "/"
//
// Nothing is installed that firmware could start: the loader that reads the
// menu is part of the firmware, or put on the disk by other means.
package extlinux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"diskwright/boot"
	"diskwright/nixstore"
)

// Install returns what installing the menu adds to an image.
func Install(ctx context.Context, r *boot.Request) (*boot.Installation, error) {
	if r.Settings.Extlinux == nil {
		return nil, fmt.Errorf("these are no settings of %s", boot.ExtlinuxName)
	}
	if r.System == nil {
		return nil, fmt.Errorf("%s: want a NixOS system", boot.ExtlinuxName)
	}
	out := &boot.Installation{}
	for _, m := range r.Settings.Extlinux.MirroredBoots {
		i := &installer{Request: r, s: r.Settings.Extlinux, out: out, dir: m.Path}
		if err := i.install(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", boot.ExtlinuxName, err)
		}
	}
	return out, nil
}

// installer adds to an installation what goes into one directory.
type installer struct {
	*boot.Request
	s   *boot.Extlinux
	out *boot.Installation
	dir string

	menu strings.Builder
}

// header begins the menu. The title is a line because some loaders show the
// menu only if it has one.
const header = `# Generated file, all changes will be lost on nixos-rebuild!

# Change this to e.g. nixos-42 to temporarily boot to an older configuration.
DEFAULT nixos-default

MENU TITLE ------------------------------------------------------------
TIMEOUT %d
`

func (i *installer) install(ctx context.Context) error {
	i.out.AddDir(i.dir+"/nixos", 0o755, i.Epoch)
	i.out.AddDir(i.dir+"/extlinux", 0o755, i.Epoch)
	i.collect()
	fmt.Fprintf(&i.menu, header, timeout(i.Settings.Timeout))
	top, err := i.toplevel()
	if err != nil {
		return err
	}
	if err := i.entry(top, "default", "Default"); err != nil {
		return err
	}
	generations := i.System.Profiles[0].Generations
	for _, g := range slices.Backward(generations[max(0, len(generations)-i.s.ConfigurationLimit):]) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := i.generation(g); err != nil {
			return err
		}
	}
	i.out.AddText(i.dir+"/extlinux/extlinux.conf", 0o644, i.menu.String(), i.Epoch)
	return nil
}

// timeout returns tenths of a second. Zero waits forever, so that no waiting is
// a negative number.
func timeout(seconds *int) int {
	switch {
	case seconds == nil:
		return 0
	case *seconds == 0:
		return -10
	}
	return *seconds * 10
}

// toplevel returns how to start the system that starts by default.
func (i *installer) toplevel() (*boot.Document, error) {
	for _, g := range i.System.Profiles[0].Generations {
		if g.Top == i.System.Toplevel {
			return &g.Document, nil
		}
	}
	return boot.ReadDocument(i.Files, i.System.Toplevel)
}

// generation adds the entries of a generation, and of its specialisations if the
// builder has any.
func (i *installer) generation(g boot.Generation) error {
	if !i.s.Specialisations {
		number := fmt.Sprint(g.Number)
		return i.entry(&g.Document, number, "Configuration "+number+description(g.Built, g.Version))
	}
	number := fmt.Sprintf("%d-default", g.Number)
	if err := i.entry(&g.Document, number, "Configuration "+number+description(g.Built, g.Version)); err != nil {
		return err
	}
	for _, s := range slices.Backward(g.Specialisations) {
		version, err := i.Files.Read(s.Toplevel + "/nixos-version")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		number := fmt.Sprintf("%d-%s", g.Number, s.Name)
		title := "Configuration " + number + description(s.Built, strings.TrimRight(string(version), "\n"))
		if err := i.entry(&s.Document, number, title); err != nil {
			return err
		}
	}
	return nil
}

func description(built int64, version string) string {
	return fmt.Sprintf(" (%s - %s)", time.Unix(built, 0).UTC().Format("2006-01-02 15:04"), version)
}

// entry adds an entry of the menu and the files that it needs.
func (i *installer) entry(d *boot.Document, label, title string) error {
	if err := boot.CheckSecrets(i.Files, d); err != nil {
		return err
	}
	kernel, err := i.copyToBoot(d.Kernel)
	if err != nil {
		return err
	}
	fmt.Fprintf(&i.menu, "\nLABEL nixos-%s\n  MENU LABEL NixOS - %s\n  LINUX ../nixos/%s\n", label, title, kernel)
	if d.Initrd != "" {
		initrd, err := i.copyToBoot(d.Initrd)
		if err != nil {
			return err
		}
		fmt.Fprintf(&i.menu, "  INITRD ../nixos/%s\n", initrd)
	}
	fmt.Fprintf(&i.menu, "  APPEND init=%s %s\n", d.Init, strings.Join(d.KernelParams, " "))
	trees := d.Toplevel + "/dtbs"
	if !i.Files.Exists(trees) {
		return nil
	}
	// They are copied even if the menu does not name them.
	dir, err := i.copyToBoot(trees)
	switch {
	case err != nil:
		return err
	case !i.s.UseGenerationDeviceTree:
	case i.s.DeviceTree != "":
		if _, _, err := i.Files.Regular(trees + "/" + i.s.DeviceTree); err != nil {
			return fmt.Errorf("hardware.deviceTree.name: %w", err)
		}
		fmt.Fprintf(&i.menu, "  FDT ../nixos/%s/%s\n", dir, i.s.DeviceTree)
	default:
		fmt.Fprintf(&i.menu, "  FDTDIR ../nixos/%s\n", dir)
	}
	return nil
}

// copyToBoot adds a copy of a file or directory of the store, and returns its
// name.
func (i *installer) copyToBoot(name string) (string, error) {
	file, real, err := i.Files.Lookup(name)
	if err != nil {
		return "", err
	}
	below, ok := strings.CutPrefix(real, nixstore.StoreDir+"/")
	if !ok {
		return "", fmt.Errorf("%q leads to %q: want something in %s", name, real, nixstore.StoreDir)
	}
	base := strings.ReplaceAll(below, "/", "-")
	if target := path.Join(i.dir, "nixos", base); !i.out.Has(target) {
		i.out.AddCopy(target, file)
	}
	return base, nil
}

// collect removes what an earlier installation left.
func (i *installer) collect() {
	dir, _, err := i.Files.Lookup(i.dir + "/nixos")
	if err != nil {
		return
	}
	for _, e := range dir.Entries {
		if !strings.HasPrefix(e.Name, ".") {
			i.out.Remove = append(i.out.Remove, i.dir+"/nixos/"+e.Name)
		}
	}
}
