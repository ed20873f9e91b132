package partition

import (
	"fmt"
	"strconv"
	"strings"
)

// The older make-disk-image.nix hands bootSize to parted as it is written,
// both as the ESP's end and as root's start. Parted takes a number with a unit
// for a location that it may move by half the unit, unless the unit is a power
// of two, so that partitions become aligned.

// location is where parted takes a number with a unit to be.
type location struct {
	sector    int64
	tolerance int64 // in sectors
	binary    bool  // the unit is KiB, MiB, …: an end lies in the sector before
}

// partedUnits are the units that parted knows, in lower case, in bytes. A
// number without one is in MB.
var partedUnits = map[string]int64{
	"": 1e6, "b": 1,
	"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// parseLocation reads a location as parted does.
func parseLocation(text string) (location, error) {
	suffix := strings.TrimLeft(text, "0123456789.")
	number, err := strconv.ParseFloat(text[:len(text)-len(suffix)], 64)
	unit, known := partedUnits[strings.ToLower(suffix)]
	switch {
	case err != nil || !known:
		return location{}, fmt.Errorf("bootSize %q is not a size that the older make-disk-image.nix can use, such as \"256M\" or \"256MiB\"", text)
	case number < 1:
		return location{}, fmt.Errorf("bootSize %q: the older make-disk-image.nix refuses numbers below 1; use a smaller unit", text)
	case number*float64(unit) >= 1<<62:
		return location{}, fmt.Errorf("bootSize %q is larger than any disk", text)
	}
	return location{
		sector:    int64(number * float64(unit) / SectorSize),
		tolerance: max((unit+SectorSize-1)/SectorSize/2-1, 0),
		binary:    unit > 1 && unit&(unit-1) == 0,
	}, nil
}

// olderCut returns the boundary between the ESP, which begins at first, and
// root.
func olderCut(bootSize string, layout Layout, first int64) (cut, error) {
	l, err := parseLocation(bootSize)
	if err != nil {
		return cut{}, err
	}
	if l.sector <= first+1 { // of one or two sectors, parted says that they are not aligned
		return cut{}, &SizeError{
			Parameter: "bootSize", Reason: bootReason(layout, first),
			Have: l.sector * SectorSize, Limit: (first + 2) * SectorSize,
		}
	}
	switch {
	case l.binary:
		return cut{bootEnd: l.sector - 1, rootStart: l.sector}, nil
	case l.tolerance == 0:
		return cut{}, fmt.Errorf("bootSize %q: with such small units the partitions of the older make-disk-image.nix overlap by a sector; use M or MiB", bootSize)
	}
	end, aligned := l.alignedEnd(first)
	switch start := end + 1; {
	case !aligned:
		end = l.sector
	case start-l.sector > l.tolerance:
		return cut{}, fmt.Errorf("bootSize %q: the older make-disk-image.nix fails, because parted can align the ESP's end but not root's start; change the last digit", bootSize)
	}
	return cut{bootEnd: end, rootStart: end + 1, reach: l.sector + l.tolerance}, nil
}

// alignedEnd returns the end nearest to the location whose successor is a
// multiple of a MiB, for a partition that begins at first. Of two that are
// equally near it is the lower one.
func (l location) alignedEnd(first int64) (end int64, ok bool) {
	below := (l.sector+1)/sectorsPerMiB*sectorsPerMiB - 1
	above := below + sectorsPerMiB
	if below > first && l.sector-below <= above-l.sector {
		return below, l.sector-below <= l.tolerance
	}
	return above, above-l.sector <= l.tolerance
}

// olderRootEnd returns the last sector of root, which the older
// make-disk-image.nix ends at "-1": 1 MB before the end of the disk. If root
// starts at a multiple of a MiB, so does what follows it.
func olderRootEnd(c cut, disk int64) int64 {
	const megabyte = 1_000_000 / SectorSize // 1953 whole sectors
	if c.reach >= disk-firstUsable {
		return c.rootStart - 1
	}
	if c.rootStart%sectorsPerMiB == 0 {
		return alignedEnd(disk)
	}
	return disk - megabyte
}
