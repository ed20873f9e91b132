package spec

import (
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// MaxEpoch is the latest SOURCE_DATE_EPOCH: 2446-05-10T22:38:55Z, the last
// second that an inode of ext4 can hold (34 bits above -2^31).
const MaxEpoch = 1<<34 - 1<<31 - 1

// maxOwner is the largest user or group number. 2^32-1 is none: chown(2)
// takes it for "leave as it is".
const maxOwner = 1<<32 - 2

// uuidLen is the length of a UUID as RFC 9562, section 4, writes it.
const uuidLen = 36

// ParseUUID reads a UUID in its usual form: 32 hexadecimal digits in groups of
// 8, 4, 4, 4 and 12, joined by hyphens. Braces, "urn:uuid:" and forms without
// hyphens are refused, because sgdisk and tune2fs read them differently.
func ParseUUID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != uuidLen {
		return uuid.UUID{}, fmt.Errorf("%q is not a UUID such as F222513B-DED1-49FA-B591-20CE86A2FE7F", text)
	}
	return id, nil
}

// ParseEpoch reads the value of SOURCE_DATE_EPOCH: decimal seconds since
// 1970, not negative, at most [MaxEpoch].
func ParseEpoch(text string) (int64, error) {
	if digits, rest := cutDigits(text); digits == "" || rest != "" {
		return 0, fmt.Errorf("%q is not a time; it must be the seconds since 1970 in decimal digits", text)
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds > MaxEpoch {
		return 0, fmt.Errorf("%q is later than %d (the year 2446), the last second that ext4 can store", text, int64(MaxEpoch))
	}
	return seconds, nil
}

// checkOwner checks the number of a user or group where there are no names.
func checkOwner(text string) error {
	if digits, rest := cutDigits(text); digits == "" || rest != "" {
		return fmt.Errorf("%q is not a number; names need a NixOS system (system) that has them", text)
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id > maxOwner {
		return fmt.Errorf("%q is larger than %d, the last number of a user or group", text, uint32(maxOwner))
	}
	return nil
}
