package nixstore

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"diskwright/tree"
)

// benchStore makes a store of 500 objects with 40 files each, 20 KB on average,
// and returns its directory and the closure, registered as it is.
func benchStore(b *testing.B) (dir string, c Closure) {
	b.Helper()
	const objects, files = 500, 40
	dir = b.TempDir()
	var infos []PathInfo
	data := make([]byte, 40<<10)
	for i := range objects {
		p := samplePath(fmt.Sprintf("object-%d", i))
		for n := range files {
			at := filepath.Join(dir, p.Base(), fmt.Sprintf("dir-%d", n/8))
			if err := os.MkdirAll(at, 0o755); err != nil {
				b.Fatal(err)
			}
			copy(data, fmt.Sprint(i, n%30))
			if err := os.WriteFile(filepath.Join(at, fmt.Sprint(n)), data[:len(data)*n/files], 0o444); err != nil {
				b.Fatal(err)
			}
		}
		hash, size, err := HashPath(ctx, filepath.Join(dir, p.Base()))
		if err != nil {
			b.Fatal(err)
		}
		infos = append(infos, PathInfo{Path: p, NarHash: hash, NarSize: size, References: []Path{p}})
	}
	c, err := NewClosure(infos)
	if err != nil {
		b.Fatal(err)
	}
	return dir, c
}

// Reading a store is to cost what reading any directory does.
func BenchmarkTree(b *testing.B) {
	dir, c := benchStore(b)
	b.Run("store", func(b *testing.B) {
		for b.Loop() {
			if _, err := Tree(ctx, c, dir, TreeOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("directory", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.FromDir(ctx, dir, tree.DirOptions{Xattrs: []string{}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	dir, c := benchStore(b)
	store, err := Tree(ctx, c, dir, TreeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(c.NarSize())
	for b.Loop() {
		if err := Verify(ctx, c, store, VerifyOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOptimise(b *testing.B) {
	dir, c := benchStore(b)
	b.SetBytes(c.NarSize())
	for b.Loop() {
		store, err := Tree(ctx, c, dir, TreeOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Optimise(ctx, store, OptimiseOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDatabase(b *testing.B) {
	c := wide(b, 2000)
	for b.Loop() {
		if _, err := Database(ctx, c, nil, epoch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromDatabase(b *testing.B) {
	c := wide(b, 2000)
	file, err := Database(ctx, c, nil, epoch)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "db.sqlite")
	writeFile(b, path, string(file))
	for b.Loop() {
		got, err := FromDatabase(ctx, path, c[len(c)-1].Path, c[0].Path)
		if err != nil || len(got) < 100 {
			b.Fatal(len(got), err)
		}
	}
}
