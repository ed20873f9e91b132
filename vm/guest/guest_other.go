//go:build !linux

package guest

// Running reports whether this process is /init of a guest.
func Running() bool { return false }

// Main is never called.
func Main() {}
