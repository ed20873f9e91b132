package limine

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/tree"

	"golang.org/x/crypto/blake2b"
)

// dirName is the directory of the partition that has Limine's files. Limine
// looks for its menu there.
const dirName = "limine"

// Install returns what installing Limine adds to an image.
func Install(ctx context.Context, r *boot.Request) (*boot.Installation, error) {
	s := r.Settings.Limine
	switch {
	case s == nil:
		return nil, errors.New("these are no settings of limine")
	case r.System == nil:
		return nil, errors.New("limine: it is installed for NixOS systems only; systemd-boot and grub take entries")
	}
	i := &installer{Request: r, ctx: ctx, s: s, out: &boot.Installation{}, copied: map[string]string{}, hashes: map[string]string{}}
	if err := i.mounts(); err != nil {
		return nil, fmt.Errorf("limine: %w", err)
	}
	for _, step := range []func() error{i.menu, i.additional, i.efi, i.bios} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("limine: %w", err)
		}
	}
	i.removeStale()
	return i.out, nil
}

// installer adds to an installation.
type installer struct {
	*boot.Request
	ctx context.Context
	s   *boot.Limine
	out *boot.Installation

	mount  string            // of the FAT that has the files
	dir    string            // directory limine in it
	copied map[string]string // by path of the copy: what it is a copy of
	hashes map[string]string // by path
}

// mounts finds the FAT for Limine's files.
func (i *installer) mounts() error {
	if i.s.EFISupport {
		esp, err := i.Disk.ESP("efiSupport")
		if err != nil {
			return err
		}
		if option := i.Settings.EFI.EFISysMountPoint; option != "" {
			if err := i.Disk.CheckESP("efi.efiSysMountPoint", path.Clean(option)); err != nil {
				return err
			}
		}
		i.mount = esp.MountPoint
	} else {
		fs, ok := i.Disk.Mounted("/boot")
		if !ok || fs.Type != boot.TypeFAT {
			return fmt.Errorf("%s has no FAT at /boot, and limine reads nothing else: want legacy+boot, hybrid or efi", i.Disk.Parameter())
		}
		i.mount = fs.MountPoint
	}
	i.dir = path.Join(i.mount, dirName)
	return nil
}

// additional adds the files that the settings ask for.
func (i *installer) additional() error {
	for _, name := range slices.Sorted(maps.Keys(i.s.AdditionalFiles)) {
		from := i.s.AdditionalFiles[name]
		file, _, err := i.Files.Regular(from)
		if err != nil {
			return fmt.Errorf("additionalFiles: %w", err)
		}
		i.out.AddFile(path.Join(i.dir, name), 0o644, file.Content, i.Epoch)
	}
	return nil
}

// copyFile adds a copy of the file at from, in a directory below that of Limine.
// It returns how the menu refers to it.
func (i *installer) copyFile(from, dir string) (uri string, err error) {
	name := path.Join(dir, copyName(from))
	file, _, err := i.Files.Regular(from)
	if err != nil {
		return "", err
	}
	switch other, ok := i.copied[name]; {
	case !ok:
		i.copied[name] = from
		i.out.AddFile(path.Join(i.dir, name), 0o644, file.Content, i.Epoch)
	case other != from:
		return "", fmt.Errorf("%q and %q would both become %q: rename one, or the directory that it is in", other, from, name)
	}
	uri = "boot():/" + dirName + "/" + name
	if !i.s.ValidateChecksums {
		return uri, nil
	}
	hash, err := i.hash(from, file)
	return uri + "#" + hash, err
}

// copyName returns the name of a copy: that of the file, behind that of its
// directory, which in a store is that of the object.
func copyName(from string) string { return path.Base(path.Dir(from)) + "-" + path.Base(from) }

// hash returns the BLAKE2b hash of the file at a path.
func (i *installer) hash(name string, file *tree.Inode) (string, error) {
	if hash, ok := i.hashes[name]; ok {
		return hash, nil
	}
	h, err := blake2b.New512(nil)
	if err != nil {
		return "", err
	}
	buffer := make([]byte, min(1<<20, max(file.Size(), 1)))
	for off, size := int64(0), file.Size(); off < size; {
		if err := i.ctx.Err(); err != nil {
			return "", err
		}
		b := buffer[:min(int64(len(buffer)), size-off)]
		if err := content.ReadFull(file.Content, b, off); err != nil {
			return "", fmt.Errorf("%q: %w", name, err)
		}
		h.Write(b)
		off += int64(len(b))
	}
	i.hashes[name] = hex.EncodeToString(h.Sum(nil))
	return i.hashes[name], nil
}

