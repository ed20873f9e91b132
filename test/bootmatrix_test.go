//go:build linux

package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// bootCase is an image that starts: a system of the fixture, whose boot loader
// the program finds out itself, on a layout.
type bootCase struct {
	name     string
	system   string // variant of the fixture
	layout   string
	firmware boot.Firmware
	args     []string
}

// bootMatrix is every layout that can boot, with every loader that it can have,
// under every firmware that it is for.
var bootMatrix = []bootCase{
	{"legacy", "grub", "legacy", boot.BIOS, nil},
	{"legacy+boot", "grub", "legacy+boot", boot.BIOS, []string{"--boot-size", "128M"}},
	{"legacy+gpt", "grub", "legacy+gpt", boot.BIOS, nil},
	{"hybrid by BIOS", "grub-both", "hybrid", boot.BIOS, []string{"--boot-size", "128M"}},
	{"hybrid by UEFI", "grub-both", "hybrid", boot.UEFI, []string{"--boot-size", "128M"}},
	{"efi, GRUB", "grub-efi", "efi", boot.UEFI, []string{"--boot-size", "128M"}},
	{"efi, systemd-boot 26.05", "systemd-boot", "efi", boot.UEFI, []string{"--boot-size", "128M"}},
	{"efi, systemd-boot 25.05", "systemd-boot-2505", "efi", boot.UEFI, []string{"--boot-size", "128M"}},
	{"efi, systemd-boot 24.05", "systemd-boot-2405", "efi", boot.UEFI, []string{"--boot-size", "128M"}},
	{"efixbootldr", "systemd-boot-xbootldr", "efixbootldr", boot.UEFI, []string{"--boot-size", "256M"}},
}

// TestBootMatrix starts every image of the matrix, built twice with the same
// bytes, and has the system inside say that its store is intact.
func TestBootMatrix(t *testing.T) {
	t.Parallel()
	for _, c := range bootMatrix {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := fixture.Build(t, c.system)
			image := c.build(t, s)
			if a, b := digest(t, image), digest(t, c.build(t, s)); a != b {
				t.Errorf("two builds: %s and %s", a, b)
			}
			checkDisk(t, image, findLayout(c.layout))
			checkBooted(t, boot.Run(t, boot.Machine{Image: image, Firmware: c.firmware}), s, s.Toplevel)
		})
	}
}

// build builds the image of a case.
func (c bootCase) build(t testing.TB, s *fixture.System) string {
	t.Helper()
	return build(t, append(systemArgs(s), append([]string{"--partition-table-type", c.layout}, c.args...)...)...)
}

// systemArgs are the arguments for a system of the fixture.
func systemArgs(s *fixture.System) []string {
	return []string{"--system", s.Toplevel, "--closure-info", s.ClosureInfo, "--store-dir", s.Root,
		"--disk-size", "min", "--additional-space", "64M"}
}

