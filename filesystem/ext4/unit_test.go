package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/tree"
)

func TestEncodeACL(t *testing.T) {
	for _, test := range []struct {
		name  string
		value []byte
		want  string // the encoding in hexadecimal, or the error
	}{
		{"minimal", acl([3]uint32{aclUserObj, 7, none}, [3]uint32{aclGroupObj, 5, none}, [3]uint32{aclOther, 0, none}),
			"01000000 01000700 04000500 20000000"},
		{"named", acl([3]uint32{aclUserObj, 6, none}, [3]uint32{aclUser, 4, 1000}, [3]uint32{aclGroupObj, 0, none},
			[3]uint32{aclGroup, 1, 0x12345678}, [3]uint32{aclMask, 7, none}, [3]uint32{aclOther, 4, none}),
			"01000000 01000600 02000400e8030000 04000000 0800010078563412 10000700 20000400"},
		{"empty", nil, "not a POSIX ACL of version 2"},
		{"version", []byte{1, 0, 0, 0, 1, 0, 7, 0}, "not a POSIX ACL of version 2"},
		{"no entries", acl(), "a POSIX ACL of 4 bytes, which is not whole entries"},
		{"half an entry", acl([3]uint32{aclUserObj, 7, none})[:8], "a POSIX ACL of 8 bytes, which is not whole entries"},
		{"no others", acl([3]uint32{aclUserObj, 7, none}, [3]uint32{aclGroupObj, 5, none}), "a POSIX ACL without an entry for others"},
		{"no mask", acl([3]uint32{aclUserObj, 7, none}, [3]uint32{aclUser, 7, 1}, [3]uint32{aclGroupObj, 5, none}, [3]uint32{aclOther, 5, none}),
			"a POSIX ACL with tag 0x20 behind tag 0x4"},
		{"order", acl([3]uint32{aclGroupObj, 5, none}, [3]uint32{aclUserObj, 7, none}, [3]uint32{aclOther, 5, none}),
			"a POSIX ACL with tag 0x4 behind tag 0x0"},
		{"permissions", acl([3]uint32{aclUserObj, 8, none}, [3]uint32{aclGroupObj, 5, none}, [3]uint32{aclOther, 5, none}),
			"a POSIX ACL with permissions 010"},
		{"nobody", acl([3]uint32{aclUserObj, 7, none}, [3]uint32{aclUser, 7, none}, [3]uint32{aclGroupObj, 5, none}, [3]uint32{aclMask, 5, none}, [3]uint32{aclOther, 5, none}),
			"a POSIX ACL that names an undefined user or group"},
	} {
		disk, err := encodeACL(test.value)
		got := fmt.Sprintf("%x", disk)
		if err != nil {
			got = err.Error()
		} else {
			test.want = strings.ReplaceAll(test.want, " ", "")
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestPutDevice(t *testing.T) {
	for _, test := range []struct {
		major, minor uint32
		want         string
	}{
		{0, 0, "0000000000000000"},
		{8, 1, "0108000000000000"},
		{255, 255, "ffff000000000000"},
		{256, 0, "0000000000000100"}, // 256<<8
		{0, 256, "0000000000001000"}, // 256<<12
		{259, 70000, "0000000070031111"},
		{4095, 1<<20 - 1, "00000000ffffffff"},
	} {
		p := make([]byte, 60)
		putDevice(p, test.major, test.minor)
		if got := fmt.Sprintf("%x", p[:8]); got != test.want {
			t.Errorf("%d:%d: got %s, want %s", test.major, test.minor, got, test.want)
		}
	}
}

// TestSpansOf compares spans with a look at every block.
func TestSpansOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b diskmap.Builder
		size, data := int64(0), map[int64]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "parts") {
			size += rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 3*blockSize)).Draw(t, "hole")
			n := rapid.OneOf(rapid.Int64Range(1, 100), rapid.Int64Range(1, 3*blockSize)).Draw(t, "data")
			b.Place(size, content.Bytes(make([]byte, n)))
			for i := size / blockSize; i <= (size+n-1)/blockSize; i++ {
				data[i] = true
			}
			size += n
		}
		size += rapid.Int64Range(0, 3*blockSize).Draw(t, "end")
		m, err := b.Map(size)
		if err != nil {
			t.Fatal(err)
		}
		spans, blocks := spansOf(m)
		if blocks != int64(len(data)) {
			t.Fatalf("%d blocks, want %d", blocks, len(data))
		}
		if spans == nil {
			if blocks != blocksFor(size) {
				t.Fatal("no spans, but holes")
			}
			return
		}
		if spanBlocks(spans) != blocks {
			t.Fatalf("spans have %d blocks, want %d", spanBlocks(spans), blocks)
		}
		end := int64(-1)
		for _, s := range spans {
			if int64(s.first) <= end {
				t.Fatalf("spans touch: %v", spans)
			}
			for i := int64(s.first); i < s.end(); i++ {
				if !data[i] {
					t.Fatalf("block %d is in %v", i, s)
				}
			}
			end = s.end()
		}
	})
}

