package ondisk

import (
	"fmt"
	"slices"
	"strings"
)

// ZAPEntry is a name in a ZAP and its value: a number, or an array of integers of
// ArrayUnit bytes, big endian.
type ZAPEntry struct {
	Name      string
	Value     uint64
	Array     []byte // nil: Value
	ArrayUnit int    // 1, 2, 4 or 8
}

// A ZAP (ZFS attribute processor) maps names to values. Small ones of short names
// and numbers are micro ZAPs, one block of slots of 64 bytes; all others are fat
// (fatzap.go).
//
//	micro: | type, salt, flags | slot | slot | ...      slot: value (u64), cd (u32), name (50 bytes)
const (
	zapMicro = 1<<63 + 3 // block types (ZBT_MICRO)

	microSlot     = 64
	microNameMax  = 49      // with the NUL behind it
	microSizeMax  = 1 << 17 // MZAP_MAX_BLKSZ
	microMax      = microSizeMax/microSlot - 1
	zapHashBits   = 28
	zapPolynomial = 0xc96c5795d7870f42 // of CRC-64 as in ECMA-182, reflected
)

// ZAP is the content of a ZAP object.
type ZAP struct {
	Data      []byte // whole blocks
	BlockSize int
}

// EncodeZAP returns the ZAP that holds the entries, whose names differ. The salt
// must not be zero; it decides the order in which readers list the names.
func EncodeZAP(entries []ZAPEntry, salt uint64) (ZAP, error) {
	return EncodeNormalizedZAP(entries, salt, 0)
}

// EncodeNormalizedZAP returns a ZAP that normalizes names, which are ASCII.
func EncodeNormalizedZAP(entries []ZAPEntry, salt uint64, how Normalization) (ZAP, error) {
	hashed := hashEntries(entries, salt, how)
	if fitsMicro(entries) {
		return encodeMicro(hashed, salt, how), nil
	}
	for _, shift := range fatShifts {
		if fat, ok := encodeFat(hashed, salt, how, shift); ok {
			return fat, nil
		}
	}
	return ZAP{}, fmt.Errorf("%d names are more than a directory of ZFS can hold", len(entries))
}

func fitsMicro(entries []ZAPEntry) bool {
	if len(entries) > microMax {
		return false
	}
	for i := range entries {
		if e := &entries[i]; e.Array != nil || len(e.Name) > microNameMax {
			return false
		}
	}
	return true
}

// hashedEntry is an entry with its hash, and its number among those with the same
// hash (collision differentiator).
type hashedEntry struct {
	*ZAPEntry
	hash uint64
	cd   uint32
}

// hashEntries returns the entries in the order of their hashes. Where hashes are
// equal names decide, so that the order of the entries plays no role. OpenZFS
// keeps micro ZAPs in a tree by hash and differentiator when it has read them, and
// panics if two are equal.
func hashEntries(entries []ZAPEntry, salt uint64, how Normalization) []hashedEntry {
	hashed := make([]hashedEntry, len(entries))
	for i := range entries {
		hashed[i] = hashedEntry{ZAPEntry: &entries[i], hash: zapHash(salt, how.Apply(entries[i].Name))}
	}
	slices.SortFunc(hashed, func(a, b hashedEntry) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	for i := range hashed {
		if i > 0 && hashed[i].hash == hashed[i-1].hash {
			hashed[i].cd = hashed[i-1].cd + 1
		}
	}
	return hashed
}

// encodeMicro returns a micro ZAP. Its size is that of its slots in whole sectors.
func encodeMicro(entries []hashedEntry, salt uint64, how Normalization) ZAP {
	p := make([]byte, roundUp((len(entries)+1)*microSlot, SectorSize))
	le.PutUint64(p, zapMicro)
	le.PutUint64(p[8:], salt)
	le.PutUint64(p[16:], uint64(how))
	for i, e := range entries {
		slot := p[(i+1)*microSlot:]
		le.PutUint64(slot, e.Value)
		le.PutUint32(slot[8:], e.cd)
		copy(slot[14:microSlot], e.Name)
	}
	return ZAP{Data: p, BlockSize: len(p)}
}

// crcTable is that of CRC-64 with the polynomial that ZFS uses.
var crcTable = func() (t [256]uint64) {
	for i := range t {
		c := uint64(i)
		for range 8 {
			c = c>>1 ^ zapPolynomial*(c&1)
		}
		t[i] = c
	}
	return t
}()

// zapHash returns the hash of a name: the upper 28 bits of the CRC that starts with
// the salt (zap_hash).
func zapHash(salt uint64, name string) uint64 {
	return zapCRC(salt, name) &^ (1<<(64-zapHashBits) - 1)
}

func zapCRC(salt uint64, name string) uint64 {
	h := salt
	for i := range len(name) {
		h = h>>8 ^ crcTable[byte(h)^name[i]]
	}
	return h
}
