package limine

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"diskwright/boot"
)

// xenKey is the member of a bootspec document of a system that runs on Xen, as
// its first domain.
const xenKey = "org.xenproject.bootspec.v2"

// xenSpec is what it says.
type xenSpec struct {
	EFIPath       string   `json:"efiPath"`
	MultibootPath string   `json:"multibootPath"`
	Params        []string `json:"params"`
	Version       string   `json:"version"`
}

// xen writes the entries that start a generation on Xen, if there are any: one
// for EFI and one for multiboot, which cannot start from EFI.
func (i *installer) xen(b *strings.Builder, g *boot.Generation, built string) error {
	raw, ok := g.Extensions[xenKey]
	if !ok {
		return nil
	}
	var spec xenSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("%s: %w", xenKey, err)
	}
	if spec.Version == "" {
		return nil
	}
	for _, efi := range []bool{true, false} {
		if efi && !i.s.EFISupport {
			continue
		}
		if err := i.xenEntry(b, g, &spec, built, efi); err != nil {
			return fmt.Errorf("xen: %w", err)
		}
	}
	return nil
}

func (i *installer) xenEntry(b *strings.Builder, g *boot.Generation, spec *xenSpec, built string, efi bool) error {
	suffix := ""
	if efi {
		suffix = " EFI"
	}
	fmt.Fprintf(b, "//Generation %d with Xen %s%s\ncomment: Xen %s %s, built on %s\n",
		g.Number, spec.Version, suffix, spec.Version, g.Label, built)
	switch {
	case spec.MultibootPath == "" || !i.Files.Exists(spec.MultibootPath):
		return nil // as the reference, whatever such an entry is good for
	case efi:
		return i.xenEFI(b, g, spec)
	}
	return i.xenMultiboot(b, g, spec)
}

// xenDir returns the directory of a generation's files. Those of the system's
// profile have the name that the reference gives to those of all profiles, which
// would overwrite each other.
func xenDir(g *boot.Generation) string {
	if g.Profile == "" {
		return fmt.Sprintf("xen/%d", g.Number)
	}
	return fmt.Sprintf("xen/%s-%d", g.Profile, g.Number)
}

// xenEFI writes how Xen's EFI program is started, and adds the files that it
// reads by itself: from its own directory, by its own configuration.
func (i *installer) xenEFI(b *strings.Builder, g *boot.Generation, spec *xenSpec) error {
	dir := xenDir(g)
	uri, err := i.copyFile(spec.EFIPath, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "protocol: efi\npath: %s\n", uri)

	var config strings.Builder
	fmt.Fprintf(&config, "default=nixos%d\n\n[nixos%d]\n", g.Number, g.Number)
	if len(spec.Params) > 0 {
		fmt.Fprintf(&config, "options=%s\n", strings.TrimSpace(strings.Join(spec.Params, " ")))
	}
	if _, err := i.copyFile(g.Kernel, dir); err != nil {
		return err
	}
	fmt.Fprintf(&config, "kernel=%s %s\n", copyName(g.Kernel), commandLine(&g.Document))
	if g.Initrd != "" {
		if _, err := i.copyFile(g.Initrd, dir); err != nil {
			return err
		}
		fmt.Fprintf(&config, "ramdisk=%s\n", copyName(g.Initrd))
	}
	name := copyName(spec.EFIPath)
	if len(name) < len(".efi") {
		return fmt.Errorf("efiPath %q: want the path of a program *.efi", spec.EFIPath)
	}
	name = name[:len(name)-len(".efi")] + ".cfg" // whatever its suffix, as the reference
	i.out.AddText(path.Join(i.dir, dir, name), 0o644, config.String(), i.Epoch)
	return nil
}

// xenMultiboot writes how Xen is started from a BIOS. Limine gives a program's
// parameters without their first word, for which "--" stands.
func (i *installer) xenMultiboot(b *strings.Builder, g *boot.Generation, spec *xenSpec) error {
	uri, err := i.copyFile(spec.MultibootPath, xenDir(g))
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "protocol: multiboot\npath: %s\n", uri)
	if len(spec.Params) > 0 {
		fmt.Fprintf(b, "cmdline: -- %s\n", strings.TrimSpace(strings.Join(spec.Params, " ")))
	}
	kernel, err := i.copyFile(g.Kernel, "kernels")
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "module_path: %s\nmodule_string: -- %s\n", kernel, commandLine(&g.Document))
	return i.module(b, g.Initrd)
}
