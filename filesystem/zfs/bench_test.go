package zfs

import (
	"fmt"
	"runtime"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// store is a tree like that of a system: many small files in many directories, some
// large ones. It has about count*20 KiB.
func store(count int) *tree.Inode {
	root := dir()
	for i := range count / 100 {
		pkg := dir()
		for j := range 100 {
			size := int64(j*j*7 + 1)
			if j%3 == 0 {
				pkg.SetChild(fmt.Sprintf("file-%d", j), file(noise(size)))
			} else {
				pkg.SetChild(fmt.Sprintf("file-%d", j), file(text(size)))
			}
		}
		root.SetChild(fmt.Sprintf("vv3a85f2h1cvz5pl6zrmxz0nl32c71nb-package-%d-1.2.3", i), pkg)
	}
	return root
}

// Planning a pool: how long, and what the plan keeps in memory for each file.
func BenchmarkNew(b *testing.B) {
	for _, compression := range []string{"off", "lz4", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			const count = 20000
			root := store(count)
			opts := testOptions(8 * gib)
			opts.Properties["compression"] = compression
			b.ReportAllocs()
			var before, after runtime.MemStats
			for range b.N {
				runtime.GC()
				runtime.ReadMemStats(&before)
				p := plan(b, root, opts)
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(p)
			}
			b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/count, "kept-B/file")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/count, "made-B/file")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/count, "allocs/file")
		})
	}
}

// Reading a plan: what is compressed is compressed again, which is counted in
// compressed bytes.
func BenchmarkRead(b *testing.B) {
	root := dir()
	root.SetChild("text", file(text(64*mib)))
	opts := testOptions(gib)
	opts.Properties["compression"] = "lz4"
	m := plan(b, root, opts).Map()
	b.SetBytes(m.DataSize())
	b.ReportAllocs()
	buffer := make([]byte, mib)
	for range b.N {
		for e := range m.Extents(0, m.Size()) {
			for off := int64(0); off < e.Length; off += mib {
				if err := content.ReadFull(e, buffer[:min(mib, e.Length-off)], off); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
