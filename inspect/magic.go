package inspect

import (
	"io"

	"diskwright/content"
)

const (
	typeISO9660 = "iso9660"
	typeZFS     = "zfs"
)

// magics tell file systems, and what else fills partitions, by bytes at fixed
// offsets. The order matters where one may lie in the remains of another: what
// is written last, or is more specific, comes first.
var magics = []struct {
	name   string
	offset int64
	magic  string
}{
	{"luks", 0, "LUKS\xba\xbe"},
	{"xfs", 0, "XFSB"},
	{"squashfs", 0, "hsqs"},
	{"ntfs", 3, "NTFS    "},
	{"exfat", 3, "EXFAT   "},
	{"bitlocker", 3, "-FVE-FS-"},
	{"cramfs", 0, "\x45\x3d\xcd\x28"},
	{"romfs", 0, "-rom1fs-"},
	{"dm-verity", 0, "verity\x00\x00"},
	{"apfs", 32, "NXSB"},
	{"lvm", 512 + 24, "LVM2 001"}, // label in sector 1, as pvcreate puts it
	{"erofs", 1024, "\xe2\xe1\xf5\xe0"},
	{"f2fs", 1024, "\x10\x20\xf5\xf2"},
	{"hfsplus", 1024, "H+\x00\x04"},
	{"hfsplus", 1024, "HX\x00\x05"},
	{"mdraid", 4096, "\xfc\x4e\x2b\xa9"}, // 1.2; 1.1 is at 0
	{"mdraid", 0, "\xfc\x4e\x2b\xa9"},
	{"bcachefs", 4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{"bcachefs", 4096 + 24, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"},
	{"swap", 4096 - 10, "SWAPSPACE2"}, // at the end of a page of 4 to 64 KiB
	{"swap", 8192 - 10, "SWAPSPACE2"},
	{"swap", 16384 - 10, "SWAPSPACE2"},
	{"swap", 65536 - 10, "SWAPSPACE2"},
	{"jfs", 32768, "JFS1"},
	{typeISO9660, 32769, "CD001"},
	{"udf", 32769, "BEA01"},
	{"btrfs", 65536 + 64, "_BHRfS_M"},
	{"reiserfs", 65536 + 52, "ReIsEr"},
	{"ufs2", 65536 + 1372, "\x19\x01\x54\x19"},
}

// findMagic returns the name of what is in a partition, or "".
func findMagic(r *io.SectionReader) (string, error) {
	for _, m := range magics {
		ok, err := hasMagic(r, m.offset, m.magic)
		if ok || err != nil {
			return m.name, err
		}
	}
	return "", nil
}

func hasMagic(r *io.SectionReader, offset int64, magic string) (bool, error) {
	b, err := peek(r, offset, len(magic))
	return string(b) == magic, err
}

// peek returns n bytes, or none where the partition is shorter.
func peek(r *io.SectionReader, offset int64, n int) ([]byte, error) {
	if offset+int64(n) > r.Size() {
		return nil, nil
	}
	b := make([]byte, n)
	return b, content.ReadFull(r, b, offset)
}
