package raw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"diskwright/atomicfile"
	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"

	"golang.org/x/sys/unix"
)

// checkSparse fails if more blocks are allocated than hold extents.
func checkSparse(t *testing.T, m *diskmap.Map, f *os.File) {
	t.Helper()
	// Delayed allocation reserves blocks for metadata too.
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	extents := int64(0)
	for range m.Extents(0, m.Size()) {
		extents++
	}
	// The file's own extent tree takes 12 bytes an extent, in blocks.
	want := allocation(m) + blockCeil(extents*12*2) + 4*blockSize
	if got := st.Blocks * 512; got > want || st.Size != m.Size() {
		t.Errorf("%d bytes allocated of %d, want at most %d of %d", got, st.Size, want, m.Size())
	}
}

// TestBlocksWithoutData: what a run bridges is less than a block.
func TestBlocksWithoutData(t *testing.T) {
	var b diskmap.Builder
	b.Place(0, content.Bytes("x"))
	b.Place(2*blockSize-1, content.Bytes("xy")) // two blocks
	b.Place(4*blockSize+5, content.Bytes("x"))
	b.Place(6*blockSize+5, content.Bytes("x"))
	b.Place(regionSize-1, content.Bytes("xy")) // two regions
	m := build(t, 2*regionSize, &b)
	f := output(t)
	if err := WriteFile(context.Background(), m, f, Options{}); err != nil {
		t.Fatal(err)
	}
	var data []int64
	for off := int64(0); ; {
		from, err := f.Seek(off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			t.Skip(err)
		}
		if off, err = f.Seek(from, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		for ; from < off; from += blockSize {
			data = append(data, from/blockSize)
		}
	}
	if got, want := fmt.Sprint(data), fmt.Sprint([]int64{0, 1, 2, 4, 6, regionSize/blockSize - 1, regionSize / blockSize}); got != want {
		t.Errorf("blocks with data are %s, want %s", got, want)
	}
}

// TestOtherFileSystem: sources on a file system from which the kernel does
// not copy to the output's, or has not always.
func TestOtherFileSystem(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "diskwright-test")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	data := noise(3, 5*regionSize+17)
	var b diskmap.Builder
	b.Place(100, hostFile(t, dir, data))
	b.Place(8*regionSize, hostFile(t, dir, data))
	m := build(t, 14*regionSize, &b)
	f := output(t)
	if err := WriteFile(context.Background(), m, f, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{100, 8 * regionSize} {
		got := make([]byte, len(data))
		if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the copy at %d differs: %v", off, err)
		}
	}
}

// TestCopyPaths: the kernel's copy and the plain one give the same.
func TestCopyPaths(t *testing.T) {
	data := noise(4, 5*pieceSize)
	src, err := hostFile(t, t.TempDir(), data).Borrow()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Return() }()
	for _, c := range []struct{ from, to, n int64 }{
		{0, 0, pieceSize}, {4096, 8192, 4 * pieceSize}, {1, 2, pieceSize}, {77, 4096, 5*pieceSize - 77}, {0, 5, 1},
	} {
		f := output(t)
		done, err := kernelCopy(f, c.to, src.File, c.from, c.n)
		t.Logf("the kernel copied %d of %d bytes, %v", done, c.n, err)
		check := func(f *os.File, n int64) {
			t.Helper()
			got := make([]byte, n)
			if _, err := f.ReadAt(got, c.to); err != nil || !bytes.Equal(got, data[c.from:c.from+n]) {
				t.Errorf("%+v: the copy differs: %v", c, err)
			}
		}
		check(f, done)
		for _, way := range []way{writing, sharing} {
			w := &writer{f: output(t), way: way}
			if err := w.copyRange(src.File, c.from, c.to, c.n); err != nil {
				t.Fatal(err)
			}
			check(w.f, c.n)
		}
	}
}

// TestShares: where the file system can share blocks, it does. DISKWRIGHT_REFLINK
// names a directory of such a file system.
func TestShares(t *testing.T) {
	dir := os.Getenv("DISKWRIGHT_REFLINK")
	if dir == "" {
		t.Skip("DISKWRIGHT_REFLINK names no directory on XFS or btrfs")
	}
	dir, err := os.MkdirTemp(dir, "raw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	free := func() int64 {
		unix.Sync()
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Bavail) * st.Bsize
	}
	data := noise(9, 40<<20+100)
	var b diskmap.Builder
	b.Place(1<<20, hostFile(t, dir, data))
	m := build(t, 50<<20, &b)
	before := free()
	f, err := os.Create(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := WriteFile(context.Background(), m, f, Options{}); err != nil {
		t.Fatal(err)
	}
	if used := before - free(); used > 4<<20 {
		t.Errorf("the image takes %d bytes", used)
	}
	got := make([]byte, len(data))
	if _, err := f.ReadAt(got, 1<<20); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the copy differs: %v", err)
	}
}

// TestTruncatedWindow: somebody truncates the output while a region of it is
// mapped. Whether the process or the kernel touches it, that is an error.
func TestTruncatedWindow(t *testing.T) {
	src := hostFile(t, t.TempDir(), noise(1, regionSize-blockSize))
	for name, touch := range map[string]func([]byte) error{
		"process": func(window []byte) error { clear(window); return nil },
		"kernel":  func(window []byte) error { _, err := src.ReadAt(window[blockSize:], 0); return err },
	} {
		f := output(t)
		if err := f.Truncate(regionSize); err != nil {
			t.Fatal(err)
		}
		window, err := mapFile(f, regionSize)
		if err != nil {
			t.Fatal(err)
		}
		if err := openWindow(f, window, 0); err != nil {
			t.Skip(err)
		}
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		err = guard(func() error { return touch(window) })
		var output *writeError
		if !errors.As(err, &output) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := errors.Join(closeWindow(window), unmapFile(window)); err != nil {
			t.Error(err)
		}
	}
	if p := func() (p any) {
		defer func() { p = recover() }()
		_ = guard(func() error { panic("another") })
		return nil
	}(); p != "another" {
		t.Errorf("guard makes an error of any panic: %v", p)
	}
}

