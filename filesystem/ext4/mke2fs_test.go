package ext4

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/test/oracle"
	"diskwright/tree"

	"github.com/google/uuid"
)

// mke2fs makes an empty file system with the real tool: with the features
// of upstream's configuration whatever the host's says, and our identifiers. The
// caller's options get what cannot be chosen: mke2fs takes the checksum seed and
// the journal's UUID from the file system's.
func mke2fs(t testing.TB, o *Options, args ...string) (image string) {
	t.Helper()
	o.JournalUUID = o.UUID
	o.ChecksumSeed = ondisk.SeedOfUUID(o.UUID)
	t.Setenv("E2FSPROGS_FAKE_TIME", strconv.FormatInt(o.Epoch, 10))
	t.Setenv("SOURCE_DATE_EPOCH", "") // wins over it since 1.47.1, and is not known before
	os.Unsetenv("SOURCE_DATE_EPOCH")
	features := "none,sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr"
	if o.Kind != Ext2 {
		features += ",has_journal"
	}
	if o.Kind == Ext4 {
		features += ",extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize"
		if o.Profile == Upstream {
			features += ",metadata_csum_seed,orphan_file"
		}
	}
	image = filepath.Join(t.TempDir(), "mke2fs")
	if err := os.WriteFile(image, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, o.Size); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-q", "-F", "-t", o.Kind.String(), "-O", features, "-b", "4096", "-I", "256",
		"-L", o.Label, "-U", uuid.UUID(o.UUID).String(),
		"-E", "lazy_itable_init=1,lazy_journal_init=1,hash_seed=" + uuid.UUID(o.HashSeed).String()}, args...)
	output, status := oracle.Exit(t, "mke2fs", append(args, image, fmt.Sprintf("%dk", o.Size/kib))...)
	if status == 0 {
		return image
	}
	if fs, err := New(emptyTree(o), *o); err == nil {
		t.Fatalf("mke2fs refuses what has %+v here:\n%s", fs.Geometry(), output)
	}
	t.SkipNow()
	return ""
}

// mke2fsVersion returns the installed version, as 1.47.2.
func mke2fsVersion(t testing.TB) (version [3]int) {
	t.Helper()
	output := oracle.Run(t, "mke2fs", "-V")
	m := regexp.MustCompile(`mke2fs (\d+)\.(\d+)\.(\d+)`).FindStringSubmatch(output)
	if m == nil {
		t.Fatalf("no version in %q", output)
	}
	for i := range version {
		version[i], _ = strconv.Atoi(m[i+1])
	}
	return version
}

// emptyTree is what mke2fs puts into a file system, but for lost+found, which
// New adds.
func emptyTree(o *Options) *tree.Inode { return tree.NewDir(tree.Time{Sec: o.Epoch}) }

// TestMke2fs compares empty file systems with those of the real mke2fs, byte for
// byte, but for what [settle] knows.
func TestMke2fs(t *testing.T) {
	sizes := []int64{1 * mib, 2*mib - 1*kib, 7 * mib, 8 * mib, 9 * mib, 50 * mib, 127 * mib, 128 * mib, 129 * mib, 131 * mib,
		260 * mib, 300 * mib, 390 * mib, 511 * mib, 512 * mib, 513 * mib, 767 * mib, 1100 * mib, 2048 * mib, 2100*mib + 3*kib}
	large := []int64{9 * gib, 20 * gib, 130 * gib}
	for _, kind := range []Kind{Ext4, Ext3, Ext2} {
		for _, profile := range []Profile{Upstream, Compatible} {
			if profile == Compatible && kind != Ext4 {
				continue
			}
			for _, size := range append(sizes, large...) {
				name := fmt.Sprintf("%s-%d/%dK", kind, profile, size/kib)
				t.Run(name, func(t *testing.T) {
					if kind != Ext4 && size > gib && !long() {
						t.Skip("mke2fs takes seconds for it; set DISKWRIGHT_LONG=1")
					}
					o := testOptions(kind, size)
					o.Profile = profile
					compareWithMke2fs(t, o)
				})
			}
		}
	}
}

// TestMke2fsInodes is TestMke2fs with a number of inodes.
func TestMke2fsInodes(t *testing.T) {
	for _, test := range []struct {
		kind         Kind
		size, inodes int64
	}{
		{Ext4, 64 * mib, 40000},
		{Ext4, 300 * mib, 290000},
		{Ext4, 1 * gib, 262144},
		{Ext4, 3 * gib, 700001},
		{Ext4, 3 * gib, 786432},
		{Ext4, 11 * gib, 2800000},
		{Ext3, 1 * gib, 262144},
		{Ext2, 3 * gib, 700001},
	} {
		t.Run(fmt.Sprintf("%s/%dM/%d", test.kind, test.size/mib, test.inodes), func(t *testing.T) {
			o := testOptions(test.kind, test.size)
			o.Inodes = test.inodes
			compareWithMke2fs(t, o, "-N", strconv.FormatInt(test.inodes, 10))
		})
	}
}

