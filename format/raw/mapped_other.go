//go:build !linux

package raw

import (
	"errors"
	"os"
)

func openWindow(*os.File, int64, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func closeWindow([]byte) error { return nil }

func guard(fill func() error) error { return fill() }
