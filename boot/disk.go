package boot

import (
	"fmt"
	"strings"

	"diskwright/partition"
)

// Types of file systems, as blkid and mountinfo name them.
const (
	TypeFAT  = "vfat"
	TypeExt4 = "ext4"
	TypeZFS  = "zfs"
)

// Disk is what loaders know of the disk that they are installed on.
type Disk struct {
	// Table has all partitions. The size of root, and of the disk, are not
	// known yet if they depend on what is in the image: loaders use neither.
	Table *partition.Table

	// FileSystems are those of the image, one for each mount point, "/" among
	// them.
	FileSystems []FileSystem
}

// FileSystem is a file system of the image.
type FileSystem struct {
	MountPoint string
	Partition  int    // its number; 0 is the whole disk
	Type       string // as blkid says: "ext4", "vfat"
	UUID       string // as blkid prints it: lower case with hyphens, or XXXX-XXXX in upper case
	Label      string // "" if there is none

	// Provided is the name of the device in mountinfo, for the identifiers that
	// GRUB calls "provided"; "" is one that says nothing, as /dev/vda1. Subpath
	// is what is mounted of the file system, "" for all of it. Both serve file
	// systems that are not an image's (tests, ZFS).
	Provided, Subpath string
}

// Layout returns the layout of the disk.
func (d *Disk) Layout() partition.Layout { return d.Table.Layout }

// Parameter returns the parameter that the layout comes from, and its value, for
// errors.
func (d *Disk) Parameter() string {
	switch d.Layout() {
	case partition.ZFSBoot, partition.ZFSSingle:
		return "builder zfs"
	}
	return "partitionTableType " + string(d.Layout())
}

// At returns the file system that has the absolute path name, and the path
// within it: at least "/".
func (d *Disk) At(name string) (fs FileSystem, rest string) {
	longest := -1
	for _, candidate := range d.FileSystems {
		below, ok := Below(name, candidate.MountPoint)
		if ok && len(candidate.MountPoint) > longest {
			fs, rest, longest = candidate, below, len(candidate.MountPoint)
		}
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return fs, rest
}

// Mounted returns the file system that is mounted at a path.
func (d *Disk) Mounted(mountPoint string) (fs FileSystem, ok bool) {
	for _, candidate := range d.FileSystems {
		if candidate.MountPoint == mountPoint {
			return candidate, true
		}
	}
	return FileSystem{}, false
}

// ByRole returns the partition with a role.
func (d *Disk) ByRole(role partition.Role) (partition.Partition, bool) {
	return d.Table.ByRole(role)
}

// ESP returns the EFI system partition and where it is mounted. option is the
// option that asks for one, for the error on a layout that has none.
func (d *Disk) ESP(option string) (partition.Partition, error) {
	esp, ok := d.ByRole(partition.ESP)
	if !ok {
		return esp, fmt.Errorf("%s: %s has no EFI system partition: want efi, efixbootldr or hybrid", option, d.Parameter())
	}
	return esp, nil
}

// CheckESP says what is wrong if the EFI system partition is not mounted at
// mountPoint, the value of the option.
func (d *Disk) CheckESP(option, mountPoint string) error {
	esp, err := d.ESP(option)
	if err != nil {
		return err
	}
	if esp.MountPoint != mountPoint {
		return fmt.Errorf("%s is %q: %s has its EFI system partition at %s", option, mountPoint, d.Parameter(), esp.MountPoint)
	}
	return nil
}

// CheckMounted says what is wrong if mountPoint, the value of the option, must be
// the mount point of a file system of the image and is not.
func (d *Disk) CheckMounted(option, mountPoint string) error {
	if _, ok := d.Mounted(mountPoint); ok {
		return nil
	}
	var points []string
	for _, fs := range d.FileSystems {
		points = append(points, fs.MountPoint)
	}
	return fmt.Errorf("%s is %q: %s has file systems at %s only", option, mountPoint, d.Parameter(), strings.Join(points, ", "))
}

// CheckDevice says what is wrong if the image's disk cannot take boot code. Any
// name of a device means the image's own disk.
func (d *Disk) CheckDevice(option, device string) error {
	if d.Layout() == partition.None {
		return fmt.Errorf("%s is %q: partitionTableType none has no place for boot code; want \"nodev\", or another partitionTableType", option, device)
	}
	return nil
}
