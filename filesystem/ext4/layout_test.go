package ext4

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"diskwright/filesystem/ext4/ondisk"

	"pgregory.net/rapid"
)

// TestEmptySizes asks e2fsck about empty file systems of every kind around all
// sizes at which something changes.
func TestEmptySizes(t *testing.T) {
	sizes := []int64{512 * kib, 1007 * kib, 3 * mib, 8*mib - 4*kib, 8 * mib, 127*mib + 5*kib, 129 * mib, 257 * mib, 385 * mib,
		512*mib - kib, 512 * mib, 641 * mib, 1153 * mib, 2049 * mib}
	if long() {
		for size := 4 * mib; size < 16*gib; size += size/9 + 4*kib {
			sizes = append(sizes, size)
		}
		sizes = append(sizes, 64*gib, 200*gib, 1*tib, 5*tib)
	}
	for _, kind := range []Kind{Ext4, Ext3, Ext2} {
		for _, profile := range []Profile{Upstream, Compatible}[:2-min(kind, 1)] {
			t.Run(fmt.Sprintf("%s-%d", kind, profile), func(t *testing.T) {
				for _, size := range sizes {
					o := testOptions(kind, size)
					o.Profile = profile
					fs, err := New(emptyTree(&o), o)
					if err != nil {
						t.Errorf("%d KiB: %v", size/kib, err)
						continue
					}
					fsck(t, write(t, fs.Map()))
				}
			})
		}
	}
}

// TestFullInodes asks e2fsck about file systems with as many inodes as blocks,
// whose inode tables fill groups and jump over backups.
func TestFullInodes(t *testing.T) {
	for _, kind := range []Kind{Ext4, Ext3} {
		for _, size := range []int64{130 * mib, 1 * gib, 3 * gib} {
			o := testOptions(kind, size)
			o.Inodes = size/blockSize - 20
			for {
				if _, err := New(emptyTree(&o), o); err == nil {
					break
				}
				o.Inodes -= 64
			}
			fs := plan(t, emptyTree(&o), o)
			if fs.layout.Inodes < size/blockSize/2 {
				t.Errorf("%s of %d bytes: only %d inodes", kind, size, fs.layout.Inodes)
			}
			fsck(t, write(t, fs.Map()))
		}
	}
}

func TestGeometryErrors(t *testing.T) {
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Size: 0}, "no room for ext4 in 0 bytes"},
		{Options{Size: -1}, "no room for ext4 in -1 bytes"},
		{Options{Size: 4095}, "no room"},
		{Options{Size: 100 * kib}, "no room"},
		{Options{Size: 64 * mib, Label: "seventeen bytes !"}, `label "seventeen bytes !" has 17 bytes; ext4 has room for 16`},
		{Options{Size: 64 * mib, Kind: Ext3, Label: "seventeen bytes !"}, "ext3 has room for 16"},
		{Options{Size: 64 * mib, Label: "a\x00b"}, `label "a\x00b" holds a zero byte`},
		{Options{Size: 64 * mib, Inodes: 1 << 40}, "no room for 1099511627776 inodes"},
		{Options{Size: 1 << 60, Inodes: 1 << 62}, "no room for"},
		{Options{Size: 64 * mib, Inodes: 64 * mib / inodeSize}, "no room for 262144 inodes in ext4 of 67108864 bytes"},
		{Options{Size: 64 * mib, Epoch: -5}, "5 seconds before 1970"},
		{Options{Size: 16 * tib, Kind: Ext3}, "16 TiB less one block"},
		{Options{Size: 200 * tib}, "192 TiB"},
		{Options{Size: 1 << 60}, "192 TiB"},
	} {
		g, err := NewGeometry(&test.o)
		if err == nil {
			_, err = newLayout(&test.o, g)
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want %q", test.o, err, test.want)
		}
	}
}

// TestLarge computes layouts of sizes that tests cannot write.
func TestLarge(t *testing.T) {
	for _, size := range []int64{16*tib - blockSize, 16 * tib, 64 * tib, 191 * tib} {
		o := testOptions(Ext4, size)
		fs := plan(t, emptyTree(&o), o)
		if got := fs.layout.hasResizeInode(); got != (size < 16*tib) {
			t.Errorf("%d bytes: resize inode: %t", size, got)
		}
		last := fs.layout.Groups - 1
		if fs.layout.inodeTable(last) <= 0 || fs.layout.inodeTable(last)+fs.layout.InodeBlocks > fs.layout.Blocks {
			t.Errorf("%d bytes: the last inode table is at %d", size, fs.layout.inodeTable(last))
		}
	}
}

// TestConcurrentReading reads all metadata from several goroutines, in parts
// that do not begin or end with blocks.
func TestConcurrentReading(t *testing.T) {
	o := testOptions(Ext4, 20*gib)
	fs := plan(t, emptyTree(&o), o)
	want := make([]byte, 20*mib)
	if _, err := fs.Map().ReadAt(want, 0); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			p := make([]byte, 3001+997*n)
			for off := int64(n); off < int64(len(want)-len(p)); off += int64(len(p)) {
				if _, err := fs.Map().ReadAt(p, off); err != nil || !bytes.Equal(p, want[off:off+int64(len(p))]) {
					t.Errorf("[%d, +%d) differs: %v", off, len(p), err)
					return
				}
			}
		})
	}
	all.Wait()
}

