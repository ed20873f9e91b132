//go:build unix

// Floor concatenates the data of every file below a directory into one file:
// the least that any program does that puts a tree into an image. One process,
// one thread, plain reads and writes, as
//
//	find TREE -type f -print0 | xargs -0 cat > OUTPUT
//
// does where cat does not have the kernel copy. System calls are made directly:
// nothing of Go's own comes on top.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: floor TREE OUTPUT")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	if err := concatenate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func concatenate(tree, output string) error {
	out, err := syscall.Open(output, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", output, err)
	}
	buffer := make([]byte, 128<<10) // as cat has it
	err = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := appendFile(out, path, buffer); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return syscall.Close(out)
}

func appendFile(out int, path string, buffer []byte) error {
	in, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(in)
	for {
		n, err := syscall.Read(in, buffer)
		if n <= 0 {
			return err
		}
		for p := buffer[:n]; len(p) > 0; {
			w, err := syscall.Write(out, p)
			if err != nil {
				return err
			}
			p = p[w:]
		}
	}
}
