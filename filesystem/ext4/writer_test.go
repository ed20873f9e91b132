package ext4

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
)

var kinds = []Kind{Ext4, Ext3, Ext2}

// forKinds runs a test for the kinds, and for Ext4 without the latest features.
func forKinds(t *testing.T, kinds []Kind, test func(t *testing.T, opts Options)) {
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) { test(t, testOptions(kind, 0)) })
		if kind == Ext4 {
			opts := testOptions(kind, 0)
			opts.Profile = Compatible
			t.Run("compatible", func(t *testing.T) { test(t, opts) })
		}
	}
}

// checked plans a tree, and has e2fsck look at it.
func checked(t testing.TB, root *tree.Inode, opts Options) (fs *FileSystem, image string) {
	t.Helper()
	fs = plan(t, root, opts)
	image = write(t, fs.Map())
	fsck(t, image)
	return fs, image
}

func TestEmpty(t *testing.T) {
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		for _, opts.Size = range []int64{1 * mib, 8 * mib, 64 * mib, 766 * mib} {
			_, image := checked(t, dir(), opts)
			if got := debugfs(t, image, "stat /lost+found"); !strings.Contains(got, "Mode:  0700") || !strings.Contains(got, "Size: 16384") {
				t.Errorf("lost+found:\n%s", got)
			}
		}
	})
}

// TestEverything has e2fsck look at a tree with one of everything.
func TestEverything(t *testing.T) {
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 256 * mib
		fs, image := checked(t, everything(t, opts.Kind), opts)
		header, stats := oracle.Run(t, "dumpe2fs", "-h", image), fs.Stats()
		for field, want := range map[string]int64{
			"Block count": stats.Blocks, "Free blocks": stats.FreeBlocks, "Reserved block count": stats.ReservedBlocks,
			"Inode count": stats.Inodes, "Free inodes": stats.FreeInodes,
		} {
			if !regexp.MustCompile(fmt.Sprintf(`(?m)^%s: +%d$`, field, want)).MatchString(header) {
				t.Errorf("dumpe2fs does not say %s: %d\n%s", field, want, header)
			}
		}
	})
}

