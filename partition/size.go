package partition

import (
	"fmt"

	"diskwright/diskmap"
)

const (
	mebibyte      = 1 << 20
	sectorsPerMiB = mebibyte / SectorSize

	// gptReserve is what make-disk-image.nix sets aside for a GPT: 34 sectors,
	// though there are two copies.
	gptReserve = 34 * SectorSize

	// minRoot is the smallest root partition in sectors. Parted would make
	// smaller ones, but the reference fails on them: mkfs.ext4 with its blocks of
	// 4,096 bytes needs 56 of them (measured with mke2fs 1.47).
	minRoot = 56 * 4096 / SectorSize
)

// RoundBootSize returns what the current make-disk-image.nix makes of
// bootSize: (bytes/MiB + 1) MiB. It always adds, also to whole MiB. Sizes beyond
// [diskmap.MaxSize] count as that.
func RoundBootSize(bytes int64) int64 {
	return (min(bytes, diskmap.MaxSize)/mebibyte + 1) * mebibyte
}

// Reserved returns the bytes that make-disk-image.nix adds to the size of the
// root file system for everything else on the disk, when it calculates the
// disk's size. BootSize is as [Request] has it.
func Reserved(l Layout, bootSize int64, c Compat) int64 {
	boot := min(bootSize, diskmap.MaxSize)
	if c != Older {
		boot = RoundBootSize(bootSize)
	}
	switch l {
	case EFI, EFIXBOOTLDR, Hybrid:
		return gptReserve + boot
	case LegacyGPT:
		return gptReserve + 2*mebibyte
	case Legacy:
		return mebibyte
	case LegacyBoot:
		return boot
	}
	return 0
}

// MinDiskSize returns the smallest disk on which the root partition has at
// least root bytes. The request's DiskSize is ignored.
func MinDiskSize(r Request, root int64) (int64, error) {
	root = max(root, minRoot*SectorSize)
	if root > diskmap.MaxSize {
		return 0, &SizeError{Parameter: "diskSize", Reason: "no disk is as large", Have: root, Limit: diskmap.MaxSize, TooLarge: true}
	}
	r.DiskSize = mebibyte // any, for the checks that do not depend on it
	if err := r.check(); err != nil {
		return 0, err
	}
	c, err := r.cut()
	if err != nil {
		return 0, err
	}
	r.DiskSize = r.smallestDisk(c, (root+SectorSize-1)/SectorSize)
	if err := r.check(); err != nil {
		return 0, err
	}
	_, err = r.bounds()
	return r.DiskSize, err
}

// SizeError says that a part of the disk does not fit, and what would.
type SizeError struct {
	Parameter string // the parameter to change: "bootSize" or "diskSize"
	Reason    string // which part does not fit, in words
	Have      int64  // the parameter's value in bytes
	Limit     int64  // the smallest value that works in bytes; the largest if TooLarge
	TooLarge  bool
}

func (e *SizeError) Error() string {
	relation, bound := "few", "at least"
	if e.TooLarge {
		relation, bound = "many", "at most"
	}
	return fmt.Sprintf("%s: %d bytes (%s) are too %s: %s; give %s %d bytes (%s)",
		e.Parameter, e.Have, mib(e.Have), relation, e.Reason, bound, e.Limit, mib(e.Limit))
}

// mib writes a size in MiB.
func mib(bytes int64) string {
	if bytes%mebibyte == 0 {
		return fmt.Sprintf("%d MiB", bytes/mebibyte)
	}
	return fmt.Sprintf("%.2f MiB", float64(bytes)/mebibyte)
}
