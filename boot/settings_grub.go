package boot

import (
	"fmt"
)

// GRUB is boot.loader.grub.
type GRUB struct {
	Enable                  bool                `json:"enable"` // must not be false
	Device                  string              `json:"device"` // with Devices: NixOS adds it to them
	Devices                 []string            `json:"devices"`
	MirroredBoots           []GRUBBoot          `json:"mirroredBoots"`
	Users                   map[string]GRUBUser `json:"users"`
	ConfigurationName       string              `json:"configurationName"` // without effect: a file of the toplevel says it
	StorePath               string              `json:"storePath"`
	ExtraPrepareConfig      string              `json:"extraPrepareConfig"`
	ExtraConfig             string              `json:"extraConfig"`
	ExtraGrubInstallArgs    []string            `json:"extraGrubInstallArgs"`
	ExtraPerEntryConfig     string              `json:"extraPerEntryConfig"`
	ExtraEntries            string              `json:"extraEntries"`
	ExtraEntriesBeforeNixOS bool                `json:"extraEntriesBeforeNixOS"`
	ExtraFiles              map[string]string   `json:"extraFiles"`
	UseOSProber             bool                `json:"useOSProber"`
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
	Default                 any                 `json:"default"` // a number or a string
	FSIdentifier            string              `json:"fsIdentifier"`
	ZFSSupport              bool                `json:"zfsSupport"`
	EFISupport              bool                `json:"efiSupport"`
	EFIInstallAsRemovable   bool                `json:"efiInstallAsRemovable"`
	EnableCryptodisk        bool                `json:"enableCryptodisk"`
	ForceInstall            bool                `json:"forceInstall"`
}

// GRUBBoot is an element of mirroredBoots.
type GRUBBoot struct {
	Path             string   `json:"path"`
	EFISysMountPoint *string  `json:"efiSysMountPoint"`
	EFIBootloaderID  *string  `json:"efiBootloaderId"`
	Devices          []string `json:"devices"`
}

// GRUBUser is an element of users.
type GRUBUser struct {
	HashedPassword     *string `json:"hashedPassword"`
	HashedPasswordFile *string `json:"hashedPasswordFile"`
	Password           *string `json:"password"`
	PasswordFile       *string `json:"passwordFile"`
}

func newGRUB() *GRUB { return &GRUB{Enable: true} }

func (g *GRUB) hostPaths() []*string { return nil }

func (g *GRUB) validate() error {
	if !g.Enable {
		return fmt.Errorf("enable is false: leave %s out, or set installBootLoader to false", GRUBName)
	}
	return nil
}
