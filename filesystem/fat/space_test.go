package fat

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"diskwright/content"
	"diskwright/tree"
)

// zeros returns a file of n bytes that takes no memory.
func zeros(n int64) *tree.Inode {
	return tree.NewFile(&content.Generated{Length: n, Fill: func(p []byte, _ int64) error { clear(p); return nil }}, epoch)
}

// smallestByTrying looks at every volume larger than the options say.
func smallestByTrying(root *tree.Inode, opts Options) int64 {
	fs, err := prepare(root, opts)
	if err != nil {
		return -1
	}
	type key struct {
		wide           bool
		clusterSectors uint32
	}
	needed := map[key]int64{}
	for sectors := opts.Size/sectorSize + 1; sectors < 1<<20; sectors++ {
		if sectors%sectorsPerTrack != 0 && !newClusters(sectors) {
			continue
		}
		g, ok := chooseGeometry(sectors*sectorSize, opts.Bits)
		if !ok || !fs.rootFits(g) {
			continue
		}
		k := key{g.bits == 32, g.clusterSectors}
		if _, ok := needed[k]; !ok {
			needed[k] = fs.clustersIn(g)
		}
		if needed[k] <= int64(g.clusters) {
			return sectors * sectorSize
		}
	}
	return 0
}

// newClusters reports whether FAT32 of that size has larger clusters than with
// a sector less.
func newClusters(sectors int64) bool { return sectors == 260<<11+1 }

// TestMinSize: the smallest size that New takes is the one that MinSize says.
func TestMinSize(t *testing.T) {
	flat := func(files int, size int64) *tree.Inode {
		root := tree.NewDir(epoch)
		for n := range files {
			add(root, fmt.Sprintf("D%d/%d", n/1000, n), zeros(size))
		}
		return root
	}
	wide := tree.NewDir(epoch)
	for n := range 300 {
		add(wide, fmt.Sprintf("a long name %d", n), zeros(1))
	}
	tests := []struct {
		name string
		root *tree.Inode
		bits int
	}{
		{"empty", flat(0, 0), 0},
		{"empty FAT16", flat(0, 0), 16},
		{"empty FAT32", flat(0, 0), 32},
		{"a byte", flat(1, 1), 0},
		{"1 MiB", flat(1, 1<<20), 0},
		{"small files", flat(1500, 1), 0},
		{"largest FAT12", flat(1, 4084*2048-2048), 0},
		{"FAT16", flat(1, 15<<20), 0},
		{"before FAT32", flat(1, 32<<20), 0},
		{"FAT32", flat(1, 60<<20), 0},
		{"many small files", flat(150000, 500), 0},
		{"more than 260 MiB", flat(1, 258<<20), 0},
		{"many small files, more than 260 MiB", flat(30000, 8200), 0},
		{"FAT16 for what FAT32 could hold", flat(1, 130<<20), 16},
		{"FAT12 with large clusters", flat(1, 30<<20), 12},
		{"wide root", wide, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opts := Options{Bits: test.bits}
			size, err := MinSize(test.root, opts)
			if err != nil {
				t.Fatal(err)
			}
			if want := smallestByTrying(test.root, opts); size != want {
				t.Errorf("MinSize %d, by trying %d", size, want)
			}
			opts.Size = size
			if _, err := New(test.root, opts); err != nil {
				t.Error(err)
			}
			opts.Size--
			var space *SpaceError
			if _, err := New(test.root, opts); !errors.As(err, &space) || space.Smallest != size {
				t.Errorf("a byte less: %v", err)
			}
		})
	}
}

func TestMinSizeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := tree.NewDir(epoch)
		for n, size := range rapid.SliceOfN(rapid.Int64Range(0, 3<<20), 0, 12).Draw(t, "sizes") {
			add(root, fmt.Sprintf("%d/%d", n%3, n), zeros(size))
		}
		opts := Options{Size: rapid.Int64Range(0, 40<<20).Draw(t, "size")}
		fs, err := prepare(root, opts)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fs.smallestSize(), smallestByTrying(root, opts); got != want {
			t.Fatalf("%d, by trying %d", got, want)
		}
	})
}

// TestNotMonotonic: what fits 260 MiB with clusters of a sector need not fit
// more with clusters of eight.
func TestNotMonotonic(t *testing.T) {
	root := tree.NewDir(epoch)
	for n := range 100000 {
		add(root, fmt.Sprintf("%d/%d", n/1000, n), zeros(1))
	}
	if _, err := New(root, Options{Size: 260 << 20}); err != nil {
		t.Error(err)
	}
	var space *SpaceError
	if _, err := New(root, Options{Size: 260<<20 + sectorSize}); !errors.As(err, &space) {
		t.Errorf("%v", err)
	} else if space.Smallest < 390<<20 || space.Smallest > 400<<20 {
		t.Errorf("%+v", space)
	}
}

// TestSpaceErrors: they say what is needed, what there is, and what would do.
func TestSpaceErrors(t *testing.T) {
	file := tree.NewDir(epoch)
	add(file, "file", zeros(100<<20))
	wide := tree.NewDir(epoch)
	for n := range 200 {
		add(wide, fmt.Sprintf("a long name %d", n), zeros(1))
	}
	huge := tree.NewDir(epoch)
	for n := range 600 {
		add(huge, fmt.Sprint(n), zeros(maxFileSize))
	}
	tests := []struct {
		root *tree.Inode
		opts Options
		want string
	}{
		{file, Options{Size: 93 << 20}, "the files and directories need 104858112 bytes, and FAT32 in a partition of 97517568 bytes has room for 95993344; a partition of 106541568 bytes holds everything"},
		{file, Options{Size: 20 << 20}, "the files and directories need 104857600 bytes, and FAT16 in a partition of 20971520 bytes has room for"},
		{file, Options{Size: 1000}, "a partition of 1000 bytes has no place for the file system; a partition of 106541568 bytes holds everything"},
		{file, Options{Size: 20 << 20, Bits: 32}, "a partition of 20971520 bytes has no place for the file system"},
		{file, Options{Size: 20 << 30, Bits: 16}, "a partition of 21474836480 bytes has no place for the file system; no larger partition"},
		{wide, Options{Size: 16 << 20}, "the names in the root directory take 590 entries, and that of FAT16 in a partition of 16777216 bytes has 512; a partition of 34094592 bytes"},
		{wide, Options{Size: 16 << 20, Bits: 12}, "the names in the root directory take 590 entries, and that of FAT12 in a partition of 16777216 bytes has 512; a partition of 66995712 bytes"},
		{huge, Options{Size: 1 << 30}, "; no larger partition holds everything"},
	}
	for _, test := range tests {
		_, err := New(test.root, test.opts)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
	if _, err := MinSize(huge, Options{}); err == nil {
		t.Error("no error for more than 2 TiB")
	}
}

// BenchmarkNew plans 100,000 files with long names.
func BenchmarkNew(b *testing.B) {
	root := tree.NewDir(epoch)
	for n := range 100000 {
		add(root, fmt.Sprintf("%d/a file with number %d", n/1000, n), zeros(1))
	}
	b.ReportAllocs()
	for b.Loop() {
		fs, err := New(root, Options{Size: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := fs.Map(); err != nil {
			b.Fatal(err)
		}
	}
}
