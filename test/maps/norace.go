//go:build !race

package maps

const raced = false
