package efivars

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A variable of an authenticated store (EDK II: AUTHENTICATED_VARIABLE_HEADER).
// Its name and data follow immediately, the next variable at a multiple of four.
const (
	offStartID           = 0 // 16 bits
	offState             = 2
	offAttributes        = 4  // 32 bits
	offCount             = 8  // 64 bits: of signed updates
	offTimestamp         = 16 // 16 bytes: of signed updates
	offPublicKey         = 32 // 32 bits
	offNameSize          = 36 // 32 bits, with the zero at its end
	offDataSize          = 40 // 32 bits
	offVendor            = 44 // GUID
	variableHeader       = 60
	variableStart        = 0x55aa
	headerAlignment      = 4
	maxVariable          = 8 << 10 // with its name; OVMF's PcdMaxVariableSize in the 2M build
	unset                = 0xffffffff
	erased          byte = 0xff
)

// States of a variable. Flash memory can clear bits only, so that each state is
// the one before it without a bit; in states that were cleared one after the
// other both bits are missing.
const (
	stateAdded   byte = 0x3f // valid
	stateLeaving byte = 0xfe // mask: valid until its successor is
	stateDeleted byte = 0xfd // mask
)

// alive reports whether the firmware could take the variable for valid.
func (v *stored) alive() bool {
	return v.state == stateAdded || v.state == stateAdded&stateLeaving
}

// align rounds up to where a header may begin.
func align(n int) int { return (n + headerAlignment - 1) &^ (headerAlignment - 1) }

// readVariables walks through the store as the firmware does: until something
// does not begin like a variable. All behind it must be erased, or what would be
// written there could not be read again.
func (s *Store) readVariables() error {
	at := s.first
	for at+variableHeader <= s.end && binary.LittleEndian.Uint16(s.image[at+offStartID:]) == variableStart {
		v, err := s.readVariable(at)
		if err != nil {
			return fmt.Errorf("the variable store is damaged at byte %d: %w", at, err)
		}
		s.variables = append(s.variables, v)
		at = align(at + v.length)
	}
	s.findLiving()
	// The last variable may end less than an alignment before the store does.
	s.free = min(at, s.end)
	if rest := s.image[s.free:s.end]; bytes.Count(rest, []byte{erased}) != len(rest) {
		return fmt.Errorf("the variable store is damaged: the %d bytes behind the last variable, at byte %d, are not erased", len(rest), s.free)
	}
	return nil
}

// readVariable decodes the variable at an offset.
func (s *Store) readVariable(at int) (stored, error) {
	header := s.image[at:s.end]
	v := stored{offset: at, length: variableHeader, state: header[offState]}
	v.Attributes = binary.LittleEndian.Uint32(header[offAttributes:])
	v.Vendor = getGUID(header[offVendor:])
	nameSize := binary.LittleEndian.Uint32(header[offNameSize:])
	dataSize := binary.LittleEndian.Uint32(header[offDataSize:])
	if v.state == erased || v.Attributes == unset || nameSize == unset || dataSize == unset {
		// The machine was switched off while the header was written. The firmware
		// continues behind it (NameSizeOfVariable and DataSizeOfVariable).
		v.state = 0
		return v, nil
	}
	body := header[variableHeader:]
	if int64(nameSize)+int64(dataSize) > int64(len(body)) {
		return v, fmt.Errorf("a variable with a name of %d and data of %d bytes, where %d are left", nameSize, dataSize, len(body))
	}
	v.length += int(nameSize) + int(dataSize)
	v.Data = body[nameSize : nameSize+dataSize : nameSize+dataSize]
	if !v.alive() {
		return v, nil
	}
	var err error
	v.Name, err = decodeName(body[:nameSize])
	return v, err
}

// decodeName decodes the name of a variable.
func decodeName(b []byte) (string, error) {
	name, rest, ok := cutUTF16(b)
	again, err := appendUTF16(nil, name)
	if !ok || len(rest) > 0 || name == "" || err != nil || !bytes.Equal(again, b) {
		return "", fmt.Errorf("the name %x is not UTF-16 with one zero, at its end", b)
	}
	return name, nil
}

// encodeVariable encodes a variable, and the padding behind it.
func encodeVariable(v Variable) ([]byte, error) {
	name, err := appendUTF16(nil, v.Name)
	if err == nil && v.Name == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("name of an EFI variable: %w", err)
	}
	if n := variableHeader + len(name) + len(v.Data); n > maxVariable {
		return nil, fmt.Errorf("EFI variable %q: it has %d bytes, firmware takes %d at most", v.Name, n, maxVariable)
	}
	b := make([]byte, variableHeader, variableHeader+len(name)+len(v.Data)+headerAlignment)
	binary.LittleEndian.PutUint16(b[offStartID:], variableStart)
	b[offState] = stateAdded
	binary.LittleEndian.PutUint32(b[offAttributes:], v.Attributes)
	// Count, timestamp and public key are zero: nobody signed it.
	binary.LittleEndian.PutUint32(b[offNameSize:], uint32(len(name)))
	binary.LittleEndian.PutUint32(b[offDataSize:], uint32(len(v.Data)))
	appendGUID(b[:offVendor], v.Vendor)
	b = append(b, name...)
	b = append(b, v.Data...)
	for len(b)%headerAlignment != 0 {
		b = append(b, erased)
	}
	return b, nil
}

// cutUTF16 decodes little-endian UTF-16 up to a zero, and returns what follows
// it. Surrogates that stand alone become U+FFFD. Without a zero it is not ok.
func cutUTF16(b []byte) (text string, rest []byte, ok bool) {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		unit := binary.LittleEndian.Uint16(b)
		if unit == 0 {
			return string(utf16.Decode(units)), b[2:], true
		}
		units = append(units, unit)
	}
	return "", nil, false
}

// appendUTF16 encodes text as little-endian UTF-16 with a zero behind it.
func appendUTF16(b []byte, text string) ([]byte, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%q is not UTF-8, or has a zero in it", text)
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return append(b, 0, 0), nil
}
