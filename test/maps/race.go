//go:build race

package maps

// raced says that the race detector is on. A sync.Pool forgets most of what it is
// given then, on purpose.
const raced = true
