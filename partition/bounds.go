package partition

import "fmt"

// bounds are the sectors at which a layout cuts a disk.
type bounds struct {
	bootEnd            int64 // last sector of the partition that bootSize ends
	rootStart, rootEnd int64 // first and last sector of root
}

// cut is the part of the bounds that does not depend on the disk's size.
type cut struct {
	bootEnd, rootStart int64
	// reach is the last sector at which parted, in its tolerance, would let
	// the boot partition end. If the usable disk ends there or before, it does
	// so, and nothing is left for root.
	reach int64
}

// maxMBR is the largest start and length, in sectors, that an entry of an MBR
// holds.
const maxMBR = 1<<32 - 1

// bounds cuts the disk.
func (r *Request) bounds() (bounds, error) {
	c, err := r.cut()
	if err != nil {
		return bounds{}, err
	}
	end := r.rootEnd(c)
	if end-c.rootStart+1 < minRoot {
		limit := r.smallestDisk(c, minRoot)
		reason := fmt.Sprintf("root of the layout %s begins at %s", r.Layout, mib(c.rootStart*SectorSize))
		if r.Layout.HasBoot() {
			reason += ", where bootSize has the boot partition end"
		}
		return bounds{}, &SizeError{Parameter: "diskSize", Reason: reason, Have: r.DiskSize, Limit: limit}
	}
	b := bounds{bootEnd: c.bootEnd, rootStart: c.rootStart, rootEnd: end}
	if r.Layout.Scheme() == MBR {
		return b, r.checkMBR(b)
	}
	return b, nil
}

// checkMBR refuses a length that an entry of an MBR cannot hold. A partition
// may well end beyond sector 2^32.
func (r *Request) checkMBR(b bounds) error {
	if b.rootEnd-b.rootStart+1 > maxMBR {
		behind := r.sectors() - 1 - b.rootEnd
		return &SizeError{
			Parameter: "diskSize", Reason: "root would be longer than the 2 TiB that an MBR can say", TooLarge: true,
			Have: r.DiskSize, Limit: (b.rootStart + maxMBR + behind) / sectorsPerMiB * mebibyte,
		}
	}
	return nil
}

// cut says where the boot partition ends and root begins.
func (r *Request) cut() (cut, error) {
	switch r.Layout {
	case None:
		return cut{}, nil
	case Legacy:
		return cut{rootStart: legacyStart}, nil
	case LegacyGPT:
		return cut{rootStart: biosBootEnd + 1}, nil
	}
	first := r.bootStart()
	if r.Compat == Older {
		return olderCut(r.BootSizeText, r.Layout, first)
	}
	if r.BootSize < 0 {
		return cut{}, fmt.Errorf("bootSize: %d bytes are negative", r.BootSize)
	}
	end := RoundBootSize(r.BootSize) / SectorSize
	if end <= first {
		return cut{}, &SizeError{
			Parameter: "bootSize", Reason: bootReason(r.Layout, first),
			Have: r.BootSize, Limit: first * SectorSize, // which is rounded up too
		}
	}
	if r.Layout.Scheme() == MBR && end > maxMBR {
		return cut{}, &SizeError{
			Parameter: "bootSize", Reason: "root begins behind the boot partition, and an MBR has no numbers for 2 TiB", TooLarge: true,
			Have: r.BootSize, Limit: maxMBR/sectorsPerMiB*mebibyte - 1, // before it is rounded up
		}
	}
	return cut{bootEnd: end - 1, rootStart: end}, nil
}

func bootReason(l Layout, first int64) string {
	return fmt.Sprintf("it is where the boot partition ends, which in the layout %s begins at %s", l, mib(first*SectorSize))
}

// bootStart returns the first sector of the partition that bootSize ends.
func (r *Request) bootStart() int64 {
	switch r.Layout {
	case LegacyBoot:
		return legacyStart
	case EFIXBOOTLDR:
		return xbootldrStart
	}
	return espStart
}

// rootEnd returns the last sector of root: one before its start or less, if
// there is no room.
func (r *Request) rootEnd(c cut) int64 {
	disk := r.sectors()
	switch {
	case r.Layout == None:
		return disk - 1
	case r.Compat == Older:
		return olderRootEnd(c, disk)
	case r.Layout.Scheme() == MBR:
		return disk - 1
	}
	return fullDisk(c.rootStart, disk)
}

// fullDisk returns where parted ends a GPT partition that is to end at
// "100%". That is the last sector, which the backup GPT occupies, with a
// tolerance of half a percent. Within it parted prefers an end that is aligned
// to a MiB; the whole last MiB is then left to the backup. On disks below 201
// MiB the tolerance is too small for that, and the partition ends just before
// the backup. Below 4 MiB it is too small even for that, and parted fails.
func fullDisk(start, disk int64) int64 {
	tolerance := (disk+99)/100/2 - 1
	if end := alignedEnd(disk); end > start && end >= disk-1-tolerance {
		return end
	}
	if end := disk - firstUsable; end >= disk-1-tolerance {
		return end
	}
	return start - 1
}

// alignedEnd returns the last usable sector whose successor is a multiple of
// a MiB, on a disk of whole MiB with a GPT.
func alignedEnd(disk int64) int64 { return disk - sectorsPerMiB - 1 }

// smallestDisk returns the size in bytes of the smallest disk whose root has
// at least so many sectors.
func (r *Request) smallestDisk(c cut, sectors int64) int64 {
	// Root ends at the disk's end, or up to two MiB before it.
	from := max(c.rootStart+sectors, c.reach+1)
	disk := *r
	disk.DiskSize = (from + sectorsPerMiB - 1) / sectorsPerMiB * mebibyte
	for disk.rootEnd(c)-c.rootStart+1 < sectors {
		disk.DiskSize += mebibyte
	}
	return disk.DiskSize
}