// testSpace is three runs of blocks: 100 to 109, 200 to 204, and from 1000 on.
func testSpace() *space {
	s := &space{runs: []run{{100, 10}, {200, 5}, {1000, 1 << 40}}, ranks: []int64{0, 10, 15}}
	s.blocks = 15 + 1<<40
	return s
}

func TestPieces(t *testing.T) {
	sparse := []span{{first: 2, count: 3}, {first: 10, count: 20, before: 3}}
	for _, test := range []struct {
		b    body
		from int64
		want []piece
	}{
		{body{blocks: 3, rank: 0}, 0, []piece{{0, run{100, 3}}}},
		{body{blocks: 3, rank: 8}, 0, []piece{{0, run{108, 2}}, {2, run{200, 1}}}},
		{body{blocks: 30, rank: 8}, 0, []piece{{0, run{108, 2}}, {2, run{200, 5}}, {7, run{1000, 23}}}},
		{body{blocks: 30, rank: 8}, 6, []piece{{6, run{204, 1}}, {7, run{1000, 23}}}},
		{body{blocks: 30, rank: 8}, 30, nil},
		{body{rank: 8}, 0, nil},
		{body{spans: sparse, blocks: 23, rank: 0}, 0, []piece{{2, run{100, 3}}, {10, run{103, 7}}, {17, run{200, 5}}, {22, run{1000, 8}}}},
		{body{spans: sparse, blocks: 23, rank: 0}, 4, []piece{{4, run{102, 1}}, {10, run{103, 7}}, {17, run{200, 5}}, {22, run{1000, 8}}}},
		{body{spans: sparse, blocks: 23, rank: 0}, 5, []piece{{10, run{103, 7}}, {17, run{200, 5}}, {22, run{1000, 8}}}},
		{body{spans: sparse, blocks: 23, rank: 0}, 29, []piece{{29, run{1007, 1}}}},
	} {
		got := slices.Collect(test.b.pieces(testSpace(), test.from))
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(piece{}, run{})); diff != "" {
			t.Errorf("%+v from %d: (-want +got)\n%s", test.b, test.from, diff)
		}
	}
}

// TestExtentNodes has the numbers at the boundaries of every depth.
func TestExtentNodes(t *testing.T) {
	const n = 340
	for extents, want := range map[int64]int64{
		0: 0, 4: 0, 5: 1, n: 1, n + 1: 2, 4 * n: 4, 4*n + 1: 5 + 1, n * n: n + 1, n*n + 1: n + 1 + 2,
		4 * n * n: 4*n + 4, 4*n*n + 1: 4*n + 1 + 5 + 1, n * n * n: n*n + n + 1, 4 * n * n * n: 4*n*n + 4*n + 4, 4*n*n*n + 1: 4*n*n + 1 + 4*n + 1 + 5 + 1,
	} {
		if got := extentNodes(extents); got != want {
			t.Errorf("%d extents have %d nodes, want %d", extents, got, want)
		}
	}
}

// TestIndirectNodes compares the indirect blocks of sparse files with those of
// a walk through every block.
func TestIndirectNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]int64{30, 3000, 3 << 20, fileMaxIndirect / blockSize}).Draw(t, "limit")
		var b body
		b.spans = []span{}
		seen := map[string]bool{}
		for at := int64(0); len(b.spans) < 20; {
			at += rapid.Int64Range(1, limit/10).Draw(t, "hole")
			n := rapid.OneOf(rapid.Int64Range(1, 3), rapid.Int64Range(1, 3000)).Draw(t, "blocks")
			if at+n > limit {
				break
			}
			b.spans = append(b.spans, span{uint32(at), uint32(n), uint32(b.blocks)})
			b.blocks += n
			for i := at; i < at+n; i++ {
				for _, node := range nodesOf(i) {
					seen[node] = true
				}
			}
			at += n
		}
		if got := indirectNodes(b.chunks()); got != int64(len(seen)) {
			t.Fatalf("%v has %d indirect blocks, want %d", b.spans, got, len(seen))
		}
	})
}

// nodesOf names the indirect blocks on the way to a block.
func nodesOf(block int64) []string {
	const n = entriesInBlock
	switch b := block - directBlocks; {
	case b < 0:
		return nil
	case b < n:
		return []string{"single"}
	case b-n < n*n:
		return []string{"double", fmt.Sprint("double ", (b-n)/n)}
	default:
		b -= n + n*n
		return []string{"triple", fmt.Sprint("triple ", b/(n*n)), fmt.Sprint("triple ", b/(n*n), " ", b%(n*n)/n)}
	}
}

