package format

import (
	"bytes"
	"fmt"
	"io"

	"diskwright/content"
)

// UnreadError says that an image is in a format that is not read.
type UnreadError struct {
	Format string // "qed", "LUKS", …
	Advice string // what to do; empty if nothing helps
}

func (e *UnreadError) Error() string {
	if e.Advice != "" {
		return fmt.Sprintf("it is in the format %s, which is not read here; %s", e.Format, e.Advice)
	}
	return fmt.Sprintf("it is in the format %s, which is not read here", e.Format)
}

const convertFirst = `"qemu-img convert -O qcow2" makes an image that is`

// magics tell files by bytes at fixed offsets, from the end where they are
// negative. None of them is what a disk's first sector begins with. What has no
// reader here has advice instead.
var magics = []struct {
	offset int64
	magic  string
	format string
	advice string
}{
	{0, "QFI\xfb\x00\x00\x00\x01", "qcow", convertFirst},
	{0, "QFI\xfb", Qcow2, ""},
	{0, "QED\x00", "qed", convertFirst},
	{64, "\x7f\x10\xda\xbe", VDI, ""},
	{0, "KDMV", VMDK, ""},
	{0, "COWD", VMDK, ""},
	{0, "# Disk DescriptorFile", VMDK, ""},
	{0, "vhdxfile", VHDX, ""},
	{0, "conectix", VPC, ""},
	{0, "WithoutFreeSpace", "parallels", convertFirst},
	{0, "WithouFreSpacExt", "parallels", convertFirst},
	{0, "Bochs Virtual HD Image", "bochs", convertFirst},
	{0, "#!/bin/sh\n#V2.0 Format\n", "cloop", convertFirst},
	{0, "\x3a\xff\x26\xed", "Android sparse image", `"simg2img" makes a raw image of it`},
	{0, "BZh", "bzip2", "decompress it first"},
	{0, "\x04\x22\x4d\x18", "lz4", "decompress it first"},
	{0, "PK\x03\x04", "zip", "decompress it first"},
	// A fixed VHD is a raw image with a footer behind it, which is a byte
	// shorter if Virtual PC before 2004 made it.
	{-512, "conectix", VPC, ""},
	{-511, "conectix", VPC, ""},
	{-512, "koly\x00\x00\x00\x04", "dmg", convertFirst},
}

// Sniff returns the format of the file of size bytes in r, Raw if nothing is
// known about it, or an error of the type [*UnreadError]. Compressed files are
// not looked into.
func Sniff(r io.ReaderAt, size int64) (string, error) {
	n := min(512, size)
	start, end := make([]byte, n), make([]byte, n)
	if err := content.ReadFull(r, start, 0); err != nil {
		return "", err
	}
	if err := content.ReadFull(r, end, size-n); err != nil {
		return "", err
	}
	for _, m := range magics {
		p, at := start, m.offset
		if at < 0 {
			p, at = end, n+at
		}
		if at < 0 || at > n || !bytes.HasPrefix(p[at:], []byte(m.magic)) {
			continue
		}
		if m.advice != "" {
			return "", &UnreadError{m.format, m.advice}
		}
		return m.format, nil
	}
	return Raw, nil
}
