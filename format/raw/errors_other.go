//go:build !linux && !darwin

package raw

func isNoSpace(error) bool { return false }

func isTooLarge(error) bool { return false }
