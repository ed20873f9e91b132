package grub

import (
	"fmt"
	"strings"

	"diskwright/boot"
)

// drive is a directory as menus name it.
type drive struct {
	search string // the command that finds the file system; "" if nothing says which it is
	path   string // as in ($drive1)/boot
}

// newDrive returns the absolute path name as a menu sees it that calls its file
// system number. Quirks of the reference that show: a directory that is a file
// system's root has the path "/", so that names in it begin with two slashes.
func newDrive(disk *boot.Disk, identifier string, number int, name string) (drive, error) {
	fs, rest := disk.At(name)
	what, rest, err := identify(fs, identifier, rest)
	if err != nil {
		return drive{}, fmt.Errorf("fsIdentifier: %w", err)
	}
	if what == "" {
		return drive{path: rest}, nil
	}
	variable := fmt.Sprintf("drive%d", number)
	return drive{
		search: "search --set=" + variable + " " + what,
		path:   "($" + variable + ")" + rest,
	}, nil
}

// identify returns the options of the search for a file system, and the path
// of what is rest below its mount point.
func identify(fs boot.FileSystem, identifier, rest string) (what, path string, err error) {
	switch fs.Type {
	case "zfs":
		// A pool is found by its name. GRUB writes a dataset's path before "@",
		// which stands for its current state.
		pool, dataset, nested := strings.Cut(fs.Provided, "/")
		if nested {
			return "--label " + pool, "//" + dataset + "/@" + rest, nil
		}
		return "--label " + pool, "/@" + rest, nil
	case "btrfs":
		if sub := strings.Trim(fs.Subpath, "/"); sub != "" {
			rest = "/" + sub + rest
		}
	}
	switch identifier {
	case boot.GRUBProvided:
		if id, ok := strings.CutPrefix(fs.Provided, "/dev/disk/by-uuid/"); ok {
			return "--fs-uuid " + id, rest, nil
		}
		if label, ok := strings.CutPrefix(fs.Provided, "/dev/disk/by-label/"); ok {
			return "--label " + quoteWord(label), rest, nil
		}
		return "", rest, nil
	case boot.GRUBByLabel:
		if fs.Label == "" {
			return "", "", fmt.Errorf("the file system at %s has no label; want %q", fs.MountPoint, boot.GRUBByUUID)
		}
		return "--label " + quoteWord(fs.Label), rest, nil
	}
	if fs.UUID == "" {
		return "", "", fmt.Errorf("the file system at %s has no UUID", fs.MountPoint)
	}
	return "--fs-uuid " + fs.UUID, rest, nil
}
