package grub

import (
	"os"
	"strings"
	"testing"

	"diskwright/boot"

	"github.com/google/go-cmp/cmp"
)

func TestParseConfig(t *testing.T) {
	text, err := os.ReadFile("testdata/goldens/grub-08-efi-vars/grub-config.xml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	g := s.GRUB
	if !s.EFI.CanTouchEFIVariables || !g.EFISupport || g.DefaultEntry() != "saved" || *s.Timeout != 5 || g.Theme != nil || g.Font == nil {
		t.Errorf("have %+v", g)
	}
	b := g.Boots()
	if len(b) != 1 || b[0].Path != "/boot" || *b[0].EFISysMountPoint != "/boot/efi" || *b[0].EFIBootloaderID != "NixOS-boot-efi" || !cmp.Equal(b[0].Devices, []string{"nodev"}) {
		t.Errorf("have %+v", b)
	}
}

// Two elements of mirroredBoots have a configuration each.
func TestParseConfigMirrored(t *testing.T) {
	text, err := os.ReadFile("testdata/goldens/grub-01-bios/grub-config.xml")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(text), `"/boot"`, `"/boot2"`)
	s, err := ParseConfig(text, []byte(other))
	if err != nil {
		t.Fatal(err)
	}
	if b := s.GRUB.Boots(); len(b) != 2 || b[0].Path != "/boot" || b[1].Path != "/boot2" {
		t.Errorf("have %+v", b)
	}
	if _, err := ParseConfig(text, text); err == nil {
		t.Error("two menus at /boot are no error")
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":       {"", "no expression"},
		"something":     {"<html/>", "<expr>"},
		"a list":        {"<expr><list/></expr>", "attribute set"},
		"no attributes": {"<expr><attrs/></expr>", "devices is missing"},
		"cut off":       {"<expr><attrs><attr name='a'>", "EOF"},
		"deep":          {"<expr>" + strings.Repeat("<list>", 20), "levels deep"},
	} {
		if _, err := ParseConfig([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestReadScript(t *testing.T) {
	const (
		title = `addProfile "/nix/var/nix/profiles/system", "MyOS - All configurations";` + "\n"
		newer = `$conf .= "submenu \"$name$nameSuffix\" --class submenu {\n";` + "\n"
		older = `$conf .= "submenu \"> $name$nameSuffix\" --class submenu {\n";` + "\n"
	)
	for _, c := range []struct {
		text  string
		older bool
		err   string
	}{
		{title + newer, false, ""},
		{title + older, true, ""},
		{title, false, "before 23.11"},
		{newer, false, "set bootLoader"},
	} {
		g := boot.NewSettings(boot.GRUBName).GRUB
		err := ReadScript([]byte(c.text), g)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.text, err, c.err)
			}
			continue
		}
		if err != nil || g.DistroName != "MyOS" || g.OlderSubmenus != c.older {
			t.Errorf("%q: %v, %q, %v", c.text, err, g.DistroName, g.OlderSubmenus)
		}
	}
}
