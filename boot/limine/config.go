package limine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"diskwright/boot"
)

// installConfig is limine-install.json, which NixOS's module writes for its
// installer. A member that is missing, or that is not here, is of an installer
// that does something else.
type installConfig struct {
	NixPath              *string          `json:"nixPath"`
	EFIBootMgrPath       *string          `json:"efiBootMgrPath"`
	LiminePath           *string          `json:"liminePath"`
	EFIMountPoint        *string          `json:"efiMountPoint"`
	FileSystems          *json.RawMessage `json:"fileSystems"`
	LUKSDevices          *json.RawMessage `json:"luksDevices"`
	CanTouchEFIVariables *bool            `json:"canTouchEfiVariables"`
	EFISupport           *bool            `json:"efiSupport"`
	EFIRemovable         *bool            `json:"efiRemovable"`
	SecureBoot           *json.RawMessage `json:"secureBoot"`
	BIOSSupport          *bool            `json:"biosSupport"`
	BIOSDevice           *string          `json:"biosDevice"`
	PartitionIndex       *int             `json:"partitionIndex"` // may be null
	Force                *bool            `json:"force"`
	EnrollConfig         *bool            `json:"enrollConfig"`
	Style                *json.RawMessage `json:"style"`
	MaxGenerations       *int             `json:"maxGenerations"`
	HostArchitecture     *json.RawMessage `json:"hostArchitecture"` // systems say it, too
	Timeout              *int             `json:"timeout"`
	EnableEditor         *bool            `json:"enableEditor"`
	ExtraConfig          *string          `json:"extraConfig"`
	ExtraEntries         *string          `json:"extraEntries"`
	AdditionalFiles      *json.RawMessage `json:"additionalFiles"`
	ValidateChecksums    *bool            `json:"validateChecksums"`
	Panic                *bool            `json:"panicOnChecksumMismatch"`
}

// script are texts in the installer that tell that its menu is the one that is
// written here: with submenus for specialisations, since NixOS 25.11.
var script = []string{
	"default_entry: {3 if len(last_gen_boot_spec.specialisations.items()) > 0 else 2}",
	"def xen_config_entry(",
	"# NixOS boot entries start here",
}

// ParseConfig reads the settings of an installed NixOS: limine-install.json, and
// the text of the installer that reads it, limine-install.py. What is not known
// is an error.
func ParseConfig(config, installer []byte) (*boot.Settings, error) {
	for _, text := range script {
		if !bytes.Contains(installer, []byte(text)) {
			return nil, fmt.Errorf("limine-install.py is of another version of NixOS than is known here (it lacks %q)", text)
		}
	}
	var c installConfig
	if err := decodeAll(config, &c); err != nil {
		return nil, fmt.Errorf("limine-install.json: %w", err)
	}
	s := boot.NewSettings(boot.LimineName)
	s.Timeout = c.Timeout
	s.EFI = boot.EFI{CanTouchEFIVariables: *c.CanTouchEFIVariables, EFISysMountPoint: *c.EFIMountPoint}
	l := s.Limine
	l.Package = *c.LiminePath
	l.EFISupport, l.EFIInstallAsRemovable = *c.EFISupport, c.EFIRemovable
	l.BIOSSupport, l.BIOSDevice, l.PartitionIndex, l.Force = c.BIOSSupport, *c.BIOSDevice, c.PartitionIndex, *c.Force
	l.MaxGenerations, l.EnableEditor = c.MaxGenerations, *c.EnableEditor
	l.ExtraConfig, l.ExtraEntries = *c.ExtraConfig, *c.ExtraEntries
	l.ValidateChecksums, l.PanicOnChecksumMismatch, l.EnrollConfig = *c.ValidateChecksums, *c.Panic, c.EnrollConfig
	err := errors.Join(
		decode("secureBoot", *c.SecureBoot, &l.SecureBoot),
		decode("style", *c.Style, &l.Style),
		decode("additionalFiles", *c.AdditionalFiles, &l.AdditionalFiles),
	)
	if err != nil {
		return nil, fmt.Errorf("limine-install.json: %w", err)
	}
	if !l.EFISupport {
		s.EFI.EFISysMountPoint = "" // nobody asks for it
	}
	return s, s.Validate()
}

// decodeAll decodes the members of limine-install.json, all of which must be
// there and none of which may be null, but one.
func decodeAll(text []byte, c *installConfig) error {
	if err := decode("", text, c); err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	known, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var wanted map[string]json.RawMessage
	if err := json.Unmarshal(known, &wanted); err != nil {
		return err
	}
	var missing []string
	for name := range wanted {
		if value, ok := members[name]; !ok || string(value) == "null" && name != "partitionIndex" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("it lacks %s", strings.Join(slices.Sorted(slices.Values(missing)), ", "))
	}
	return nil
}

// decode decodes JSON that has no members that v has not.
func decode(name string, text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("there is something behind its end")
		}
	}
	switch {
	case err == nil:
		return nil
	case name == "":
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}
