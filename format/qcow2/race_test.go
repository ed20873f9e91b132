//go:build race

package qcow2

// raced says that the race detector runs, under which everything takes ten times
// as long: tests of what one goroutine does are left out.
const raced = true
