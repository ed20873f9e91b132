package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Document describes how to start one system: a bootspec document, as RFC 0125
// defines it.
type Document struct {
	System        string // as in "x86_64-linux"
	Init          string
	Kernel        string
	KernelParams  []string // without init=
	Initrd        string   // "" if there is none
	InitrdSecrets string   // a program that appends secrets to a copy of the initrd; "" if there is none
	Label         string
	Toplevel      string

	// SortKey and DeviceTree are of the extension org.nixos.systemd-boot; both
	// may be "". ExtraInitrds is org.nixos.extra-initrd.v1: paths of $BOOT.
	SortKey      string
	DeviceTree   string
	ExtraInitrds []string

	Specialisations []Specialisation // sorted by name

	// Extensions are the other members of the document.
	Extensions map[string]json.RawMessage
}

// Specialisation is a variant of a system.
type Specialisation struct {
	Name string
	Document
	Built int64 // when its toplevel came to be, in seconds since 1970
}

// Members of a bootspec document.
const (
	keyBootspec        = "org.nixos.bootspec.v1"
	keySpecialisations = "org.nixos.specialisation.v1"
	keySystemdBoot     = "org.nixos.systemd-boot"
	keyExtraInitrds    = "org.nixos.extra-initrd.v1"
)

// maxNesting bounds how deep specialisations may nest. NixOS has one level.
const maxNesting = 4

// ParseDocument reads a bootspec document, the file boot.json of a toplevel.
func ParseDocument(text []byte) (*Document, error) {
	return parseDocument(text, maxNesting)
}

func parseDocument(text []byte, nesting int) (*Document, error) {
	if nesting == 0 {
		return nil, fmt.Errorf("specialisations nest more than %d levels deep", maxNesting)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	d := &Document{Extensions: members}
	var v1 struct {
		System        string   `json:"system"`
		Init          string   `json:"init"`
		Kernel        string   `json:"kernel"`
		KernelParams  []string `json:"kernelParams"`
		Initrd        string   `json:"initrd"`
		InitrdSecrets string   `json:"initrdSecrets"`
		Label         string   `json:"label"`
		Toplevel      string   `json:"toplevel"`
	}
	var systemdBoot struct {
		SortKey    string `json:"sortKey"`
		DeviceTree string `json:"devicetree"`
	}
	var extraInitrds struct {
		Paths []string `json:"paths"`
	}
	var specialisations map[string]json.RawMessage
	err := errors.Join(
		d.take(keyBootspec, &v1),
		d.take(keySystemdBoot, &systemdBoot),
		d.take(keyExtraInitrds, &extraInitrds),
		d.take(keySpecialisations, &specialisations),
	)
	if err != nil {
		return nil, err
	}
	d.System, d.Init, d.Kernel, d.KernelParams = v1.System, v1.Init, v1.Kernel, v1.KernelParams
	d.Initrd, d.InitrdSecrets, d.Label, d.Toplevel = v1.Initrd, v1.InitrdSecrets, v1.Label, v1.Toplevel
	d.SortKey, d.DeviceTree, d.ExtraInitrds = systemdBoot.SortKey, systemdBoot.DeviceTree, extraInitrds.Paths
	if d.Init == "" || d.Kernel == "" || d.Toplevel == "" {
		return nil, fmt.Errorf("%s: wants init, kernel and toplevel: this is no bootspec document of version 1", keyBootspec)
	}
	for _, name := range slices.Sorted(maps.Keys(specialisations)) {
		child, err := parseDocument(specialisations[name], nesting-1)
		if err != nil {
			return nil, fmt.Errorf("specialisation %q: %w", name, err)
		}
		d.Specialisations = append(d.Specialisations, Specialisation{Name: name, Document: *child})
	}
	return d, nil
}

// take decodes the member key into v, if there is one, and removes it from the
// extensions.
func (d *Document) take(key string, v any) error {
	member, ok := d.Extensions[key]
	if !ok {
		return nil
	}
	delete(d.Extensions, key)
	if err := json.Unmarshal(member, v); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
