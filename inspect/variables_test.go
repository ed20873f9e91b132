package inspect

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/test/oracle"
)

// The store that Debian makes for Secure Boot, which a machine has used.
func TestOpenVariables(t *testing.T) {
	path := oracle.NeedFile(t, "ovmf", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
	if !IsVariables(path) {
		t.Fatal("is not one")
	}
	v, err := OpenVariables(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Variables) != 31 || v.Size != 540672 || v.Space != 0x3ffb8-28 || v.Free >= v.Space || v.Format != "efi-variables" {
		t.Errorf("%d variables, %d of %d bytes", len(v.Variables), v.Free, v.Space)
	}
	// Debian removes the order, so that the firmware makes a new one.
	if len(v.BootOrder) != 0 || len(v.BootEntries) != 3 {
		t.Fatalf("order %q, entries %+v", v.BootOrder, v.BootEntries)
	}
	const wantPath = "Fv(7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1)/FvFile(462CAA21-7614-4503-836E-8AB6F4662331)"
	if e := v.BootEntries[0]; e.Name != "Boot0000" || e.Description != "UiApp" || e.DevicePath != wantPath || !e.Active {
		t.Errorf("%+v", e)
	}
	n := slices.IndexFunc(v.Variables, func(v Variable) bool { return v.Name == "db" })
	if n < 0 {
		t.Fatal("no db")
	}
	db := v.Variables[n]
	if db.VendorName != "EFI image security database" || db.ShortAttributes() != "NV+BS+RT+AT" || len(db.Data) < 1000 {
		t.Errorf("%+v", db)
	}
	text, err := json.Marshal(v)
	if err != nil || !strings.Contains(string(text), `"vendorName":"EFI global variable","attributes":["non-volatile","bootservice-access","runtime-access"],"data":"0`) {
		t.Errorf("%v\n%.3000s", err, text)
	}
}

func TestNoVariables(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{short, t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if IsVariables(path) {
			t.Errorf("%q is one", path)
		}
		if _, err := OpenVariables(path); err == nil {
			t.Errorf("%q: no error", path)
		}
	}
	if got := attributeNames(0x107); !slices.Equal(got, []string{"non-volatile", "bootservice-access", "runtime-access", "0x100"}) {
		t.Errorf("%q", got)
	}
}
