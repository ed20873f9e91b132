//go:build linux

package test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// bootTree returns a directory that has what a system needs to be started: a
// kernel, an initial ramdisk and systemd-boot, of which the content does not
// matter.
func bootTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"boot/vmlinuz-6.1": strings.Repeat("kernel ", 1000), "boot/initrd-6.1": strings.Repeat("initrd ", 10000), "etc/hostname": "host\n",
		"usr/lib/systemd/boot/efi/systemd-bootx64.efi": "loader",
	})
	if err := os.Symlink("boot/vmlinuz-6.1", filepath.Join(dir, "vmlinuz")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bootEntries are settings for bootTree.
func bootEntries(efi string) string {
	return `{"efi": {` + efi + `}, "systemd-boot": {}, "entries": [{"title": "Linux", "kernel": "/vmlinuz", "initrd": "/boot/initrd-6.1", "options": "quiet"}]}`
}

// What is in the boot partitions of a system that is not NixOS, read by others.
func TestBootEntries(t *testing.T) {
	t.Parallel()
	root := bootTree(t)
	for _, test := range []struct {
		layout    string
		esp, boot int // numbers of the partitions
	}{{"efi", 1, 1}, {"hybrid", 1, 1}, {"efixbootldr", 1, 2}} {
		l := findLayout(test.layout)
		args := []string{"--root", root, "--boot-loader", bootEntries(""), "--partition-table-type", test.layout}
		image := build(t, args...)
		if a, b := digest(t, image), digest(t, build(t, args...)); a != b {
			t.Errorf("%s: two builds: %s and %s", test.layout, a, b)
		}
		at := func(n int) string { return image + "@@" + strconv.FormatInt(l.volume(t, image, n, "").offset, 10) }
		text := func(n int, name string) string { return oracle.Run(t, "mtype", "-i", at(n), "::"+name) }
		for _, file := range []struct {
			partition  int
			name, want string
		}{
			{test.esp, "/EFI/BOOT/BOOTX64.EFI", "loader"},
			{test.esp, "/EFI/systemd/systemd-bootx64.efi", "loader"},
			{test.esp, "/loader/loader.conf", "timeout 5\ndefault entry-001.conf\nconsole-mode keep\n"},
			{test.boot, "/loader/entries.srel", "type1\n"},
			{test.boot, "/loader/entries/entry-001.conf", "title Linux\nsort-key 001\nlinux /vmlinuz-6.1\ninitrd /initrd-6.1\noptions quiet\n"},
			{test.boot, "/vmlinuz-6.1", strings.Repeat("kernel ", 1000)},
		} {
			if have := text(file.partition, file.name); have != file.want {
				t.Errorf("%s: %s is %q, want %q", test.layout, file.name, have, file.want)
			}
		}
		checkDisk(t, image, l)
	}
}

// checkDisk has others look at an image with a boot loader: its partition table,
// its FATs, its root file system.
func checkDisk(t testing.TB, image string, l layout) {
	t.Helper()
	for mountPoint, n := range l.boots {
		v := l.volume(t, image, n, mountPoint)
		part := filepath.Join(scratch.Dir(t), "fat")
		oracle.Run(t, "dd", "if="+image, "of="+part, "bs=512", "status=none", "conv=sparse",
			"skip="+strconv.FormatInt(v.offset/512, 10), "count="+strconv.FormatInt(v.size/512, 10))
		oracle.Run(t, "fsck.vfat", "-n", part)
		os.Remove(part)
	}
	if l.gpt {
		if out := oracle.Run(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
			t.Errorf("sgdisk -v:\n%s", out)
		}
	}
	l.rootOf(t, image).fsck(t)
}

// Where a boot partition is mounted there must be no link: kernels would be on
// another file system than the menu says.
func TestBootIsLink(t *testing.T) {
	t.Parallel()
	root := bootTree(t)
	if err := os.Rename(filepath.Join(root, "boot"), filepath.Join(root, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(root, "boot")); err != nil {
		t.Fatal(err)
	}
	fails(t, command("plan", "--root", root, "--boot-loader", bootEntries(""), "--partition-table-type", "efi"), 1,
		"--partition-table-type", `symbolic link to "/elsewhere"`)
}

// What the system says and what bootLoader says of it are one thing.
func TestBootLoaderIsThatOfTheSystem(t *testing.T) {
	t.Parallel()
	const efi = `"timeout": 2, "efi": {"efiSysMountPoint": "/boot"}, `
	for _, test := range []struct{ system, layout, settings string }{
		{"systemd-boot", "efi", `{` + efi + `"systemd-boot": {}}`},
		{"systemd-boot-2505", "efi", `{` + efi + `"systemd-boot": {"builder": "25.05"}}`},
		{"systemd-boot-2405", "efi", `{` + efi + `"systemd-boot": {"builder": "24.05"}}`},
		{"extlinux", "legacy", `{"timeout": 2, "generic-extlinux-compatible": {"specialisations": false}}`},
		{"init-script", "none", `{"initScript": {}}`},
	} {
		s := fixture.Build(t, test.system)
		auto := bootCase{layout: test.layout}.build(t, s)
		given := bootCase{layout: test.layout, args: []string{"--boot-loader", test.settings}}.build(t, s)
		if a, b := digest(t, auto), digest(t, given); a != b {
			t.Errorf("%s: %s, with bootLoader %s", test.system, a, b)
		}
		if none := digest(t, bootCase{layout: test.layout, args: []string{"--install-boot-loader=false"}}.build(t, s)); none == digest(t, auto) {
			t.Errorf("%s: the same without a boot loader", test.system)
		}
	}
}

// efi-vars.fd is the template, with the loader's entry if it may have one.
func TestEFIVariables(t *testing.T) {
	t.Parallel()
	root, template := bootTree(t), boot.Variables(t)
	want, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		changed bool
		args    []string
	}{
		{"may not touch variables", false, []string{"--partition-table-type", "efi", "--boot-loader", bootEntries("")}},
		{"no boot loader", false, []string{"--partition-table-type", "efi"}},
		{"no EFI system partition", false, []string{"--partition-table-type", "legacy+gpt"}},
		{"may touch variables", true, []string{"--partition-table-type", "efi", "--boot-loader", bootEntries(`"canTouchEfiVariables": true`)}},
	} {
		dir := scratch.Dir(t)
		must(t, append([]string{"build", "-q", "--no-sync", "-o", dir, "--root", root, "--touch-efi-vars", "--efi-variables", template}, test.args...)...)
		name := filepath.Join(dir, "efi-vars.fd")
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if changed := !bytes.Equal(have, want); changed != test.changed || len(have) != len(want) {
			t.Errorf("%s: changed is %v, want %v; %d bytes", test.name, changed, test.changed, len(have))
		}
		if !test.changed {
			continue
		}
		planned := string(must(t, append([]string{"plan", "--root", root}, test.args...)...))
		want := regexp.MustCompile(`(?m)^BOOT LOADER systemd-boot\n  settings +bootLoader\n  boot entry +"Linux Boot Manager"  \\EFI\\systemd\\systemd-bootx64\.efi$`)
		if !want.MatchString(planned) {
			t.Errorf("plan does not show the boot loader:\n%s", planned)
		}
		out := string(must(t, "inspect", name))
		esp := sfdisk(t, filepath.Join(dir, "nixos.img")).PartitionTable.Partitions[0]
		for _, part := range []string{"linux boot manager", `\efi\systemd\systemd-bootx64.efi`, "hd(1,gpt," + strings.ToLower(esp.UUID)} {
			if !strings.Contains(strings.ToLower(out), part) {
				t.Errorf("%s: inspect does not say %q:\n%s", test.name, part, out)
			}
		}
	}
}

// Templates that are no good are refused before anything is written; so is what
// has no directory to be in.
func TestEFIVariablesRefused(t *testing.T) {
	t.Parallel()
	root, template := bootTree(t), boot.Variables(t)
	good, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good)
	damaged[0x32]++ // the checksum of the volume's header
	bad := filepath.Join(t.TempDir(), "VARS.fd")
	if err := os.WriteFile(bad, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	args := func(template string, more ...string) []string {
		return append([]string{"build", "-o", out, "--root", root, "--partition-table-type", "efi", "--boot-loader",
			bootEntries(`"canTouchEfiVariables": true`), "--touch-efi-vars", "--efi-variables", template}, more...)
	}
	fails(t, command(args(bad)...), 1, "--efi-variables", "VARS.fd")
	fails(t, command(args("/nothing")...), 1, "--efi-variables", "/nothing")
	fails(t, command(args(template, "-o", "-")...), 2, "--touch-efi-vars", "no output directory")
	if _, err := os.Lstat(out); err == nil {
		t.Error("there is an output directory")
	}
}

// A boot partition that is too small is an error that says what would do, and
// that does.
func TestBootSize(t *testing.T) {
	t.Parallel()
	root := bootTree(t)
	big := filepath.Join(root, "boot", "vmlinuz-6.1")
	if err := os.Truncate(big, 50<<20); err != nil {
		t.Fatal(err)
	}
	args := []string{"plan", "--root", root, "--partition-table-type", "efi", "--boot-loader", bootEntries(""), "--boot-size"}
	message := fails(t, command(append(args, "40M")...), 1, "/boot is too small", "bytes", "would do")
	size := regexp.MustCompile(`--boot-size (\d+)M would do`).FindStringSubmatch(message)
	if size == nil {
		t.Fatalf("no size in %q", message)
	}
	must(t, append(args, size[1]+"M")...)
	less, _ := strconv.Atoi(size[1])
	fails(t, command(append(args, strconv.Itoa(less-1)+"M")...), 1, "/boot is too small")
}

// U-Boot finds extlinux.conf, shows its menu, and loads what it names by its own
// reader of ext4 and starts it. (U-Boot 2023.01 forgets the length of the initial
// ramdisk on x86, so the kernel gets no further.)
func TestExtlinuxByUBoot(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "extlinux")
	image := bootCase{layout: "legacy"}.build(t, s)
	c := boot.Run(t, boot.Machine{Image: image, Firmware: boot.UBoot, Bus: "ide", Until: regexp.MustCompile(`Kernel command line: "(.*)"`)})
	copied := func(file string) string {
		name, _ := strings.CutPrefix(file, s.Host("/nix/store")+"/")
		return strings.ReplaceAll(name, "/", "-")
	}
	for _, want := range []string{
		"Found /boot/extlinux/extlinux.conf",
		"1:\tNixOS - Default\n2:\tNixOS - Configuration 1 (1980-01-01 00:00 - ",
		"Retrieving file: /boot/extlinux/../nixos/" + copied(s.Kernel(t)),
		"Retrieving file: /boot/extlinux/../nixos/" + copied(s.Initrd(t)),
		`Kernel command line: "` + s.CommandLine(t) + `"`,
	} {
		if !strings.Contains(c.Text, want) {
			t.Errorf("U-Boot does not say %q:\n%s", want, c.Text)
		}
	}
}
