package main

import (
	"bytes"
	"strings"
	"testing"

	"diskwright/inspect"
	"diskwright/test/oracle"

	"github.com/google/uuid"
)

// What is shown of a store, with names that come from others.
func TestPrintVariables(t *testing.T) {
	v := &inspect.Variables{
		File: "efi-vars.fd", Size: 131072, Space: 57244, Free: 100,
		BootOrder: []string{"Boot0002", "Boot0000", "Boot0009", "Boot0001"},
		BootEntries: []inspect.BootEntry{
			{Name: "Boot0000", Active: true, Description: "Linux Boot Manager", DevicePath: `HD(1,GPT)/\EFI\systemd\systemd-bootx64.efi`},
			{Name: "Boot0001", Description: "inactive", DevicePath: "Fv()"},
			{Name: "Boot0002", Active: true, Description: "new\nline", DevicePath: "a b"},
			{Name: "Boot0003", Active: true, Description: "by hand", DevicePath: "x"},
		},
		Variables: []inspect.Variable{
			{Name: "Boot0000", VendorName: "EFI global variable", Attributes: []string{"non-volatile", "runtime-access"}, Data: []byte("ab")},
			{Name: "x\ty", Vendor: uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff"), Attributes: []string{"0x100"}},
		},
	}
	var out bytes.Buffer
	if err := printVariables(&out, v); err != nil {
		t.Fatal(err)
	}
	const want = `EFI VARIABLES efi-vars.fd
  size   128 KiB   131072
  space  55.9 KiB  57244
  free   100 B     100

BOOT ENTRIES, in the order in which the firmware tries them
  #  VARIABLE  DESCRIPTION           PATH
  1  Boot0002  "new\nline"           "a b"
  2  Boot0000  "Linux Boot Manager"  HD(1,GPT)/\EFI\systemd\systemd-bootx64.efi
  -  Boot0001  inactive              Fv()
  -  Boot0003  "by hand"             x

VARIABLES
  NAME      ATTRIBUTES  BYTES  VENDOR
  Boot0000  NV+RT       2      EFI global variable
  "x\ty"    0x100       0      00112233-4455-6677-8899-aabbccddeeff
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

// Debian's template is empty.
func TestPrintEmptyVariables(t *testing.T) {
	v, err := inspect.OpenVariables(oracle.NeedFile(t, "ovmf", "/usr/share/OVMF/OVMF_VARS_4M.fd"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printVariables(&out, v); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nBOOT ENTRIES: none\n", "\nVARIABLES: none\n", "256 KiB  262044\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}
