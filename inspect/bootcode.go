package inspect

import (
	"bytes"

	"diskwright/partition"
)

// BootCode names the program in a disk's first sector.
type BootCode string

const (
	NoBootCode BootCode = "none"
	// PartedBootCode starts the active partition.
	PartedBootCode BootCode = "parted"
	GRUB           BootCode = "grub"
	Limine         BootCode = "limine"
	Syslinux       BootCode = "syslinux"
	OtherBootCode  BootCode = "other"
)

// bootCodeOf names the boot code by the texts that it shows when it fails, or
// by its first instructions.
func bootCodeOf(t *partition.Table) BootCode {
	code := t.BootCode
	switch {
	case len(code) == 0:
		return NoBootCode
	case bytes.HasPrefix(code, []byte("\xfa\xb8\x00\x10\x8e\xd0\xbc\x00\xb0\xb8\x00\x00\x8e\xd8\x8e\xc0\xfb\xbe\x00\x7c")):
		return PartedBootCode
	case bytes.Contains(code, []byte("GRUB \x00Geom\x00Hard Disk\x00")):
		return GRUB
	case bytes.Contains(code, []byte("LIMINE  ")):
		return Limine
	case bytes.Contains(code, []byte("Missing operating system.")), bytes.Contains(code, []byte("SYSLINUX")):
		return Syslinux
	}
	return OtherBootCode
}
