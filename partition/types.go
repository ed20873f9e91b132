package partition

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Types of GPT partitions that a layout has.
var (
	TypeBIOSBoot = uuid.MustParse("21686148-6449-6E6F-744E-656564454649")
	TypeESP      = uuid.MustParse("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
	TypeXBOOTLDR = uuid.MustParse("BC13C2FF-59E6-4262-A352-B275FD6F7172")
	TypeLinux    = uuid.MustParse("0FC63DAF-8483-4772-8E79-3D69D8477DE4")

	TypeBasicData       = uuid.MustParse("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
	TypeZFS             = uuid.MustParse("6A898CC3-1DD2-11B2-99A6-080020736631")
	TypeSolarisReserved = uuid.MustParse("6A945A3B-1DD2-11B2-99A6-080020736631")
)

// TypeName returns what the partition's type means in words, or its number if
// that is not known here.
func (p Partition) TypeName() string {
	if p.TypeGUID != uuid.Nil {
		if name, ok := guidNames[p.TypeGUID]; ok {
			return name
		}
		return strings.ToUpper(p.TypeGUID.String())
	}
	if name, ok := codeNames[p.TypeCode]; ok {
		return name
	}
	return fmt.Sprintf("%#02x", p.TypeCode)
}

// roleOf returns the role of a partition that its type tells.
func roleOf(p Partition) Role {
	switch p.TypeGUID {
	case TypeBIOSBoot:
		return BIOSBoot
	case TypeESP:
		return ESP
	case TypeXBOOTLDR:
		return Boot
	}
	switch {
	case p.TypeCode == CodeESP:
		return ESP
	case (mbrEntry{code: p.TypeCode}).extended():
		return Extended
	}
	return ""
}

// guidNames are the types of GPT partitions that are met on disks of Linux
// systems, with the UAPI group's names where it has one.
var guidNames = map[uuid.UUID]string{
	TypeBIOSBoot: "BIOS boot",
	TypeESP:      "EFI system",
	TypeXBOOTLDR: "extended boot loader",
	TypeLinux:    "Linux filesystem",

	TypeBasicData:       "Microsoft basic data",
	TypeZFS:             "ZFS",
	TypeSolarisReserved: "Solaris reserved",

	uuid.MustParse("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"): "Linux swap",
	uuid.MustParse("E6D6D379-F507-44C2-A23C-238F2A3DF928"): "Linux LVM",
	uuid.MustParse("A19D880F-05FC-4D3B-A006-743F0F84911E"): "Linux RAID",
	uuid.MustParse("933AC7E1-2EB4-4F13-B844-0E14E2AEF915"): "Linux home",
	uuid.MustParse("3B8F8425-20E0-4F3B-907F-1A25A76F98E8"): "Linux server data",
	uuid.MustParse("4D21B016-B534-45C2-A9FB-5C16E091FD2D"): "Linux variable data",
	uuid.MustParse("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"): "Linux root (x86-64)",
	uuid.MustParse("2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"): "Linux root verity (x86-64)",
	uuid.MustParse("8484680C-9521-48C6-9C11-B0720656F69E"): "Linux /usr (x86-64)",
	uuid.MustParse("44479540-F297-41B2-9AF7-D131D5F0458A"): "Linux root (x86)",
	uuid.MustParse("69DAD710-2CE4-4E3C-B16C-21A1D49ABED3"): "Linux root (ARM)",
	uuid.MustParse("B921B045-1DF0-41C3-AF44-4C6F280D3FAE"): "Linux root (ARM-64)",
	uuid.MustParse("DF3300CE-D69F-4C92-978C-9BFB0F38D820"): "Linux root verity (ARM-64)",
	uuid.MustParse("B0E01050-EE5F-4390-949A-9101B17104E9"): "Linux /usr (ARM-64)",
	uuid.MustParse("72EC70A6-CF74-40E6-BD49-4BDA08E8F224"): "Linux root (RISC-V-64)",
	uuid.MustParse("E3C9E316-0B5C-4DB8-817D-F92DF00215AE"): "Microsoft reserved",
	uuid.MustParse("DE94BBA4-06D1-4D40-A16A-BFD50179D6AC"): "Windows recovery environment",
	uuid.MustParse("48465300-0000-11AA-AA11-00306543ECAC"): "Apple HFS+",
	uuid.MustParse("7C3457EF-0000-11AA-AA11-00306543ECAC"): "Apple APFS",
}

// codeNames are the types of MBR partitions that are still met.
var codeNames = map[byte]string{
	0x01:            "FAT12",
	0x04:            "FAT16 below 32 MB",
	CodeExtended:    "extended",
	0x06:            "FAT16",
	0x07:            "NTFS or exFAT",
	0x0b:            "FAT32",
	CodeFAT32LBA:    "FAT32 (LBA)",
	0x0e:            "FAT16 (LBA)",
	CodeExtendedLBA: "extended (LBA)",
	0x27:            "Windows recovery environment",
	0x41:            "PowerPC PReP boot",
	0x82:            "Linux swap",
	CodeLinux:       "Linux",
	CodeLinuxExt:    "Linux extended",
	0x8e:            "Linux LVM",
	0xa5:            "FreeBSD",
	0xa6:            "OpenBSD",
	0xa8:            "Darwin UFS",
	0xa9:            "NetBSD",
	0xaf:            "HFS or HFS+",
	0xbf:            "Solaris",
	0xda:            "no file system",
	0xea:            "extended boot loader",
	CodeProtective:  "GPT protective",
	CodeESP:         "EFI system",
	0xfd:            "Linux RAID",
}
