package ondisk

import (
	"encoding/binary"
	"math/bits"
)

// HashVersion is a hash function for directory names ("s_def_hash_version").
type HashVersion uint8

// The hash functions. A superblock and a hash tree's root name one of the first
// three; the superblock's flags say whether bytes of names are signed, as char is
// on x86, or unsigned, as on arm.
const (
	HashLegacy HashVersion = iota
	HashHalfMD4
	HashTEA
	HashLegacyUnsigned
	HashHalfMD4Unsigned
	HashTEAUnsigned
)

// Unsigned returns the variant of v for unsigned bytes.
func (v HashVersion) Unsigned() HashVersion {
	if v <= HashTEA {
		return v + HashLegacyUnsigned
	}
	return v
}

// hashEOF is the hash that means the end of a directory to a reader of it; a
// name that has it gets the one before.
const hashEOF = 0x7fffffff << 1

// DirHash returns the hash of a name by which the kernel sorts it into a hashed
// directory: major decides on the block, its lowest bit is zero; minor is for the
// order of readdir. seed is the superblock's. ok is false for an unknown version.
func DirHash(version HashVersion, seed [16]byte, name []byte) (major, minor uint32, ok bool) {
	state := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	if seed != [16]byte{} {
		for i := range state {
			state[i] = binary.LittleEndian.Uint32(seed[4*i:])
		}
	}
	signed := version < HashLegacyUnsigned
	switch version {
	case HashLegacy, HashLegacyUnsigned:
		major = hashLegacy(name, signed)
	case HashHalfMD4, HashHalfMD4Unsigned:
		var in [8]uint32
		for p := name; len(p) > 0; p = p[min(len(in)*4, len(p)):] {
			hashWords(in[:], p, signed)
			halfMD4(&state, &in)
		}
		major, minor = state[1], state[2]
	case HashTEA, HashTEAUnsigned:
		var in [4]uint32
		for p := name; len(p) > 0; p = p[min(len(in)*4, len(p)):] {
			hashWords(in[:], p, signed)
			teaHash(&state, &in)
		}
		major, minor = state[0], state[1]
	default:
		return 0, 0, false
	}
	major &^= 1
	if major == hashEOF {
		major -= 2
	}
	return major, minor, true
}

// charValue widens a byte of a name.
func charValue(c byte, signed bool) uint32 {
	if signed {
		return uint32(int32(int8(c)))
	}
	return uint32(c)
}

// hashWords fills words with the first bytes of p, four to a word, the first
// uppermost. What p is too short for is filled with its length.
func hashWords(words []uint32, p []byte, signed bool) {
	pad := uint32(len(p)) * 0x00000101
	pad |= pad << 16
	for i := range words {
		word := pad
		for j := 4 * i; j < min(4*i+4, len(p)); j++ {
			word = word<<8 + charValue(p[j], signed)
		}
		words[i] = word
	}
}

// halfMD4 is three rounds of eight of MD4's operations.
func halfMD4(state *[4]uint32, in *[8]uint32) {
	const k2, k3 = 0x5a827999, 0x6ed9eba1
	a, b, c, d := state[0], state[1], state[2], state[3]

	f := func(x, y, z uint32) uint32 { return z ^ x&(y^z) }
	a = bits.RotateLeft32(a+f(b, c, d)+in[0], 3)
	d = bits.RotateLeft32(d+f(a, b, c)+in[1], 7)
	c = bits.RotateLeft32(c+f(d, a, b)+in[2], 11)
	b = bits.RotateLeft32(b+f(c, d, a)+in[3], 19)
	a = bits.RotateLeft32(a+f(b, c, d)+in[4], 3)
	d = bits.RotateLeft32(d+f(a, b, c)+in[5], 7)
	c = bits.RotateLeft32(c+f(d, a, b)+in[6], 11)
	b = bits.RotateLeft32(b+f(c, d, a)+in[7], 19)

	g := func(x, y, z uint32) uint32 { return x&y + (x^y)&z + k2 }
	a = bits.RotateLeft32(a+g(b, c, d)+in[1], 3)
	d = bits.RotateLeft32(d+g(a, b, c)+in[3], 5)
	c = bits.RotateLeft32(c+g(d, a, b)+in[5], 9)
	b = bits.RotateLeft32(b+g(c, d, a)+in[7], 13)
	a = bits.RotateLeft32(a+g(b, c, d)+in[0], 3)
	d = bits.RotateLeft32(d+g(a, b, c)+in[2], 5)
	c = bits.RotateLeft32(c+g(d, a, b)+in[4], 9)
	b = bits.RotateLeft32(b+g(c, d, a)+in[6], 13)

	h := func(x, y, z uint32) uint32 { return x ^ y ^ z + k3 }
	a = bits.RotateLeft32(a+h(b, c, d)+in[3], 3)
	d = bits.RotateLeft32(d+h(a, b, c)+in[7], 9)
	c = bits.RotateLeft32(c+h(d, a, b)+in[2], 11)
	b = bits.RotateLeft32(b+h(c, d, a)+in[6], 15)
	a = bits.RotateLeft32(a+h(b, c, d)+in[1], 3)
	d = bits.RotateLeft32(d+h(a, b, c)+in[5], 9)
	c = bits.RotateLeft32(c+h(d, a, b)+in[0], 11)
	b = bits.RotateLeft32(b+h(c, d, a)+in[4], 15)

	state[0] += a
	state[1] += b
	state[2] += c
	state[3] += d
}

// teaHash is sixteen rounds of the Tiny Encryption Algorithm with in as key.
func teaHash(state *[4]uint32, in *[4]uint32) {
	const delta = 0x9e3779b9
	x, y, sum := state[0], state[1], uint32(0)
	for range 16 {
		sum += delta
		x += (y<<4 + in[0]) ^ (y + sum) ^ (y>>5 + in[1])
		y += (x<<4 + in[2]) ^ (x + sum) ^ (x>>5 + in[3])
	}
	state[0] += x
	state[1] += y
}

// hashLegacy is the hash function of the first kernels with hashed directories.
func hashLegacy(name []byte, signed bool) uint32 {
	hash, before := uint32(0x12a3fe2d), uint32(0x37abe8f9)
	for _, c := range name {
		next := before + (hash ^ charValue(c, signed)*7152373)
		if next&0x80000000 != 0 {
			next -= 0x7fffffff
		}
		hash, before = next, hash
	}
	return hash << 1
}
