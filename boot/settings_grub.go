package boot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Values of GRUB.FSIdentifier: how menus name file systems.
const (
	GRUBByUUID   = "uuid"
	GRUBByLabel  = "label"
	GRUBProvided = "provided" // by what the system mounts; an image has nothing that would say
)

// GRUB is boot.loader.grub. Paths are of the image unless said otherwise.
type GRUB struct {
	Enable                  bool                `json:"enable"`        // must not be false
	Device                  string              `json:"device"`        // one of Devices
	Devices                 []string            `json:"devices"`       // empty, without NixOS, is what the layout is for
	MirroredBoots           []GRUBBoot          `json:"mirroredBoots"` // empty is one of Devices, at /boot
	Users                   map[string]GRUBUser `json:"users"`
	ConfigurationName       string              `json:"configurationName"` // without effect: a file of the toplevel says it
	StorePath               string              `json:"storePath"`
	ExtraPrepareConfig      string              `json:"extraPrepareConfig"` // lines "install -Dp SOURCE TARGET" only
	ExtraConfig             string              `json:"extraConfig"`
	ExtraGrubInstallArgs    []string            `json:"extraGrubInstallArgs"` // must be empty
	ExtraPerEntryConfig     string              `json:"extraPerEntryConfig"`
	ExtraEntries            string              `json:"extraEntries"`
	ExtraEntriesBeforeNixOS bool                `json:"extraEntriesBeforeNixOS"`
	ExtraFiles              map[string]string   `json:"extraFiles"`           // by their names below /boot
	ExtraInstallCommands    string              `json:"extraInstallCommands"` // lines "ln -fs TARGET LINK" only
	UseOSProber             bool                `json:"useOSProber"`          // an image has no other systems to find
	SplashImage             *string             `json:"splashImage"`
	SplashMode              string              `json:"splashMode"`
	BackgroundColor         *string             `json:"backgroundColor"`
	TimeoutStyle            string              `json:"timeoutStyle"`
	EntryOptions            string              `json:"entryOptions"`
	SubEntryOptions         string              `json:"subEntryOptions"`
	Theme                   *string             `json:"theme"`
	Font                    *string             `json:"font"`
	GFXModeEFI              string              `json:"gfxmodeEfi"`
	GFXModeBIOS             string              `json:"gfxmodeBios"`
	GFXPayloadEFI           string              `json:"gfxpayloadEfi"`
	GFXPayloadBIOS          string              `json:"gfxpayloadBios"`
	ConfigurationLimit      int                 `json:"configurationLimit"`
	CopyKernels             bool                `json:"copyKernels"`
	Default                 any                 `json:"default"`      // a number or a string
	FSIdentifier            string              `json:"fsIdentifier"` // GRUBByUUID, GRUBByLabel or GRUBProvided
	ZFSSupport              bool                `json:"zfsSupport"`   // without effect: no image has ZFS
	EFISupport              bool                `json:"efiSupport"`
	EFIInstallAsRemovable   bool                `json:"efiInstallAsRemovable"`
	EnableCryptodisk        bool                `json:"enableCryptodisk"` // must be false
	ForceInstall            bool                `json:"forceInstall"`     // without effect: what it forces is refused, or works without

	// What is no option of boot.loader.grub.

	DistroName string `json:"distroName"` // system.nixos.distroName
	// OlderSubmenus titles the submenus of generations with specialisations as
	// NixOS 23.11 to 24.11 do.
	OlderSubmenus bool `json:"olderSubmenus"`

	// Grub and GrubEFI are the packages, directories with lib/grub/TARGET and
	// share; Target and TargetEFI name the platforms. "" finds a package in
	// /usr, where Debian has it.
	Grub      string `json:"grub"`
	GrubEFI   string `json:"grubEfi"`
	Target    string `json:"grubTarget"`
	TargetEFI string `json:"grubTargetEfi"`
	// HostGrub is a package that is a directory of the host, for images that
	// have none; both platforms are taken from it.
	HostGrub string `json:"hostGrub"`
	// FullName and FullVersion are what the file state says of the package. ""
	// is "grub", and the version that the package's name or modules say.
	FullName    string `json:"fullName"`
	FullVersion string `json:"fullVersion"`

	// Mkimage is grub-mkimage, a program of the host; "" looks for it in PATH.
	Mkimage string `json:"mkimage"`
	// RunClosure takes it from the package instead, which is a path of the
	// host's store too then: a program of the image runs on the host.
	RunClosure bool `json:"runClosure"`
}

// GRUBBoot is an element of mirroredBoots: a menu, and the devices that start
// it.
type GRUBBoot struct {
	Path             string   `json:"path"`
	EFISysMountPoint *string  `json:"efiSysMountPoint"` // nil is boot.loader.efi's
	EFIBootloaderID  *string  `json:"efiBootloaderId"`  // nil is DistroName and the mount point
	Devices          []string `json:"devices"`
}

