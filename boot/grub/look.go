package grub

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"diskwright/tree"
)

// look writes the parts of the menu that say how it looks: font, background and
// theme, and puts their files into /boot.
func (m *menu) look() error {
	if err := m.font(); err != nil {
		return fmt.Errorf("font: %w", err)
	}
	if err := m.splash(); err != nil {
		return fmt.Errorf("splashImage: %w", err)
	}
	if err := m.theme(); err != nil {
		return fmt.Errorf("theme: %w", err)
	}
	return nil
}

// value returns what a setting says, "" if it says nothing.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (m *menu) font() error {
	font := value(m.g.Font)
	if font == "" {
		return nil
	}
	if err := m.copyFile(font, m.boot.Path+"/converted-font.pf2"); err != nil {
		return err
	}
	fmt.Fprintf(m.out, `
        insmod font
        if loadfont %s/converted-font.pf2; then
          insmod gfxterm
          if [ "${grub_platform}" = "efi" ]; then
            set gfxmode=%s
            set gfxpayload=%s
          else
            set gfxmode=%s
            set gfxpayload=%s
          fi
          terminal_output gfxterm
        fi
    `, m.drive1.path, m.g.GFXModeEFI, m.g.GFXPayloadEFI, m.g.GFXModeBIOS, m.g.GFXPayloadBIOS)
	return nil
}

func (m *menu) splash() error {
	image := value(m.g.SplashImage)
	if image == "" {
		return nil
	}
	// What is behind the name's last dot names GRUB's module as well.
	suffix := path.Ext(image)
	if len(suffix) < 2 {
		return fmt.Errorf("%q has no suffix: want .png, .jpg, .jpeg or .tga", image)
	}
	if suffix == ".jpg" {
		suffix = ".jpeg"
	}
	if err := m.copyFile(image, m.boot.Path+"/background"+suffix); err != nil {
		return err
	}
	if color := value(m.g.BackgroundColor); color != "" {
		fmt.Fprintf(m.out, "\n        background_color '%s'\n        ", color)
	}
	fmt.Fprintf(m.out, `
        insmod %s
        if background_image --mode '%s' %s/background%s; then
          set color_normal=white/black
          set color_highlight=black/white
        else
          set menu_color_normal=cyan/blue
          set menu_color_highlight=white/blue
        fi
    `, suffix[1:], m.g.SplashMode, m.drive1.path, suffix)
	return nil
}

// theme copies a theme and loads what its files need. The reference takes the
// fonts in the order in which the host lists them; here they are sorted.
func (m *menu) theme() error {
	theme, target := value(m.g.Theme), m.boot.Path+"/theme"
	m.in.Remove = append(m.in.Remove, target)
	if theme == "" {
		return nil
	}
	dir, _, err := m.r.Files.Lookup(theme)
	if err != nil {
		return err
	}
	if !dir.IsDir() {
		return fmt.Errorf("%q is not a directory", theme)
	}
	m.in.AddCopy(target, dir)
	files := filesBelow(dir, "")
	has := func(suffixes ...string) bool {
		return slices.ContainsFunc(files, func(f string) bool {
			return slices.Contains(suffixes, strings.ToLower(path.Ext(f)))
		})
	}
	if has(".png") {
		m.out.WriteString("\n            insmod png\n        ")
	}
	if has(".jpg", ".jpeg") {
		m.out.WriteString("\n            insmod jpeg\n        ")
	}
	fmt.Fprintf(m.out, `
        # Sets theme.
        set theme=%s/theme/theme.txt
        export theme
        # Load theme fonts, if any
    `, m.drive1.path)
	for _, f := range files {
		if strings.ToLower(path.Ext(f)) == ".pf2" {
			fmt.Fprintf(m.out, "\n                loadfont %s/theme/%s\n            ", m.drive1.path, f)
		}
	}
	return nil
}

// filesBelow returns the paths of what is below a directory and is none, sorted.
func filesBelow(dir *tree.Inode, prefix string) []string {
	var all []string
	for _, e := range dir.Entries {
		if e.Inode.IsDir() {
			all = append(all, filesBelow(e.Inode, prefix+e.Name+"/")...)
		} else {
			all = append(all, prefix+e.Name)
		}
	}
	slices.Sort(all)
	return all
}

// copyFile copies a file of the image.
func (m *mirror) copyFile(from, to string) error {
	i, _, err := m.r.Files.Regular(from)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: want a file of the image", err)
	}
	if err != nil {
		return err
	}
	m.in.AddFile(to, 0o644, i.Content, m.r.Epoch)
	return nil
}
