package ondisk

import (
	"crypto/sha256"
	"crypto/sha512"
)

// Checksum is what a block pointer knows of the bytes of its block, as four words
// (zio_cksum_t).
type Checksum [4]uint64

// ChecksumKind is how it is computed (enum zio_checksum).
type ChecksumKind uint8

// Kinds of checksums of blocks.
const (
	ChecksumOff       ChecksumKind = 2
	ChecksumFletcher2 ChecksumKind = 6
	ChecksumFletcher4 ChecksumKind = 7
	ChecksumSHA256    ChecksumKind = 8
	ChecksumSHA512    ChecksumKind = 11 // needs the feature sha512
)

// Sum returns the checksum of a block, whose size is a multiple of 512. It is
// zero for kinds that are not known: see [ChecksumKind.Known].
func (k ChecksumKind) Sum(block []byte) Checksum {
	switch k {
	case ChecksumFletcher2:
		return Fletcher2(block)
	case ChecksumFletcher4:
		return Fletcher4(block)
	case ChecksumSHA256:
		return SHA256(block)
	case ChecksumSHA512:
		return SHA512(block)
	}
	return Checksum{}
}

// Known reports whether Sum can compute the kind.
func (k ChecksumKind) Known() bool {
	switch k {
	case ChecksumFletcher2, ChecksumFletcher4, ChecksumSHA256, ChecksumSHA512:
		return true
	}
	return false
}

// Fletcher2 returns running sums over the even and the odd 64-bit words of a block,
// whose size is a multiple of 16 (fletcher_2_native).
func Fletcher2(p []byte) Checksum {
	var a, b, c, d uint64
	for len(p) >= 16 {
		a += le.Uint64(p)
		b += le.Uint64(p[8:])
		c += a
		d += b
		p = p[16:]
	}
	return Checksum{a, b, c, d}
}

// Fletcher4 returns four running sums over the 32-bit words of a block, whose
// size is a multiple of 4 (fletcher_4_native).
func Fletcher4(p []byte) Checksum {
	var a, b, c, d uint64
	for len(p) >= 4 {
		a += uint64(le.Uint32(p))
		b += a
		c += b
		d += c
		p = p[4:]
	}
	return Checksum{a, b, c, d}
}

// SHA256 returns the digest as four big-endian words, which is how ZFS takes it
// on any machine (zio_checksum_SHA256).
func SHA256(p []byte) Checksum {
	return wordsOf(sha256.Sum256(p))
}

// SHA512 returns the digest of SHA-512/256 as four words in the byte order of the
// machine that wrote the block (abd_checksum_SHA512_native).
func SHA512(p []byte) Checksum {
	digest := sha512.Sum512_256(p)
	return decodeChecksum(digest[:])
}

func wordsOf(digest [sha256.Size]byte) (c Checksum) {
	for i := range c {
		c[i] = be.Uint64(digest[8*i:])
	}
	return c
}

func (c Checksum) encode(p []byte) {
	for i, w := range c {
		le.PutUint64(p[8*i:], w)
	}
}

func decodeChecksum(p []byte) (c Checksum) {
	for i := range c {
		c[i] = le.Uint64(p[8*i:])
	}
	return c
}

// An embedded checksum (zio_eck_t) is the end of a block that nobody points at:
// magic and four words.
const (
	embeddedMagic = 0x0210da7ab10c7a11
	embeddedSize  = 40
)

// Seal writes the embedded checksum into the last 40 bytes of a block of a label
// that lies at offset of the device. The offset is part of what is summed, so
// that a label that was copied to elsewhere is not taken for one.
func Seal(block []byte, offset int64) {
	sealBy(block, Checksum{uint64(offset)})
}

// sealBy writes an embedded checksum. The verifier is what is summed in its place.
func sealBy(block []byte, verifier Checksum) {
	trailer := block[len(block)-embeddedSize:]
	le.PutUint64(trailer, embeddedMagic)
	verifier.encode(trailer[8:])
	SHA256(block).encode(trailer[8:])
}

// Sealed reports whether the block at offset has the embedded checksum that
// [Seal] writes.
func Sealed(block []byte, offset int64) bool {
	return sealedBy(block, Checksum{uint64(offset)})
}

func sealedBy(block []byte, verifier Checksum) bool {
	if len(block) < embeddedSize || le.Uint64(block[len(block)-embeddedSize:]) != embeddedMagic {
		return false
	}
	again := append([]byte(nil), block...)
	sealBy(again, verifier)
	return string(again) == string(block)
}
