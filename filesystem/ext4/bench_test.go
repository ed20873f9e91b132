package ext4

import (
	"fmt"
	"runtime"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// millionFiles returns a tree of a million files of some kilobytes in 50,000
// directories, shaped like a distribution's.
func millionFiles() *tree.Inode {
	root := dir()
	data := content.Bytes(make([]byte, 20000))
	for i := range 500 {
		top := dir()
		root.Entries = append(root.Entries, tree.Entry{Name: fmt.Sprintf("package-%03d", i), Inode: top})
		for j := range 100 {
			sub := dir()
			top.Entries = append(top.Entries, tree.Entry{Name: fmt.Sprintf("directory-%02d", j), Inode: sub})
			for k := range 20 {
				var f *tree.Inode
				if k == 0 {
					f = tree.NewSymlink("../../package-000/a-target-that-is-too-long-for-an-inode-to-hold-it", testTime)
				} else {
					f = file(data[:(i+j*k)%20000])
				}
				sub.Entries = append(sub.Entries, tree.Entry{Name: fmt.Sprintf("a-file-%02d", k), Inode: f})
			}
		}
	}
	return root
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkNew plans a million files. B/file is what the plan and its map keep
// of each, without the tree.
func BenchmarkNew(b *testing.B) {
	for name, root := range map[string]*tree.Inode{
		"tree":      millionFiles(),
		"directory": dirOf(1e6, func(i int) string { return fmt.Sprintf("file-%07d", i) }),
	} {
		b.Run(name, func(b *testing.B) {
			before := heap()
			var fs *FileSystem
			for b.Loop() {
				fs = plan(b, root, testOptions(Ext4, 64*gib))
			}
			b.ReportMetric(float64(heap()-before)/1e6, "B/file")
			runtime.KeepAlive(fs)
			runtime.KeepAlive(root)
		})
	}
}

// BenchmarkReadMetadata makes all metadata of a million files.
func BenchmarkReadMetadata(b *testing.B) {
	fs := plan(b, millionFiles(), testOptions(Ext4, 64*gib))
	p := make([]byte, mib)
	bytes := int64(0)
	for b.Loop() {
		bytes = 0
		for e := range fs.Map().Extents(0, fs.Map().Size()) {
			if _, ok := e.Source.(*content.Generated); !ok {
				continue
			}
			for off := int64(0); off < e.Length; off += mib {
				if _, err := e.ReadAt(p[:min(mib, e.Length-off)], off); err != nil {
					b.Fatal(err)
				}
			}
			bytes += e.Length
		}
	}
	b.SetBytes(bytes)
}

// BenchmarkNewLargest plans an empty file system of 16 TiB.
func BenchmarkNewLargest(b *testing.B) {
	for b.Loop() {
		plan(b, dir(), testOptions(Ext4, 16*tib-blockSize))
	}
}