// TestDump has debugfs read files back: what non-root users have of the kernel's
// proof.
func TestDump(t *testing.T) {
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 64 * mib
		root := dir()
		root.SetChild("sizes", sizesTree(t, opts.Kind))
		_, image := checked(t, root, opts)
		out := scratch.Dir(t)
		var script strings.Builder
		for _, e := range root.Child("sizes").Entries {
			if e.Inode.Size() < 10*mib {
				fmt.Fprintf(&script, "dump /sizes/%s %s\n", e.Name, filepath.Join(out, e.Name))
			}
		}
		commands := filepath.Join(out, "commands")
		if err := os.WriteFile(commands, []byte(script.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		oracle.Run(t, "debugfs", "-f", commands, image)
		for _, e := range root.Child("sizes").Entries {
			if e.Inode.Size() >= 10*mib {
				continue
			}
			want := make([]byte, e.Inode.Size())
			if e.Inode.Content != nil {
				if err := content.ReadFull(e.Inode.Content, want, 0); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(filepath.Join(out, e.Name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s came back with %d bytes of %d: %v", e.Name, len(got), len(want), err)
			}
		}
	})
}

// TestDirectoryBlocks has directories at every boundary: of one block, of the
// root of a hash tree, of its nodes.
func TestDirectoryBlocks(t *testing.T) {
	short := func(i int) string { return fmt.Sprintf("%012d", i) } // entries of 20 bytes
	long := func(i int) string { return fmt.Sprintf("%0255d", i) } // entries of 264 bytes
	const (
		inOneBlock = (blockSize - 12 - dotsSize) / 20
		inLeaf     = (blockSize - 12 - leafSlack) / 264
		inRoot     = 507 // leaves
		inNode     = 510
	)
	root := dir()
	for n := inOneBlock - 2; n <= inOneBlock+3; n++ {
		root.SetChild(fmt.Sprintf("short-%d", n), dirOf(n, short))
	}
	for _, leaves := range []int{14, inRoot - 1, inRoot, inRoot + 1, inNode, inNode + 1, 2 * inNode, 2*inNode + 1} {
		for n := leaves*inLeaf - 1; n <= leaves*inLeaf+1; n++ {
			root.SetChild(fmt.Sprintf("long-%d", n), dirOf(n, long))
		}
	}
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 256 * mib
		checked(t, root, opts)
	})
	fs := plan(t, root, testOptions(Ext4, 256*mib))
	for name, blocks := range map[string]int64{
		fmt.Sprintf("short-%d", inOneBlock):             1,
		fmt.Sprintf("short-%d", inOneBlock+1):           3,
		fmt.Sprintf("long-%d", inRoot*inLeaf):           1 + inRoot,
		fmt.Sprintf("long-%d", (inRoot+1)*inLeaf):       1 + 1 + inRoot + 1,
		fmt.Sprintf("long-%d", (inNode+1)*inLeaf):       1 + 2 + inNode + 1,
		fmt.Sprintf("long-%d", (2*inNode+1)*inLeaf):     1 + 3 + 2*inNode + 1,
		fmt.Sprintf("long-%d", (2*inNode)*inLeaf+1):     1 + 3 + 2*inNode + 1,
		fmt.Sprintf("long-%d", (2*inNode)*inLeaf-1):     1 + 2 + 2*inNode,
		fmt.Sprintf("long-%d", (inRoot-1)*inLeaf-1+1-0): 1 + inRoot - 1,
		fmt.Sprintf("long-%d", 14*inLeaf):               1 + 14,
		fmt.Sprintf("long-%d", 14*inLeaf+1):             1 + 15,
		fmt.Sprintf("long-%d", inNode*inLeaf):           1 + 1 + inNode,
		fmt.Sprintf("long-%d", (inRoot-1)*inLeaf+1):     1 + inRoot,
		fmt.Sprintf("short-%d", inOneBlock-1):           1,
	} {
		if got := fs.dataBlocks(root.Child(name).Ordinal); got != blocks {
			t.Errorf("%q has %d blocks, want %d", name, got, blocks)
		}
	}
}

// TestRootDirectory has more in the root, and in lost+found, than their first
// blocks hold.
func TestRootDirectory(t *testing.T) {
	root := dirOf(10000, func(i int) string { return fmt.Sprintf("%08d", i) })
	for _, n := range []int{0, 1, 253, 254, 1000} { // 253 names fill a block
		lostFound := dirOf(n, func(i int) string { return fmt.Sprintf("#%07d", i) })
		lostFound.Mode = tree.TypeDir | 0o1755
		lostFound.UID = 1000
		root.SetChild("lost+found", lostFound)
		forKinds(t, kinds, func(t *testing.T, opts Options) {
			opts.Size = 64 * mib
			_, image := checked(t, root, opts)
			if got := debugfs(t, image, "stat <11>"); !strings.Contains(got, "Mode:  01755") || !strings.Contains(got, "User:  1000") {
				t.Errorf("lost+found:\n%s", got)
			}
			if got := strings.Count(debugfs(t, image, "ls -l /lost+found"), "#"); got != n {
				t.Errorf("lost+found holds %d names, want %d", got, n)
			}
		})
	}
}

