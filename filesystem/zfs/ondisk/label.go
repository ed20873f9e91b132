package ondisk

import "fmt"

// A device has four labels: two at its beginning, two at its end.
//
//	|label 0|label 1|boot, 3.5 MiB| data ...                 |label 2|label 3|
//	 0       256K    512K          4M = offset 0 of addresses
//
//	label: | blank 8K | boot environment 8K | name-value list 112K | uberblocks 128K |
const (
	LabelSize  = 256 << 10
	Labels     = 4
	DataOffset = 4 << 20

	// LabelSpace is what a device has besides data: labels and boot area.
	LabelSpace = DataOffset + 2*LabelSize

	bootEnvAt     = 8 << 10
	bootEnvSize   = 8 << 10
	labelListAt   = 16 << 10
	labelListSize = 112 << 10
	uberblocksAt  = 128 << 10
	uberblocks    = 128 << 10
)

// LabelOffset returns where label i (0 to 3) of a device lies. The size of the
// device is a multiple of [LabelSize].
func LabelOffset(size int64, i int) int64 {
	if i < Labels/2 {
		return int64(i) * LabelSize
	}
	return size - int64(Labels-i)*LabelSize
}

// Label returns the part of the label at offset that is not blank, which begins
// at offset + at: boot environment, list, ring with one uberblock.
func Label(offset int64, list NVList, u *Uberblock, ashift int) (at int64, data []byte, err error) {
	p := make([]byte, LabelSize)
	Seal(p[bootEnvAt:bootEnvAt+bootEnvSize], offset+bootEnvAt)
	encoded := list.Encode()
	if len(encoded) > labelListSize-embeddedSize {
		return 0, nil, fmt.Errorf("the label's list has %d bytes, more than %d", len(encoded), labelListSize-embeddedSize)
	}
	copy(p[labelListAt:], encoded)
	Seal(p[labelListAt:labelListAt+labelListSize], offset+labelListAt)
	size := 1 << min(max(ashift, uberblockMinShift), uberblockMaxShift)
	slot := uberblocksAt + int(u.TXG%uint64(uberblocks/size))*size
	u.encode(p[slot : slot+size])
	Seal(p[slot:slot+size], offset+int64(slot))
	return bootEnvAt, p[bootEnvAt:], nil
}

// The ring of a label has slots of a sector of the device, within limits.
const (
	uberblockMinShift = 10
	uberblockMaxShift = 13

	uberblockMagic = 0x00bab10c
	mmpMagic       = 0xa11cea11
	rootPointerAt  = 40
)

// Uberblock is the root of everything, as of a transaction group (uberblock_t).
type Uberblock struct {
	TXG       uint64
	GUIDSum   uint64 // of the pool's and all devices' GUIDs
	Timestamp uint64
	Root      BlockPointer // of the MOS

	// Checkpoint is the transaction group to which the pool can be rewound; 0
	// is none. It is only read.
	Checkpoint uint64
}

func (u *Uberblock) encode(p []byte) {
	for i, v := range []uint64{uberblockMagic, PoolVersion, u.TXG, u.GUIDSum, u.Timestamp} {
		le.PutUint64(p[8*i:], v)
	}
	u.Root.Encode(p[rootPointerAt:])
	// Multihost is off; no checkpoint, no expansion of RAID-Z.
	le.PutUint64(p[rootPointerAt+BlockPointerSize:], PoolVersion)
	le.PutUint64(p[rootPointerAt+BlockPointerSize+8:], mmpMagic)
}