// GRUBUser is an element of users. One of its members says the password. Files
// are of the image.
type GRUBUser struct {
	HashedPassword     *string `json:"hashedPassword"`
	HashedPasswordFile *string `json:"hashedPasswordFile"`
	Password           *string `json:"password"`
	PasswordFile       *string `json:"passwordFile"`
}

// NoDevice is the name of a device that is none.
const NoDevice = "nodev"

func newGRUB() *GRUB {
	return &GRUB{
		Enable:             true,
		StorePath:          "/nix/store",
		SplashMode:         "stretch",
		TimeoutStyle:       "menu",
		EntryOptions:       "--class nixos --unrestricted",
		SubEntryOptions:    "--class nixos",
		GFXModeEFI:         "auto",
		GFXModeBIOS:        "1024x768",
		GFXPayloadEFI:      "keep",
		GFXPayloadBIOS:     "text",
		ConfigurationLimit: 100,
		Default:            "0",
		FSIdentifier:       GRUBByUUID,
		DistroName:         "NixOS",
		Target:             "i386-pc",
		TargetEFI:          "x86_64-efi",
	}
}

func (g *GRUB) hostPaths() []*string { return []*string{&g.HostGrub, &g.Mkimage} }

// Boots returns what is to be installed: MirroredBoots, or what NixOS makes of
// Devices.
func (g *GRUB) Boots() []GRUBBoot {
	if len(g.MirroredBoots) > 0 {
		return g.MirroredBoots
	}
	devices := slices.Clone(g.Devices)
	if g.Device != "" && !slices.Contains(devices, g.Device) {
		devices = append(devices, g.Device)
	}
	return []GRUBBoot{{Path: "/boot", Devices: devices}}
}

// DefaultEntry returns what Default says, as text.
func (g *GRUB) DefaultEntry() string {
	switch v := g.Default.(type) {
	case nil:
		return "0"
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

func (g *GRUB) validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !g.Enable {
		problem("enable is false: leave %s out, or set installBootLoader to false", GRUBName)
	}
	switch g.FSIdentifier {
	case GRUBByUUID, GRUBByLabel, GRUBProvided:
	default:
		problem("fsIdentifier is %q: want %s, %s or %s", g.FSIdentifier, GRUBByUUID, GRUBByLabel, GRUBProvided)
	}
	switch v := g.Default.(type) {
	case nil, string, int:
	case float64:
		if v != float64(int64(v)) {
			problem("default is %v: want a whole number, or a string", v)
		}
	default:
		problem("default is %v: want a number or a string", v)
	}
	if len(g.ExtraGrubInstallArgs) > 0 {
		problem("extraGrubInstallArgs is %q: there is no grub-install that they could be given to; want none", g.ExtraGrubInstallArgs)
	}
	if g.EnableCryptodisk {
		problem("enableCryptodisk is true: images are not encrypted; want false")
	}
	if g.ConfigurationLimit < 0 {
		problem("configurationLimit is %d: want a number of entries", g.ConfigurationLimit)
	}
	problems = append(problems, g.validateBoots(), g.validateUsers())
	return errors.Join(problems...)
}

func (g *GRUB) validateBoots() error {
	var problems []error
	seen := map[string]bool{}
	for _, b := range g.Boots() {
		switch {
		case !strings.HasPrefix(b.Path, "/"):
			problems = append(problems, fmt.Errorf("mirroredBoots: path is %q: want an absolute path", b.Path))
		case seen[b.Path]:
			problems = append(problems, fmt.Errorf("mirroredBoots: path %q is there twice", b.Path))
		case slices.Contains(b.Devices, NoDevice) && len(b.Devices) > 1:
			problems = append(problems, fmt.Errorf("devices is %q: want %q alone, or names of devices", b.Devices, NoDevice))
		}
		seen[b.Path] = true
	}
	return errors.Join(problems...)
}

func (g *GRUB) validateUsers() error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(g.Users)) {
		u, n := g.Users[name], 0
		for _, v := range []*string{u.HashedPassword, u.HashedPasswordFile, u.Password, u.PasswordFile} {
			if v != nil {
				n++
			}
		}
		if n != 1 {
			problems = append(problems, fmt.Errorf("users: %q has %d passwords: want one of hashedPassword, hashedPasswordFile, password, passwordFile", name, n))
		}
		if name == "" || strings.ContainsAny(name, " \t\n\"'\\$;&|<>") {
			problems = append(problems, fmt.Errorf("users: %q is no name for GRUB", name))
		}
	}
	return errors.Join(problems...)
}