// TestSubdirectories has directories on both sides of what a count of links
// holds, and beyond it (dir_nlink).
func TestSubdirectories(t *testing.T) {
	for _, test := range []struct {
		subdirs int
		kind    Kind
		links   int
		long    bool
	}{
		{linkMax - 2, Ext4, linkMax, true},
		{linkMax - 2, Ext3, linkMax, true},
		{linkMax - 1, Ext4, 1, true},
		{70000, Ext4, 1, false},
	} {
		if test.long && !long() {
			continue
		}
		t.Run(fmt.Sprintf("%s-%d", test.kind, test.subdirs), func(t *testing.T) {
			many := dir()
			for i := range test.subdirs {
				many.Entries = append(many.Entries, tree.Entry{Name: fmt.Sprintf("%05d", i), Inode: dir()})
			}
			root := dir()
			root.SetChild("many", many)
			_, image := checked(t, root, testOptions(test.kind, 1*gib))
			if got := debugfs(t, image, "stat /many"); !strings.Contains(got, fmt.Sprintf("Links: %d ", test.links)) {
				t.Errorf("want %d links:\n%s", test.links, got)
			}
		})
	}
}

func TestHardLinks(t *testing.T) {
	for _, n := range []int{60000, linkMax} {
		root := dir()
		root.SetChild("d", dirOf(n, func(i int) string { return fmt.Sprint(1000000 + i) }))
		forKinds(t, kinds, func(t *testing.T, opts Options) {
			opts.Size = 64 * mib
			_, image := checked(t, root, opts)
			if got := debugfs(t, image, "stat /d/1000000"); !strings.Contains(got, fmt.Sprintf("Links: %d ", n)) {
				t.Errorf("want %d links:\n%s", n, got)
			}
		})
	}
}

// TestContiguous demands one extent of a file per 128 MiB, and one for each
// obstacle on its way.
func TestContiguous(t *testing.T) {
	root := dir()
	root.SetChild("a", file(content.Bytes("small")))
	root.SetChild("big", file(zeros(6*gib)))
	root.SetChild("c", file(content.Bytes("small")))
	fs, image := checked(t, root, testOptions(Ext4, 16*gib))
	o := root.Child("big").Ordinal
	b := fs.body(o)
	pieces := 0
	for range b.pieces(fs.space, 0) {
		pieces++
	}
	// Backups in groups 1, 3, 5, 7, 9, 25, 27, 49; tables of flex groups at
	// 16, 32, 48; the journal. The file begins before 1 and ends in 48 or 49.
	if pieces > 1+11+1 {
		t.Errorf("6 GiB are in %d pieces", pieces)
	}
	if got, least := b.countExtents(fs.space), int64(6*gib/(128*mib)); got > least+int64(pieces) {
		t.Errorf("6 GiB are in %d extents, of which %d are longer than 128 MiB", got, pieces)
	}
	if got := debugfs(t, image, "stat /big"); !strings.Contains(got, "(ETB0):") {
		t.Errorf("the extent tree has no block of its own:\n%s", got)
	}
}

// TestHugeDense has a file of 2.5 TiB of data: its count of sectors has 33 bits,
// its extent tree 20,000 extents.
func TestHugeDense(t *testing.T) {
	if !long() {
		t.Skip("long; set DISKWRIGHT_LONG=1 (make test-long)")
	}
	root := dir()
	root.SetChild("dense", file(zeros(5*tib/2)))
	_, image := checked(t, root, testOptions(Ext4, 3*tib))
	if got := debugfs(t, image, "stat /dense"); !strings.Contains(got, "Size: 2748779069440") || !strings.Contains(got, "Blockcount: 53687") {
		t.Errorf("debugfs:\n%s", clip(got))
	}
}

