package ondisk

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestChecksum compares with the check value of CRC-32C, which has the register
// inverted before and after.
func TestChecksum(t *testing.T) {
	if got := ^Checksum(NoSeed, []byte("123456789")); got != 0xe3069283 {
		t.Errorf("got %#x", got)
	}
	p := []byte{0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0, 0, 0}
	if got, want := checksum32(5, 0x12345678), Checksum(5, p[:4]); got != want {
		t.Errorf("checksum32: got %#x, want %#x", got, want)
	}
	if got, want := checksum64(5, 0x12345678), Checksum(5, p[:8]); got != want {
		t.Errorf("checksum64: got %#x, want %#x", got, want)
	}
	if got, want := checksumZeros(checksum32(5, 0x12345678), 6), Checksum(5, p); got != want {
		t.Errorf("checksumZeros: got %#x, want %#x", got, want)
	}
}

// TestTime has the table of "Inode Timestamps".
func TestTime(t *testing.T) {
	for _, test := range []struct {
		sec   int64
		epoch uint32
		low   uint32
	}{
		{-0x80000000, 0, 0x80000000}, // 1901-12-13
		{-1, 0, 0xffffffff},          // 1969-12-31
		{0, 0, 0},                    // 1970-01-01
		{0x7fffffff, 0, 0x7fffffff},  // 2038-01-19
		{0x80000000, 1, 0x80000000},  // 2038-01-19
		{0xffffffff, 1, 0xffffffff},  // 2106-02-07
		{0x100000000, 1, 0},
		{0x17fffffff, 1, 0x7fffffff}, // 2174-02-25
		{0x180000000, 2, 0x80000000},
		{0x27fffffff, 2, 0x7fffffff}, // 2310-04-04
		{0x280000000, 3, 0x80000000},
		{0x37fffffff, 3, 0x7fffffff}, // 2446-05-10
	} {
		moment := Time{test.sec, 123456789}
		low, extra := moment.encode(true)
		if low != test.low || extra != test.epoch|123456789<<2 {
			t.Errorf("%#x: got %#x, %#x", test.sec, low, extra)
		}
		if got := decodeTime(low, extra); got != moment {
			t.Errorf("%#x: decoded %v", test.sec, got)
		}
	}
	for _, test := range []struct {
		from  Time
		extra bool
		want  Time
	}{
		{Time{MaxTime, 5}, true, Time{MaxTime, 5}},
		{Time{MaxTime + 1, 5}, true, Time{MaxTime, 0}},
		{Time{MinTime - 1, 5}, true, Time{MinTime, 0}},
		{Time{MaxShortTime + 1, 5}, false, Time{MaxShortTime, 0}},
		{Time{MinTime - 1, 5}, false, Time{MinTime, 0}},
		{Time{77, 5}, false, Time{77, 0}},
	} {
		if got := test.from.Clamp(test.extra); got != test.want {
			t.Errorf("%v.Clamp(%t) = %v, want %v", test.from, test.extra, got, test.want)
		}
	}
}

