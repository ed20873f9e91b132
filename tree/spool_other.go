//go:build !linux

package tree

import "os"

func createUnlinked(dir string) (*os.File, func(), error) { return createAndRemove(dir) }
