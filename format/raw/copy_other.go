//go:build !linux

package raw

import (
	"math"
	"os"
)

// kernelCopyMin returns the least length of an extent that the kernel should
// copy.
func kernelCopyMin(*os.File) int64 { return math.MaxInt64 }

// kernelCopy copies nothing: there is no copying of ranges in this kernel.
func kernelCopy(*os.File, int64, *os.File, int64, int64) (int64, error) { return 0, nil }
