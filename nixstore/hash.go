package nixstore

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// base32Digits are the digits of Nix's base 32: no e, o, t and u, so that
// hashes do not look like words.
const base32Digits = "0123456789abcdfghijklmnpqrsvwxyz"

// digitOf returns the value of a base-32 digit, or -1.
func digitOf(c byte) int { return strings.IndexByte(base32Digits, c) }

// base32Len returns how many digits n bytes need.
func base32Len(n int) int { return (n*8 + 4) / 5 }

// EncodeBase32 writes b in Nix's base 32. It is a number: the last byte is the
// most significant, and the first digit is.
func EncodeBase32(b []byte) string {
	digits := make([]byte, base32Len(len(b)))
	for n := range digits {
		bit := 5 * (len(digits) - 1 - n)
		at, shift := bit/8, bit%8
		d := b[at] >> shift
		if at+1 < len(b) {
			d |= b[at+1] << (8 - shift)
		}
		digits[n] = base32Digits[d&31]
	}
	return string(digits)
}

// DecodeBase32 is the inverse of [EncodeBase32].
func DecodeBase32(s string) ([]byte, error) {
	b := make([]byte, len(s)*5/8)
	if base32Len(len(b)) != len(s) {
		return nil, fmt.Errorf("%d digits of base 32 are no whole number of bytes", len(s))
	}
	for n := range len(s) {
		d := digitOf(s[n])
		if d < 0 {
			return nil, fmt.Errorf("%q is not a digit of Nix's base 32", s[n])
		}
		bit := 5 * (len(s) - 1 - n)
		at, shift := bit/8, bit%8
		b[at] |= byte(d << shift)
		carry := byte(d >> (8 - shift))
		if at+1 < len(b) {
			b[at+1] |= carry
		} else if carry != 0 {
			return nil, errors.New("its first digit of base 32 is too large")
		}
	}
	return b, nil
}

// Hash is a SHA-256.
type Hash [32]byte

// String writes the hash as closureInfo does: "sha256:" and 52 digits of Nix's
// base 32.
func (h Hash) String() string { return hashPrefix + EncodeBase32(h[:]) }

// hex writes the hash as the database has it: "sha256:" and 64 hexadecimal
// digits.
func (h Hash) hex() string { return hashPrefix + hex.EncodeToString(h[:]) }

const hashPrefix = "sha256:"

// ParseHash reads a SHA-256 in any way that Nix writes one: hexadecimal, base
// 32 or base 64, with "sha256:" in front or without it, or as SRI has it
// ("sha256-" and base 64).
func ParseHash(s string) (Hash, error) {
	var h Hash
	digits := strings.TrimPrefix(s, hashPrefix)
	digits = strings.TrimPrefix(digits, "sha256-")
	if colon := strings.IndexByte(digits, ':'); colon >= 0 {
		return h, fmt.Errorf("%q is a hash of another kind: want sha256:…", shorten(s))
	}
	var b []byte
	var err error
	switch len(digits) {
	case hex.EncodedLen(len(h)):
		b, err = hex.DecodeString(digits)
	case base32Len(len(h)):
		b, err = DecodeBase32(digits)
	case base64.StdEncoding.EncodedLen(len(h)):
		b, err = base64.StdEncoding.Strict().DecodeString(digits)
	default:
		err = fmt.Errorf("%d digits", len(digits))
	}
	if err == nil && len(b) != len(h) { // base 64 with too much or too little padding
		err = fmt.Errorf("%d bytes", len(b))
	}
	if err != nil {
		return h, fmt.Errorf("%q is not a SHA-256: %w; want 64 digits of base 16, 52 of base 32 or 44 of base 64", shorten(s), err)
	}
	return Hash(b), nil
}
