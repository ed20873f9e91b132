package fat

import (
	"time"

	"diskwright/tree"
)

// The moments that a date can hold ([FAT] "FAT Directory Structure"): it has
// seven bits for the years from 1980 on.
const (
	minTime = 315532800  // 1980-01-01T00:00:00Z
	maxTime = 4354819198 // 2107-12-31T23:59:58Z
)

// encodeTime returns the date and time of an entry: UTC, moved into what a
// date can hold, rounded down to even seconds.
func encodeTime(t tree.Time) (date, clock uint16) {
	u := time.Unix(min(max(t.Sec, minTime), maxTime), 0).UTC()
	date = uint16(u.Day() | int(u.Month())<<5 | (u.Year()-1980)<<9)
	clock = uint16(u.Second()/2 | u.Minute()<<5 | u.Hour()<<11)
	return date, clock
}

// decodeTime is the inverse of encodeTime. Fields out of range count on, as a
// 32nd of March does.
func decodeTime(date, clock uint16) tree.Time {
	year, month, day := 1980+int(date>>9), time.Month(date>>5&15), int(date&31)
	hour, minute, second := int(clock>>11), int(clock>>5&63), int(clock&31)*2
	return tree.Time{Sec: time.Date(year, month, day, hour, minute, second, 0, time.UTC).Unix()}
}
