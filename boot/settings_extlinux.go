package boot

import "fmt"

// Extlinux is boot.loader.generic-extlinux-compatible.
type Extlinux struct {
	Enable             bool `json:"enable"` // must not be false
	UseGenerationDTB   bool `json:"useGenerationDeviceTree"`
	ConfigurationLimit int  `json:"configurationLimit"` // 0 is the default entry only
	// MirroredBoots are where it is installed: one directory.
	MirroredBoots []ExtlinuxBoot `json:"mirroredBoots"`
	PopulateCmd   string         `json:"populateCmd"` // without effect

	// What follows is no option of boot.loader.generic-extlinux-compatible.

	// DeviceTree is hardware.deviceTree.name: nil takes the kernel's choice from
	// a directory.
	DeviceTree *string `json:"deviceTree"`
	// Specialisations says whether the menu has them: NixOS's builder has them
	// since pull request 154952.
	Specialisations bool `json:"specialisations"`
}

// ExtlinuxBoot is an element of mirroredBoots.
type ExtlinuxBoot struct {
	Path string `json:"path"`
}

func newExtlinux() *Extlinux {
	return &Extlinux{Enable: true, UseGenerationDTB: true, ConfigurationLimit: 20, Specialisations: true,
		MirroredBoots: []ExtlinuxBoot{{Path: "/boot"}}}
}

func (e *Extlinux) validate() error {
	if !e.Enable {
		return fmt.Errorf("enable is false: leave %s out, or set installBootLoader to false", ExtlinuxName)
	}
	if e.ConfigurationLimit < 0 {
		return fmt.Errorf("configurationLimit is %d: want 0 or more", e.ConfigurationLimit)
	}
	if len(e.MirroredBoots) != 1 || len(e.MirroredBoots[0].Path) == 0 || e.MirroredBoots[0].Path[0] != '/' {
		return fmt.Errorf("mirroredBoots: want one element with an absolute path")
	}
	return nil
}

// InitScript is boot.loader.initScript.
type InitScript struct {
	Enable bool `json:"enable"` // without effect
}