// TestInode encodes and decodes arbitrary inodes.
func TestInode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		time := rapid.Custom(func(t *rapid.T) Time {
			return Time{rapid.Int64Range(MinTime, MaxTime).Draw(t, "sec"), rapid.Uint32Range(0, 999999999).Draw(t, "nsec")}
		})
		i := Inode{
			Mode: rapid.Uint16().Draw(t, "mode"), UID: rapid.Uint32().Draw(t, "uid"), GID: rapid.Uint32().Draw(t, "gid"),
			Links: rapid.Uint16().Draw(t, "links"), Size: rapid.Uint64().Draw(t, "size"),
			Blocks: rapid.Uint64Range(0, 1<<48-1).Draw(t, "blocks"), Flags: rapid.Uint32().Draw(t, "flags"),
			Generation: rapid.Uint32().Draw(t, "generation"), FileACL: rapid.Uint64Range(0, 1<<48-1).Draw(t, "acl"),
			Version: rapid.Uint64().Draw(t, "version"), ProjectID: rapid.Uint32().Draw(t, "project"),
			Atime: time.Draw(t, "atime"), Ctime: time.Draw(t, "ctime"), Mtime: time.Draw(t, "mtime"), Crtime: time.Draw(t, "crtime"),
			Dtime: rapid.Uint32().Draw(t, "dtime"),
		}
		copy(i.Block[:], rapid.SliceOfN(rapid.Byte(), 60, 60).Draw(t, "block"))
		size := rapid.SampledFrom([]int{OldInodeSize, InodeSize}).Draw(t, "slot")
		if size == InodeSize {
			i.ExtraSize = uint16(rapid.SampledFrom([]int{4, 8, 16, 24, 28, ExtraInodeSize, 64}).Draw(t, "extra"))
		}
		p := make([]byte, size)
		i.Encode(p)
		seed, ino := rapid.Uint32().Draw(t, "seed"), rapid.Uint32().Draw(t, "ino")
		SetInodeChecksum(p, seed, ino)
		if !CheckInode(p, seed, ino) || CheckInode(p, seed, ino+1) {
			t.Fatal("wrong checksum")
		}
		got, err := DecodeInode(p)
		if err != nil {
			t.Fatal(err)
		}
		// What the slot has no room for.
		want, reaches := i, func(at uint16) bool { return size > OldInodeSize && OldInodeSize+i.ExtraSize >= at+4 }
		for _, f := range []struct {
			at   uint16
			time *Time
		}{{0x84, &want.Ctime}, {0x88, &want.Mtime}, {0x8c, &want.Atime}} {
			*f.time = f.time.Clamp(reaches(f.at))
		}
		switch {
		case !reaches(0x90):
			want.Crtime = Time{}
		case !reaches(0x94):
			want.Crtime = want.Crtime.Clamp(false)
		}
		if !reaches(0x98) {
			want.Version = uint64(uint32(want.Version))
		}
		if !reaches(0x9c) {
			want.ProjectID = 0
		}
		want.Checksum = got.Checksum
		if got != want {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestExtent(t *testing.T) {
	p := make([]byte, 60)
	ExtentHeader{Entries: 2, Max: 4, Generation: 7}.Encode(p)
	extents := []Extent{
		{Block: 0, Len: ExtentMax, Start: 0xabcd12345678},
		{Block: ExtentMax, Len: 32767, Start: 5, Unwritten: true},
	}
	for i, e := range extents {
		e.Encode(p[ExtentHeaderSize+i*ExtentSize:])
	}
	want := "0af30200040000000700000000000000" + "0080cdab78563412" + "00800000ffff000005000000"
	if got := hex.EncodeToString(p[:36]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for i, e := range extents {
		if got := DecodeExtent(p, i); got != e {
			t.Errorf("extent %d: got %v, want %v", i, got, e)
		}
	}
	if h, err := DecodeExtentHeader(p); err != nil || h != (ExtentHeader{2, 4, 0, 7}) {
		t.Errorf("got %v, %v", h, err)
	}
}

// TestRefusals has what decoders must refuse.
func TestRefusals(t *testing.T) {
	extents := func(magic, entries, limit, depth uint16) error {
		p := make([]byte, 60)
		for i, v := range []uint16{magic, entries, limit, depth} {
			binary.LittleEndian.PutUint16(p[2*i:], v)
		}
		_, err := DecodeExtentHeader(p)
		return err
	}
	entry := func(offset int, recLen uint16, nameLen byte) error {
		p := make([]byte, 1024)
		if offset >= 0 && offset+8 <= len(p) {
			binary.LittleEndian.PutUint16(p[offset+4:], recLen)
			p[offset+6] = nameLen
		}
		_, err := DecodeDirEntry(p, offset, true)
		return err
	}
	node := func(limit, count uint16) error {
		p := make([]byte, 4096)
		binary.LittleEndian.PutUint16(p[8:], limit)
		binary.LittleEndian.PutUint16(p[10:], count)
		_, err := DecodeDxNode(p, true)
		return err
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{extents(0xf30a, 4, 4, 5), ""},
		{extents(0xf30b, 4, 4, 0), "magic"},
		{extents(0xf30a, 5, 5, 0), "for 5 entries in room for 4"},
		{extents(0xf30a, 0, 0, 0), "for 0 entries"},
		{extents(0xf30a, 4, 3, 0), "4 entries of at most 3"},
		{extents(0xf30a, 1, 4, 6), "depth 6"},
		{entry(0, 1024, 255), ""},
		{entry(1012, 12, 4), ""},
		{entry(0, 0, 0), "has 0 bytes"},
		{entry(0, 1028, 1), "has 1028 bytes, of 1024"},
		{entry(0, 13, 1), "has 13 bytes"},
		{entry(0, 12, 5), "12 bytes for a name of 5"},
		{entry(1020, 4, 0), "entry at 1020"},
		{entry(-4, 12, 0), "entry at -4"},
		{entry(2, 12, 0), "entry at 2"},
		{node(510, 510), ""},
		{node(510, 511), "511 of 510"},
		{node(510, 0), "0 of 510"},
		{node(511, 1), "room for 510"},
	} {
		switch {
		case test.want == "" && test.err != nil:
			t.Error(test.err)
		case test.want != "" && (test.err == nil || !strings.Contains(test.err.Error(), test.want)):
			t.Errorf("got %v, want %q", test.err, test.want)
		}
	}
}

func TestSuperblockRefusals(t *testing.T) {
	good := Superblock{
		Inodes: 32, Blocks: 1000, BlocksPerGroup: 32768, ClustersPerGroup: 32768, InodesPerGroup: 32, LogBlockSize: 2,
		Revision: DynamicRevision, FirstInode: InoFirst, InodeSize: InodeSize,
	}
	for _, test := range []struct {
		change func(s *Superblock)
		want   string
	}{
		{func(*Superblock) {}, ""},
		{func(s *Superblock) { s.LogBlockSize = 7 }, "block size"},
		{func(s *Superblock) { s.LogBlockSize = 1 << 31 }, "block size"},
		{func(s *Superblock) { s.FirstDataBlock = 1 }, "first data block 1 instead of 0"},
		{func(s *Superblock) { s.LogBlockSize = 0 }, "first data block 0 instead of 1"},
		{func(s *Superblock) { s.InodeSize = 64 }, "inodes of 64 bytes"},
		{func(s *Superblock) { s.InodeSize = 8192 }, "inodes of 8192 bytes"},
		{func(s *Superblock) { s.InodeSize = 384 }, "inodes of 384 bytes"},
		{func(s *Superblock) { s.BlocksPerGroup = 0 }, "0 blocks per group"},
		{func(s *Superblock) { s.BlocksPerGroup = 32776 }, "32776 blocks per group"},
		{func(s *Superblock) { s.InodesPerGroup = 0 }, "0 inodes per group"},
		{func(s *Superblock) { s.InodesPerGroup = 32776 }, "32776 inodes per group"},
		{func(s *Superblock) { s.Blocks = 0 }, "counts 0 blocks"},
		{func(s *Superblock) { s.Features.Incompat = Incompat64Bit; s.DescSize = 64; s.Blocks = 1 << 60 }, "blocks"},
		{func(s *Superblock) { s.FreeBlocks = 1001 }, "1001 free"},
		{func(s *Superblock) { s.Inodes = 31 }, "counts 31 inodes, but has 1 groups of 32"},
		{func(s *Superblock) { s.FreeInodes = 33 }, "33 inodes free"},
		{func(s *Superblock) { s.FirstInode = 5 }, "reserves 4 inodes"},
		{func(s *Superblock) { s.ReservedGDT = 1025 }, "reserves 1025 blocks"},
		{func(s *Superblock) { s.Features.Incompat = Incompat64Bit }, "descriptors of 0 bytes"},
		{func(s *Superblock) { s.Features.Incompat = Incompat64Bit; s.DescSize = 2048 }, "descriptors of 2048 bytes"},
		{func(s *Superblock) { s.Features.ROCompat = ROCompatBigAlloc; s.LogClusterSize = 31 }, "clusters"},
	} {
		s, p := good, make([]byte, SuperblockSize)
		test.change(&s)
		s.Encode(p)
		decoded, err := DecodeSuperblock(p)
		switch {
		case test.want == "" && (err != nil || *decoded != s):
			t.Errorf("got %+v, %v", decoded, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	p := make([]byte, SuperblockSize)
	if _, err := DecodeSuperblock(p); err == nil || !strings.Contains(err.Error(), "magic") {
		t.Error(err)
	}
	if _, err := DecodeSuperblock(p[1:]); err == nil {
		t.Error("1,023 bytes")
	}
}