// TestHashIndexLimit has more leaves than a hash tree leads to.
func TestHashIndexLimit(t *testing.T) {
	entries := dirOf(507*510+1, func(i int) string { return fmt.Sprintf("%012d", i) }).Entries
	const oneEntry = leafSlack + 20
	if _, err := newHashIndex(entries, [16]byte{}, oneEntry, true); err == nil {
		t.Errorf("%d leaves are accepted", len(entries))
	}
	x, err := newHashIndex(entries[1:], [16]byte{}, oneEntry, true)
	if err != nil {
		t.Fatal(err)
	}
	if x.nodes != 507 || x.blocks() != 1+507+507*510 {
		t.Errorf("%d nodes, %d blocks", x.nodes, x.blocks())
	}
}

// TestContinuedHash has two names of one hash on both sides of a boundary.
func TestContinuedHash(t *testing.T) {
	entries := dirOf(200000, func(i int) string { return fmt.Sprintf("%012d", i) }).Entries
	byHash := map[uint32]int{}
	var pair []tree.Entry
	for i, e := range entries {
		hash := nameHash{}.of(e.Name)
		if j, ok := byHash[hash]; ok {
			pair = []tree.Entry{entries[j], e}
			break
		}
		byHash[hash] = i
	}
	x, err := newHashIndex(pair, [16]byte{}, leafSlack+20, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := x.leafHash(1, pair), (nameHash{}).of(pair[0].Name)|1; len(x.leaves) != 2 || got != want {
		t.Errorf("%d leaves, the second begins at %#x, want 2, %#x", len(x.leaves), got, want)
	}
}

// TestRefusals has trees that no file system can hold. The error names what and where.
func TestRefusals(t *testing.T) {
	in := func(name string, inode *tree.Inode) *tree.Inode {
		d, root := dir(), dir()
		d.Entries = append(d.Entries, tree.Entry{Name: name, Inode: inode})
		root.SetChild("d", d)
		return root
	}
	withXattr := func(name string, size int) *tree.Inode {
		f := file(nil)
		f.Xattrs = []tree.Xattr{{Name: name, Value: make([]byte, size)}}
		return in("f", f)
	}
	twice := dir()
	for _, test := range []struct {
		name string
		kind Kind
		root *tree.Inode
		want string
	}{
		{"root", Ext4, file(nil), "the root of the tree is not a directory"},
		{"lost+found", Ext4, func() *tree.Inode { d := dir(); d.SetChild("lost+found", file(nil)); return d }(), `"/lost+found" is not a directory`},
		{"links", Ext4, in("x", dirOf(linkMax, func(i int) string { return fmt.Sprintf("%06d", i) })), ""},
		{"too many links", Ext4, func() *tree.Inode {
			d := dirOf(linkMax, func(i int) string { return fmt.Sprintf("%06d", i) })
			d.SetChild("one more", d.Entries[0].Inode)
			return in("x", d)
		}(), `"/d/x/000000": 65001 hard links; a file of ext4 has at most 65000`},
		{"empty name", Ext4, in("", file(nil)), `"/d": "" is not a name for a file`},
		{"dot", Ext4, in("..", file(nil)), `"/d": ".." is not a name for a file`},
		{"slash", Ext4, in("a/b", file(nil)), `"/d": "a/b" is not a name for a file`},
		{"zero", Ext4, in("a\x00b", file(nil)), `"/d": "a\x00b" is not a name for a file`},
		{"long name", Ext4, in(strings.Repeat("n", 256), file(nil)), "has 256 bytes; at most 255 are possible"},
		{"order", Ext4, func() *tree.Inode {
			d := dir()
			d.Entries = []tree.Entry{{Name: "b", Inode: file(nil)}, {Name: "a", Inode: file(nil)}}
			return d
		}(), `"/": the names "b" and "a" are not in order`},
		{"two names for a directory", Ext4, func() *tree.Inode { d := dir(); d.SetChild("a", twice); d.SetChild("b", twice); return d }(),
			`"/a": a directory with a second name, "b" in "/"`},
		{"link to nothing", Ext4, in("l", tree.NewSymlink("", testTime)), `"/d/l": a symbolic link to nothing`},
		{"long link", Ext4, in("l", tree.NewSymlink(strings.Repeat("t", 4096), testTime)), `"/d/l": a symbolic link of 4096 bytes; at most 4095 are possible`},
		{"zero in link", Ext4, in("l", tree.NewSymlink("a\x00", testTime)), `"/d/l": a symbolic link to "a\x00", which holds a zero byte`},
		{"device", Ext4, in("n", &tree.Inode{Mode: tree.TypeChar, Major: 4096}), `"/d/n": the device number 4096:0 is too large`},
		{"type", Ext4, in("n", &tree.Inode{Mode: 0o644}), `"/d/n": the mode 0644 is of no known type`},
		{"mode", Ext4, in("n", &tree.Inode{Mode: 0o1100644}), `"/d/n": the mode 01100644 has more than 16 bits`},
		{"large file", Ext4, in("f", file(sparse(t, fileMaxExtents+1))), `"/d/f": 17592186040321 bytes; a file of ext4 has at most 17592186040320`},
		{"large file, indirect", Ext3, in("f", file(sparse(t, fileMaxIndirect+1))), `"/d/f": 2194719883265 bytes; a file of ext3 has at most 2194719883264`},
		{"value", Ext4, withXattr("user.a", 4041), `"/d/f": extended attributes that need 4 bytes more than there is room for`},
		{"value without room in the inode", Ext2, withXattr("user.a", 4045), `"/d/f": extended attributes that need`},
		{"namespace", Ext4, withXattr("com.apple.FinderInfo", 1), `"/d/f": extended attribute "com.apple.FinderInfo": its name begins with none of "user."`},
		{"no attribute name", Ext4, withXattr("user.", 1), `"/d/f": extended attribute "user.": that is no name for an attribute`},
		{"inline data", Ext4, withXattr("system.data", 1), `"/d/f": extended attribute "system.data": that is no name for an attribute`},
		{"long attribute name", Ext4, withXattr("user."+strings.Repeat("n", 251), 1), `its name has 256 bytes; Linux takes 255`},
		{"bad ACL", Ext4, withXattr(nameACLAccess, 3), `"/d/f": extended attribute "system.posix_acl_access": not a POSIX ACL of version 2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.root, testOptions(test.kind, 64*mib))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestNoSpace(t *testing.T) {
	root := dir()
	root.SetChild("f", file(zeros(70*mib)))
	_, err := New(root, testOptions(Ext4, 64*mib))
	var noSpace *NoSpaceError
	if !errors.As(err, &noSpace) {
		t.Fatal(err)
	}
	if want := int64(1 + 4 + 70*mib/blockSize); noSpace.Blocks != want || noSpace.Available >= 64*mib/blockSize {
		t.Errorf("%+v: need %d", noSpace, want)
	}
}

// TestNoSpaceAtAll has a tree for which no size will do.
func TestNoSpaceAtAll(t *testing.T) {
	root := dir()
	for i := range 9 {
		root.SetChild(fmt.Sprint(i), file(zeros(2*tib-10*gib)))
	}
	_, err := New(root, testOptions(Ext3, 16*tib-blockSize))
	if err == nil || !strings.HasSuffix(err.Error(), "; no ext3 is large enough") {
		t.Error(err)
	}
}

// TestDeterministic plans a tree twice, and reads it in different ways.
func TestDeterministic(t *testing.T) {
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 64 * mib
		root := everything(t, opts.Kind)
		one, two := plan(t, root, opts), plan(t, root, opts)
		a, b := one.Map(), two.Map()
		p, q := make([]byte, mib), make([]byte, 777)
		for off := int64(0); off < a.Size(); off += mib {
			if err := content.ReadFull(a, p, off); err != nil {
				t.Fatal(err)
			}
			for at := int64(0); at < mib; at += 777 {
				q := q[:min(777, mib-at)]
				if err := content.ReadFull(b, q, off+at); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(p[at:at+int64(len(q))], q) {
					t.Fatalf("bytes from %d on differ", off+at)
				}
			}
		}
	})
}

// TestSources demands that data lies in the map with the file's own source, so
// that an encoder can have the kernel copy it.
func TestSources(t *testing.T) {
	small, large := content.Bytes("small"), pattern(300*mib)
	hole := content.Bytes("behind a hole")
	var b diskmap.Builder
	b.Place(1*mib, hole)
	m, err := b.Map(2 * mib)
	if err != nil {
		t.Fatal(err)
	}
	root := dir()
	root.SetChild("large", file(large))
	root.SetChild("small", file(small))
	root.SetChild("sparse", file(m))
	fs := plan(t, root, testOptions(Ext4, 512*mib))
	found, last := map[string]bool{}, int64(0)
	for e := range fs.Map().Extents(0, fs.Map().Size()) {
		if e.Offset < last {
			t.Fatal("extents are not in order")
		}
		last = e.End()
		if b, ok := e.Source.(content.Bytes); ok {
			found[string(b)] = e.Offset%blockSize == 0
		}
	}
	if !found["small"] || !found["behind a hole"] {
		t.Errorf("found %v", found)
	}
}
