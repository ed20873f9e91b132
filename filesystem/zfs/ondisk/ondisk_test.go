package ondisk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// noise is bytes that do not compress.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func TestFletcher4(t *testing.T) {
	// By hand: words 1, 2, 3.
	p := []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}
	if got, want := Fletcher4(p), (Checksum{6, 1 + 3 + 6, 1 + 4 + 10, 1 + 5 + 15}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSHA256(t *testing.T) {
	// The digest of "abc" from FIPS 180-2.
	want := Checksum{0xba7816bf8f01cfea, 0x414140de5dae2223, 0xb00361a396177a9c, 0xb410ff61f20015ad}
	if got := SHA256([]byte("abc")); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestSeal(t *testing.T) {
	p := noise(8192)
	Seal(p, 4096)
	if !Sealed(p, 4096) {
		t.Error("a sealed block is not sealed")
	}
	if Sealed(p, 8192) {
		t.Error("sealed for another offset")
	}
	p[0] ^= 1
	if Sealed(p, 4096) {
		t.Error("sealed after a change")
	}
}

func TestLZ4(t *testing.T) {
	var e LZ4Encoder
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog\n"), 3000)
	for _, src := range [][]byte{
		nil, {1}, []byte("0123456789ab"), make([]byte, 13), make([]byte, 131072), text, text[:131072], text[:300],
		append(noise(70000), noise(70000)...), append(noise(300), make([]byte, 600)...), append(make([]byte, 5000), noise(270)...),
	} {
		dst := make([]byte, len(src)+len(src)/200+32)
		n, ok := e.Encode(dst, src)
		if !ok {
			t.Fatalf("%d bytes do not fit %d", len(src), len(dst))
		}
		got := make([]byte, len(src))
		if err := DecodeLZ4(got, append(dst[:n:n], 0, 0, 0)); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%d bytes in %d: %v", len(src), n, err)
		}
		if _, ok := e.Encode(make([]byte, n-1), src); ok {
			t.Errorf("%d bytes fit %d as well as %d", len(src), n-1, n)
		}
		again := make([]byte, len(dst))
		if m, ok := new(LZ4Encoder).Encode(again, src); !ok || m != n || !bytes.Equal(again[:n], dst[:n]) {
			t.Errorf("%d bytes: what was compressed before makes a difference", len(src))
		}
	}
	if n, _ := e.Encode(make([]byte, 200), make([]byte, 10000)); n > 70 {
		t.Errorf("zeros take %d bytes", n)
	}
}

func FuzzLZ4(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcabcabc"), 100)
	f.Add([]byte{0, 0, 0, 3, 0x1f, 'a', 1}, 20)
	f.Fuzz(func(t *testing.T, p []byte, size int) {
		_ = DecodeLZ4(make([]byte, min(max(size, 0), 1<<16)), p)
		var e LZ4Encoder
		dst := make([]byte, 2*len(p)+32)
		n, ok := e.Encode(dst, p)
		got := make([]byte, len(p))
		if err := DecodeLZ4(got, dst[:n]); !ok || err != nil || !bytes.Equal(got, p) {
			t.Fatalf("%q does not come back: %v", p, err)
		}
	})
}

var testList = NVList{
	{"version", uint64(5000)},
	{"name", "tank"},
	{"blob", []byte{1, 2, 3, 4, 5}},
	{"vdev_tree", NVList{{"type", "root"}, {"children", []NVList{{{"id", uint64(0)}}, {}}}}},
	{"flag", Flag{}},
	{"features_for_read", NVList(nil)},
}

func TestNVList(t *testing.T) {
	got, err := DecodeNVList(append(testList.Encode(), 9, 9))
	if err != nil {
		t.Fatal(err)
	}
	want := append(NVList(nil), testList...)
	want[3] = NVPair{"vdev_tree", NVList{{"type", "root"}, {"children", []NVList{{{"id", uint64(0)}}, nil}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v := got.Lookup("name"); v != "tank" {
		t.Errorf("name is %v", v)
	}
	// One pair, by hand: sizes, "ab", uint64, one element, the value.
	pair := NVList{{"ab", uint64(7)}}.Encode()
	want1 := []byte{
		1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		0, 0, 0, 32, 0, 0, 0, 32,
		0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7,
		0, 0, 0, 0, 0, 0, 0, 0,
	}
	if !bytes.Equal(pair, want1) {
		t.Errorf("got  %v\nwant %v", pair, want1)
	}
}

func FuzzNVList(f *testing.F) {
	f.Add(testList.Encode())
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 40})
	f.Fuzz(func(t *testing.T, p []byte) {
		l, err := DecodeNVList(p)
		if err != nil {
			return
		}
		again, err := DecodeNVList(l.Encode())
		if diff := cmp.Diff(l, again); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
}

func TestBlockPointer(t *testing.T) {
	for _, want := range []BlockPointer{
		{},
		{
			Addresses:   [3]Address{{Offset: 1 << 40, Size: 4096}, {Device: 3, Offset: 512, Size: 8192}},
			LogicalSize: 131072, PhysicalSize: 4096, Compression: CompressionLZ4, ChecksumKind: ChecksumFletcher4,
			Type: TypeFileContents, Level: 2, Birth: 4, Fill: 77, Checksum: Checksum{1, 2, 3, 1 << 63},
		},
		{
			Addresses:   [3]Address{{Offset: 1 << 30, Size: 12288, Gang: true}},
			LogicalSize: 8192, PhysicalSize: 8192, Compression: CompressionOff, ChecksumKind: ChecksumSHA512,
			Type: TypeFileContents, Birth: 40, PhysicalBirth: 30, Fill: 1, Shared: true,
		},
		{LogicalSize: 1000, PhysicalSize: 112, Compression: CompressionLZ4, Type: TypeFileContents, Birth: 9, Fill: 1, Embedded: noise(112)},
		{LogicalSize: 3, PhysicalSize: 3, Compression: CompressionOff, Type: TypeFileContents, Birth: 9, Fill: 1, Embedded: []byte("abc")},
	} {
		var p [BlockPointerSize]byte
		want.Encode(p[:])
		got, err := DecodeBlockPointer(p[:])
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
}

func FuzzBlockPointer(f *testing.F) {
	f.Add(noise(128))
	f.Fuzz(func(t *testing.T, p []byte) {
		b, err := DecodeBlockPointer(p)
		if err != nil {
			return
		}
		if b.LogicalSize < 0 || b.PhysicalSize < 0 || len(b.Embedded) > MaxEmbedded || b.AllocatedSize() < 0 {
			t.Errorf("%+v", b)
		}
	})
}

func TestDNodeRoom(t *testing.T) {
	for bonus, want := range map[int]int{0: 3, 24: 3, 64: 3, 65: 2, 192: 2, 193: 1, 320: 1} {
		if got := Pointers(TypeDSLDir, bonus); got != want {
			t.Errorf("%d pointers beside a bonus of %d bytes, want %d", got, bonus, want)
		}
	}
	if got := Pointers(TypeSA, 100); got != 1 {
		t.Errorf("%d pointers beside attributes, want 1", got)
	}
}

// With few entries names find themselves by walking the chains, in micro and fat
// ZAPs of both block sizes, as a reader does it.
func TestZAP(t *testing.T) {
	for _, test := range []struct {
		count, nameSize, blockSize int
	}{
		{0, 5, 512}, {7, 5, 512}, {8, 5, 1024}, {2047, 49, 131072}, {2048, 10, 16384}, {1, 50, 16384}, {20, 255, 16384}, {200000, 40, 131072},
	} {
		entries := make([]ZAPEntry, test.count)
		for i := range entries {
			entries[i] = ZAPEntry{Name: fmt.Sprintf("%0*d", test.nameSize, i), Value: uint64(i)}
		}
		z, err := EncodeZAP(entries, 0x1234567)
		if err != nil || z.BlockSize != test.blockSize || len(z.Data)%z.BlockSize != 0 {
			t.Errorf("%+v: %v, blocks of %d", test, err, z.BlockSize)
			continue
		}
		got := readZAP(t, z)
		if len(got) != len(entries) {
			t.Errorf("%+v: %d names", test, len(got))
		}
		for _, e := range entries {
			if v, ok := got[e.Name]; !ok || v != e.Value {
				t.Fatalf("%+v: %q is %d, %v", test, e.Name, v, ok)
			}
		}
	}
}

// Names of the same hash differ in their differentiators: 28 bits collide soon.
func TestZAPCollisions(t *testing.T) {
	entries := make([]ZAPEntry, 60000)
	r := rand.New(rand.NewPCG(1, 2)) // names that follow each other never collide
	for i := range entries {
		entries[i].Name = fmt.Sprintf("%x", r.Uint64())
	}
	seen := make(map[string]bool)
	collisions := 0
	for _, e := range hashEntries(entries, 99, 0) {
		key := fmt.Sprint(e.hash, e.cd)
		if seen[key] {
			t.Fatalf("%q: %s again", e.Name, key)
		}
		seen[key] = true
		if e.cd > 0 {
			collisions++
		}
	}
	if collisions == 0 {
		t.Error("no collisions: nothing was tested")
	}
}

// readZAP returns names and numbers.
func readZAP(t *testing.T, z ZAP) map[string]uint64 {
	t.Helper()
	got := make(map[string]uint64)
	if le.Uint64(z.Data) == zapMicro {
		for p := z.Data[microSlot:]; len(p) > 0; p = p[microSlot:] {
			if name, _, _ := bytes.Cut(p[14:microSlot], []byte{0}); len(name) > 0 {
				got[string(name)] = le.Uint64(p)
			}
		}
		return got
	}
	salt, shift := le.Uint64(z.Data[80:]), le.Uint64(z.Data[32:])
	table := z.Data[z.BlockSize/2 : z.BlockSize]
	total := 0
	for slot := range 1 << shift {
		number := int(le.Uint64(table[8*slot:]))
		leaf := z.Data[number*z.BlockSize:][:z.BlockSize]
		bits := uint64(le.Uint16(leaf[32:]))
		if prefix := uint64(slot) >> (shift - bits); prefix != le.Uint64(leaf[16:]) {
			t.Fatalf("slot %d: leaf %d of prefix %d", slot, number, le.Uint64(leaf[16:]))
		}
		if slot&(1<<(shift-bits)-1) != 0 {
			continue
		}
		total += int(le.Uint16(leaf[30:]))
		heads := z.BlockSize / 32
		chunks := leaf[leafHeader+2*heads:]
		array := func(n uint16) (b []byte) {
			for n != chainEnd {
				c := chunks[chunkSize*int(n):]
				b, n = append(b, c[1:22]...), le.Uint16(c[22:])
			}
			return b
		}
		for h := range heads {
			for n := le.Uint16(leaf[leafHeader+2*h:]); n != chainEnd; {
				c := chunks[chunkSize*int(n):]
				name := string(array(le.Uint16(c[4:]))[:le.Uint16(c[6:])-1])
				if hash := zapHash(salt, name); hash != le.Uint64(c[16:]) || bits > 0 && hash>>(64-bits) != le.Uint64(leaf[16:]) {
					t.Fatalf("%q in the wrong place", name)
				}
				got[name] = be.Uint64(array(le.Uint16(c[8:])))
				n = le.Uint16(c[2:])
			}
		}
	}
	if total != len(got) || uint64(total) != le.Uint64(z.Data[72:]) {
		t.Errorf("leaves count %d entries, the header %d, there are %d", total, le.Uint64(z.Data[72:]), len(got))
	}
	return got
}

func TestAttributes(t *testing.T) {
	acl := make([]ACE, 3)
	for _, test := range []struct {
		a            Attributes
		bonus, spill int
		layouts      [2]uint16
	}{
		{Attributes{ACL: acl}, 168, 0, [2]uint16{2}},
		{Attributes{ACL: acl, Target: make([]byte, 136)}, 16 + 160 + 136, 0, [2]uint16{3}},
		{Attributes{ACL: acl, Target: make([]byte, 144)}, 320, 0, [2]uint16{3}},
		{Attributes{ACL: acl, Target: make([]byte, 145)}, 168, 512, [2]uint16{2, 8}},
		{Attributes{ACL: acl, Target: make([]byte, 4095)}, 168, 4608, [2]uint16{2, 8}},
		{Attributes{ACL: acl, Xattrs: make([]byte, 100)}, 16 + 160 + 104, 0, [2]uint16{4}},
		{Attributes{ACL: acl, Xattrs: make([]byte, MaxXattrList)}, 168, 65536, [2]uint16{2, 9}},
		{Attributes{ACL: acl, Device: true, Xattrs: make([]byte, 300)}, 176, 512, [2]uint16{6, 9}},
		{Attributes{ACL: acl, Target: make([]byte, 8), Xattrs: make([]byte, 300)}, 16 + 168, 512, [2]uint16{3, 9}},
		{Attributes{ACL: acl, Target: make([]byte, 100), Xattrs: make([]byte, 300)}, 168, 512, [2]uint16{2, 10}},
		{Attributes{ACL: acl, Target: make([]byte, 8), Xattrs: make([]byte, 8)}, 192, 0, [2]uint16{5}},
	} {
		bonus, spill := new(AttributeEncoder).Encode(&test.a)
		name := fmt.Sprintf("target of %d, extended attributes of %d", len(test.a.Target), len(test.a.Xattrs))
		if len(bonus) != test.bonus || len(spill) != test.spill {
			t.Errorf("%s: bonus of %d, spill of %d bytes; want %d, %d", name, len(bonus), len(spill), test.bonus, test.spill)
			continue
		}
		if got := le.Uint16(bonus[4:]) & 1023; got != test.layouts[0] {
			t.Errorf("%s: layout %d, want %d", name, got, test.layouts[0])
		}
		if spill != nil {
			if got := le.Uint16(spill[4:]) & 1023; got != test.layouts[1] {
				t.Errorf("%s: layout %d in the spill block, want %d", name, got, test.layouts[1])
			}
		}
	}
}

func TestSpaceMap(t *testing.T) {
	for _, units := range []int64{0, 1, 32768, 32769, 100000} {
		var sum int64
		for p := (&SpaceMap{Units: units, Allocated: units}).Log(); len(p) > 0; p = p[8:] {
			w := le.Uint64(p)
			if int64(w>>16) != sum || w>>15&1 != 0 {
				t.Errorf("%d units: entry %#x at %d", units, w, sum)
			}
			sum += int64(w&0x7fff) + 1
		}
		if sum != units {
			t.Errorf("%d units, want %d", sum, units)
		}
	}
}

// Headers and logs of space maps with features, as space maps of OpenZFS 2.1 have
// them: a word with the prefix 3, the length less one, no device; free space in the
// bucket of its power of two.
func TestSpaceMapFeatures(t *testing.T) {
	m := SpaceMap{Object: 138, Ashift: 12, Units: 1 << 14, Allocated: 0x341, TwoWords: true, Histogram: true}
	if log := m.Log(); len(log) != 8 || le.Uint64(log) != 0x340 {
		t.Errorf("a short run: % x", log)
	}
	bonus := m.Bonus()
	if len(bonus) != 320 || le.Uint64(bonus[16:]) != 0x341000 {
		t.Errorf("bonus: % x", bonus)
	}
	for bucket := range 32 {
		want := uint64(0)
		if bucket == 13 { // 15,551 units are free
			want = 1
		}
		if got := le.Uint64(bonus[64+8*bucket:]); got != want {
			t.Errorf("bucket %d: %d", bucket, got)
		}
	}
	m.Allocated = 1 << 14
	if bonus := m.Bonus(); !bytes.Equal(bonus[64:], make([]byte, 256)) {
		t.Error("a full metaslab has free space")
	}
	m = SpaceMap{Ashift: 9, Units: 1 << 25, Allocated: 1 << 20, TwoWords: true}
	if log := m.Log(); len(log) != 16 || le.Uint64(log) != 3<<62|(1<<20-1)<<24 || le.Uint64(log[8:]) != 0 {
		t.Errorf("a long run: % x", log)
	}
	if len(m.Bonus()) != 24 {
		t.Errorf("a bonus of %d bytes without the histogram", len(m.Bonus()))
	}
}

// Accounts of an object set have flags that say which are complete.
func TestObjsetFlags(t *testing.T) {
	d := &DNode{Type: TypeUserGroupUsed, Levels: 1, BlockSize: 512}
	for want, o := range map[uint64]Objset{
		0: {}, 1: {UserUsed: d, GroupUsed: d}, 3: {UserUsed: d, GroupUsed: d, ObjectsCounted: true},
		7: {UserUsed: d, GroupUsed: d, ProjectUsed: d, ObjectsCounted: true},
	} {
		p := o.Encode()
		if got := le.Uint64(p[712:]); got != want {
			t.Errorf("flags %d, want %d", got, want)
		}
		if want == 7 && p[2048] != byte(TypeUserGroupUsed) {
			t.Error("no accounts of projects")
		}
	}
}

func TestLabel(t *testing.T) {
	const size = 64 << 20
	for i, want := range []int64{0, 256 << 10, size - 512<<10, size - 256<<10} {
		offset := LabelOffset(size, i)
		if offset != want {
			t.Errorf("label %d at %d, want %d", i, offset, want)
		}
		at, data, err := Label(offset, testList, &Uberblock{TXG: 8}, 12)
		if err != nil || at != 8<<10 {
			t.Fatal(err)
		}
		p := append(make([]byte, at), data...)
		for _, block := range [][2]int64{{8 << 10, 16 << 10}, {16 << 10, 128 << 10}, {160 << 10, 164 << 10}} {
			if !Sealed(p[block[0]:block[1]], offset+block[0]) {
				t.Errorf("label %d: %d is not sealed", i, block[0])
			}
		}
		if le.Uint64(p[160<<10:]) != uberblockMagic {
			t.Error("no uberblock in slot 8")
		}
	}
	if _, _, err := Label(0, NVList{{"name", string(make([]byte, 112<<10))}}, &Uberblock{}, 9); err == nil {
		t.Error("a list that is too long fits")
	}
}
