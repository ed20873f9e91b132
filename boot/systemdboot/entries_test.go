package systemdboot

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/content"
	"diskwright/partition"
	"diskwright/tree"
)

// debian returns a tree like that of a Debian with a kernel and systemd-boot.
func debian(t *testing.T) *tree.Inode {
	t.Helper()
	root := tree.NewDir(tree.Time{})
	for name, text := range map[string]string{
		"/boot/vmlinuz-6.1.0":                                "kernel",
		"/boot/initrd.img-6.1.0":                             "initrd",
		"/usr/lib/kernel/other":                              "other kernel",
		"/usr/lib/systemd/boot/efi/linuxx64.efi.stub":        "stub",
		"/usr/lib/systemd/boot/efi/systemd-bootx64.efi":      "loader",
		"/usr/share/memtest/memtest.efi":                     "memtest",
		"/usr/share/shell/shell.efi":                         "shell",
		"/usr/lib/systemd/boot/efi/systemd-bootx64.efi.note": "no loader",
	} {
		put(t, root, name, tree.NewFile(content.Bytes(text), tree.Time{}))
	}
	put(t, root, "/vmlinuz", tree.NewSymlink("boot/vmlinuz-6.1.0", tree.Time{}))
	put(t, root, "/initrd.img", tree.NewSymlink("boot/initrd.img-6.1.0", tree.Time{}))
	return root
}

func put(t *testing.T, root *tree.Inode, name string, i *tree.Inode) {
	t.Helper()
	if err := tree.PutFile(root, name, i, tree.Time{}); err != nil {
		t.Fatal(err)
	}
}

