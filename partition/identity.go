package partition

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Roles of the identifiers that make-disk-image.nix leaves random, for
// [Request.Identify]. [PartitionRole] gives those of partitions.
const (
	// RoleDisk is the GUID of a disk with a GPT that is not deterministic.
	RoleDisk = "gpt-disk"
	// RoleSignature is the disk signature of an MBR, which is random even if
	// the disk is deterministic: the first four bytes of the identifier, little
	// endian. If they are zero, which would be no signature, the next four are
	// taken, and so on.
	RoleSignature = "mbr-signature"
)

// PartitionRole returns the role of the GUID of the partition with that number,
// on a GPT that is not deterministic.
func PartitionRole(number int) string { return fmt.Sprintf("gpt-partition-%d", number) }

// What a deterministic GPT gets from sgdisk.
var (
	// deterministicDisk is not what the reference asks for, which is
	// "97FD5997-D90B-4AA3-8D16-C1723AEA73C". That has a digit too few; sgdisk
	// takes a text of less than 36 characters for a GUID without hyphens and
	// reads pairs at fixed places: "-D" is F3, "B-" is 0B, "-8" is F8, "6-" is 06.
	deterministicDisk   = uuid.MustParse("97FD5997-F390-0B4A-A3F8-D106C1723AEA")
	deterministicFirst  = uuid.MustParse("1C06F03B-704E-4657-B9CD-681A087A2FDC")
	deterministicSecond = uuid.MustParse("970C694F-AFD0-4B99-B750-CDB7A329AB6F")
)

// identify gives the disk and its partitions their identifiers.
func (r *Request) identify(t *Table) error {
	switch {
	case t.Scheme == Unpartitioned:
	case r.Deterministic && t.Scheme == GPT && r.Layout != LegacyGPT && r.RootGUID == uuid.Nil:
		return errors.New("rootGPUID is zero, which stands for no partition")
	case r.Identify == nil && !(r.Deterministic && t.Scheme == GPT):
		return errors.New("nothing gives the disk the identifiers that are not fixed")
	case t.Scheme == MBR:
		t.Signature = signature(r.Identify(RoleSignature))
	case r.Deterministic:
		t.DiskGUID = deterministicDisk
		for i := range t.Partitions {
			t.Partitions[i].GUID = r.deterministicGUID(t.Partitions[i])
		}
	default:
		t.DiskGUID = r.Identify(RoleDisk)
		for i := range t.Partitions {
			t.Partitions[i].GUID = r.Identify(PartitionRole(t.Partitions[i].Number))
		}
	}
	return nil
}

// deterministicGUID returns the GUID of a partition as the reference asks
// sgdisk for it. In legacy+gpt it asks for RootGUID for partition 3, which
// does not exist (sgdisk does not mind), and root is partition 2.
func (r *Request) deterministicGUID(p Partition) uuid.UUID {
	switch {
	case p.Number == 1:
		return deterministicFirst
	case p.Role == Root && r.Layout != LegacyGPT:
		return r.RootGUID
	}
	return deterministicSecond
}

// signature cuts a disk signature out of an identifier.
func signature(id uuid.UUID) uint32 {
	for i := 0; i < len(id); i += 4 {
		if s := binary.LittleEndian.Uint32(id[i:]); s != 0 {
			return s
		}
	}
	return 1
}
