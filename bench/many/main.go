// Many makes a tree of small files:
//
//	many DIR FILES
//
// DIR gets four directories with a quarter of the files each, so that a
// quarter of the tree can be compared with the whole.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// perDirectory is how many files a directory has, about as many as the large
// ones of real systems.
const perDirectory = 250

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: many DIR FILES")
		os.Exit(2)
	}
	files, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = makeTree(os.Args[1], files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "many:", err)
		os.Exit(1)
	}
}

func makeTree(root string, files int) error {
	var dir string
	for i := range files {
		if i%perDirectory == 0 {
			n := i / perDirectory
			dir = filepath.Join(root, fmt.Sprintf("quarter-%d/package-%03d/directory-%05d", i*4/files, n/40, n))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		name := fmt.Sprintf("%s/a-file-of-a-package-%07d.conf", dir, i)
		if err := os.WriteFile(name, []byte(name), 0o644); err != nil {
			return err
		}
	}
	return nil
}
