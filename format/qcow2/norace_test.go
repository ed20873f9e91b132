//go:build !race

package qcow2

const raced = false
