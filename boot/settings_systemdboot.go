package boot

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Builders of systemd-boot's menu, by the first release of NixOS that has them.
// They differ in how they name entries.
const (
	Builder2405 = "24.05" // nixos-generation-N.conf; without /etc/machine-id a random one
	Builder2505 = "25.05" // nixos-generation-N.conf; device trees
	Builder2605 = "26.05" // nixos-SHA256.conf; boot counting
)

// SystemdBoot is boot.loader.systemd-boot.
type SystemdBoot struct {
	Enable             bool   `json:"enable"` // must not be false
	Editor             bool   `json:"editor"`
	ConsoleMode        string `json:"consoleMode"`
	RebootForBitlocker bool   `json:"rebootForBitlocker"`
	ConfigurationLimit *int   `json:"configurationLimit"` // nil and 0 are all
	Graceful           bool   `json:"graceful"`           // without effect: about the firmware's variables
	// XBOOTLDRMountPoint is where the partition with kernels and entries is
	// mounted; nil is wherever the layout has it, or the EFI system partition.
	XBOOTLDRMountPoint *string `json:"xbootldrMountPoint"`
	SortKey            string  `json:"sortKey"`           // without effect: the system's documents say it
	InstallDeviceTree  bool    `json:"installDeviceTree"` // likewise

	// ExtraFiles are copied from paths of the image to paths of $BOOT.
	// ExtraEntries are texts of files in loader/entries. In an evaluated
	// configuration they hold also what the next four ask for, which then need no
	// File.
	ExtraFiles    map[string]string  `json:"extraFiles"`
	ExtraEntries  map[string]string  `json:"extraEntries"`
	Memtest86     Tool               `json:"memtest86"`
	NetbootXYZ    Tool               `json:"netbootxyz"`
	EDK2UEFIShell Tool               `json:"edk2-uefi-shell"`
	Windows       map[string]Windows `json:"windows"`

	// ExtraEFIDrivers are copied from paths of the image to paths of the EFI
	// system partition.
	ExtraEFIDrivers map[string]string `json:"extraEfiDrivers"`

	BootCounting BootCounting `json:"bootCounting"`

	// ExtraInstallCommands cannot run: they must be empty.
	ExtraInstallCommands string `json:"extraInstallCommands"`

	// What follows is no option of boot.loader.systemd-boot.

	DistroName string `json:"distroName"` // system.nixos.distroName
	Builder    string `json:"builder"`    // one of the constants
	// Systemd is the path in the image of the package that has the loader; "" is
	// that of the system itself.
	Systemd string `json:"systemd"`
	// EFIBinary is the loader as a file of the host; "" takes it from the image.
	EFIBinary string `json:"efiBinary"`
}

// Tool is a program in systemd-boot's menu.
type Tool struct {
	Enable  bool    `json:"enable"`
	SortKey *string `json:"sortKey"` // nil is o_NAME
	File    string  `json:"file"`    // the program: a path of the image
}

// Windows is an entry in systemd-boot's menu for a Windows that the UEFI shell
// can start.
type Windows struct {
	Title           *string `json:"title"` // nil is "Windows NAME"
	EFIDeviceHandle string  `json:"efiDeviceHandle"`
	SortKey         *string `json:"sortKey"` // nil is o_windows_NAME
}

// BootCounting is boot.loader.systemd-boot.bootCounting.
type BootCounting struct {
	Enable bool `json:"enable"`
	Tries  int  `json:"tries"`
}

func newSystemdBoot() *SystemdBoot {
	return &SystemdBoot{
		Enable:       true,
		Editor:       true,
		ConsoleMode:  "keep",
		DistroName:   "NixOS",
		Builder:      Builder2605,
		BootCounting: BootCounting{Tries: 3},
	}
}

// ConsoleModes are the values of ConsoleMode.
var consoleModes = []string{"0", "1", "2", "5", "auto", "max", "keep"}

func (s *SystemdBoot) validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !s.Enable {
		problem("enable is false: leave %s out, or set installBootLoader to false", SystemdBootName)
	}
	if !slices.Contains(consoleModes, s.ConsoleMode) {
		problem("consoleMode is %q: want one of %s", s.ConsoleMode, strings.Join(consoleModes, ", "))
	}
	if s.ConfigurationLimit != nil && *s.ConfigurationLimit < 0 {
		problem("configurationLimit is %d: want 0 or more", *s.ConfigurationLimit)
	}
	if p := s.XBOOTLDRMountPoint; p != nil && !strings.HasPrefix(*p, "/") {
		problem("xbootldrMountPoint is %q: want an absolute path", *p)
	}
	if strings.TrimSpace(s.ExtraInstallCommands) != "" {
		problem("extraInstallCommands cannot run when an image is built without starting it: put files into the image with contents, or start it once with installMethod: vm")
	}
	if builders := []string{Builder2405, Builder2505, Builder2605}; !slices.Contains(builders, s.Builder) {
		problem("builder is %q: want one of %s", s.Builder, strings.Join(builders, ", "))
	}
	if s.BootCounting.Enable && s.Builder != Builder2605 {
		problem("bootCounting: the builder of %s has none; want builder %s", s.Builder, Builder2605)
	}
	if s.BootCounting.Tries < 0 {
		problem("bootCounting.tries is %d: want 0 or more", s.BootCounting.Tries)
	}
	if s.DistroName == "" || strings.ContainsAny(s.DistroName, "\n\r\x00") {
		problem("distroName is %q: want a line of text", s.DistroName)
	}
	problems = append(problems, checkFiles("extraFiles", s.ExtraFiles), checkFiles("extraEfiDrivers", s.ExtraEFIDrivers))
	for _, name := range slices.Sorted(maps.Keys(s.ExtraEntries)) {
		if err := checkRelative(name); err != nil {
			problem("extraEntries: %w", err)
		} else if !strings.HasSuffix(name, ".conf") {
			problem("extraEntries: %q must end in \".conf\"", name)
		}
	}
	return errors.Join(problems...)
}

// checkFiles checks an option that says which files of the image go where.
func checkFiles(option string, files map[string]string) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := checkRelative(name); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", option, err))
		}
		if source := files[name]; !strings.HasPrefix(source, "/") {
			problems = append(problems, fmt.Errorf("%s: %q comes from %q: want an absolute path of the image", option, name, source))
		}
	}
	return errors.Join(problems...)
}

// checkRelative checks a path that is to lie in a directory.
func checkRelative(name string) error {
	if name == "" || name == "." || path.Clean("/"+name) != "/"+name {
		return fmt.Errorf("%q: want a path below the boot partition's root, without \"..\"", name)
	}
	return nil
}
