package fat

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/tree"
)

// TestRefused: what FAT cannot hold is an error that names the path.
func TestRefused(t *testing.T) {
	node := func(mode uint32) *tree.Inode { return &tree.Inode{Mode: mode | 0o644, Mtime: epoch} }
	file := func() *tree.Inode { return node(tree.TypeRegular) }
	crowded := tree.NewDir(epoch)
	for n := range maxEntries/2 + 1 {
		crowded.Entries = append(crowded.Entries, tree.Entry{Name: fmt.Sprintf("a%06d", n), Inode: file()})
	}
	tests := []struct {
		path string
		node *tree.Inode
		want string
	}{
		{"dir/link", tree.NewSymlink("target", epoch), `"/dir/link" is a symbolic link`},
		{"null", node(tree.TypeChar), `"/null" is a character device`},
		{"disk", node(tree.TypeBlock), `"/disk" is a block device`},
		{"pipe", node(tree.TypeFIFO), `"/pipe" is a FIFO`},
		{"a/b/c/socket", node(tree.TypeSocket), `"/a/b/c/socket" is a socket`},
		{"what", node(0), `"/what" is a file of the unknown type 0`},
		{"dir/a:b", file(), `"/dir/a:b": its name holds one of the characters`},
		{"a\nb", file(), `"/a\nb": its name holds a control character`},
		{"end.", file(), `"/end.": its name ends in a dot`},
		{"bad\xff/x", file(), `"/bad\xff": its name is not UTF-8`},
		{"dir/README", file(), `"/dir/readme" differs from "README" in case only`},
		{"dir/4 GiB", zeros(1 << 32), `"/dir/4 GiB" has 4294967296 bytes, and a file of FAT has at most 4294967295`},
		{"x/crowded", crowded, `"/x/crowded/": its 32769 names take 65540 entries of 32 bytes, and a directory of FAT has at most 65536`},
	}
	for _, test := range tests {
		root := tree.NewDir(epoch)
		add(root, "dir/readme", file())
		add(root, test.path, test.node)
		_, err := New(root, Options{Size: 8 << 30})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.path, err, test.want)
		}
	}
	if _, err := New(file(), Options{Size: 8 << 30}); err == nil {
		t.Error("a file is accepted as the root")
	}
	if _, err := New(tree.NewDir(epoch), Options{Size: 8 << 30, Bits: 24}); err == nil {
		t.Error("a FAT of 24 bits is accepted")
	}
}

// TestLimits: the largest file and the largest directory.
func TestLimits(t *testing.T) {
	root := tree.NewDir(epoch)
	// fsck.vfat 4.2 computes the size of a chain with 32 bits, so it is wrong
	// about files that need all of 4 GiB.
	add(root, "large", zeros(maxFileSize-8192))
	add(root, "largest", zeros(maxFileSize))
	crowded := tree.NewDir(epoch)
	name := longText[:251]
	for n := range (maxEntries - 2) / (1 + longMax) {
		crowded.Entries = append(crowded.Entries, tree.Entry{Name: fmt.Sprintf("%s%04d", name, n), Inode: zeros(1)})
	}
	for n := range (maxEntries - 2) % (1 + longMax) {
		crowded.Entries = append(crowded.Entries, tree.Entry{Name: fmt.Sprint("Z", n), Inode: zeros(1)})
	}
	root.SetChild("crowded", crowded)
	fs, m := newMap(t, root, Options{Size: 9 << 30, VolumeID: 1, Time: epoch})
	if fs.dirs[1].slots != maxEntries {
		t.Fatalf("%d entries", fs.dirs[1].slots)
	}
	v, err := Open(m, m.Size())
	if err != nil {
		t.Fatal(err)
	}
	list, err := v.ReadDir("/crowded")
	if err != nil || len(list) != len(crowded.Entries) {
		t.Errorf("%d entries, %v", len(list), err)
	}
	if src, err := v.Open("/LARGEST"); err != nil || src.Size() != maxFileSize {
		t.Error(err)
	}

	root.RemoveChild("largest")
	_, m = newMap(t, root, Options{Size: 9 << 30, VolumeID: 1, Time: epoch})
	fsck(t, write(t, withoutContent(t, m)))
}

