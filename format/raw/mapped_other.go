//go:build !linux

package raw

import (
	"errors"
	"os"
)

func mapFile(*os.File, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapFile([]byte) error { return nil }

func openWindow(*os.File, []byte, int64) error { return errors.ErrUnsupported }

func closeWindow([]byte) error { return nil }

func guard(fill func() error) error { return fill() }