// efi adds the EFI program, and the boot entry for it.
func (i *installer) efi() error {
	if !i.s.EFISupport {
		return nil
	}
	name, err := i.efiProgram()
	if err != nil {
		return err
	}
	dir, err := i.packageDir()
	if err != nil {
		return err
	}
	file, _, err := i.Files.Regular(path.Join(dir, "share/limine", name))
	if err != nil {
		return err
	}
	program := file.Content
	if i.s.Enroll() {
		if program, err = i.enroll(file, name); err != nil {
			return err
		}
	}
	removable := i.s.Removable(i.Settings.EFI)
	directory := "limine"
	if removable {
		directory = "boot"
	}
	i.out.AddFile(path.Join(i.mount, "efi", directory, name), 0o644, program, i.Epoch)
	if i.Settings.EFI.CanTouchEFIVariables && !removable {
		i.out.EFIEntry = &boot.EFIEntry{Description: "Limine", Path: `\efi\limine\` + name}
	}
	return nil
}

// efiPrograms are the names of Limine's programs for the architectures that
// NixOS's installer knows, by Nix's names of them.
var efiPrograms = map[string]string{
	"x86_64":  "BOOTX64.EFI",
	"i686":    "BOOTIA32.EFI",
	"aarch64": "BOOTAA64.EFI",
}

func (i *installer) efiProgram() (string, error) {
	system := i.newest().System
	cpu, _, _ := strings.Cut(system, "-")
	if name, ok := efiPrograms[cpu]; ok {
		return name, nil
	}
	return "", fmt.Errorf("NixOS installs none on a system of %q", system)
}

// enrolled is what precedes, in the EFI program, the place for the hash of the
// menu in hexadecimal digits.
const enrolled = "++CONFIG_B2SUM_SIGNATURE++"

// enroll returns the program with the hash of the menu in it.
func (i *installer) enroll(file *tree.Inode, name string) (content.Source, error) {
	program, err := boot.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	menu, err := i.added(path.Join(i.dir, menuName))
	if err != nil {
		return nil, err
	}
	hash := blake2b.Sum512(menu)
	digits := hex.EncodeToString(hash[:])
	at := bytes.Index(program, []byte(enrolled))
	if at < 0 || at+len(enrolled)+len(digits) > len(program) {
		return nil, fmt.Errorf("enrollConfig: %q has no place for the hash of the menu, which follows %q", name, enrolled)
	}
	copy(program[at+len(enrolled):], digits)
	return content.Bytes(program), nil
}

// added returns the content of a file that is added.
func (i *installer) added(name string) ([]byte, error) {
	n := slices.IndexFunc(i.out.Files, func(f boot.File) bool { return f.Path == name })
	if n < 0 {
		return nil, fmt.Errorf("%q is not added", name)
	}
	return boot.ReadAll(i.out.Files[n].Inode)
}

// packageDir returns the directory of the image that has Limine.
func (i *installer) packageDir() (string, error) {
	const store = "/nix/store"
	if i.s.Package != "" {
		return i.s.Package, nil
	}
	names, err := i.Files.ReadDir(store)
	if err != nil {
		return "", err
	}
	var found []string
	for _, name := range names {
		if dir := path.Join(store, name); strings.Contains(name, "-limine-") && i.Files.Exists(path.Join(dir, "share/limine")) {
			found = append(found, dir)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("package is not set, and the store has %d packages of limine, not 1 (%q): want the path of the one to install", len(found), found)
	}
	return found[0], nil
}

// removeStale removes what an installer before left in Limine's directory. As
// the reference it leaves it there if nothing goes into a disk.
func (i *installer) removeStale() {
	i.out.Remove = append(i.out.Remove, path.Join(i.dir, "xen"))
	if i.s.BIOS() && i.s.BIOSDevice == boot.NoDevice {
		return
	}
	dir, _, err := i.Files.Lookup(i.dir)
	if err != nil || !dir.IsDir() {
		return
	}
	added := make(map[string]bool)
	for _, f := range i.out.Files {
		added[strings.ToLower(f.Path)] = true
	}
	i.removeBelow(dir, i.dir, added)
}

// removeBelow removes files that are not added. Directories stay.
func (i *installer) removeBelow(dir *tree.Inode, name string, added map[string]bool) {
	for _, e := range dir.Entries {
		file := path.Join(name, e.Name)
		switch {
		case e.Inode.IsDir():
			i.removeBelow(e.Inode, file, added)
		case !added[strings.ToLower(file)]:
			i.out.Remove = append(i.out.Remove, file)
		}
	}
}

// bios adds stage 3, and puts the others into the disk.
func (i *installer) bios() error {
	if !i.s.BIOS() {
		return nil
	}
	if cpu, _, _ := strings.Cut(i.newest().System, "-"); cpu != "x86_64" && cpu != "i686" {
		return fmt.Errorf("biosSupport is true, but a system of %q has no BIOS", i.newest().System)
	}
	dir, err := i.packageDir()
	if err != nil {
		return err
	}
	const stage3 = "limine-bios.sys"
	file, _, err := i.Files.Regular(path.Join(dir, "share/limine", stage3))
	if err != nil {
		return err
	}
	i.out.AddFile(path.Join(i.dir, stage3), 0o644, file.Content, i.Epoch)
	if i.s.BIOSDevice == boot.NoDevice {
		return nil
	}
	if err := i.Disk.CheckDevice("biosDevice", i.s.BIOSDevice); err != nil {
		return err
	}
	image, err := i.bootImage(dir)
	if err != nil {
		return err
	}
	return i.embed(image)
}

// embed puts a boot image into the disk.
func (i *installer) embed(image *BootImage) error {
	index := 0
	if i.s.PartitionIndex != nil {
		index = *i.s.PartitionIndex
	}
	e, err := image.Embed(i.Disk.Table, index)
	if err != nil {
		return err
	}
	i.out.BootCode, i.out.Embed, i.out.Active = e.BootCode, []boot.Embedded{e.Stage2}, e.Active
	return nil
}