// withoutContent replaces gigabytes of zeros by a hole.
func withoutContent(t *testing.T, m *diskmap.Map) *diskmap.Map {
	t.Helper()
	var b diskmap.Builder
	for e := range m.Extents(0, m.Size()) {
		if e.Length < 1<<30 {
			b.Place(e.Offset, content.Section(e.Source, e.SourceOffset, e.Length))
		}
	}
	out, err := b.Map(m.Size())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLabels: those that mkfs.vfat refuses, and some more, are refused.
func TestLabels(t *testing.T) {
	for _, label := range []string{" A", "TWELVE CHARS", "A.B", "A*", "A/B", "GRÜN", "A\n", "\x7f", "\xff"} {
		if _, err := New(tree.NewDir(epoch), Options{Size: 1 << 20, Label: label}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", label)) {
			t.Errorf("%q: %v", label, err)
		}
	}
	for _, label := range []string{"", "A", "ELEVEN CHAR", "nixos", "A B-C_1", "NO NAME"} {
		fs, m := newMap(t, tree.NewDir(epoch), Options{Size: 1 << 20, Label: label, Time: epoch})
		info, err := ReadInfo(m, m.Size())
		want := strings.TrimSuffix(label, "NO NAME")
		if err != nil || info.Label != want || fs.Info().Label != want {
			t.Errorf("%q: %+v, %v", label, info, err)
		}
		if fs.dirs[0].slots != min(len(want), 1) {
			t.Errorf("%q: %d entries in the root", label, fs.dirs[0].slots)
		}
	}
}

func TestTimes(t *testing.T) {
	at := func(s string) tree.Time {
		u, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return tree.Time{Sec: u.Unix(), Nsec: 999999999}
	}
	tests := []struct {
		in          tree.Time
		date, clock uint16
	}{
		{epoch, 0x0021, 0},
		{tree.Time{}, 0x0021, 0},
		{tree.Time{Sec: -1 << 63}, 0x0021, 0},
		{at("1980-01-01T00:00:01Z"), 0x0021, 0},
		{at("1980-01-01T00:00:02Z"), 0x0021, 1},
		{at("1999-12-31T23:59:59Z"), 19<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29},
		{at("2000-02-29T12:00:00Z"), 20<<9 | 2<<5 | 29, 12 << 11},
		{at("2107-12-31T23:59:59Z"), 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29},
		{at("2108-01-01T00:00:00Z"), 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29},
		{tree.Time{Sec: 1<<63 - 1}, 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29},
	}
	for _, test := range tests {
		date, clock := encodeTime(test.in)
		if date != test.date || clock != test.clock {
			t.Errorf("%v: %#x %#x, want %#x %#x", test.in, date, clock, test.date, test.clock)
		}
		if got := decodeTime(date, clock); got.Sec != fatTime(test.in) {
			t.Errorf("%v: decoded as %v, want %d", test.in, got, fatTime(test.in))
		}
	}
}

// TestContiguous: a file is one extent of the image, where its entry says, and
// a hole of a file is one of the image.
func TestContiguous(t *testing.T) {
	forKinds(t, func(t *testing.T, opts Options) {
		_, m := newMap(t, nastyTree(t), opts)
		v, err := Open(m, m.Size())
		if err != nil {
			t.Fatal(err)
		}
		err = v.Walk(func(path string, e DirEntry) error {
			if e.Dir || e.Size == 0 {
				return nil
			}
			off, pieces := v.clusterOffset(e.first), 0
			for range m.Extents(off, off+e.Size) {
				pieces++
			}
			want := 1
			if path == "/sparse" {
				want = 2
			}
			if pieces != want {
				t.Errorf("%q: %d extents", path, pieces)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestMemory: a file system of 2 TiB costs nothing but its map.
func TestMemory(t *testing.T) {
	root := plainTree()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, m := newMap(t, root, Options{Size: 2 << 40, Time: epoch})
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes", used)
	}
	placed := int64(0)
	for e := range m.Extents(0, m.Size()) {
		placed += e.Length
	}
	if placed > 2<<20 {
		t.Errorf("%d bytes are no holes", placed)
	}
}

func digest(t testing.TB, src content.Source) [32]byte {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(src, 0, src.Size())); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

// TestDeterministic: the order in which a tree was made, and all that FAT
// cannot hold, does not matter.
func TestDeterministic(t *testing.T) {
	opts := kinds[2]
	root := nastyTree(t)
	_, m := newMap(t, root, opts)
	want := digest(t, m)

	other := tree.NewDir(root.Mtime)
	var copyTo func(to, from *tree.Inode)
	copyTo = func(to, from *tree.Inode) {
		for n := len(from.Entries) - 1; n >= 0; n-- {
			e := from.Entries[n]
			node := *e.Inode
			node.Mode, node.UID, node.GID = node.Mode&^0o777|0o500, 1000, 100
			node.Xattrs = []tree.Xattr{{Name: "user.a", Value: []byte("b")}}
			node.Entries, node.Ordinal, node.Links = nil, 7, 7
			copyTo(&node, e.Inode)
			to.SetChild(e.Name, &node)
		}
	}
	copyTo(other, root)
	_, m = newMap(t, other, opts)
	if digest(t, m) != want {
		t.Error("the images differ")
	}
}

// TestGolden: the image of a fixed tree never changes by accident.
func TestGolden(t *testing.T) {
	const want = "c9b622f89db1977152c6fcfa6cde8d6503dae5fb4963d2ba5180a1eb725f7769"
	_, m := newMap(t, nastyTree(t), kinds[2])
	if got := fmt.Sprintf("%x", digest(t, m)); got != want {
		t.Errorf("SHA-256 %s, want %s", got, want)
	}
}

// TestWindows: metadata is the same in whatever pieces it is read.
func TestWindows(t *testing.T) {
	for _, opts := range kinds[:3] {
		_, m := newMap(t, plainTree(), opts)
		whole := make([]byte, m.Size())
		if err := content.ReadFull(m, whole, 0); err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			off := rapid.Int64Range(0, 4<<20).Draw(t, "offset")
			p := make([]byte, rapid.IntRange(0, 2000).Draw(t, "length"))
			rand.New(rand.NewSource(off)).Read(p) // what a window holds before must not matter
			if err := content.ReadFull(m, p, off); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p, whole[off:off+int64(len(p))]) {
				t.Fatalf("[%d, +%d) differs", off, len(p))
			}
		})
	}
}

// TestTreeProperty: any tree of good names comes back.
func TestTreeProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root := tree.NewDir(epoch)
		var fill func(dir *tree.Inode, depth int)
		fill = func(dir *tree.Inode, depth int) {
			names := rapid.SliceOfNDistinct(rapid.Custom(drawName).Filter(func(s string) bool { return checkName(s) == nil }), 0, 8, foldName).Draw(rt, "names")
			for n, name := range names {
				node := tree.NewFile(random(int64(n), rapid.IntRange(0, 5000).Draw(rt, "size")), tree.Time{Sec: rapid.Int64().Draw(rt, "time")})
				if depth < 3 && rapid.Bool().Draw(rt, "directory") {
					node = tree.NewDir(node.Mtime)
					fill(node, depth+1)
				}
				dir.SetChild(name, node)
			}
		}
		fill(root, 0)
		opts := Options{Label: rapid.SampledFrom([]string{"", "LABEL"}).Draw(rt, "label"), Bits: rapid.SampledFrom([]int{0, 12, 16, 32}).Draw(rt, "bits")}
		size, err := MinSize(root, opts)
		if err != nil {
			rt.Fatal(err)
		}
		opts.Size = size
		fs, err := New(root, opts)
		if err != nil {
			rt.Fatal(err)
		}
		m, err := fs.Map()
		if err != nil {
			rt.Fatal(err)
		}
		v, err := Open(m, m.Size())
		if err != nil {
			rt.Fatal(err)
		}
		compareVolume(t, root, v, true)
		if info, err := v.Info(); err != nil || info != fs.Info() {
			rt.Fatalf("%+v, %v, want %+v", info, err, fs.Info())
		}
	})
}
