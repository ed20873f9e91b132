package partition

import (
	"encoding/binary"
	"fmt"

	"diskwright/diskmap"

	"github.com/google/uuid"
)

// Layouts of NixOS's ZFS image builders. They are no values of partitionTableType:
// [PlanZFS] lays them out, not [Plan]. In MiB, as in the package documentation:
//
//	zfs-boot    |GPT 1|BIOS boot 2|FAT ............................|1 GPT|
//	zfs-root    |GPT 1|pool .........................|8 reserved|..|  GPT|
//	zfs-single  |GPT 1|BIOS boot 2|FAT ... boot|pool ..............|1 GPT|
const (
	ZFSBoot   Layout = "zfs-boot"   // the boot disk of make-multi-disk-zfs-image.nix
	ZFSRoot   Layout = "zfs-root"   // its root disk: a whole disk, as `zpool create` partitions it
	ZFSSingle Layout = "zfs-single" // the disk of make-single-disk-zfs-image.nix
)

// ZFSRequest is what [PlanZFS] needs to know.
type ZFSRequest struct {
	Layout Layout

	// DiskSize is the size of the disk in bytes: whole MiB, for ZFSRoot whole
	// sectors.
	DiskSize int64
	// BootSize is where the FAT of ZFSSingle ends, in bytes: whole MiB.
	BootSize int64

	// ESPType gives the FAT the type of an EFI system partition, by which
	// systemd's tools find it. The reference has parted's default there, which
	// is Microsoft basic data.
	ESPType bool

	// Identify returns the identifiers, all of which the reference leaves
	// random, one for each of the roles that identity.go lists.
	Identify func(role string) uuid.UUID
}

// RolePool is the role of the identifier whose first eight bytes, little endian,
// are in the name of the partition that is a pool's (see [ZFSRequest.Identify]).
const RolePool = "zfs-partition-name"

// What `zpool create` makes of a whole disk (OpenZFS, lib/libzfs and lib/libefi).
const (
	zfsAlign    = sectorsPerMiB     // PARTITION_END_ALIGNMENT and NEW_START_BLOCK
	zfsReserved = 8 * sectorsPerMiB // EFI_MIN_RESV_SIZE: 16,384 sectors
	zfsMinPool  = 64 << 20          // SPA_MINDEVSIZE, in bytes
	fatStart    = biosBootEnd + 1   // of both other layouts
	reservedAt  = 9                 // its number: libefi leaves those between free
	minFATSize  = sectorsPerMiB     // at which mkfs.vfat still does what it is asked
	zfsDiskTail = 1 * sectorsPerMiB // "-1MiB", behind the last partition
)

// PlanZFS lays out a disk of a ZFS image. What does not fit is a [*SizeError].
func PlanZFS(r ZFSRequest) (*Table, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	sectors := r.DiskSize / SectorSize
	t := &Table{
		Layout:      r.Layout,
		Scheme:      GPT,
		SectorSize:  SectorSize,
		DiskSize:    r.DiskSize,
		DiskGUID:    r.Identify(RoleDisk),
		FirstUsable: firstUsable,
		LastUsable:  sectors - firstUsable,
		Partitions:  r.partitions(sectors),
	}
	for i := range t.Partitions {
		t.Partitions[i].GUID = r.Identify(PartitionRole(t.Partitions[i].Number))
	}
	return t, t.check()
}

