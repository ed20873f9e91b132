package format

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"diskwright/diskmap"

	"github.com/google/uuid"
)

// seedBytes is how much of a disk says which one it is: its partition table or
// file system, with the identifiers in it.
const seedBytes = 64 << 10

// Seed returns what tells a disk from others: a digest of its size and of what
// it begins with. An image that is converted twice has the same identifiers, and
// those of two disks differ.
func Seed(m *diskmap.Map) (uuid.UUID, error) {
	p := make([]byte, min(seedBytes, m.Size()))
	if _, err := m.ReadAt(p, 0); err != nil && err != io.EOF {
		return uuid.Nil, err
	}
	h := sha256.New()
	h.Write([]byte("diskwright disk\x00"))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(m.Size())))
	h.Write(p)
	return version8(h.Sum(nil)), nil
}

// Identify returns identifiers that are HMAC-SHA256(seed, role).
func Identify(seed uuid.UUID) func(role string) uuid.UUID {
	return func(role string) uuid.UUID {
		h := hmac.New(sha256.New, seed[:])
		h.Write([]byte(role))
		return version8(h.Sum(nil))
	}
}

// version8 marks an identifier as one of version 8 of RFC 9562, which is for
// such use.
func version8(digest []byte) uuid.UUID {
	id := uuid.UUID(digest[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}
