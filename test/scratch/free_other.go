//go:build !linux

package scratch

// free returns how many bytes may be written to dir, if that is in memory.
func free(string) int64 { return 0 }
