//go:build !linux && !darwin

package content

var unixChanges []change
