package grub

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"diskwright/boot"
)

// state is the file /boot/grub/state, by which install-grub.pl knows whether it
// must run grub-install again: one line for each of the things that it depends
// on.
func (m *mirror) state() (string, error) {
	name := m.g.FullName
	if name == "" {
		name = "grub"
	}
	version, err := m.version()
	if err != nil {
		return "", err
	}
	args := m.g.ExtraGrubInstallArgs
	if args == nil {
		args = []string{}
	}
	list, err := json.Marshal(map[string][]string{"extraGrubInstallArgs": args})
	if err != nil {
		return "", err
	}
	lines := []string{name, version, m.firmware(), strings.Join(m.boot.Devices, ","), m.espMountPoint(), string(list)}
	return strings.Join(lines, "\n") + "\n", nil
}

// firmware says what is installed, in the reference's words.
func (m *mirror) firmware() string {
	switch {
	case m.bios() && m.efi():
		return "both"
	case m.bios():
		return "no"
	case m.efi():
		return "only"
	}
	return "neither"
}

// packageVersion finds the version in the name of a package's store object.
var packageVersion = regexp.MustCompile(`^/nix/store/[0-9a-z]{32}-grub-([0-9][0-9A-Za-z._+]*)`)

// version returns GRUB's version.
func (m *mirror) version() (string, error) {
	if m.g.FullVersion != "" {
		return m.g.FullVersion, nil
	}
	for _, dir := range []string{m.g.Grub, m.g.GrubEFI} {
		if found := packageVersion.FindStringSubmatch(dir); found != nil {
			return found[1], nil
		}
	}
	return "", errors.New("grub is missing, or no store path that ends in a version: want the path of GRUB's package (grubEfi for UEFI), or fullVersion")
}

// espMountPoint returns where the EFI system partition is mounted; without one,
// where NixOS would mount it.
func (m *mirror) espMountPoint() string {
	if p := m.boot.EFISysMountPoint; p != nil {
		return *p
	}
	if p := m.r.Settings.EFI.EFISysMountPoint; p != "" {
		return p
	}
	if esp, err := m.r.Disk.ESP(""); err == nil {
		return esp.MountPoint
	}
	return "/boot"
}

// bootloaderID is the name of the loader's directory on the EFI system
// partition.
func (m *mirror) bootloaderID() (string, error) {
	id := m.g.DistroName + strings.ReplaceAll(m.espMountPoint(), "/", "-")
	if p := m.boot.EFIBootloaderID; p != nil {
		id = *p
	}
	if id == "" || id == "." || id == ".." || strings.ContainsAny(id, `/\:*?"<>|`) {
		return "", fmt.Errorf("efiBootloaderId: %q is no name of a directory of a FAT", id)
	}
	return id, nil
}

// bios and efi report which firmware is to start the image. Any device is the
// image's own disk.
func (m *mirror) bios() bool {
	return len(m.boot.Devices) > 0 && m.boot.Devices[0] != boot.NoDevice
}

func (m *mirror) efi() bool { return m.g.EFISupport }
