package inspect

import (
	"bytes"
	"fmt"
	"io"

	"diskwright/content"
	"diskwright/partition"
)

// NotRawError says that an image is in a format that is not read.
type NotRawError struct {
	Format string // "qcow2", "gzip", …
	// Compressed says that it is a compressed file, of an image or anything.
	Compressed bool
}

func (e *NotRawError) Error() string {
	if e.Compressed {
		return fmt.Sprintf("it is compressed with %s; decompress it first", e.Format)
	}
	return fmt.Sprintf("it is in the format %s, but only raw images are read in this version; \"qemu-img convert -O raw\" makes one", e.Format)
}

// containers are the formats that are told from a raw image by their first
// bytes. None of them is what a disk's first sector begins with.
var containers = []struct {
	NotRawError
	offset int
	magic  string
}{
	{NotRawError{Format: "qcow2"}, 0, "QFI\xfb\x00\x00\x00\x02"},
	{NotRawError{Format: "qcow2"}, 0, "QFI\xfb\x00\x00\x00\x03"},
	{NotRawError{Format: "qcow"}, 0, "QFI\xfb\x00\x00\x00\x01"},
	{NotRawError{Format: "qed"}, 0, "QED\x00"},
	{NotRawError{Format: "vdi"}, 64, "\x7f\x10\xda\xbe"},
	{NotRawError{Format: "vmdk"}, 0, "KDMV"},
	{NotRawError{Format: "vmdk"}, 0, "COWD"},
	{NotRawError{Format: "vmdk"}, 0, "# Disk DescriptorFile"},
	{NotRawError{Format: "vhdx"}, 0, "vhdxfile"},
	{NotRawError{Format: "vhd"}, 0, "conectix"},
	{NotRawError{Format: "Parallels"}, 0, "WithoutFreeSpace"},
	{NotRawError{Format: "Parallels"}, 0, "WithouFreSpacExt"},
	{NotRawError{Format: "Android sparse image"}, 0, "\x3a\xff\x26\xed"},
	{NotRawError{"gzip", true}, 0, "\x1f\x8b\x08"},
	{NotRawError{"xz", true}, 0, "\xfd7zXZ\x00"},
	{NotRawError{"zstd", true}, 0, "\x28\xb5\x2f\xfd"},
	{NotRawError{"lz4", true}, 0, "\x04\x22\x4d\x18"},
}

// trailers are the formats that have their mark at the end: a fixed VHD is a
// raw image with a footer behind it.
var trailers = []struct {
	NotRawError
	fromEnd int64
	magic   string
}{
	{NotRawError{Format: "vhd"}, 512, "conectix"},
	{NotRawError{Format: "vhd"}, 511, "conectix"}, // of Virtual PC before 2004
	{NotRawError{Format: "dmg"}, 512, "koly\x00\x00\x00\x04"},
}

// checkRaw refuses other formats.
func checkRaw(r io.ReaderAt, size int64) error {
	start := make([]byte, min(512, size))
	if err := content.ReadFull(r, start, 0); err != nil {
		return err
	}
	for _, c := range containers {
		if len(start) > c.offset && bytes.HasPrefix(start[c.offset:], []byte(c.magic)) {
			return &c.NotRawError
		}
	}
	end := make([]byte, min(512, size))
	if err := content.ReadFull(r, end, size-int64(len(end))); err != nil {
		return err
	}
	for _, t := range trailers {
		if at := int64(len(end)) - t.fromEnd; at >= 0 && bytes.HasPrefix(end[at:], []byte(t.magic)) {
			return &t.NotRawError
		}
	}
	return nil
}

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
	case bytes.Contains(code, []byte("Limine")):
		return Limine
	case bytes.Contains(code, []byte("Missing operating system.")), bytes.Contains(code, []byte("SYSLINUX")):
		return Syslinux
	}
	return OtherBootCode
}
