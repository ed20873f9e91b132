package progress

import (
	"fmt"
	"time"
)

// Bytes writes a number of bytes for people: "512 B", "1.50 GiB".
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 && n > -1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for (value >= 1024 || value <= -1024) && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	format := "%.2f %ciB"
	switch {
	case value >= 100 || value <= -100:
		format = "%.0f %ciB"
	case value >= 10 || value <= -10:
		format = "%.1f %ciB"
	}
	return fmt.Sprintf(format, value, units[unit])
}

// clock writes a duration as minutes and seconds: "0:07", "1:02:03".
func clock(d time.Duration) string {
	seconds := int64(d.Round(time.Second) / time.Second)
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// percent returns how much of the total is done, or -1.
func (s State) percent() int {
	if s.Total <= 0 {
		return -1
	}
	return int(min(s.Done, s.Total) * 100 / max(s.Total, 1))
}
