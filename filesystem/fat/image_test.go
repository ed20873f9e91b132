package fat

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"
	"diskwright/tree"
)

// random returns n bytes that depend on the seed only.
func random(seed int64, n int) content.Bytes {
	b := make(content.Bytes, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// add puts a node at path, with the directories that lead there.
func add(root *tree.Inode, path string, node *tree.Inode) {
	dir := root
	parts := strings.Split(path, "/")
	for _, name := range parts[:len(parts)-1] {
		next := dir.Child(name)
		if next == nil {
			next = tree.NewDir(tree.Time{Sec: 1700000000 + int64(len(name))*3601})
			dir.SetChild(name, next)
		}
		dir = next
	}
	dir.SetChild(parts[len(parts)-1], node)
}

// longText is a name of 255 characters.
var longText = strings.Repeat("0123456789 abcdefg.", 14)[:251] + ".txt"

// plainTree holds what all tools understand: every form of a name in ASCII,
// sizes around those of clusters, directories of more than a cluster.
func plainTree() *tree.Inode {
	root := tree.NewDir(tree.Time{Sec: 1700000000})
	seed := int64(0)
	file := func(path string, size int) {
		seed++
		add(root, path, tree.NewFile(random(seed, size), tree.Time{Sec: 1600000000 + seed*12345, Nsec: 999999999}))
	}
	for _, name := range []string{
		"README", "README.TXT", "readme.md", "Mixed.Txt", "lower", "UPPER.low", "lower.UPP",
		"EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi", "loader/entries/nixos-generation-1.conf",
		"EFI/nixos/4h2x9jq0q2dzfkyxw8x1ybxqhplyhvcb-linux-6.12.40-bzImage.efi",
		".hidden", ".a.b", "a.b.c", "two dots..txt", "with space", " leading space", "x y.t z",
		"[brackets];,+=.[];", "~tilde", "A~1", "under_score", "$%'-_@~`!(){}^#&", longText,
		"deep/er/and/still/deeper/file", "NOEXTBUTLONG", "EIGHTLTR.EXT", "NINELTTRS.EXT", "FOUR.EXTN",
	} {
		file(name, 100+len(name))
	}
	for _, size := range []int{0, 1, 511, 512, 513, 2047, 2048, 2049, 4096, 65537, 300000} {
		file(fmt.Sprintf("sizes/%d bytes", size), size)
	}
	// More names with the same beginning than there are simple tails, and one
	// that is what another's alias would be.
	for n := range 40 {
		file(fmt.Sprintf("alias/configuration-%02d.conf", n), n)
	}
	file("alias/CONFIG~3.CON", 3)
	for n := range 700 {
		file(fmt.Sprintf("many/file number %d", n), n%7)
	}
	add(root, "empty directory", tree.NewDir(tree.Time{Sec: 1500000000}))
	// Times that do not fit.
	add(root, "times/old", tree.NewFile(random(1, 10), tree.Time{Sec: 1}))
	add(root, "times/older", tree.NewFile(random(1, 10), tree.Time{Sec: -1 << 62}))
	add(root, "times/far", tree.NewFile(random(1, 10), tree.Time{Sec: 1 << 62}))
	add(root, "times/odd", tree.NewFile(random(1, 10), tree.Time{Sec: 951782401}))
	// One inode, two names.
	linked := tree.NewFile(random(99, 5000), tree.Time{Sec: 1234567890})
	add(root, "links/one", linked)
	add(root, "links/two", linked)
	return root
}

// nastyTree adds names beyond ASCII to plainTree, and a sparse file.
func nastyTree(t testing.TB) *tree.Inode {
	root := plainTree()
	for n, name := range []string{
		"grün.txt", "GRÜSSE", "日本語のファイル名.txt", "Ελληνικά", "emoji 😀.png", "😀😀😀😀😀😀😀",
		"ﬀ ligature", "e\u0301 combining", "å", strings.Repeat("ü", 120) + "é", "\u00a0", "\x7f del",
		"13 characters", "26 characters in this name", "€uro", "ÿ", "õ.txt",
	} {
		add(root, "unicode/"+name, tree.NewFile(random(int64(n), 3000), tree.Time{Sec: 1650000000}))
	}
	var b diskmap.Builder
	b.Place(1<<20, random(1, 5000))
	b.Place(3<<20+17, random(2, 1))
	m, err := b.Map(5 << 20)
	if err != nil {
		t.Fatal(err)
	}
	add(root, "sparse", tree.NewFile(m, epoch))
	return root
}

// kinds are partitions that hold nastyTree, one for each kind of FAT.
var kinds = []Options{
	{Label: "ESP", VolumeID: epochID, Size: 12 << 20, HiddenSectors: 2048, Bits: 12, Time: epoch},
	{Label: "BOOT", VolumeID: epochID + 1, Size: 30 << 20, HiddenSectors: 16384, Time: epoch},
	{Label: "ESP", VolumeID: epochID, Size: 40 << 20, HiddenSectors: 16384, Time: epoch},
	{VolumeID: epochID, Size: 600 << 20, HiddenSectors: 16384, Time: epoch},
	{Label: "BIG", VolumeID: epochID, Size: 40 << 30, HiddenSectors: 16384, Time: epoch},
}

// forKinds runs a test for every kind of FAT.
func forKinds(t *testing.T, test func(t *testing.T, opts Options)) {
	for _, opts := range kinds {
		t.Run(fmt.Sprintf("%d MiB FAT%d", opts.Size>>20, opts.Bits), func(t *testing.T) { test(t, opts) })
	}
}

// newMap plans a file system and returns its map.
func newMap(t testing.TB, root *tree.Inode, opts Options) (*FileSystem, *diskmap.Map) {
	t.Helper()
	fs, err := New(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	m, err := fs.Map()
	if err != nil {
		t.Fatal(err)
	}
	if m.Size() != opts.Size {
		t.Fatalf("the map has %d bytes, want %d", m.Size(), opts.Size)
	}
	return fs, m
}

// write writes a map to a sparse file.
func write(t testing.TB, m *diskmap.Map) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(m.Size()); err != nil {
		t.Fatal(err)
	}
	for e := range m.Extents(0, m.Size()) {
		if _, err := io.Copy(io.NewOffsetWriter(f, e.Offset), io.NewSectionReader(e, 0, e.Length)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// fsck demands that fsck.vfat has nothing to say but its summary.
func fsck(t testing.TB, image string) {
	t.Helper()
	output := oracle.Run(t, "fsck.vfat", "-n", image)
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "fsck.fat 4.") || !strings.Contains(lines[1], " files, ") {
		t.Errorf("fsck.vfat complains:\n%s", output)
	}
}
