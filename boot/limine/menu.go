package limine

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"diskwright/boot"
)

// menuName is the name of the menu in Limine's directory.
const menuName = "limine.conf"

// waitForever is how long the menu waits if NixOS's timeout is null: NixOS's
// module makes that ten seconds.
const waitForever = 10

// menu adds the menu, and the files that it refers to.
func (i *installer) menu() error {
	if len(i.System.Profiles) == 0 || len(i.System.Profiles[0].Generations) == 0 {
		return errors.New("the system has no generation in /nix/var/nix/profiles")
	}
	i.out.AddDir(path.Join(i.dir, "xen"), 0o755, i.Epoch)
	var b strings.Builder
	b.WriteString(i.s.ExtraConfig + "\n")
	i.options(&b)
	if err := i.style(&b); err != nil {
		return err
	}
	b.WriteString("\n# NixOS boot entries start here\n")
	for _, p := range i.System.Profiles {
		if err := i.profile(&b, p); err != nil {
			return err
		}
	}
	b.WriteString("\n# NixOS boot entries end here\n\n")
	b.WriteString(i.s.ExtraEntries)
	i.out.AddText(path.Join(i.dir, menuName), 0o644, strings.TrimSpace(b.String()), i.Epoch)
	return nil
}

// newest returns the newest generation of the system.
func (i *installer) newest() *boot.Generation {
	generations := i.System.Profiles[0].Generations
	return &generations[len(generations)-1]
}

// options writes what decides how the menu behaves.
func (i *installer) options(b *strings.Builder) {
	timeout := waitForever
	if i.Settings.Timeout != nil {
		timeout = *i.Settings.Timeout
	}
	entry := 2 // the line of the first generation, below that of its profile
	if len(i.newest().Specialisations) > 0 {
		entry = 3 // the line of its default
	}
	fmt.Fprintf(b, "\ntimeout: %d\neditor_enabled: %s\nhash_mismatch_panic: %s\ngraphics: yes\ndefault_entry: %d\n",
		timeout, yesNo(i.s.EnableEditor), yesNo(i.s.PanicOnChecksumMismatch), entry)
}

func yesNo(value bool) string {
	if value {
		return "yes"
	}
	return "no"
}

// style writes what the menu looks like, and adds the wallpapers.
func (i *installer) style(b *strings.Builder) error {
	s := &i.s.Style
	for _, wallpaper := range s.Wallpapers {
		uri, err := i.copyFile(wallpaper, "wallpapers")
		if err != nil {
			return fmt.Errorf("style.wallpapers: %w", err)
		}
		fmt.Fprintf(b, "wallpaper: %s\n", uri)
	}
	text := func(name string, value *string) {
		if value != nil {
			fmt.Fprintf(b, "%s: %s\n", name, *value)
		}
	}
	number := func(name string, value *int) {
		if value != nil {
			fmt.Fprintf(b, "%s: %d\n", name, *value)
		}
	}
	text("wallpaper_style", s.WallpaperStyle)
	text("backdrop", s.Backdrop)
	text("interface_resolution", s.Interface.Resolution)
	text("interface_branding", s.Interface.Branding)
	number("interface_branding_colour", s.Interface.BrandingColor)
	// As Python prints it. Limine takes what begins with none of its words for
	// "no", so that True has no effect in the reference, either.
	hidden := "False"
	if s.Interface.HelpHidden {
		hidden = "True"
	}
	text("interface_help_hidden", &hidden)
	terminal := &s.GraphicalTerminal
	text("term_font_scale", terminal.Font.Scale)
	number("term_font_spacing", terminal.Font.Spacing)
	text("term_palette", terminal.Palette)
	text("term_palette_bright", terminal.BrightPalette)
	text("term_foreground", terminal.Foreground)
	text("term_background", terminal.Background)
	text("term_foreground_bright", terminal.BrightForeground)
	text("term_background_bright", terminal.BrightBackground)
	number("term_margin", terminal.Margin)
	number("term_margin_gradient", terminal.MarginGradient)
	return nil
}

// profile writes the entries of a profile, the newest generation first.
func (i *installer) profile(b *strings.Builder, p boot.Profile) error {
	name := "default profile"
	if p.Name != "" {
		name = fmt.Sprintf("profile '%s'", p.Name)
	}
	fmt.Fprintf(b, "/+NixOS %s\n", name)
	generations := slices.Clone(p.Generations)
	slices.Reverse(generations)
	if limit := i.s.MaxGenerations; limit != nil && *limit > 0 {
		generations = generations[:min(*limit, len(generations))]
	}
	for n := range generations {
		if err := i.generation(b, &generations[n], n == 0); err != nil {
			return fmt.Errorf("generation %d: %w", generations[n].Number, err)
		}
	}
	return nil
}

// generation writes the entries of a generation: for Xen, and for itself or, in a
// submenu, itself and its specialisations. The submenu of the first one is open.
func (i *installer) generation(b *strings.Builder, g *boot.Generation, first bool) error {
	built := time.Unix(g.Linked, 0).UTC().Format(time.DateTime)
	if err := i.xen(b, g, built); err != nil {
		return err
	}
	title := fmt.Sprintf("Generation %d", g.Number)
	if len(g.Specialisations) == 0 {
		return i.entry(b, "//"+title, &g.Document, built)
	}
	open := ""
	if first {
		open = "+"
	}
	fmt.Fprintf(b, "//%s%s\n", open, title)
	if err := i.entry(b, "///Default", &g.Document, built); err != nil {
		return err
	}
	for n := range g.Specialisations {
		s := &g.Specialisations[n]
		if err := i.entry(b, "///"+s.Name, &s.Document, built); err != nil {
			return fmt.Errorf("specialisation %q: %w", s.Name, err)
		}
	}
	return nil
}

// entry writes an entry that starts a system, and adds its kernel and initial
// ramdisk.
func (i *installer) entry(b *strings.Builder, title string, d *boot.Document, built string) error {
	if err := boot.CheckSecrets(i.Files, d); err != nil {
		return err
	}
	kernel, err := i.copyFile(d.Kernel, "kernels")
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "%s\nprotocol: linux\ncomment: %s, built on %s\nkernel_path: %s\ncmdline: %s\n",
		title, d.Label, built, kernel, commandLine(d))
	return i.module(b, d.Initrd)
}

// module writes the line for an initial ramdisk, if there is one, and adds it.
func (i *installer) module(b *strings.Builder, initrd string) error {
	if initrd == "" {
		return nil
	}
	uri, err := i.copyFile(initrd, "kernels")
	if err == nil {
		fmt.Fprintf(b, "module_path: %s\n", uri)
	}
	return err
}

// commandLine returns the parameters of the kernel.
func commandLine(d *boot.Document) string {
	return strings.TrimSpace("init=" + d.Init + " " + strings.Join(d.KernelParams, " "))
}
