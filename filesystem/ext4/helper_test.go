package ext4

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// testTime is a moment with everything in it: beyond 2038, with nanoseconds.
var testTime = tree.Time{Sec: 1<<32 + 12345, Nsec: 123456789}

// testOptions are those of a file system of a kind.
func testOptions(kind Kind, size int64) Options {
	return Options{
		Kind:         kind,
		Size:         size,
		Label:        "nixos",
		UUID:         [16]byte{0xf2, 0x22, 0x51, 0x3b, 0xde, 0xd1, 0x49, 0xfa, 0xb5, 0x91, 0x20, 0xce, 0x86, 0xa2, 0xfe, 0x7f},
		HashSeed:     [16]byte{0x8a, 0x54, 0x75, 0x12, 0x40, 0x65, 0x41, 0x28, 0x90, 0x4d, 0xc0, 0x95, 0xb6, 0x37, 0xc7, 0x29},
		JournalUUID:  [16]byte{1, 2, 3, 4},
		ChecksumSeed: 0xfbc0b7e3,
		Epoch:        315532800,
	}
}

func dir() *tree.Inode { return tree.NewDir(testTime) }

func file(src content.Source) *tree.Inode { return tree.NewFile(src, testTime) }

// dirOf returns a directory of n empty files with the names that name gives.
func dirOf(n int, name func(i int) string) *tree.Inode {
	d := dir()
	empty := file(nil)
	for i := range n {
		if i%linkMax == 0 {
			empty = file(nil)
		}
		d.Entries = append(d.Entries, tree.Entry{Name: name(i), Inode: empty})
	}
	return d
}

// pattern is content of size bytes that differs everywhere.
func pattern(size int64) content.Source {
	return &content.Generated{Length: size, Fill: func(p []byte, off int64) error {
		for i := range p {
			at := off + int64(i)
			p[i] = byte(at>>12*0x9d ^ at>>3 ^ at + 1)
		}
		return nil
	}}
}

// zeros is that many bytes of data that is not a hole but reads as zeros.
type zeros int64

func (z zeros) Size() int64 { return int64(z) }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), int64(z)-off)
	clear(p[:n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// part is size bytes of data at offset at of a sparse file.
type part struct{ at, size int64 }

// sparse returns the content of a sparse file.
func sparse(t testing.TB, size int64, parts ...part) content.Source {
	t.Helper()
	var b diskmap.Builder
	for _, p := range parts {
		b.Place(p.at, pattern(p.size))
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// everyOther returns the content of a sparse file of n blocks of data, with a
// hole behind each.
func everyOther(t testing.TB, n int) content.Source {
	t.Helper()
	var b diskmap.Builder
	b.Reserve(n)
	for i := range n {
		b.Place(int64(i)*2*blockSize, content.Bytes(fmt.Sprintf("block %d", i)))
	}
	m, err := b.Map(int64(n) * 2 * blockSize)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// plan is New that must succeed.
func plan(t testing.TB, root *tree.Inode, opts Options) *FileSystem {
	t.Helper()
	fs, err := New(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// write writes a map to a sparse file.
func write(t testing.TB, m *diskmap.Map) (path string) {
	t.Helper()
	path = filepath.Join(scratch.Dir(t), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(m.Size()); err != nil {
		t.Fatal(err)
	}
	buf, zeros := make([]byte, mib), make([]byte, mib)
	for e := range m.Extents(0, m.Size()) {
		if isZero(t, e) {
			continue
		}
		for off := int64(0); off < e.Length; off += mib {
			p := buf[:min(mib, e.Length-off)]
			if _, err := e.ReadAt(p, off); err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(p, zeros[:len(p)]) {
				continue
			}
			if _, err := f.WriteAt(p, e.Offset+off); err != nil {
				t.Fatal(err)
			}
		}
	}
	return path
}

// isZero reports whether an extent is of the tests' terabytes of zeros, which
// nobody need read. No other data is that large.
func isZero(t testing.TB, e diskmap.Extent) bool {
	t.Helper()
	if _, generated := e.Source.(*content.Generated); generated || e.Length < 64*mib {
		return false
	}
	p := make([]byte, mib)
	if _, err := e.ReadAt(p, e.Length/2); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(p, make([]byte, mib))
}

// fsckOutput is all that e2fsck -fn says of a file system it has no question
// about.
var fsckOutput = regexp.MustCompile(`\A(e2fsck .*\n)?` +
	`Pass 1: Checking inodes, blocks, and sizes\n` +
	`Pass 2: Checking directory structure\n` +
	`Pass 3: Checking directory connectivity\n` +
	`Pass 4: Checking reference counts\n` +
	`Pass 5: Checking group summary information\n` +
	`\S+: \d+/\d+ files \([\d.]+% non-contiguous\), \d+/\d+ blocks\n\z`)

// fsck asks e2fsck, which must have nothing to say.
func fsck(t testing.TB, image string) {
	t.Helper()
	output := oracle.Run(t, "e2fsck", "-fn", image)
	if !fsckOutput.MatchString(output) {
		t.Errorf("e2fsck:\n%s", clip(output))
	}
}

// clip shortens what a tool says of a million files.
func clip(s string) string {
	if len(s) > 5000 {
		return s[:5000] + "..."
	}
	return s
}

// debugfs runs a command of debugfs.
func debugfs(t testing.TB, image, command string) string {
	t.Helper()
	output := oracle.Run(t, "debugfs", "-R", command, image)
	if _, rest, ok := strings.Cut(output, "\n"); ok && strings.HasPrefix(output, "debugfs ") {
		output = rest
	}
	return output
}

func sortXattrs(attrs []tree.Xattr) {
	slices.SortFunc(attrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
}

// sortEntries sorts a directory, and drops names that are there twice.
func sortEntries(d *tree.Inode) {
	slices.SortFunc(d.Entries, func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	d.Entries = slices.CompactFunc(d.Entries, func(a, b tree.Entry) bool { return a.Name == b.Name })
}
