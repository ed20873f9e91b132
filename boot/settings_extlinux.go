package boot

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Extlinux is boot.loader.generic-extlinux-compatible.
type Extlinux struct {
	Enable                  bool `json:"enable"` // must not be false
	UseGenerationDeviceTree bool `json:"useGenerationDeviceTree"`
	ConfigurationLimit      int  `json:"configurationLimit"` // 0 is the default entry only
	// MirroredBoots are the directories that it is installed into.
	MirroredBoots []ExtlinuxBoot `json:"mirroredBoots"`
	PopulateCmd   string         `json:"populateCmd"` // without effect

	// What follows is no option of boot.loader.generic-extlinux-compatible.

	// DeviceTree is hardware.deviceTree.name; "" lets the loader choose one.
	DeviceTree string `json:"deviceTree"`
	// Specialisations says whether the menu has them: NixOS's builder has them
	// since pull request 154952.
	Specialisations bool `json:"specialisations"`
}

// ExtlinuxBoot is an element of mirroredBoots.
type ExtlinuxBoot struct {
	Path string `json:"path"`
}

func newExtlinux() *Extlinux {
	return &Extlinux{Enable: true, UseGenerationDeviceTree: true, ConfigurationLimit: 20, Specialisations: true,
		MirroredBoots: []ExtlinuxBoot{{Path: "/boot"}}}
}

func (e *Extlinux) validate() error {
	if !e.Enable {
		return fmt.Errorf("enable is false: leave %s out, or set installBootLoader to false", ExtlinuxName)
	}
	if e.ConfigurationLimit < 0 {
		return fmt.Errorf("configurationLimit is %d: want 0 or more", e.ConfigurationLimit)
	}
	if len(e.MirroredBoots) == 0 {
		return errors.New("mirroredBoots is empty: want at least one element")
	}
	for _, m := range e.MirroredBoots {
		if !strings.HasPrefix(m.Path, "/") || path.Clean(m.Path) != m.Path {
			return fmt.Errorf("mirroredBoots: path is %q: want an absolute path without \"..\"", m.Path)
		}
	}
	return nil
}

// InitScript is boot.loader.initScript.
type InitScript struct {
	Enable bool `json:"enable"` // must not be false

	DistroName string `json:"distroName"` // system.nixos.distroName
}

func newInitScript() *InitScript { return &InitScript{Enable: true, DistroName: "NixOS"} }

func (s *InitScript) validate() error {
	if !s.Enable {
		return fmt.Errorf("enable is false: leave %s out, or set installBootLoader to false", InitScriptName)
	}
	if strings.ContainsAny(s.DistroName, "\n\r\x00") {
		return fmt.Errorf("distroName is %q: want a line of text", s.DistroName)
	}
	return nil
}