// TestMke2fsSweep is TestMke2fs at arbitrary sizes, every other with an
// arbitrary number of inodes above the usual.
func TestMke2fsSweep(t *testing.T) {
	if !long() {
		t.Skip("long; set DISKWRIGHT_LONG=1 (make test-long)")
	}
	r := rand.New(rand.NewPCG(1, 2))
	ranges := []func() int64{
		func() int64 { return (150 + r.Int64N(9000)) * kib },
		func() int64 { return (8 + r.Int64N(3000)) * mib },
		func() int64 { return (1+r.Int64N(40))*128*mib + r.Int64N(8000)*kib },
		func() int64 { return (3 + r.Int64N(150)) * gib },
	}
	for i, count := range []int{200, 200, 200, 40} {
		for n := range count {
			o := testOptions([]Kind{Ext4, Ext4, Ext3, Ext2}[n%4], ranges[i]())
			if n%4 == 1 {
				o.Profile = Compatible
			}
			var args []string
			inodes := o.Size / (4096 + r.Int64N(12000))
			if geo, err := NewGeometry(&o); err == nil && n/4%2 == 1 && inodes > geo.Inodes {
				o.Inodes = inodes
				args = []string{"-N", strconv.FormatInt(inodes, 10)}
			}
			t.Run(fmt.Sprintf("%s-%d/%dK/%d", o.Kind, o.Profile, o.Size/kib, o.Inodes), func(t *testing.T) {
				compareWithMke2fs(t, o, args...)
			})
		}
	}
}

func compareWithMke2fs(t *testing.T, o Options, args ...string) {
	image := mke2fs(t, &o, args...)
	want, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	fs := plan(t, emptyTree(&o), o)
	s := settler{fs: fs, groups: map[int64]bool{}, old: less(mke2fsVersion(t), [3]int{1, 47, 1})}

	// Wherever either has data; elsewhere both are holes.
	where := runs{}
	for e := range fs.Map().Extents(0, o.Size) {
		where = append(where, blocksOf(e.Offset, e.Length))
	}
	for e := range dataOf(t, want) {
		where = append(where, blocksOf(e.Offset, e.Length))
	}
	differences := 0
	a, b := make([]byte, blockSize), make([]byte, blockSize)
	for _, r := range where.normalise() {
		for n := r.start; n < r.end() && n < fs.layout.Blocks; n++ {
			if _, err := want.ReadAt(a, n*blockSize); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Map().ReadAt(b, n*blockSize); err != nil {
				t.Fatal(err)
			}
			s.settle(a, b, n)
			if !bytes.Equal(a, b) {
				if differences++; differences < 6 {
					t.Errorf("block %d (%s) differs from mke2fs's:\n%s", n, s.name(n), difference(b, a))
				}
			}
		}
	}
	if differences > 0 {
		t.Errorf("%d blocks differ", differences)
	}
}

func blocksOf(offset, length int64) run {
	first := offset / blockSize
	return run{first, ceilDiv(offset+length, blockSize) - first}
}

// dataOf yields the parts of a file that are not holes.
func dataOf(t *testing.T, f *os.File) func(yield func(diskmap.Extent) bool) {
	return func(yield func(diskmap.Extent) bool) {
		for at := int64(0); ; {
			from, err := f.Seek(at, 3) // SEEK_DATA
			if err != nil {
				return
			}
			end, err := f.Seek(from, 4) // SEEK_HOLE
			if err != nil {
				t.Fatal(err)
			}
			if !yield(diskmap.Extent{Offset: from, Length: end - from}) {
				return
			}
			at = end
		}
	}
}

// settler removes from blocks of mke2fs's what is known to differ.
type settler struct {
	fs     *FileSystem
	old    bool           // mke2fs before 1.47.1
	groups map[int64]bool // whose block bitmaps an old mke2fs leaves out
}

