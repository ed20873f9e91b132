package raw

import (
	"errors"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// openWindow maps n bytes at off of f and finds blocks and memory for all of
// them, so that touching them cannot fail any more. Blocks that are allocated
// beforehand, all at once, make finding the memory half as long. It needs Linux
// 5.14. What an error means, write(2) says better.
func openWindow(f *os.File, off, n int64) ([]byte, error) {
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n); err != nil {
		return nil, err
	}
	window, err := unix.Mmap(int(f.Fd()), off, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if err := unix.Madvise(window, unix.MADV_POPULATE_WRITE); err != nil {
		return nil, errors.Join(err, closeWindow(window))
	}
	return window, nil
}

func closeWindow(window []byte) error { return unix.Munmap(window) }

// guard calls fill, which touches a window. If the file below it is truncated
// meanwhile by somebody else, that is an error and not the end of the process.
func guard(fill func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // what the runtime makes of SIGBUS
			err = &writeError{unix.EFAULT}
		default:
			panic(p)
		}
	}()
	if err = fill(); errors.Is(err, unix.EFAULT) {
		return &writeError{err}
	}
	return err
}