// TestExtentTrees has files at every boundary of an extent tree, up to a depth
// of two index levels in blocks.
func TestExtentTrees(t *testing.T) {
	root := dir()
	for _, n := range []int{1, 4, 5, 340, 341, 4*340 - 1, 4 * 340, 4*340 + 1, 340 * 340, 340*340 + 1} {
		root.SetChild(fmt.Sprintf("extents-%d", n), file(everyOther(t, n)))
	}
	opts := testOptions(Ext4, 2*gib)
	fs, image := checked(t, root, opts)
	for name, want := range map[string][2]int64{ // leaves, nodes
		"extents-4":      {0, 0},
		"extents-5":      {1, 1},
		"extents-340":    {1, 1},
		"extents-341":    {2, 2},
		"extents-1360":   {4, 4},
		"extents-1361":   {5, 5 + 1},
		"extents-115600": {340, 340 + 1},
		"extents-115601": {341, 341 + 2},
	} {
		o := root.Child(name).Ordinal
		if got := int64(len(fs.leaves[o])); got != want[0] {
			t.Errorf("%s has %d leaves, want %d", name, got, want[0])
		}
		if got := fs.blockMap(o).nodes(); got != want[1] {
			t.Errorf("%s has %d nodes, want %d", name, got, want[1])
		}
	}
	// The last data is where debugfs finds it.
	if got := debugfs(t, image, fmt.Sprintf("bmap /extents-115601 %d", 2*115600)); strings.TrimSpace(got) == "0" {
		t.Error("the last block of 115601 extents is not mapped")
	}
}

// TestSlivers has so many inodes that groups shrink and what is free between
// their tables is slivers of 33 blocks: even small files are in five pieces, and
// directories.
func TestSlivers(t *testing.T) {
	opts := testOptions(Ext4, 412781688)
	opts.Inodes = 1000432
	files, directory := dir(), dir()
	for i := range 210 {
		files.SetChild(fmt.Sprint(i), file(zeros(140*blockSize)))
	}
	directory.SetChild("directory", dirOf(11000, func(i int) string { return fmt.Sprintf("%0250d", i) }))
	for name, root := range map[string]*tree.Inode{"files": files, "directory": directory} {
		if fs, _ := checked(t, root, opts); len(fs.leaves) == 0 {
			t.Errorf("%s: none is in five pieces", name)
		}
	}
}

// TestDeepExtentTree has a tree of three levels of blocks: 462,401 extents.
func TestDeepExtentTree(t *testing.T) {
	if !long() {
		t.Skip("long; set DISKWRIGHT_LONG=1 (make test-long)")
	}
	root := dir()
	root.SetChild("deep", file(everyOther(t, 4*340*340+1)))
	fs, image := checked(t, root, testOptions(Ext4, 4*gib))
	if got, want := fs.blockMap(root.Child("deep").Ordinal).nodes(), int64(1361+5+1); got != want {
		t.Errorf("%d nodes, want %d", got, want)
	}
	if got := debugfs(t, image, "extents /deep"); !strings.Contains(got, " 3/ 3 ") {
		t.Errorf("debugfs:\n%s", clip(got))
	}
}

// TestIndirectBlocks has files at every boundary of indirect blocks, sparse up
// to the largest that there can be.
func TestIndirectBlocks(t *testing.T) {
	const (
		single = directBlocks
		double = single + entriesInBlock
		triple = double + entriesInBlock*entriesInBlock
	)
	root := dir()
	for _, limit := range []int64{single, double, double + entriesInBlock, double + 2*entriesInBlock} {
		for n := limit - 1; n <= limit+1; n++ {
			root.SetChild(fmt.Sprintf("dense-%d", n), file(pattern(n*blockSize)))
			root.SetChild(fmt.Sprintf("last-%d", n), file(sparse(t, n*blockSize, part{(n - 1) * blockSize, 100})))
		}
	}
	for _, limit := range []int64{triple, triple + entriesInBlock, triple + entriesInBlock*entriesInBlock, fileMaxIndirect / blockSize} {
		for n := limit - 1; n <= min(limit+1, fileMaxIndirect/blockSize); n++ {
			root.SetChild(fmt.Sprintf("last-%d", n), file(sparse(t, n*blockSize, part{0, 1}, part{double * blockSize, 1}, part{(n - 1) * blockSize, blockSize})))
		}
	}
	forKinds(t, []Kind{Ext3, Ext2}, func(t *testing.T, opts Options) {
		opts.Size = 256 * mib
		_, image := checked(t, root, opts)
		for _, e := range root.Entries {
			last := blocksFor(e.Inode.Size()) - 1
			if got := debugfs(t, image, fmt.Sprintf("bmap /%s %d", e.Name, last)); strings.TrimSpace(got) == "0" {
				t.Errorf("the last block of %s is not mapped", e.Name)
			}
		}
	})
}

