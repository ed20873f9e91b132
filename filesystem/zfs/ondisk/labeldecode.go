package ondisk

import (
	"bytes"
	"errors"
	"fmt"
)

// DecodeLabel returns the list of the label p, which lies at offset.
func DecodeLabel(p []byte, offset int64) (NVList, error) {
	if len(p) != LabelSize {
		return nil, fmt.Errorf("a label of %d bytes", len(p))
	}
	list := p[labelListAt : labelListAt+labelListSize]
	if !Sealed(list, offset+labelListAt) {
		return nil, errors.New("the checksum of the label's list is wrong")
	}
	return DecodeNVList(list)
}

// BootEnvironmentSealed reports whether the block for boot loaders of the label p,
// which lies at offset, has the checksum that it should have, or was never written:
// where a device has grown OpenZFS writes labels without it.
func BootEnvironmentSealed(p []byte, offset int64) bool {
	block := p[bootEnvAt : bootEnvAt+bootEnvSize]
	return bytes.Count(block, []byte{0}) == len(block) || Sealed(block, offset+bootEnvAt)
}

// Uberblocks returns the uberblocks of the label p, which lies at offset, and how
// many slots have one that is damaged.
func Uberblocks(p []byte, offset int64, ashift int) (list []Uberblock, damaged int) {
	size := 1 << min(max(ashift, uberblockMinShift), uberblockMaxShift)
	for at := uberblocksAt; at < uberblocksAt+uberblocks; at += size {
		slot := p[at : at+size]
		// zpool create writes the whole ring as one block, with a checksum at
		// its end that is not the last slot's.
		last := at+size == uberblocksAt+uberblocks
		if le.Uint64(slot) != uberblockMagic && (last || le.Uint64(slot[size-embeddedSize:]) != embeddedMagic) {
			continue
		}
		u, err := decodeUberblock(slot)
		if err != nil || !Sealed(slot, offset+int64(at)) {
			damaged++
			continue
		}
		list = append(list, u)
	}
	return list, damaged
}

// checkpointAt is where an uberblock has the transaction group of a checkpoint.
const checkpointAt = rootPointerAt + BlockPointerSize + 32

func decodeUberblock(p []byte) (Uberblock, error) {
	word := func(i int) uint64 { return le.Uint64(p[8*i:]) }
	if word(0) != uberblockMagic {
		return Uberblock{}, errors.New("not an uberblock of a little endian machine")
	}
	root, err := DecodeBlockPointer(p[rootPointerAt:])
	return Uberblock{
		TXG: word(2), GUIDSum: word(3), Timestamp: word(4), Root: root,
		Checkpoint: le.Uint64(p[checkpointAt:]),
	}, err
}
