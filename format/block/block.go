// Package block is what the containers of disk images have in common: they cut
// the disk into blocks (clusters, grains) of one size, keep only those that are
// not all zeros, and a table says where.
//
//	disk   |..A.|....|B...|CCCC|....|....|D..|
//	file   |header|table|..A.|B...|CCCC|D..|
//
// Where blocks are stored as they are, the file is a disk map itself: [Used] says
// which blocks it has, [Copy] places what they are made of, and package raw
// writes it.
//
// [Write] is for blocks that are compressed, of which nobody knows the length
// before: workers read the disk map ahead and encode; blocks are placed one after
// the other, in the order of the map; then workers write them. What ends up where depends on the map alone and not on
// the number of workers.
//
//	read + encode   | batch 1 | batch 3 |      | batch 5 ...
//	                | batch 2     | batch 4 | ...
//	place                     |1|2|3|  |4| ...
//	write                       | 1 | 3 |
//	                              | 2 |   | 4 |
//
// Zeros are found whether they are holes of the map or bytes of a file.
//
// [Placement] and [Table] are for the decoders, whose input is hostile.
package block

import (
	"bytes"
	"time"

	"github.com/google/uuid"
)

// Options of writing any container. The zero value is good.
type Options struct {
	// Workers is how many goroutines read, encode and write; zero is one for
	// each CPU. The result does not depend on it.
	Workers int
	// Progress may be nil. It is called with the number of bytes of the map's
	// extents that were done since its last call, from several goroutines at
	// once.
	Progress func(n int64)
	// Identify returns the identifiers that a container holds, each for its
	// role ("vdi-image"). It derives them from something that is the image's
	// own; nil makes them all zero.
	Identify func(role string) uuid.UUID
	// Time is when the container says that it was made. The zero time is 1980,
	// as in file systems.
	Time time.Time
}

// ID returns the identifier for a role.
func (o Options) ID(role string) uuid.UUID {
	if o.Identify == nil {
		return uuid.Nil
	}
	return o.Identify(role)
}

// Epoch is the time of containers if none is asked for: 1980-01-01, which all
// of them can hold.
const Epoch = 315532800

// Created returns the creation time.
func (o Options) Created() time.Time {
	if o.Time.IsZero() {
		return time.Unix(Epoch, 0).UTC()
	}
	return o.Time.UTC()
}

// Field is a property of a container, for people and programs that look into
// it. Name is the key in JSON, in camelCase; Value is a string, a bool, an
// int64 or a []string.
type Field struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// IsZero reports whether p has no byte but zero. It takes next to no time where
// p begins with something else, and the memory's speed otherwise.
func IsZero(p []byte) bool {
	// Every byte equals the one before it, and the first is zero.
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