// checkBooted checks what the fixture says that has started.
func checkBooted(t testing.TB, c *boot.Console, s *fixture.System, toplevel string) {
	t.Helper()
	got := c.Report()
	for key, want := range map[string]string{
		"toplevel": toplevel, "profile": s.Toplevel, "nixos": "yes", "db": "yes", "store": "ok",
		"paths": strconv.Itoa(len(s.Paths(t))), "extra": "0",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

// withVariables builds an image of efixbootldr and its efi-vars.fd.
func withVariables(t *testing.T, s *fixture.System) (image, variables string) {
	t.Helper()
	dir := scratch.Dir(t)
	must(t, append(systemArgs(s), "build", "-q", "--no-sync", "-o", dir, "--partition-table-type", "efixbootldr", "--boot-size", "256M",
		"--touch-efi-vars", "--efi-variables", boot.Variables(t))...)
	return filepath.Join(dir, "nixos.img"), filepath.Join(dir, "efi-vars.fd")
}

// A tree of files that nobody calls a NixOS system starts by entries: by
// systemd-boot, to which a kernel must be copied, and by GRUB, which reads it
// where it is.
func TestBootTree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		loader, layout string
		firmware       boot.Firmware
	}{
		{"systemd-boot", "efixbootldr", boot.UEFI},
		{"grub", "legacy+gpt", boot.BIOS},
	} {
		t.Run(c.loader, func(t *testing.T) {
			t.Parallel()
			s := fixture.Build(t, "grub")
			inImage := func(file string) string { return strings.TrimPrefix(file, s.Root) }
			loader := map[string]any{}
			if c.loader == "systemd-boot" {
				loader["efiBinary"] = oracle.NeedFile(t, "systemd-boot-efi", "/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
			} else {
				oracle.Need(t, "grub-mkimage")
				oracle.NeedFile(t, "grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img")
				loader["hostGrub"] = "/usr"
			}
			settings, err := json.Marshal(map[string]any{c.loader: loader, "entries": []map[string]string{{
				"title": "A \"system\" of $5", "kernel": inImage(s.Kernel(t)), "initrd": inImage(s.Initrd(t)), "options": s.CommandLine(t),
			}}})
			if err != nil {
				t.Fatal(err)
			}
			image := build(t, "--root", s.Root, "--partition-table-type", c.layout, "--disk-size", "min", "--additional-space", "64M",
				"--boot-loader", string(settings))
			report := boot.Run(t, boot.Machine{Image: image, Firmware: c.firmware}).Report()
			for key, want := range map[string]string{"toplevel": s.Toplevel, "profile": "none", "nixos": "no", "store": "ok"} {
				if report[key] != want {
					t.Errorf("%s is %q, want %q", key, report[key], want)
				}
			}
		})
	}
}

// Without the file that firmware falls back to, the entry in efi-vars.fd is what
// starts the image. A second build has the same variables.
func TestBootByVariables(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "systemd-boot-xbootldr")
	image, variables := withVariables(t, s)
	_, again := withVariables(t, s)
	if a, b := digest(t, variables), digest(t, again); a != b {
		t.Errorf("two builds: efi-vars.fd is %s and %s", a, b)
	}
	if fi, err := os.Stat(variables); err != nil || fi.Mode().Perm() != 0o644 {
		t.Errorf("efi-vars.fd: %v, %v", fi.Mode(), err)
	}
	esp := findLayout("efixbootldr").volume(t, image, 1, "/efi")
	at := image + "@@" + strconv.FormatInt(esp.offset, 10)
	oracle.Run(t, "mdel", "-i", at, "::/EFI/BOOT/BOOTX64.EFI")
	oracle.Run(t, "mdir", "-i", at, "::/EFI/systemd/systemd-bootx64.efi")
	checkBooted(t, boot.Run(t, boot.Machine{Image: image, Firmware: boot.UEFI, Variables: variables}), s, s.Toplevel)
	boot.Fails(t, boot.Machine{Image: image, Firmware: boot.UEFI, Timeout: time.Minute})
}

// A specialisation starts when it is chosen from the menu. It is below its system
// there, since entries of NixOS 25.05 are named after generations; from 26.05 on
// the order is one of hashes.
func TestBootSpecialisation(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "systemd-boot-2505")
	image := bootCase{layout: "efi", args: []string{"--boot-size", "128M"}}.build(t, s)
	child, err := os.Readlink(s.Host(s.Toplevel + "/specialisation/rescue"))
	if err != nil {
		t.Fatal(err)
	}
	c := boot.Run(t, boot.Machine{Image: image, Firmware: boot.UEFI, Answers: []boot.Answer{
		{When: regexp.MustCompile(`NixOS \(rescue\)`), Type: "\x1b[B\r"},
	}})
	checkBooted(t, c, s, child)
	if name := c.Report()["name"]; name != "rescue" {
		t.Errorf("the system's name is %q, want rescue", name)
	}
}

// An image that is enlarged by 8 GiB grows when it starts, and is in order then.
func TestBootGrowth(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "grow")
	image := bootCase{layout: "hybrid", args: []string{"--boot-size", "128M"}}.build(t, s)
	oracle.Run(t, "truncate", "-s", "+8G", image)
	c := boot.Run(t, boot.Machine{Image: image, Firmware: boot.BIOS, Write: true})
	checkBooted(t, c, s, s.Toplevel)
	r := c.Report()
	if size, err := strconv.ParseInt(r["size"], 10, 64); err != nil || size < 8e9 || r["grown"] != "yes" {
		t.Errorf("grown %q, to %q bytes, want more than 8e9", r["grown"], r["size"])
	}
	if out := oracle.Run(t, "sgdisk", "-v", image); !regexp.MustCompile("No problems found").MatchString(out) {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	v := findLayout("hybrid").rootOf(t, image)
	v.fsckWritten(t)
	// It has started with a partition of another size, and starts again.
	checkBooted(t, boot.Run(t, boot.Machine{Image: image, Firmware: boot.UEFI}), s, s.Toplevel)
}
