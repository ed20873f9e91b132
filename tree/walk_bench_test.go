package tree

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"diskwright/test/oracle"
)

var benchTree = flag.String("tree", "", "directory that BenchmarkFromDir walks, instead of one of 20,000 small files")

// BenchmarkFromDir walks a directory whose metadata the kernel has cached.
// live-B/file is the memory that the tree keeps.
func BenchmarkFromDir(b *testing.B) {
	dir := *benchTree
	if dir == "" {
		dir = makeManyFiles(b, 2000, 10)
	}
	var root *Inode
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if root, err = FromDir(b.Context(), dir, DirOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	reportFiles(b, &root)
}

// reportFiles reports the time and the memory of each file of a tree, which it
// lets go of.
func reportFiles(b *testing.B, root **Inode) {
	b.StopTimer()
	files := float64(len(Number(*root)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
	b.ReportMetric(files, "files")
	with := liveHeap()
	runtime.KeepAlive(*root)
	*root = nil
	b.ReportMetric(float64(with-liveHeap())/files, "live-B/file")
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one only starts to free what pools hold
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// makeManyFiles makes a tree of dirs directories with files small files each.
func makeManyFiles(t testing.TB, dirs, files int) string {
	top := t.TempDir()
	for n := range dirs {
		dir := filepath.Join(top, fmt.Sprintf("d%02d/e%02d", n/100, n%100))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for f := range files {
			if err := os.WriteFile(fmt.Sprintf("%s/file-%d", dir, f), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return top
}

// BenchmarkFromTar reads the headers of an archive of the same files.
func BenchmarkFromTar(b *testing.B) {
	dir := *benchTree
	if dir == "" {
		dir = makeManyFiles(b, 2000, 10)
	}
	archive := filepath.Join(b.TempDir(), "archive.tar")
	oracle.Run(b, "tar", "-C", dir, "-cf", archive, "--format=posix", ".")
	var root *Inode
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if root, _, err = FromTar(b.Context(), archive, TarOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	reportFiles(b, &root)
}
