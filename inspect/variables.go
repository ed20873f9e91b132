package inspect

import (
	"fmt"
	"io"
	"os"
	"strings"

	"diskwright/boot/efivars"

	"github.com/google/uuid"
)

// Variables is what is in an EFI variable store, such as the efi-vars.fd that is
// built beside an image, or the OVMF_VARS.fd that it begins as.
type Variables struct {
	File   string `json:"file"`
	Format string `json:"format"`    // "efi-variables"
	Size   int64  `json:"size"`      // of the file
	Space  int64  `json:"space"`     // for variables
	Free   int64  `json:"freeSpace"` // what is left of it; what was replaced or deleted is not free

	// BootOrder has the entries that the firmware tries, in that order; BootEntries
	// are all that there are, by their numbers.
	BootOrder   []string    `json:"bootOrder"`
	BootEntries []BootEntry `json:"bootEntries"`
	Variables   []Variable  `json:"variables"`
}

// BootEntry is a program that the firmware can start.
type BootEntry struct {
	Name        string `json:"name"` // of its variable: "Boot0001"
	Active      bool   `json:"active"`
	Description string `json:"description"`
	DevicePath  string `json:"devicePath"` // in the text form of the UEFI specification
}

// Variable is a variable of the firmware.
type Variable struct {
	Name       string    `json:"name"`
	Vendor     uuid.UUID `json:"vendor"`
	VendorName string    `json:"vendorName,omitempty"` // if it is known here
	Attributes []string  `json:"attributes"`
	Data       HexBytes  `json:"data"`
}

// HexBytes are bytes that JSON has in hexadecimal digits.
type HexBytes []byte

// MarshalText implements [encoding.TextMarshaler].
func (b HexBytes) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", []byte(b)), nil }

// IsVariables reports whether the file at path is an EFI variable store, damaged
// or not, rather than an image. What cannot be read is none.
func IsVariables(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	start := make([]byte, efivars.SniffLength)
	_, err = io.ReadFull(f, start)
	return err == nil && efivars.Sniff(start)
}

// OpenVariables reads the EFI variable store at path.
func OpenVariables(path string) (*Variables, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, efivars.MaxFile+1))
	if err != nil {
		return nil, err
	}
	store, err := efivars.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	v := &Variables{
		File: path, Format: "efi-variables", Size: int64(len(file)),
		Space: int64(store.Capacity()), Free: int64(store.Free()),
		BootOrder: []string{}, BootEntries: []BootEntry{}, Variables: []Variable{},
	}
	for _, number := range store.BootOrder() {
		v.BootOrder = append(v.BootOrder, efivars.BootName(number))
	}
	for _, o := range store.BootEntries() {
		v.BootEntries = append(v.BootEntries, BootEntry{
			Name: efivars.BootName(o.Number), Active: o.Attributes&efivars.Active != 0,
			Description: o.Description, DevicePath: o.DevicePath.String(),
		})
	}
	for _, found := range store.Variables() {
		v.Variables = append(v.Variables, Variable{
			Name: found.Name, Vendor: found.Vendor, VendorName: vendorNames[found.Vendor],
			Attributes: attributeNames(found.Attributes), Data: HexBytes(found.Data),
		})
	}
	return v, nil
}

// attributeNames returns the names of attributes, with "EFI_VARIABLE_" before
// them those of the UEFI specification in lower case; unknown ones as a number.
func attributeNames(attributes uint32) []string {
	list := []string{}
	for _, a := range []struct {
		bit  uint32
		name string
	}{
		{efivars.NonVolatile, "non-volatile"},
		{efivars.BootServiceAccess, "bootservice-access"},
		{efivars.RuntimeAccess, "runtime-access"},
		{efivars.HardwareError, "hardware-error-record"},
		{efivars.Authenticated, "authenticated-write-access"},
		{efivars.TimeAuthenticated, "time-based-authenticated-write-access"},
	} {
		if attributes&a.bit != 0 {
			list = append(list, a.name)
			attributes &^= a.bit
		}
	}
	if attributes != 0 {
		list = append(list, fmt.Sprintf("%#x", attributes))
	}
	return list
}

// ShortAttributes abbreviates attributes as UEFI's shell does: NV+BS+RT.
func (v Variable) ShortAttributes() string {
	short := map[string]string{
		"non-volatile": "NV", "bootservice-access": "BS", "runtime-access": "RT", "hardware-error-record": "HR",
		"authenticated-write-access": "AW", "time-based-authenticated-write-access": "AT",
	}
	names := make([]string, len(v.Attributes))
	for n, name := range v.Attributes {
		names[n] = name
		if s, ok := short[name]; ok {
			names[n] = s
		}
	}
	return strings.Join(names, "+")
}

// vendorNames are the vendors of variables that are met in virtual machines.
var vendorNames = map[uuid.UUID]string{
	efivars.Global: "EFI global variable",
	uuid.MustParse("D719B2CB-3D3A-4596-A3BC-DAD00E67656F"): "EFI image security database",
	uuid.MustParse("F0A30BC7-AF08-4556-99C4-001009C93A44"): "EDK II Secure Boot",
	uuid.MustParse("4A67B082-0A4C-41CF-B6C7-440B29BB8C4F"): "systemd loader",
	uuid.MustParse("605DAB50-E046-4300-ABB6-3DD810DD8B23"): "shim",
	uuid.MustParse("77FA9ABD-0359-4D32-BD60-28F4E78F784B"): "Microsoft",
	uuid.MustParse("EB704011-1402-11D3-8E77-00A0C969723B"): "MTC",
	uuid.MustParse("4C19049F-4137-4DD3-9C10-8B97A83FFDFA"): "EFI memory type information",
}
