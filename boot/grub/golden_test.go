package grub

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/partition"
	"diskwright/tree"
)

// What install-grub.pl wrote, to the byte, but for its defects.
func TestGoldens(t *testing.T) {
	for _, dir := range boottest.Cases(t, "testdata/goldens") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := boottest.Load(t, dir)
			in, err := configure(t, c)
			switch filepath.Base(dir) {
			case "grub-17-secrets":
				// A program of the system would have to run.
				if err == nil || !strings.Contains(err.Error(), "boot.initrd.secrets") {
					t.Errorf("have %v, want an error about boot.initrd.secrets", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Apply(c.Root, nil, tree.Time{}); err != nil {
				t.Fatal(err)
			}
			opts := boottest.Options{}
			if better, ok := defects[filepath.Base(dir)]; ok {
				opts.Skip = func(path string) bool { return path == "/boot/grub/grub.cfg" }
				want := better(readGolden(t, dir), readGolden(t, "testdata/goldens/grub-01-bios"))
				have, err := boot.Files{Root: c.Root}.Read("/boot/grub/grub.cfg")
				if err != nil || string(have) != want {
					t.Errorf("grub.cfg: %v\n have:\n%s\n want:\n%s", err, have, want)
				}
			}
			c.Compare(t, c.Root, opts)
		})
	}
}

// defects are the goldens that record one, and what is right: a function of the
// golden's menu and of one without defect.
var defects = map[string]func(golden, sound string) string{
	// Perl writes letters up to ÿ as single bytes.
	"grub-31-latin1": func(golden, _ string) string { return strings.ReplaceAll(golden, "\xfc", "ü") },
	// One letter beyond ÿ, and all that was UTF-8 before is encoded again.
	"grub-32-wide": func(golden, _ string) string {
		return strings.NewReplacer("\u00e2\u0080\u0098", "‘", "\u00e2\u0080\u0099", "’").Replace(golden)
	},
	// Without an initial ramdisk there are no entries, and the submenu is a
	// syntax error. A kernel can do without.
	"grub-28-no-initrd": func(_, sound string) string {
		return dropLines(sound, func(line string) bool { return strings.HasPrefix(line, "  initrd ") })
	},
}

func dropLines(text string, drop func(string) bool) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !drop(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func readGolden(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "files/boot/grub/grub.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// configure runs a case, but for what grub-install would do: its packages have
// no modules.
func configure(t *testing.T, c *boottest.Case) (*boot.Installation, error) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(c.Dir, "grub-config.xml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s.GRUB.OlderSubmenus = strings.HasPrefix(filepath.Base(c.Dir), "grub-old-")
	if filepath.Base(c.Dir) == "grub-26-store-mount" {
		s.GRUB.DistroName = "MyOS"
	}
	r := &boot.Request{Settings: s, Files: boot.Files{Root: c.Root}, System: c.System, Disk: goldenDisk(c)}
	in := &boot.Installation{}
	m := &mirror{ctx: context.Background(), r: r, g: s.GRUB, in: in, boot: s.GRUB.Boots()[0]}
	return in, m.configure()
}

// goldenDisk is the disk that mountinfo and blkid showed.
func goldenDisk(c *boottest.Case) *boot.Disk {
	d := &boot.Disk{Table: &partition.Table{}}
	for _, m := range c.Mounts {
		if m.Target == "/nix/store" {
			continue // a bind mount, which the installer skips
		}
		device := c.BlkID[m.Source]
		if device == nil {
			device = c.BlkID["/dev/vda2"]
		}
		d.FileSystems = append(d.FileSystems, boot.FileSystem{
			MountPoint: m.Target, Type: m.FSType, UUID: device["UUID"], Label: device["LABEL"], Provided: m.Source})
	}
	return d
}