// check refuses sizes at which a partition would have no room.
func (r *ZFSRequest) check() error {
	unit := int64(mebibyte)
	if r.Layout == ZFSRoot {
		unit = SectorSize
	}
	switch {
	case r.Layout != ZFSBoot && r.Layout != ZFSRoot && r.Layout != ZFSSingle:
		return fmt.Errorf("layout %q is none of %q", r.Layout, []Layout{ZFSBoot, ZFSRoot, ZFSSingle})
	case r.DiskSize <= 0 || r.DiskSize%unit != 0 || r.BootSize%mebibyte != 0:
		return fmt.Errorf("layout %s: a disk of %d bytes, bootSize %d: not whole units of %d bytes", r.Layout, r.DiskSize, r.BootSize, unit)
	case r.DiskSize > diskmap.MaxSize:
		return &SizeError{Parameter: "rootSize", Reason: "no disk is as large", Have: r.DiskSize, Limit: diskmap.MaxSize, TooLarge: true}
	}
	const fatEnd = (fatStart + minFATSize) * SectorSize
	switch r.Layout {
	case ZFSBoot:
		if least := int64(fatEnd + zfsDiskTail*SectorSize); r.DiskSize < least {
			return &SizeError{Parameter: "bootSize", Reason: "the FAT begins at 2 MiB and ends at 1 MiB before the end of the disk", Have: r.DiskSize, Limit: least}
		}
	case ZFSRoot:
		if least := int64(zfsMinPool + (zfsAlign+zfsReserved)*SectorSize + zfsAlign*SectorSize); poolSectors(r.DiskSize/SectorSize) < zfsMinPool/SectorSize {
			return &SizeError{Parameter: "rootSize", Reason: "a pool has at least 64 MiB, and the partition table and ZFS's reserved partition 10 MiB", Have: r.DiskSize, Limit: least}
		}
	case ZFSSingle:
		if r.BootSize < fatEnd {
			return &SizeError{Parameter: "bootSize", Reason: "it is where the FAT ends, which begins at 2 MiB", Have: r.BootSize, Limit: fatEnd}
		}
		if root, least := r.DiskSize-r.BootSize, int64(zfsMinPool+zfsDiskTail*SectorSize); root < least {
			return &SizeError{Parameter: "rootSize", Reason: "a pool has at least 64 MiB, and ends 1 MiB before the end of the disk", Have: root, Limit: least}
		}
	}
	return nil
}

// partitions returns the partitions of a disk of so many sectors.
func (r *ZFSRequest) partitions(sectors int64) []Partition {
	switch r.Layout {
	case ZFSRoot:
		pool := span(1, Root, zfsAlign, zfsAlign+poolSectors(sectors)-1).gpt(TypeZFS, r.poolName())
		return []Partition{pool, span(reservedAt, "", pool.Last()+1, pool.Last()+zfsReserved).gpt(TypeSolarisReserved, "")}
	case ZFSSingle:
		end := r.BootSize / SectorSize
		return []Partition{
			biosBoot(1, biosBootStart, biosBootEnd),
			r.fat(end-1, "primary"),
			span(3, Root, end, sectors-zfsDiskTail-1).gpt(TypeLinux, "primary"),
		}
	default:
		return []Partition{
			biosBoot(1, biosBootStart, biosBootEnd),
			r.fat(sectors-zfsDiskTail-1, "ESP"),
		}
	}
}

// fat returns the partition for /boot. Its name is what the reference hands to
// parted; the label of its file system is always ESP.
func (r *ZFSRequest) fat(last int64, name string) Partition {
	typ := TypeBasicData
	if r.ESPType {
		typ = TypeESP
	}
	p := span(2, ESP, fatStart, last).gpt(typ, name)
	p.MountPoint, p.Label = "/boot", "ESP"
	return p
}

// poolSectors returns how much of a disk `zpool create` gives to the pool: what
// remains of the usable sectors, in whole MiB, when ZFS's reserved partition and
// the first MiB are taken (zpool_label_disk; reference: zfs-facts, section 2).
func poolSectors(sectors int64) int64 {
	lastUsable := sectors - firstUsable
	return (lastUsable + 1 - zfsReserved - zfsAlign) / zfsAlign * zfsAlign
}

// poolName returns the name that `zpool create` gives to the partition, which is
// random and by which nobody finds it.
func (r *ZFSRequest) poolName() string {
	id := r.Identify(RolePool)
	return fmt.Sprintf("zfs-%016x", binary.LittleEndian.Uint64(id[:8]))
}
