package partition

import (
	"fmt"
	"slices"

	"diskwright/diskmap"

	"github.com/google/uuid"
)

// Layout names the partitions of a disk, as partitionTableType does.
type Layout string

// The layouts. See the package documentation for their pictures.
const (
	None        Layout = "none"
	Legacy      Layout = "legacy"
	LegacyBoot  Layout = "legacy+boot"
	LegacyGPT   Layout = "legacy+gpt"
	EFI         Layout = "efi"
	EFIXBOOTLDR Layout = "efixbootldr"
	Hybrid      Layout = "hybrid"
)

// Layouts returns all layouts.
func Layouts() []Layout {
	return []Layout{None, Legacy, LegacyBoot, LegacyGPT, EFI, EFIXBOOTLDR, Hybrid}
}

// Scheme returns the kind of partition table that the layout has.
func (l Layout) Scheme() Scheme {
	switch l {
	case None:
		return Unpartitioned
	case Legacy, LegacyBoot:
		return MBR
	}
	return GPT
}

// HasBoot reports whether the layout has a partition that bootSize ends.
func (l Layout) HasBoot() bool {
	return slices.Contains([]Layout{LegacyBoot, EFI, EFIXBOOTLDR, Hybrid}, l)
}

// Compat selects which make-disk-image.nix to calculate like.
type Compat string

const (
	// Current rounds bootSize to MiB and lets root end at 100 % of the disk.
	Current Compat = "current"
	// Older hands bootSize to parted as it is written (see [Request]) and lets
	// root end 1 MB before the end of the disk.
	Older Compat = "older"
)

// Layouts returns the layouts that are known to it.
func (c Compat) Layouts() []Layout {
	if c == Older {
		return []Layout{None, Legacy, LegacyGPT, EFI, Hybrid}
	}
	return Layouts()
}

// Role is what a partition is for.
type Role string

const (
	// BIOSBoot is where GRUB puts its core image on a disk with a GPT. It has
	// no file system.
	BIOSBoot Role = "bios-boot"
	// ESP is the EFI system partition.
	ESP Role = "esp"
	// Boot is the FAT partition of legacy+boot, or the extended boot loader
	// partition (XBOOTLDR) of efixbootldr.
	Boot Role = "boot"
	// Root is the root file system.
	Root Role = "root"
	// Extended is a container of logical partitions of an MBR. It is read but
	// never planned.
	Extended Role = "extended"
)

// Request is what [Plan] needs to know.
type Request struct {
	Layout Layout
	Compat Compat // empty means Current

	// DiskSize is the size of the disk in bytes: whole MiB.
	DiskSize int64

	// BootSize is the parameter bootSize in bytes, as numfmt --from=iec reads
	// it. Layouts without a boot partition ignore it.
	BootSize int64
	// BootSizeText is the parameter as it is written. Only Older reads it, and
	// reads it as parted does: "256M" and "256MB" are 256,000,000 bytes,
	// snapped to a MiB near by; "256MiB" is exact.
	BootSizeText string

	// Deterministic gives a GPT the identifiers that make-disk-image.nix fixes,
	// among them RootGUID (its parameter rootGPUID).
	Deterministic bool
	RootGUID      uuid.UUID

	// Identify returns the identifiers that make-disk-image.nix leaves random,
	// one for each of the roles that identity.go lists. It may be nil if there
	// are none.
	Identify func(role string) uuid.UUID
}