// TestHugeFiles has the largest sparse files, and one of 60 GiB whose data
// crosses many groups.
func TestHugeFiles(t *testing.T) {
	root := dir()
	root.SetChild("60G", file(sparse(t, 60*gib, part{1, 1}, part{30*gib - 1, 2}, part{60*gib - 1, 1})))
	root.SetChild("max", file(sparse(t, fileMaxExtents, part{fileMaxExtents - 1, 1})))
	root.SetChild("hole", file(sparse(t, fileMaxExtents)))
	_, image := checked(t, root, testOptions(Ext4, 64*mib))
	if got := debugfs(t, image, "stat /60G"); !strings.Contains(got, "(0):") || !strings.Contains(got, "(7864319-7864320):") || !strings.Contains(got, "(15728639):") {
		t.Errorf("60 GiB with four blocks of data:\n%s", got)
	}
}

// TestXattrs has attributes in the inode, in blocks, and in shared blocks.
func TestXattrs(t *testing.T) {
	root := dir()
	with := func(name string, attrs ...tree.Xattr) {
		f := file(nil)
		f.Xattrs = attrs
		root.SetChild(name, f)
	}
	value := func(n int) []byte { return []byte(strings.Repeat("v", n)) }
	for n := 60; n < 70; n++ { // the inode has room for 92-4-16-4 bytes
		with(fmt.Sprintf("inode-%d", n), tree.Xattr{Name: "user.a", Value: value(n)})
	}
	for n := 4040 - 10; n <= 4040; n++ { // the block for 4064-4-16-4
		with(fmt.Sprintf("block-%d", n), tree.Xattr{Name: "user.a", Value: value(n)})
	}
	for n := range 2*xattrSharers + 1 {
		with(fmt.Sprintf("shared-%d", n), tree.Xattr{Name: "user.a", Value: value(500)})
	}
	with("both", tree.Xattr{Name: "security.capability", Value: value(20)}, tree.Xattr{Name: "trusted.b", Value: value(90)}, tree.Xattr{Name: "user.empty"})
	with("names", tree.Xattr{Name: "user." + strings.Repeat("n", 250), Value: value(1)}, tree.Xattr{Name: "user.\xff\x80"}, tree.Xattr{Name: "user.zzz", Value: []byte("x")})
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 64 * mib
		fs, image := checked(t, root, opts)
		if got := debugfs(t, image, "ea_get -V /block-4040 user.a"); strings.Count(got, "v") != 4040 {
			t.Errorf("4040 bytes of value came back as %d", strings.Count(got, "v"))
		}
		shared := 0
		for _, b := range fs.xattrs.blocks {
			if b.sharers == xattrSharers {
				shared++
			}
		}
		if shared != 2 {
			t.Errorf("%d full blocks are shared, want 2", shared)
		}
	})
}

// TestInodesOnDemand has more files than the usual number of inodes.
func TestInodesOnDemand(t *testing.T) {
	root := dir()
	for i := range 20000 {
		root.Entries = append(root.Entries, tree.Entry{Name: fmt.Sprintf("%06d", i), Inode: file(nil)})
	}
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 32 * mib
		fs, _ := checked(t, root, opts)
		if s := fs.Stats(); s.FreeInodes < 0 || s.FreeInodes > 1000 {
			t.Errorf("%d inodes, %d of them free", s.Inodes, s.FreeInodes)
		}
	})
}

// TestResize has resize2fs make file systems ten times as large.
func TestResize(t *testing.T) {
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 64 * mib
		_, image := checked(t, everything(t, opts.Kind), opts)
		oracle.Run(t, "truncate", "-s", fmt.Sprint(10*opts.Size), image)
		oracle.Run(t, "resize2fs", image)
		fsck(t, image)
	})
}
