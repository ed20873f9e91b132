package systemdboot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/tree"
)

// extraDir holds an empty file for each extra file, at the same path, so that
// the next installation knows what to remove.
const extraDir = nixosDir + "/.extra-files"

// extra adds the extra files and entries.
func (i *installer) extra() error {
	files, entries, err := i.wanted()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file, _, err := i.Files.Regular(files[name])
		if err != nil {
			return fmt.Errorf("systemd-boot.extraFiles: %w", err)
		}
		i.addExtra(name, file.Content)
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		i.addExtra("loader/entries/"+name, content.Bytes(entries[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(i.s.ExtraEFIDrivers)) {
		file, _, err := i.Files.Regular(i.s.ExtraEFIDrivers[name])
		if err != nil {
			return fmt.Errorf("systemd-boot.extraEfiDrivers: %w", err)
		}
		i.out.AddFile(i.esp+"/"+name, 0o755, file.Content, i.Epoch)
	}
	return nil
}

// addExtra adds a file as install(1) does, with its mark.
func (i *installer) addExtra(name string, src content.Source) {
	i.out.AddFile(i.boot+"/"+name, 0o755, src, i.Epoch)
	i.out.AddFile(i.boot+extraDir+"/"+name, 0o755, nil, i.Epoch)
}

// wanted returns the extra files and entries that the settings ask for, in one
// way or another. The names and texts are those of NixOS's module.
func (i *installer) wanted() (files, entries map[string]string, err error) {
	files, entries = maps.Clone(i.s.ExtraFiles), maps.Clone(i.s.ExtraEntries)
	if files == nil {
		files = map[string]string{}
	}
	if entries == nil {
		entries = map[string]string{}
	}
	const (
		memtest = "efi/memtest86/memtest.efi"
		netboot = "efi/netbootxyz/netboot.xyz.efi"
		shell   = "efi/edk2-uefi-shell/shell.efi"
	)
	tools := []struct {
		name, file, title string
		boot.Tool
	}{
		{"memtest86", memtest, "Memtest86+", i.s.Memtest86},
		{"netbootxyz", netboot, "netboot.xyz", i.s.NetbootXYZ},
		{"edk2-uefi-shell", shell, "EDK2 UEFI Shell", i.s.EDK2UEFIShell},
	}
	for _, t := range tools {
		if !t.Enable {
			continue
		}
		if err := i.wantTool(files, t.name, t.file, t.File); err != nil {
			return nil, nil, err
		}
		addEntry(entries, t.name, fmt.Sprintf("title  %s\nefi    /%s\nsort-key %s\n", t.title, t.file, or(t.SortKey, "o_"+t.name)))
	}
	for _, name := range slices.Sorted(maps.Keys(i.s.Windows)) {
		w := i.s.Windows[name]
		if err := i.wantTool(files, "edk2-uefi-shell", shell, i.s.EDK2UEFIShell.File); err != nil {
			return nil, nil, fmt.Errorf("systemd-boot.windows.%s: %w", name, err)
		}
		addEntry(entries, "windows_"+name, fmt.Sprintf(
			"title %s\nefi /%s\noptions -nointerrupt -nomap -noversion %s:EFI\\Microsoft\\Boot\\Bootmgfw.efi\nsort-key %s\n",
			or(w.Title, "Windows "+name), shell, w.EFIDeviceHandle, or(w.SortKey, "o_windows_"+name)))
	}
	return files, entries, nil
}

// wantTool makes sure that a tool's file is among the extra files.
func (i *installer) wantTool(files map[string]string, name, file, source string) error {
	if source != "" {
		files[file] = source
	}
	if files[file] == "" {
		return fmt.Errorf("systemd-boot.%s.file is missing: want the path in the image of what is to be %s", name, file)
	}
	return nil
}

// addEntry adds an entry, unless an evaluated configuration has it already.
func addEntry(entries map[string]string, name, text string) {
	if _, ok := entries[name+".conf"]; !ok {
		entries[name+".conf"] = text
	}
}

func or(s *string, other string) string {
	if s == nil {
		return other
	}
	return *s
}

// collectExtra removes the extra files of an earlier installation.
func (i *installer) collectExtra() {
	var walk func(dir *tree.Inode, name string)
	walk = func(dir *tree.Inode, name string) {
		for _, e := range dir.Entries {
			below := name + "/" + e.Name
			if e.Inode.IsDir() {
				walk(e.Inode, below)
			} else {
				i.out.Remove = append(i.out.Remove, i.boot+below)
			}
		}
	}
	if dir, _, err := i.Files.Lookup(i.boot + extraDir); err == nil && dir.IsDir() {
		walk(dir, "")
		if len(dir.Entries) > 0 {
			i.out.Remove = append(i.out.Remove, i.boot+extraDir)
		}
	}
}

// otherMenu adds the menu of a system that is not NixOS.
func (i *installer) otherMenu() error {
	if len(i.Settings.Entries) == 0 {
		return fmt.Errorf("entries are missing: an image without system needs what its boot menu shows")
	}
	for n, e := range i.Settings.Entries {
		text, err := i.otherEntry(e, n)
		if err != nil {
			return fmt.Errorf("entries[%d]: %w", n, err)
		}
		i.out.AddText(i.boot+"/loader/entries/"+otherName(n), 0o644, text, i.Epoch)
	}
	i.out.AddText(i.esp+"/loader/loader.conf", 0o644,
		timeoutLine(i.Settings.Timeout)+"default "+otherName(0)+"\n"+i.loaderSettings(), i.Epoch)
	return i.extra()
}

// otherName names the entries of systems that are not NixOS, in their order.
func otherName(n int) string { return fmt.Sprintf("entry-%03d.conf", n+1) }

func (i *installer) otherEntry(e boot.Entry, n int) (string, error) {
	kernel, err := i.onBoot(e.Kernel)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	// Entries are sorted by their keys, in descending order of versions.
	fmt.Fprintf(&b, "title %s\nsort-key %03d\nlinux %s\n", e.Title, n+1, kernel)
	if e.Initrd != "" {
		initrd, err := i.onBoot(e.Initrd)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "initrd %s\n", initrd)
	}
	if e.Options != "" {
		fmt.Fprintf(&b, "options %s\n", e.Options)
	}
	return b.String(), nil
}

// kernelsDir is where kernels go that are not on $BOOT.
const kernelsDir = "/kernels"

// onBoot returns the path below $BOOT of a file of the image; one that is
// elsewhere is copied there.
func (i *installer) onBoot(name string) (string, error) {
	file, real, err := i.Files.Regular(name)
	if err != nil {
		return "", err
	}
	if fs, below := i.Disk.At(real); fs.MountPoint == i.boot {
		return below, nil
	}
	target := kernelsDir + "/" + strings.ReplaceAll(strings.TrimPrefix(real, "/"), "/", "-")
	if !i.out.Has(i.boot + target) {
		i.out.AddFile(i.boot+target, 0o644, file.Content, i.Epoch)
	}
	return target, nil
}
