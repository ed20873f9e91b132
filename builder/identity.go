package builder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"diskwright/spec"

	"github.com/google/uuid"
)

// identity gives every identifier that the reference leaves to chance, by the
// name of its role. The same seed and role give the same identifier on every
// machine; a path or another part of the spec never has a say. Clones of one
// image therefore share them, as copies of any disk image do.
type identity func(role string) uuid.UUID

// Roles of identifiers that the file systems need. Those of partition tables
// are in package partition.
const (
	roleFSUUID      = "ext4-uuid"
	roleHashSeed    = "ext4-hash-seed"
	roleJournalUUID = "ext4-journal-uuid"
	roleCsumSeed    = "ext4-checksum-seed"
)

// disk returns the identifiers of a disk with a role, which differ between the disks
// of a build. Those of the root disk are the build's own.
func (id identity) disk(role string) identity {
	if role == "" || role == spec.RoleRoot {
		return id
	}
	return func(of string) uuid.UUID { return id(role + " disk: " + of) }
}

// identityOf returns the identifiers of what s asks for.
func identityOf(s *spec.Spec) identity {
	if !s.Deterministic {
		return random()
	}
	return derived(s.SeedUUID())
}

// derived returns identifiers that are HMAC-SHA256(seed, role), cut to 16
// bytes and marked as version 8 of RFC 9562, which is for such use.
func derived(seed uuid.UUID) identity {
	return func(role string) uuid.UUID {
		mac := hmac.New(sha256.New, seed[:])
		mac.Write([]byte(role))
		id := uuid.UUID(mac.Sum(nil)[:16])
		id[6] = id[6]&0x0f | 0x80
		id[8] = id[8]&0x3f | 0x80
		return id
	}
}

// random returns identifiers that differ from build to build, for those that
// ask not to be deterministic. A role keeps its identifier.
func random() identity {
	ids := map[string]uuid.UUID{}
	return func(role string) uuid.UUID {
		if _, ok := ids[role]; !ok {
			ids[role] = uuid.New()
		}
		return ids[role]
	}
}

// word returns the first four bytes of the identifier of a role.
func (id identity) word(role string) uint32 {
	u := id(role)
	return binary.LittleEndian.Uint32(u[:4])
}
