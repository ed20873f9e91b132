package raw

import (
	"errors"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// mapFile maps all n bytes of f, once for all workers: each mapping that is made
// or undone makes those wait who find memory for theirs.
func mapFile(f *os.File, n int64) ([]byte, error) {
	if n != int64(int(n)) {
		return nil, unix.EFBIG
	}
	return unix.Mmap(int(f.Fd()), 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func unmapFile(mapping []byte) error {
	if mapping == nil {
		return nil
	}
	return unix.Munmap(mapping)
}

// openWindow finds blocks and memory for a window of a mapping of f, at off, so
// that touching it cannot fail any more. Blocks that are allocated beforehand, all
// at once, make finding the memory half as long. It needs Linux 5.14. What an error
// means, write(2) says better.
func openWindow(f *os.File, window []byte, off int64) error {
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, int64(len(window))); err != nil {
		return err
	}
	if err := unix.Madvise(window, unix.MADV_POPULATE_WRITE); err != nil {
		return errors.Join(err, closeWindow(window))
	}
	return nil
}

// closeWindow takes the memory of a window out of the process. It stays in the
// page cache.
func closeWindow(window []byte) error { return unix.Madvise(window, unix.MADV_DONTNEED) }

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