// Plan lays a disk out. It is pure arithmetic. Everything that
// make-disk-image.nix fails on is an error; if a size is at fault, a
// [*SizeError].
func Plan(r Request) (*Table, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	b, err := r.bounds()
	if err != nil {
		return nil, err
	}
	t := &Table{
		Layout:     r.Layout,
		Scheme:     r.Layout.Scheme(),
		SectorSize: SectorSize,
		DiskSize:   r.DiskSize,
		Partitions: partitions(r.Layout, b),
	}
	switch t.Scheme {
	case MBR:
		t.BootCode = libpartedBootCode
	case GPT:
		t.FirstUsable, t.LastUsable = firstUsable, r.sectors()-firstUsable
	}
	if err := r.identify(t); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// check refuses what no size can mend.
func (r *Request) check() error {
	if r.Compat == "" {
		r.Compat = Current
	}
	if r.Compat != Current && r.Compat != Older {
		return fmt.Errorf("compat %q is neither %q nor %q", r.Compat, Current, Older)
	}
	if known := r.Compat.Layouts(); !slices.Contains(known, r.Layout) {
		return fmt.Errorf("partitionTableType %q: the %s make-disk-image.nix knows only %q", r.Layout, r.Compat, known)
	}
	switch {
	case r.DiskSize <= 0 || r.DiskSize%mebibyte != 0:
		return fmt.Errorf("diskSize: %d bytes are not a positive whole number of MiB", r.DiskSize)
	case r.DiskSize > diskmap.MaxSize:
		return &SizeError{
			Parameter: "diskSize", Reason: "no disk is as large",
			Have: r.DiskSize, Limit: diskmap.MaxSize, TooLarge: true,
		}
	}
	return nil
}

// sectors returns the size of the disk in sectors.
func (r *Request) sectors() int64 { return r.DiskSize / SectorSize }

// Offsets that are the same on every disk, in sectors. Where they are not
// multiples of a MiB, a GPT leaves no other choice.
const (
	firstUsable   = 34                    // behind the GPT; as many sectors from the end it begins again
	legacyStart   = 1 * sectorsPerMiB     // first partition of an MBR
	biosBootStart = 1 * sectorsPerMiB     // legacy+gpt
	biosBootEnd   = 2*sectorsPerMiB - 1   // legacy+gpt
	hybridBIOSEnd = 1*sectorsPerMiB - 1   // hybrid; parted before 3.6 made it one sector longer
	espStart      = 8 * sectorsPerMiB     // efi, efixbootldr, hybrid
	espEnd        = 100*sectorsPerMiB - 1 // efixbootldr
	xbootldrStart = 100 * sectorsPerMiB   // efixbootldr
)

// partitions returns the partitions of a layout, in the order of their
// entries, which in hybrid is not that of their places: make-disk-image.nix
// makes the ESP first, and the BIOS boot partition before it second.
func partitions(l Layout, b bounds) []Partition {
	switch l {
	case None:
		return []Partition{rootFrom(0, b.rootStart, b.rootEnd)}
	case Legacy:
		return []Partition{rootFrom(1, b.rootStart, b.rootEnd).linux()}
	case LegacyBoot:
		boot := span(1, Boot, legacyStart, b.bootEnd)
		boot.MountPoint, boot.Label = "/boot", "BOOT"
		boot.TypeCode, boot.Active = CodeFAT32LBA, true
		return []Partition{boot, rootFrom(2, b.rootStart, b.rootEnd).linux()}
	case LegacyGPT:
		return []Partition{
			biosBoot(1, biosBootStart, biosBootEnd),
			rootFrom(2, b.rootStart, b.rootEnd).gpt(TypeLinux, "primary"),
		}
	case EFI:
		return []Partition{
			esp(b.bootEnd, "/boot"),
			rootFrom(2, b.rootStart, b.rootEnd).gpt(TypeLinux, "primary"),
		}
	case EFIXBOOTLDR:
		boot := span(2, Boot, xbootldrStart, b.bootEnd).gpt(TypeXBOOTLDR, "BOOT")
		boot.MountPoint, boot.Label = "/boot", "BOOT"
		return []Partition{
			esp(espEnd, "/efi"),
			boot,
			rootFrom(3, b.rootStart, b.rootEnd).gpt(TypeLinux, "ROOT"),
		}
	case Hybrid:
		return []Partition{
			esp(b.bootEnd, "/boot"),
			biosBoot(2, firstUsable, hybridBIOSEnd),
			rootFrom(3, b.rootStart, b.rootEnd).gpt(TypeLinux, "primary"),
		}
	}
	return nil
}

// span returns a partition of the sectors from first to last.
func span(number int, role Role, first, last int64) Partition {
	return Partition{Number: number, Role: role, Start: first, Sectors: last - first + 1}
}

func rootFrom(number int, first, last int64) Partition {
	p := span(number, Root, first, last)
	p.MountPoint = "/"
	return p
}

func esp(last int64, mountPoint string) Partition {
	p := span(1, ESP, espStart, last).gpt(TypeESP, "ESP")
	p.MountPoint, p.Label = mountPoint, "ESP"
	return p
}

func biosBoot(number int, first, last int64) Partition {
	return span(number, BIOSBoot, first, last).gpt(TypeBIOSBoot, "no-fs")
}

// gpt gives the partition what its entry in a GPT says. The names are those
// that the reference hands to parted: "primary" is a name there, not a kind.
func (p Partition) gpt(typ uuid.UUID, name string) Partition {
	p.TypeGUID, p.Name = typ, name
	return p
}

// linux gives the partition the type of a Linux file system in an MBR.
func (p Partition) linux() Partition {
	p.TypeCode = CodeLinux
	return p
}
