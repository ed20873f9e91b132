//go:build linux || darwin

package content

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// openDirs holds the directories open that files were opened in last. A file is
// then found by one name, where resolving its path takes the kernel longer than
// reading a small file does.
type openDirs struct {
	count atomic.Uint32
	slots *[16]openDir
}

// openDir is the directory with that number, or none if it is 0.
type openDir struct {
	sync.RWMutex
	number uint32
	fd     int
}

// newOpenDirs returns none. What will be open is closed when no directory of them
// is in use any more.
func newOpenDirs() *openDirs {
	o := &openDirs{slots: new([16]openDir)}
	runtime.AddCleanup(o, func(slots *[16]openDir) {
		for n := range slots {
			slots[n].close()
		}
	}, o.slots)
	return o
}

// next returns the number of a new directory.
func (o *openDirs) next() uint32 { return o.count.Add(1) }

func (o *openDir) close() {
	if o.number != 0 {
		unix.Close(o.fd)
		o.number = 0
	}
}

// openFile opens the file name in dir, or that at the path name if dir is nil.
func openFile(dir *Dir, name string) (handle, error) {
	if dir == nil {
		return openHandle(unix.AT_FDCWD, name)
	}
	defer runtime.KeepAlive(dir) // and with it what is open
	slot := &dir.open.slots[dir.number%uint32(len(dir.open.slots))]
	slot.RLock()
	if slot.number == dir.number {
		defer slot.RUnlock()
		return openHandle(slot.fd, name)
	}
	slot.RUnlock()

	slot.Lock()
	defer slot.Unlock()
	if slot.number != dir.number {
		fd, err := ignoringEINTR(func() (int, error) {
			return unix.Open(dir.Path(), searchOnly|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return -1, err
		}
		slot.close()
		slot.number, slot.fd = dir.number, fd
	}
	return openHandle(slot.fd, name)
}