// TestNoSpaceToMap: the file system that regions are mapped on is full.
func TestNoSpaceToMap(t *testing.T) {
	image := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mkfs.ext4", "-q", image)
	dir := oracle.Mount(t, image, "ext4", "rw", 0, 64<<20)
	f, err := os.Create(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b diskmap.Builder
	b.Place(0, hostFile(t, t.TempDir(), noise(1, 80<<20)))
	err = WriteFile(context.Background(), build(t, 80<<20, &b), f, Options{})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "the image needs 83886080 bytes") {
		t.Errorf("got %v", err)
	}
}

// TestNoSpace: a full file system is named, with what was needed, and nothing
// is left on it.
func TestNoSpace(t *testing.T) {
	oracle.NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	sources := t.TempDir()
	for name, src := range map[string]content.Source{
		"small":  content.Bytes(noise(1, 3000)),
		"backed": hostFile(t, sources, noise(1, 2*regionSize)),
		"copied": hostFile(t, dir, noise(1, regionSize)),
	} {
		var b diskmap.Builder
		n := 8<<20/blockCeil(src.Size()) + 1
		for i := range n {
			b.Place(i*blockCeil(src.Size()), src)
		}
		m := build(t, 1<<40, &b)
		path := filepath.Join(dir, "image")
		f, err := atomicfile.Create(path, atomicfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = WriteFile(context.Background(), m, f.File, Options{})
		f.Abort()
		want := fmt.Sprintf("the image needs %d bytes", n*blockCeil(src.Size()))
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want one with %q", name, err, want)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s: left are %v, %v", name, entries, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	m := build(t, diskmap.MaxSize, new(diskmap.Builder))
	f := output(t)
	if err := f.Truncate(diskmap.MaxSize); err == nil {
		t.Skip("files may be that large here")
	}
	err := WriteFile(context.Background(), m, f, Options{})
	if !errors.Is(err, unix.EFBIG) || !strings.Contains(err.Error(), f.Name()) || !strings.Contains(err.Error(), fmt.Sprint(int64(diskmap.MaxSize))) {
		t.Errorf("got %v", err)
	}
}

func TestStreamToFullDevice(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	err = WriteStream(context.Background(), mixedMap(t, 1), full, Options{})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
		t.Errorf("got %v", err)
	}
}

// TestBegun: what is in the file already, where the map has it, is left; the rest is
// written around it. Of a file that is not the same, or somewhere else, nothing is.
func TestBegun(t *testing.T) {
	const size = 3 * regionSize
	parts := []struct{ off, n int64 }{
		{blockSize, 2 * blockSize},                    // with neighbours on both sides
		{regionSize, regionSize},                      // a whole region
		{2*regionSize + 512, 1024},                    // a part of a block
		{2*regionSize + blockSize + 7, 3 * blockSize}, // alone in the blocks at its ends
	}
	begun := func(shift int64) *os.File {
		f := output(t)
		for _, part := range parts {
			if _, err := f.WriteAt(noise(uint64(part.off), int(part.n)), part.off+shift); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}
	place := func(b *diskmap.Builder, f *os.File, shift int64) {
		for _, part := range parts {
			b.Place(part.off, content.Part{File: f, Offset: part.off + shift, Length: part.n})
		}
		b.Place(0, content.Bytes(noise(1, blockSize)))
		b.Place(3*blockSize, content.Bytes(noise(2, 100)))
		b.Place(2*regionSize, content.Bytes(noise(3, 511)))
		b.Place(2*regionSize+1600, content.Bytes(noise(4, 600)))
	}
	var b diskmap.Builder
	place(&b, begun(0), 0)
	want := digestOf(t, io.NewSectionReader(build(t, size, &b), 0, size))

	for name, c := range map[string]struct {
		shift int64
		other bool
	}{"begun": {}, "elsewhere": {shift: 512}, "another file": {other: true}} {
		f := begun(c.shift)
		var b diskmap.Builder
		place(&b, f, c.shift)
		m := build(t, size, &b)
		to := f
		if c.other {
			to = output(t)
		}
		var done atomic.Int64
		err := WriteFile(context.Background(), m, to, Options{Progress: func(n int64) { done.Add(n) }})
		if c.shift != 0 {
			if err == nil || !strings.Contains(err.Error(), "not an empty regular file") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if digestOf(t, io.NewSectionReader(to, 0, size+1)) != want {
			t.Errorf("%s: the file is not the map", name)
		}
		if done.Load() != m.DataSize() {
			t.Errorf("%s: progress of %d bytes, want %d", name, done.Load(), m.DataSize())
		}
		checkSparse(t, m, to)
	}

	f := begun(0)
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b = diskmap.Builder{}
	place(&b, f, 0)
	m := build(t, size, &b)
	if rest, err := notIn(m, fi); err != nil || rest.DataSize() != m.DataSize()-5*blockSize-regionSize {
		t.Errorf("%d of %d bytes are to be written: %v", rest.DataSize(), m.DataSize(), err)
	}
}