func entries(t *testing.T, layout partition.Layout, change func(*boot.Settings)) (*boot.Request, *boot.Installation, error) {
	t.Helper()
	s := boot.NewSettings(boot.SystemdBootName)
	s.Entries = []boot.Entry{
		{Title: "Debian", Kernel: "/vmlinuz", Initrd: "/initrd.img", Options: "root=LABEL=nixos quiet"},
		{Title: "Other", Kernel: "/usr/lib/kernel/other"},
	}
	if change != nil {
		change(s)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &boot.Request{Settings: s, Files: boot.Files{Root: debian(t)}, Disk: boottest.Disk(t, layout)}
	in, err := Install(context.Background(), r)
	return r, in, err
}

func TestEntries(t *testing.T) {
	for _, layout := range []partition.Layout{partition.EFI, partition.Hybrid, partition.EFIXBOOTLDR} {
		t.Run(string(layout), func(t *testing.T) {
			r, in, err := entries(t, layout, func(s *boot.Settings) { s.EFI.CanTouchEFIVariables = true })
			if err != nil {
				t.Fatal(err)
			}
			esp := "/boot"
			if layout == partition.EFIXBOOTLDR {
				esp = "/efi"
			}
			if err := in.Apply(r.Files.Root, []string{"/boot", esp}, r.Epoch); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{
				esp + "/EFI/BOOT/BOOTX64.EFI":            "loader",
				esp + "/EFI/systemd/systemd-bootx64.efi": "loader",
				esp + "/loader/loader.conf":              "timeout 5\ndefault entry-001.conf\nconsole-mode keep\n",
				"/boot/loader/entries.srel":              "type1\n",
				"/boot/loader/entries/entry-001.conf":    "title Debian\nsort-key 001\nlinux /vmlinuz-6.1.0\ninitrd /initrd.img-6.1.0\noptions root=LABEL=nixos quiet\n",
				"/boot/loader/entries/entry-002.conf":    "title Other\nsort-key 002\nlinux /kernels/usr-lib-kernel-other\n",
				"/boot/kernels/usr-lib-kernel-other":     "other kernel",
				"/boot/vmlinuz-6.1.0":                    "kernel",
			} {
				have, err := r.Files.Read(name)
				if err != nil || string(have) != want {
					t.Errorf("%s: have %q, %v; want %q", name, have, err, want)
				}
			}
			if e := in.EFIEntry; e == nil || e.Path != `\EFI\systemd\systemd-bootx64.efi` || e.Description != "Linux Boot Manager" {
				t.Errorf("boot entry %+v", e)
			}
			if i, err := r.Files.Lstat("/etc/kernel"); err == nil {
				t.Errorf("a system that is not NixOS got %+v", i)
			}
		})
	}
}

// The loader may come from the machine that builds.
func TestEFIBinary(t *testing.T) {
	name := filepath.Join(t.TempDir(), "systemd-bootaa64.efi")
	if err := os.WriteFile(name, []byte("other loader"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, in, err := entries(t, partition.EFI, func(s *boot.Settings) { s.SystemdBoot.EFIBinary = name })
	if err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(in.Files, func(f boot.File) bool { return f.Path == "/boot/EFI/BOOT/BOOTAA64.EFI" })
	if n < 0 {
		t.Fatal("no BOOTAA64.EFI")
	}
	if b, err := boot.ReadAll(in.Files[n].Inode); err != nil || string(b) != "other loader" {
		t.Errorf("have %q, %v", b, err)
	}
	if in.EFIEntry != nil {
		t.Error("a boot entry, though the loader may not touch variables")
	}
}

// A program in the menu goes below efi/, and a FAT has EFI/ already.
func TestToolsOnFAT(t *testing.T) {
	title := "Win"
	r, in, err := entries(t, partition.EFI, func(s *boot.Settings) {
		s.SystemdBoot.Memtest86 = boot.Tool{Enable: true, File: "/usr/share/memtest/memtest.efi"}
		s.SystemdBoot.EDK2UEFIShell = boot.Tool{File: "/usr/share/shell/shell.efi"}
		s.SystemdBoot.Windows = map[string]boot.Windows{"11": {Title: &title, EFIDeviceHandle: "HD0c1"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Apply(r.Files.Root, []string{"/boot"}, r.Epoch); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/boot/EFI/memtest86/memtest.efi":                            "memtest",
		"/boot/EFI/edk2-uefi-shell/shell.efi":                        "shell",
		"/boot/EFI/nixos/.extra-files/loader/entries/memtest86.conf": "",
		"/boot/loader/entries/memtest86.conf":                        "title  Memtest86+\nefi    /efi/memtest86/memtest.efi\nsort-key o_memtest86\n",
		"/boot/loader/entries/windows_11.conf": "title Win\nefi /efi/edk2-uefi-shell/shell.efi\n" +
			"options -nointerrupt -nomap -noversion HD0c1:EFI\\Microsoft\\Boot\\Bootmgfw.efi\nsort-key o_windows_11\n",
	} {
		have, err := r.Files.Read(name)
		if err != nil || string(have) != want {
			t.Errorf("%s: have %q, %v; want %q", name, have, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	bootDir, efi := "/boot", "/efi"
	tests := []struct {
		name   string
		layout partition.Layout
		change func(*boot.Settings)
		want   string
	}{
		{"no ESP", partition.Legacy, nil, "no EFI system partition"},
		{"no ESP on a whole disk", partition.None, nil, "no EFI system partition"},
		{"ESP elsewhere", partition.EFI, func(s *boot.Settings) { s.EFI.EFISysMountPoint = "/efi" }, "efi.efiSysMountPoint"},
		{"ESP at BOOT", partition.EFIXBOOTLDR, func(s *boot.Settings) { s.EFI.EFISysMountPoint = "/boot" }, "efi.efiSysMountPoint"},
		{"no XBOOTLDR", partition.EFI, func(s *boot.Settings) { s.SystemdBoot.XBOOTLDRMountPoint = &bootDir }, "xbootldrMountPoint"},
		{"XBOOTLDR elsewhere", partition.EFIXBOOTLDR, func(s *boot.Settings) { s.SystemdBoot.XBOOTLDRMountPoint = &efi }, "xbootldrMountPoint"},
		{"no menu", partition.EFI, func(s *boot.Settings) { s.Entries = nil }, "entries are missing"},
		{"no kernel", partition.EFI, func(s *boot.Settings) { s.Entries[0].Kernel = "/nothing" }, "/nothing"},
		{"no tool", partition.EFI, func(s *boot.Settings) { s.SystemdBoot.Memtest86.Enable = true }, "memtest86.file"},
		{"no loader", partition.EFI, func(s *boot.Settings) { s.SystemdBoot.Systemd = "/opt" }, "systemd-boot-efi"},
		{"odd loader", partition.EFI, func(s *boot.Settings) { s.SystemdBoot.EFIBinary = "/x/BOOTX64.EFI" }, "systemd-bootARCH.efi"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := entries(t, test.layout, test.change)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have error %v, want one with %q", err, test.want)
			}
		})
	}
}

// Initrds that a system wants beside its own are files of $BOOT already.
func TestExtraInitrds(t *testing.T) {
	c := boottest.Load(t, "testdata/goldens/sd-c-01-one-gen")
	r := request(t, c)
	r.System.Profiles[0].Generations[0].ExtraInitrds = []string{"ucode/a.img", "ucode/b.img"}
	in, err := Install(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range in.Files {
		if !strings.HasPrefix(f.Path, "/boot/loader/entries/nixos-") {
			continue
		}
		text, err := boot.ReadAll(f.Inode)
		if err != nil || !strings.Contains(string(text), "-initrd.efi\ninitrd /ucode/a.img\ninitrd /ucode/b.img\noptions init=") {
			t.Errorf("%s: %q, %v", f.Path, text, err)
		}
		return
	}
	t.Error("no entry")
}

// A NixOS system on efixbootldr that says nothing of XBOOTLDR has all on the ESP.
func TestKernelsOnESP(t *testing.T) {
	c := boottest.Load(t, "testdata/goldens/sd-c-01-one-gen")
	r := request(t, c)
	r.Disk = boottest.Disk(t, partition.EFIXBOOTLDR)
	r.Settings.EFI.EFISysMountPoint = "/efi"
	in, err := Install(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !in.Has("/efi/loader/entries.srel") || in.Has("/boot/loader/entries.srel") {
		t.Error("entries are not on the ESP")
	}
}