// TestRandomLayout checks what must hold of every layout: nothing overlaps, and
// all of it is in use.
func TestRandomLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := testOptions(rapid.SampledFrom([]Kind{Ext4, Ext3, Ext2}).Draw(t, "kind"), 0)
		o.Profile = rapid.SampledFrom([]Profile{Upstream, Compatible}).Draw(t, "profile")
		unit := rapid.SampledFrom([]int64{16 * kib, mib, 128 * mib, gib, 64 * gib}).Draw(t, "unit")
		o.Size = unit*rapid.Int64Range(1, 200).Draw(t, "units") + blockSize*rapid.Int64Range(0, 300).Draw(t, "blocks")
		if ratio := rapid.Int64Range(4050, 20000).Draw(t, "ratio"); ratio < 10000 {
			o.Inodes = o.Size / ratio
		}
		geo, err := NewGeometry(&o)
		if err != nil {
			return
		}
		l, err := newLayout(&o, geo)
		if err != nil {
			return
		}
		if l.Inodes < o.Inodes {
			t.Fatalf("%d inodes, not %d", l.Inodes, o.Inodes)
		}
		var all runs
		add := func(r run) { all = append(all, r) }
		for g := range l.Groups {
			add(run{l.blockBitmap(g), 1})
			add(run{l.inodeBitmap(g), 1})
			add(run{l.inodeTable(g), l.InodeBlocks})
			add(run{l.groupStart(g), l.superBlocks(g)})
		}
		if l.hasResizeInode() {
			add(run{l.resize, 1})
		}
		for _, r := range append(l.journal.data, l.orphan...) {
			add(r)
		}
		for _, n := range l.journal.nodes {
			add(run{n, 1})
		}
		sum := all.total()
		all = all.normalise()
		if all.total() != sum {
			t.Fatalf("%d blocks overlap", sum-all.total())
		}
		if len(all) != len(l.static) {
			t.Fatalf("%d runs are static, not %d", len(all), len(l.static))
		}
		for i := range all {
			if all[i] != l.static[i] {
				t.Fatalf("run %d is %v, static %v", i, all[i], l.static[i])
			}
		}
		if end := all[len(all)-1].end(); end > l.Blocks {
			t.Fatalf("block %d of %d", end, l.Blocks)
		}
		free := int64(0)
		for _, r := range l.free() {
			free += r.count
		}
		if free != l.freeBlocks() || free+sum != l.Blocks {
			t.Fatalf("%d blocks are free, %d used, of %d", free, sum, l.Blocks)
		}
	})
}

// TestRandomUsage compares descriptors and bitmaps with those of a slice of
// blocks.
func TestRandomUsage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := testOptions(rapid.SampledFrom([]Kind{Ext4, Ext3}).Draw(t, "kind"), 0)
		o.Size = rapid.Int64Range(mib, 700*mib).Draw(t, "size")
		geo, err := NewGeometry(&o)
		if err != nil {
			return
		}
		l, err := newLayout(&o, geo)
		if err != nil {
			return
		}
		end := rapid.Int64Range(0, l.Blocks).Draw(t, "end")
		inodes := rapid.Int64Range(12, l.Inodes).Draw(t, "inodes")
		u := l.newUsage(end, uint32(inodes), []uint32{7})
		used := make([]bool, l.Blocks)
		for i := range end {
			used[i] = true
		}
		for _, r := range l.static {
			for i := r.start; i < r.end(); i++ {
				used[i] = true
			}
		}
		free := int64(0)
		for g := range l.Groups {
			p := make([]byte, l.DescSize)
			u.descriptor(p, g)
			d := ondisk.DecodeGroupDesc(p)
			bitmap := make([]byte, blockSize)
			u.putBlockBitmap(bitmap, g)
			count := int64(0)
			for i := range int64(bitsPerBlock) {
				block := l.groupStart(g) + i
				want := i >= l.BlocksPerGroup || block >= l.Blocks || used[block]
				if got := bitmap[i/8]>>(i%8)&1 == 1; got != want {
					t.Fatalf("group %d, block %d: %t", g, i, got)
				}
				if !want {
					count++
				}
			}
			if int64(d.FreeBlocks) != count {
				t.Fatalf("group %d: %d blocks free, not %d", g, d.FreeBlocks, count)
			}
			if l.checksums() && d.Flags&ondisk.GroupBlockUninit == 0 &&
				d.BlockBitmapChecksum != ondisk.BitmapChecksum(l.seed, bitmap[:l.BlocksPerGroup/8]) {
				t.Fatalf("group %d: wrong checksum", g)
			}
			free += count
		}
		if free != u.freeBlocks() {
			t.Fatalf("%d blocks free, not %d", u.freeBlocks(), free)
		}
	})
}
