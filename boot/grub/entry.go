package grub

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"diskwright/boot"
)

// entry writes the menu entry of the system at the toplevel top, and returns 1;
// 0 if it has no kernel, as that of a container.
func (m *menu) entry(title, top, options string) (entries int, err error) {
	kernel, err := m.part(top + "/kernel")
	if err != nil || kernel == "" {
		return 0, err
	}
	// Without an initial ramdisk the reference leaves the entry out. A kernel
	// that needs none starts without.
	initrd, err := m.part(top + "/initrd")
	if err != nil {
		return 0, err
	}
	xen, err := m.part(top + "/xen.gz")
	if err != nil {
		return 0, err
	}
	_, init, err := m.r.Files.Regular(top + "/init")
	if err != nil {
		return 0, err
	}
	if err := m.checkSecrets(top); err != nil {
		return 0, err
	}
	params, err := m.text(top + "/kernel-params")
	if err != nil {
		return 0, err
	}
	searches := []string{m.drive1.search}
	if m.usesStore() {
		searches = append(searches, m.drive2.search)
	}
	m.open(`"`+title+`"`, options, searches...)
	linux, ramdisk := "linux", "initrd"
	if xen != "" {
		xenParams, err := m.text(top + "/xen-params")
		if err != nil {
			return 0, err
		}
		linux, ramdisk = "module", "module"
		fmt.Fprintf(m.out, "  multiboot %s %s\n", xen, xenParams)
	}
	fmt.Fprintf(m.out, "  %s %s init=%s %s\n", linux, kernel, init, params)
	if initrd != "" {
		fmt.Fprintf(m.out, "  %s %s\n", ramdisk, initrd)
	}
	m.out.WriteString("}\n\n")
	return 1, nil
}

// open writes the beginning of an entry. The title is in quotes already.
func (m *menu) open(title, options string, searches ...string) {
	fmt.Fprintf(m.out, "menuentry %s %s {\n", title, options)
	if m.savesDefault() {
		m.out.WriteString("  savedefault\n")
	}
	for _, s := range searches {
		m.out.WriteString(s + "\n")
	}
	if m.g.ExtraPerEntryConfig != "" {
		m.out.WriteString("  " + m.bootRoot(m.g.ExtraPerEntryConfig) + "\n")
	}
}

// part returns the file that name leads to as the menu sees it, "" if there is
// none.
func (m *menu) part(name string) (string, error) {
	_, real, err := m.r.Files.Regular(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	}
	below, ok := boot.Below(real, m.g.StorePath)
	if !ok || below == "" {
		return "", fmt.Errorf("%q leads to %q: want a file of %s", name, real, m.g.StorePath)
	}
	if !m.copyKernels() {
		return m.drive2.path + below, nil
	}
	copied := strings.ReplaceAll(below[1:], "/", "-")
	m.copies[copied] = real
	return m.drive1.path + "/kernels/" + copied, nil
}

// checkSecrets refuses systems whose initial ramdisk is to have secrets of the
// machine that installs them.
func (m *menu) checkSecrets(top string) error {
	program := top + "/append-initrd-secrets"
	if !m.r.Files.Exists(program) {
		return nil
	}
	return boot.CheckSecrets(m.r.Files, &boot.Document{Toplevel: top, InitrdSecrets: program})
}

// entries writes the menu of a system that is not NixOS.
func (m *menu) entries() error {
	for n, e := range m.r.Settings.Entries {
		if err := m.plainEntry(e); err != nil {
			return fmt.Errorf("entries[%d]: %w", n, err)
		}
	}
	return nil
}

func (m *menu) plainEntry(e boot.Entry) error {
	kernel, drive, err := m.reach("kernel", e.Kernel)
	if err != nil {
		return err
	}
	searches := []string{drive.search}
	initrd := ""
	if e.Initrd != "" {
		if initrd, drive, err = m.reach("initrd", e.Initrd); err != nil {
			return err
		}
		if drive.search != searches[0] {
			searches = append(searches, drive.search)
		}
	}
	m.open(quote(e.Title), m.g.EntryOptions, searches...)
	m.out.WriteString("  linux " + kernel)
	for _, word := range kernelWords(e.Options) {
		m.out.WriteString(" " + word)
	}
	m.out.WriteString("\n")
	if initrd != "" {
		m.out.WriteString("  initrd " + initrd + "\n")
	}
	m.out.WriteString("}\n\n")
	return nil
}

// reach returns the image's file name as the menu sees it, wherever it is, and
// the drive that it is on.
func (m *menu) reach(option, name string) (string, drive, error) {
	_, real, err := m.r.Files.Regular(name)
	if err != nil {
		return "", drive{}, fmt.Errorf("%s: %w", option, err)
	}
	bootFS, _ := m.r.Disk.At(m.boot.Path)
	fs, rest := m.r.Disk.At(real)
	if fs.MountPoint == bootFS.MountPoint {
		d, err := newDrive(m.r.Disk, m.g.FSIdentifier, 1, real)
		return quotePath(d.path), d, err
	}
	for _, o := range m.others {
		if o.mountPoint == fs.MountPoint {
			return quotePath(strings.TrimSuffix(o.drive.path, "/") + rest), o.drive, nil
		}
	}
	d, err := newDrive(m.r.Disk, m.g.FSIdentifier, 2+len(m.others), fs.MountPoint)
	if err == nil && d.search == "" {
		err = fmt.Errorf("%s: %q is not on the file system of %s, and fsIdentifier %q cannot name another", option, name, m.boot.Path, boot.GRUBProvided)
	}
	if err != nil {
		return "", drive{}, err
	}
	m.others = append(m.others, other{fs.MountPoint, d})
	return quotePath(strings.TrimSuffix(d.path, "/") + rest), d, nil
}
