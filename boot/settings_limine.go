package boot

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Limine is boot.loader.limine.
type Limine struct {
	Enable bool `json:"enable"` // must not be false

	EFISupport bool `json:"efiSupport"`
	// EFIInstallAsRemovable has the loader where firmware looks by itself; nil is
	// wherever it may not touch the firmware's variables.
	EFIInstallAsRemovable *bool `json:"efiInstallAsRemovable"`

	BIOSSupport *bool  `json:"biosSupport"` // nil is without efiSupport
	BIOSDevice  string `json:"biosDevice"`  // "nodev", or any name for the image's disk
	// PartitionIndex is the number of the BIOS boot partition of a GPT; nil is the
	// one that it has, or else the space in front of its partitions.
	PartitionIndex *int `json:"partitionIndex"`
	Force          bool `json:"force"` // without effect: what it overrides does not happen on a new disk

	MaxGenerations *int   `json:"maxGenerations"` // nil and 0 are all
	EnableEditor   bool   `json:"enableEditor"`
	ExtraConfig    string `json:"extraConfig"`  // before all settings
	ExtraEntries   string `json:"extraEntries"` // behind all entries
	// AdditionalFiles are copied from paths of the image to paths below the
	// directory limine of the partition.
	AdditionalFiles map[string]string `json:"additionalFiles"`

	ValidateChecksums       bool  `json:"validateChecksums"`
	PanicOnChecksumMismatch bool  `json:"panicOnChecksumMismatch"`
	EnrollConfig            *bool `json:"enrollConfig"` // nil is what panicOnChecksumMismatch is

	// SecureBoot must not be enabled: the keys are the machine's.
	SecureBoot struct {
		Enable              bool   `json:"enable"`
		CreateAndEnrollKeys bool   `json:"createAndEnrollKeys"`
		Sbctl               string `json:"sbctl"`
	} `json:"secureBoot"`

	Style LimineStyle `json:"style"`

	// Package is the path in the image of the package that has the loader; "" is
	// the only one in the store.
	Package string `json:"package"`

	// What follows is no option of boot.loader.limine.

	// BIOSImage is what goes into the disk for BIOS, as a file of the host: a
	// limine-bios-hdd.h or .bin, or the program limine, which has it in it; ""
	// takes it from the package.
	BIOSImage string `json:"biosImage"`
}

// LimineStyle is boot.loader.limine.style. What is nil is not in the menu.
type LimineStyle struct {
	Wallpapers     []string `json:"wallpapers"` // paths of the image
	WallpaperStyle *string  `json:"wallpaperStyle"`
	Backdrop       *string  `json:"backdrop"`
	Interface      struct {
		Resolution    *string `json:"resolution"`
		Branding      *string `json:"branding"`
		BrandingColor *int    `json:"brandingColor"`
		HelpHidden    bool    `json:"helpHidden"`
	} `json:"interface"`
	GraphicalTerminal struct {
		Font struct {
			Scale   *string `json:"scale"`
			Spacing *int    `json:"spacing"`
		} `json:"font"`
		Palette          *string `json:"palette"`
		BrightPalette    *string `json:"brightPalette"`
		Foreground       *string `json:"foreground"`
		Background       *string `json:"background"`
		BrightForeground *string `json:"brightForeground"`
		BrightBackground *string `json:"brightBackground"`
		Margin           *int    `json:"margin"`
		MarginGradient   *int    `json:"marginGradient"`
	} `json:"graphicalTerminal"`
}

func newLimine() *Limine {
	return &Limine{Enable: true, EFISupport: true, BIOSDevice: NoDevice, ValidateChecksums: true}
}

func (l *Limine) hostPaths() []*string { return []*string{&l.BIOSImage} }

// BIOS reports whether limine is to start from a BIOS.
func (l *Limine) BIOS() bool {
	if l.BIOSSupport != nil {
		return *l.BIOSSupport
	}
	return !l.EFISupport
}

// Removable reports whether the loader is to be where firmware looks by itself.
func (l *Limine) Removable(efi EFI) bool {
	if l.EFIInstallAsRemovable != nil {
		return *l.EFIInstallAsRemovable
	}
	return !efi.CanTouchEFIVariables
}

// Enroll reports whether the loader's program gets the hash of its menu.
func (l *Limine) Enroll() bool {
	if l.EnrollConfig != nil {
		return *l.EnrollConfig
	}
	return l.PanicOnChecksumMismatch
}

func (l *Limine) validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !l.Enable {
		problem("enable is false: leave %s out, or set installBootLoader to false", LimineName)
	}
	if !l.EFISupport && !l.BIOS() {
		problem("efiSupport and biosSupport are false: want at least one of them")
	}
	if l.BIOSDevice == "" {
		problem("biosDevice is empty: want %q, or any name for the image's disk", NoDevice)
	}
	if l.PartitionIndex != nil && *l.PartitionIndex < 1 {
		problem("partitionIndex is %d: want the number of a partition, or null", *l.PartitionIndex)
	}
	if l.MaxGenerations != nil && *l.MaxGenerations < 0 {
		problem("maxGenerations is %d: want a number, or null for all", *l.MaxGenerations)
	}
	if l.SecureBoot.Enable {
		problem("secureBoot.enable is true: signing needs the keys of the machine that is to start, which are not there when an image is built; " +
			"want false, or sign on the machine")
	}
	if p := l.Package; p != "" && !strings.HasPrefix(p, "/") {
		problem("package is %q: want an absolute path of the image", p)
	}
	for _, name := range slices.Sorted(maps.Keys(l.AdditionalFiles)) {
		if name == "" || path.IsAbs(name) || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") {
			problem("additionalFiles: %q is not a path below the directory limine, as in efi/memtest86/memtest86.efi", name)
		}
		if from := l.AdditionalFiles[name]; !strings.HasPrefix(from, "/") {
			problem("additionalFiles: %q is from %q: want an absolute path of the image", name, from)
		}
	}
	for _, name := range l.Style.Wallpapers {
		if !strings.HasPrefix(name, "/") {
			problem("style.wallpapers: %q: want an absolute path of the image", name)
		}
	}
	problems = append(problems, l.Style.validate())
	return errors.Join(problems...)
}

// validate refuses what would be more than one line of the menu.
func (s *LimineStyle) validate() error {
	var problems []error
	for _, o := range []struct {
		name  string
		value *string
	}{
		{"wallpaperStyle", s.WallpaperStyle}, {"backdrop", s.Backdrop},
		{"interface.resolution", s.Interface.Resolution}, {"interface.branding", s.Interface.Branding},
		{"graphicalTerminal.font.scale", s.GraphicalTerminal.Font.Scale},
		{"graphicalTerminal.palette", s.GraphicalTerminal.Palette},
		{"graphicalTerminal.brightPalette", s.GraphicalTerminal.BrightPalette},
		{"graphicalTerminal.foreground", s.GraphicalTerminal.Foreground},
		{"graphicalTerminal.background", s.GraphicalTerminal.Background},
		{"graphicalTerminal.brightForeground", s.GraphicalTerminal.BrightForeground},
		{"graphicalTerminal.brightBackground", s.GraphicalTerminal.BrightBackground},
	} {
		if o.value != nil && strings.ContainsAny(*o.value, "\n\r\x00") {
			problems = append(problems, fmt.Errorf("style.%s has a line break or a NUL", o.name))
		}
	}
	return errors.Join(problems...)
}
