package ondisk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testPointer = BlockPointer{
	Addresses:   [3]Address{{Offset: 1 << 20, Size: 4096}},
	LogicalSize: 4096, PhysicalSize: 4096, Compression: CompressionOff, ChecksumKind: ChecksumFletcher4,
	Type: TypeFileContents, Birth: 4, Fill: 1, Checksum: Checksum{1, 2, 3, 4},
}

func TestDecodeDNode(t *testing.T) {
	for _, want := range []DNode{
		{},
		{Type: TypeDSLDir, Levels: 1, BonusType: TypeDSLDir, Bonus: noise(256), BlockSize: 512},
		{
			Type: TypeFileContents, Levels: 3, BonusType: TypeSA, Bonus: noise(168), BlockSize: 131072, LastBlock: 77, Used: 4096,
			Pointers: []BlockPointer{testPointer}, Spill: &testPointer, Accounted: true,
		},
		{Type: TypeDNode, Levels: 6, BlockSize: 16384, LastBlock: 1 << 40, Used: 1 << 40, Pointers: []BlockPointer{testPointer, {}, testPointer}},
	} {
		var p [DNodeSize]byte
		if want.Type != TypeNone {
			want.Encode(p[:])
			want.IndirectShift, want.Slots = IndirectShift, 1
			for len(want.Pointers) < Pointers(want.BonusType, len(want.Bonus)) {
				want.Pointers = append(want.Pointers, BlockPointer{})
			}
		}
		got, err := DecodeDNode(p[:])
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
}

func FuzzDNode(f *testing.F) {
	var p [2 * DNodeSize]byte
	d := DNode{Type: TypeFileContents, Levels: 2, BonusType: TypeSA, Bonus: noise(168), BlockSize: 512, Pointers: []BlockPointer{testPointer}, Spill: &testPointer}
	d.Encode(p[:])
	f.Add(p[:])
	p[12] = 1
	f.Add(p[:])
	f.Fuzz(func(t *testing.T, p []byte) {
		if d, err := DecodeDNode(p); err == nil && len(d.Bonus) > len(p) {
			t.Error("a bonus that is larger than its dnode")
		}
		_, _ = DecodeObjset(p)
		_, _ = DecodeDSLDir(p)
		_, _ = DecodeDSLDataset(p)
		_, _ = DecodeBlockList(p)
		_, _ = DecodeSpaceMapHeader(p)
	})
}

func TestDecodeObjset(t *testing.T) {
	meta := DNode{Type: TypeDNode, Levels: 1, BlockSize: 16384, Pointers: []BlockPointer{testPointer, {}, {}}}
	user := &DNode{Type: TypeUserGroupUsed, Levels: 1, BlockSize: 512}
	p := (&Objset{Type: ObjsetFileSystem, Meta: meta, UserUsed: user, GroupUsed: user}).Encode()
	for _, size := range []int{objsetSizeV1, objsetSizeV2, ObjsetSize} {
		o, err := DecodeObjset(p[:size])
		if err != nil || o.Type != ObjsetFileSystem || o.Meta.Type != TypeDNode || !o.Log.IsHole() {
			t.Errorf("%d bytes: %+v, %v", size, o, err)
			continue
		}
		if got := o.Accounts[1].Type == TypeUserGroupUsed; got != (size > objsetSizeV1) {
			t.Errorf("%d bytes: accounting is %v", size, got)
		}
	}
}

func TestDecodeDSL(t *testing.T) {
	dir := DSLDir{Created: 1, Head: 2, Parent: 3, Origin: 4, ChildMap: 5, Used: Space{6, 7, 8}, UsedHead: 5, Properties: 9, Clones: 10}
	if got, err := DecodeDSLDir(dir.Encode()); err != nil || got != dir {
		t.Error(err, cmp.Diff(dir, got))
	}
	set := DSLDataset{
		Dir: 1, Previous: 2, PreviousTXG: 3, Next: 4, SnapshotNames: 5, Children: 6, Created: 7, CreatedTXG: 8, Deadlist: 9,
		Referenced: Space{10, 11, 12}, FSID: 13, GUID: 14, Pointer: testPointer, NextClones: 15,
	}
	if got, err := DecodeDSLDataset(set.Encode()); err != nil || cmp.Diff(set, got) != "" {
		t.Error(err, cmp.Diff(set, got))
	}
}

func TestDecodeGang(t *testing.T) {
	b := BlockPointer{Addresses: [3]Address{{Offset: 8192, Size: 16384, Gang: true}}, Birth: 9}
	p := make([]byte, GangSize)
	testPointer.Encode(p)
	testPointer.Encode(p[2*BlockPointerSize:])
	sealBy(p, Checksum{0, 8192, 9})
	if got, err := DecodeGang(p, &b); err != nil || len(got) != 2 || cmp.Diff(testPointer, got[1]) != "" {
		t.Error(got, err)
	}
	b.PhysicalBirth = 8
	if _, err := DecodeGang(p, &b); err == nil {
		t.Error("a gang header of another block")
	}
}

// entriesOf reads a ZAP as it should be read.
func entriesOf(t testing.TB, z ZAP) map[string]ZAPEntry {
	t.Helper()
	all := make(map[string]ZAPEntry)
	take := func(entries []ZAPEntry, err error) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all[e.Name] = e
		}
	}
	if IsMicroZAP(z.Data) {
		take(DecodeMicroZAP(z.Data))
		return all
	}
	h, err := DecodeFatZAP(z.Data[:z.BlockSize])
	if err != nil {
		t.Fatal(err)
	}
	for slot := uint64(0); slot < 1<<h.TableShift; {
		block, at := h.Slot(slot)
		number := le.Uint64(z.Data[int(block)*z.BlockSize+at:])
		leaf, err := DecodeZAPLeaf(z.Data[int(number)*z.BlockSize:][:z.BlockSize])
		if err != nil {
			t.Fatal(err)
		}
		entries, err := leaf.Entries()
		take(entries, err)
		if len(entries) != leaf.Count {
			t.Errorf("a leaf of %d entries says %d", len(entries), leaf.Count)
		}
		for _, e := range entries {
			bucket, err := leaf.Bucket(h.Hash(e.Name))
			if err != nil || !slices.ContainsFunc(bucket, func(b ZAPEntry) bool { return b.Name == e.Name }) {
				t.Errorf("%q is not where its hash says: %v", e.Name, err)
			}
		}
		slot += 1 << (h.TableShift - leaf.PrefixBits)
	}
	return all
}