func less(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

const (
	iBlock       = 0x28 // offset of i_block in an inode
	staleExtents = ondisk.ExtentHeaderSize + ondisk.ExtentSize
)

// settle changes theirs, block n of mke2fs's, to what ours would be if it did
// the same:
//   - superblocks: s_lastcheck is 0, as the reference ends up with (mke2fs: the
//     time of making), s_kbytes_written counts other things;
//   - mke2fs leaves old extents in the journal's inode behind the index entry
//     that replaced them;
//   - before 1.47.1, groups with nothing but a backup are BLOCK_UNINIT and
//     their bitmaps zero.
func (s *settler) settle(theirs, ours []byte, n int64) {
	l := s.fs.layout
	g := n / l.BlocksPerGroup
	in := n - l.groupStart(g)
	switch {
	case in == 0 && hasSuper(g):
		at := 0
		if g == 0 {
			at = ondisk.SuperblockOffset
		}
		super, err := ondisk.DecodeSuperblock(theirs[at : at+ondisk.SuperblockSize])
		if err != nil || !ondisk.CheckSuperblock(theirs[at:at+ondisk.SuperblockSize]) {
			return
		}
		mine, err := ondisk.DecodeSuperblock(ours[at : at+ondisk.SuperblockSize])
		if err != nil {
			return
		}
		super.LastCheck, super.KBytesWritten = 0, mine.KBytesWritten
		if len(l.journal.nodes) > 0 && l.extents() {
			clear(super.JournalBackup[staleExtents/4 : 15])
		}
		super.Encode(theirs[at : at+ondisk.SuperblockSize])
	case s.old && l.checksums() && in <= l.DescBlocks && hasSuper(g):
		perBlock := blockSize / l.DescSize
		for i := range perBlock {
			p, q := theirs[i*l.DescSize:(i+1)*l.DescSize], ours[i*l.DescSize:(i+1)*l.DescSize]
			d, mine := ondisk.DecodeGroupDesc(p), ondisk.DecodeGroupDesc(q)
			group := (in-1)*perBlock + i
			if d.Flags&ondisk.GroupBlockUninit == 0 || d.FreeBlocks != uint32(l.BlocksPerGroup-l.superBlocks(group)) || !hasSuper(group) {
				continue
			}
			s.groups[l.blockBitmap(group)] = true
			d.Flags &^= ondisk.GroupBlockUninit
			d.BlockBitmapChecksum = mine.BlockBitmapChecksum
			d.Encode(p)
			ondisk.SetGroupDescChecksum(p, uint32(group), l.seed)
		}
	case n == l.inodeTable(0) && len(l.journal.nodes) > 0 && l.extents():
		inode := theirs[(ondisk.InoJournal-1)*inodeSize:][:inodeSize]
		if ondisk.CheckInode(inode, l.seed, ondisk.InoJournal) {
			clear(inode[iBlock+staleExtents : iBlock+60])
			l.sealInode(inode, ondisk.InoJournal)
		}
	case s.groups[n]:
		if bytes.Equal(theirs, make([]byte, blockSize)) {
			copy(theirs, ours)
		}
	}
}

// name says what block n is.
func (s *settler) name(n int64) string {
	l := s.fs.layout
	g := n / l.BlocksPerGroup
	in := n - l.groupStart(g)
	flex := l.flexGroup(g)
	switch {
	case in == 0 && hasSuper(g):
		return "superblock"
	case hasSuper(g) && in <= l.DescBlocks:
		return "descriptors"
	case hasSuper(g) && in < l.superBlocks(g):
		return "reserved descriptors"
	case n == l.resize:
		return "resize inode"
	case n >= l.blockBitmap(flex) && n < l.inodeBitmap(flex):
		return "block bitmap"
	case n >= l.inodeBitmap(flex) && n < l.inodeTable(flex):
		return "inode bitmap"
	case n >= l.inodeTable(flex) && n < l.inodeTable(flex)+l.flex()*l.InodeBlocks:
		return fmt.Sprintf("inode table, inode %d and on", flex*l.InodesPerGroup+(n-l.inodeTable(flex))*inodesPerBlock+1)
	}
	for _, r := range l.orphan {
		if n >= r.start && n < r.end() {
			return "orphan file"
		}
	}
	return fmt.Sprintf("group %d, block %d; journal at %v", g, in, l.journal)
}

// difference shows where two blocks differ, in rows of 16 bytes.
func difference(got, want []byte) string {
	var b strings.Builder
	rows := 0
	for at := 0; at < len(got); at += 16 {
		if !bytes.Equal(got[at:at+16], want[at:at+16]) {
			if rows++; rows > 6 {
				fmt.Fprintf(&b, "...\n")
				break
			}
			fmt.Fprintf(&b, "%#04x: got %x\n       want %x\n", at, got[at:at+16], want[at:at+16])
		}
	}
	return b.String()
}