func TestDecodeZAP(t *testing.T) {
	for _, count := range []int{0, 3, 2047, 2048, 40000} {
		entries := make([]ZAPEntry, count)
		for i := range entries {
			entries[i] = ZAPEntry{Name: fmt.Sprintf("name %d", i), Value: uint64(i) << 40}
		}
		if count == 3 {
			entries[0] = ZAPEntry{Name: strings.Repeat("n", 255), Array: []byte("mountpoint\x00"), ArrayUnit: 1}
			entries[1] = ZAPEntry{Name: "layout", Array: []byte{0, 1, 0, 2}, ArrayUnit: 2}
		}
		z, err := EncodeZAP(entries, 99)
		if err != nil {
			t.Fatal(err)
		}
		got := entriesOf(t, z)
		if len(got) != count {
			t.Errorf("%d entries of %d", len(got), count)
		}
		for _, e := range entries {
			if diff := cmp.Diff(e, got[e.Name]); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

func FuzzZAP(f *testing.F) {
	for _, entries := range [][]ZAPEntry{
		{{Name: "a", Value: 1}}, {{Name: "b", Array: []byte("xyz"), ArrayUnit: 1}, {Name: strings.Repeat("long", 50), Value: 2}},
	} {
		z, err := EncodeZAP(entries, 7)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(z.Data[:z.BlockSize])
		if len(z.Data) > z.BlockSize {
			f.Add(z.Data[z.BlockSize:][:z.BlockSize])
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		_, _ = DecodeMicroZAP(p)
		if h, err := DecodeFatZAP(p); err == nil {
			if block, at := h.Slot(1<<h.TableShift - 1); block == 0 && at+8 > len(p) {
				t.Error("a table that is larger than its block")
			}
			h.Hash("name")
		}
		if l, err := DecodeZAPLeaf(p); err == nil {
			if entries, err := l.Entries(); err == nil && len(entries) > len(p)/chunkSize {
				t.Errorf("%d entries in %d bytes", len(entries), len(p))
			}
			_, _ = l.Bucket(1 << 60)
		}
	})
}

func testTables(t testing.TB) *AttributeTables {
	t.Helper()
	tables, err := NewAttributeTables(AttributeRegistry(), AttributeLayouts())
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func TestDecodeAttributes(t *testing.T) {
	tables := testTables(t)
	for _, want := range []Attributes{
		{Mode: 0o100644, Size: 1, Generation: 2, UID: 3, GID: 4, Parent: 5, Flags: 6, Atime: Time{-7, 8}, Mtime: Time{9, 10}, Ctime: Time{11, 0}, Crtime: Time{12, 0}, Links: 13},
		{Mode: 0o120777, Target: []byte("target")},
		{Mode: 0o120777, Target: []byte(strings.Repeat("t", 1000)), Xattrs: noise(100)},
		{Mode: 0o100644, Xattrs: noise(50000)},
		{Mode: 0o020644, Device: true, Rdev: 259, Xattrs: noise(10)},
	} {
		want.ACL = []ACE{{1, 2}, {3, 4}, {5, 6}}
		bonus, spill := new(AttributeEncoder).Encode(&want)
		var got Attributes
		if err := tables.Decode(&got, bonus); err != nil {
			t.Error(err)
		}
		if spill != nil {
			if err := tables.Decode(&got, spill); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzAttributes(f *testing.F) {
	tables := testTables(f)
	bonus, spill := new(AttributeEncoder).Encode(&Attributes{ACL: make([]ACE, 3), Target: noise(200), Xattrs: noise(300)})
	f.Add(bonus)
	f.Add(spill)
	f.Fuzz(func(t *testing.T, p []byte) {
		var a Attributes
		if err := tables.Decode(&a, p); err == nil && len(a.Target)+len(a.Xattrs) > len(p) {
			t.Error("more attributes than bytes")
		}
	})
}

func TestDecodeSpaceMap(t *testing.T) {
	var got []SpaceMapEntry
	take := func(e SpaceMapEntry) error {
		got = append(got, e)
		return nil
	}
	// By hand: an allocation, something for people, a free of two words, a
	// free of one.
	var p []byte
	for _, w := range []uint64{5<<16 | 2, 2<<62 | 12345, 3<<62 | 999<<24 | 0xffffff, 1<<63 | 1<<40, 7<<16 | 1<<15} {
		p = le.AppendUint64(p, w)
	}
	if err := DecodeSpaceMap(p, take); err != nil {
		t.Fatal(err)
	}
	want := []SpaceMapEntry{{false, 5, 3}, {true, 1 << 40, 1000}, {true, 7, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := DecodeSpaceMap(p[:24], take); err == nil {
		t.Error("half of an entry is one")
	}
}

func TestDecodeLabel(t *testing.T) {
	const offset = 256 << 10
	u := Uberblock{TXG: 8, GUIDSum: 9, Timestamp: 10, Root: testPointer}
	for _, ashift := range []int{9, 12, 13, 16} {
		at, data, err := Label(offset, testList, &u, ashift)
		if err != nil {
			t.Fatal(err)
		}
		p := append(make([]byte, at), data...)
		list, err := DecodeLabel(p, offset)
		if err != nil || list.Lookup("name") != "tank" || !BootEnvironmentSealed(p, offset) {
			t.Errorf("%v, %v", list, err)
		}
		got, damaged := Uberblocks(p, offset, ashift)
		if diff := cmp.Diff([]Uberblock{u}, got); diff != "" || damaged != 0 {
			t.Error(diff, damaged)
		}
		if _, err := DecodeLabel(p, 0); err == nil {
			t.Error("a label from elsewhere is one")
		}
		if got, damaged := Uberblocks(p, 0, ashift); len(got) != 0 || damaged != 1 {
			t.Errorf("elsewhere: %v, %d damaged", got, damaged)
		}
	}
}

// What has a checksum of its own is sealed again, so that the fuzzer gets behind it.
func FuzzSealed(f *testing.F) {
	u := Uberblock{TXG: 8, Root: testPointer}
	_, label, err := Label(0, testList, &u, 12)
	if err != nil {
		f.Fatal(err)
	}
	list := label[len(label)-LabelSize+labelListAt:]
	f.Add(list[:600])
	f.Add(label[len(label)-uberblocks:][:2<<10])
	gang := make([]byte, GangSize)
	testPointer.Encode(gang)
	f.Add(gang)
	log := make([]byte, logUnit)
	testPointer.Encode(log[logNextAt:])
	le.PutUint64(log[logUsedAt:], logHeader+8)
	le.PutUint64(log[logSealAt:], logMagic)
	f.Add(log)
	f.Add([]byte{2, 0, 5, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xe7, 3, 0, 0, 0xc0, 0, 0, 0, 0, 0, 1, 0, 0x80})
	f.Fuzz(func(t *testing.T, p []byte) {
		p = p[:min(len(p), labelListSize-embeddedSize)]
		block := make([]byte, LabelSize)
		copy(block[labelListAt:], p)
		Seal(block[labelListAt:][:labelListSize], labelListAt)
		_, _ = DecodeLabel(block, 0)
		slot := block[uberblocksAt:][:1<<uberblockMaxShift]
		copy(slot, p)
		Seal(slot, uberblocksAt)
		if got, _ := Uberblocks(block, 0, uberblockMaxShift); len(got) > 1 {
			t.Errorf("%d uberblocks", len(got))
		}

		header := make([]byte, GangSize)
		copy(header, p)
		b := testPointer
		sealBy(header, Checksum{uint64(b.Addresses[0].Device), uint64(b.Addresses[0].Offset), b.Birth})
		if pieces, _ := DecodeGang(header, &b); len(pieces) > gangPointers {
			t.Errorf("%d pieces", len(pieces))
		}

		b.ChecksumKind = checksumZIL
		if len(p) >= logUnit {
			if n := le.Uint64(p[logUsedAt:]); n >= logHeader && n <= uint64(len(p)) {
				sealed := append([]byte(nil), p...)
				used := sealed[:min(roundUp(int(n), logUnit), len(sealed))]
				b.Checksum.encode(used[logSealAt+8:])
				Fletcher4(used).encode(used[logSealAt+8:])
				p = sealed
			}
		}
		_, _, _ = DecodeLogBlock(p, &b)

		n := 0
		err := DecodeSpaceMap(p, func(e SpaceMapEntry) error {
			n++
			if e.Size == 0 || e.Size > 1<<36 {
				t.Errorf("an entry of %d units", e.Size)
			}
			return nil
		})
		if err == nil && n > len(p)/8 {
			t.Errorf("%d entries in %d bytes", n, len(p))
		}
	})
}
