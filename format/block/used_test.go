package block_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/test/maps"

	"pgregory.net/rapid"
)

// TestUsedIsTheModel: exactly the blocks that have a byte that is not zero are
// used, and spans of them do not touch.
func TestUsedIsTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 3000).Draw(rt, "size")
		model := make([]byte, size)
		var b diskmap.Builder
		for at := 0; at < size; {
			n := min(rapid.IntRange(1, 300).Draw(rt, "length"), size-at)
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 1: // zeros that only a read tells
				b.Place(int64(at), content.Bytes(make([]byte, n)))
			case 2:
				part := model[at : at+n]
				part[rapid.IntRange(0, n-1).Draw(rt, "byte")] = 1
				b.Place(int64(at), content.Bytes(part))
			}
			at += n
		}
		m, err := b.Map(int64(size))
		if err != nil {
			rt.Fatal(err)
		}
		unit := rapid.IntRange(1, 500).Draw(rt, "block")
		spans, err := block.Used(context.Background(), m, int64(unit), rapid.IntRange(0, 3).Draw(rt, "workers"))
		if err != nil {
			rt.Fatal(err)
		}
		end := int64(-1)
		for _, s := range spans {
			if s.First <= end || s.Count <= 0 {
				rt.Fatalf("spans %v", spans)
			}
			end = s.End()
		}
		x := block.NewIndex(spans)
		number := int64(0)
		for i := range (size + unit - 1) / unit {
			used := !block.IsZero(model[i*unit : min((i+1)*unit, size)])
			n, ok := x.Number(int64(i))
			if ok != used || used && n != number {
				rt.Fatalf("block %d of %d bytes: number %d, %v; want %d, %v", i, unit, n, ok, number, used)
			}
			if used {
				number++
			}
		}
		if x.Count() != number {
			rt.Fatalf("%d blocks, want %d", x.Count(), number)
		}
		for n, i := range x.All() {
			if got, _ := x.Number(i); got != n {
				rt.Fatalf("block %d has the numbers %d and %d", i, n, got)
			}
		}

		// Stored one after the other they are the model without its zeros.
		var file diskmap.Builder
		x.Store(&file, m, int64(unit), 7)
		stored, err := file.Map(7 + number*int64(unit))
		if err != nil {
			rt.Fatal(err)
		}
		var want []byte
		for _, i := range x.All() {
			want = append(want, model[int(i)*unit:min((int(i)+1)*unit, size)]...)
		}
		got := make([]byte, stored.Size()-7)
		if err := content.ReadFull(stored, got, 7); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(got[:len(want)], want) || !block.IsZero(got[len(want):]) {
			rt.Fatal("what is stored is not what is used")
		}
	})
}

// TestUsedFile: a file of the host that has many blocks, of which some are
// zero.
func TestUsedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	p := make([]byte, 5<<20)
	p[1<<20], p[3<<20-1] = 1, 1
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := content.StatHostFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b diskmap.Builder
	b.Place(1<<20, file)
	m, err := b.Map(10 << 20)
	if err != nil {
		t.Fatal(err)
	}
	spans, err := block.Used(context.Background(), m, 64<<10, 2)
	if want := []block.Span{{First: 32, Count: 1}, {First: 63, Count: 1}}; err != nil || !slices.Equal(spans, want) {
		t.Errorf("got %v, %v; want %v", spans, err, want)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := block.Used(context.Background(), m, 64<<10, 2); !errors.Is(err, content.ErrChanged) {
		t.Errorf("a file that has become shorter: %v", err)
	}
}

// TestUsedErrors: the first error of the map is reported, and a cancelled
// context ends it.
func TestUsedErrors(t *testing.T) {
	var b diskmap.Builder
	for i := range int64(4000) {
		b.Place(i*100, &content.Generated{Length: 10, Fill: func(p []byte, off int64) error {
			if i%1500 == 1499 {
				return fmt.Errorf("extent %d", i)
			}
			clear(p)
			return nil
		}})
	}
	m, err := b.Map(400_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 4} {
		if _, err := block.Used(context.Background(), m, 50, workers); err == nil || err.Error() != "extent 1499" {
			t.Errorf("%d workers: %v", workers, err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	cancel(why)
	if _, err := block.Used(ctx, m, 50, 2); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestEntries: any part of a table reads as it should.
func TestEntries(t *testing.T) {
	table := block.Entries(100, 4, func(p []byte, index int64) { binary.BigEndian.PutUint32(p, uint32(index)*0x01010101) })
	all := make([]byte, 400)
	if err := content.ReadFull(table, all, 0); err != nil {
		t.Fatal(err)
	}
	for off := range 40 {
		for n := 1; n < 30; n++ {
			p := make([]byte, n)
			if err := content.ReadFull(table, p, int64(off)); err != nil || !bytes.Equal(p, all[off:off+n]) {
				t.Fatalf("%d bytes at %d: %x, %v", n, off, p, err)
			}
		}
	}
	if all[4*77] != 77 {
		t.Errorf("entry 77 is %x", all[4*77:4*78])
	}
}

// TestTable: entries are read in order, over the borders of pieces, and only
// from a file that has them.
func TestTable(t *testing.T) {
	const count = 50_000
	p := make([]byte, 3+4*count)
	for i := range count {
		binary.LittleEndian.PutUint32(p[3+4*i:], uint32(i))
	}
	r, size := bytes.NewReader(p), int64(len(p))
	next := int64(0)
	each := func(index int64, entry []byte) error {
		if index != next || binary.LittleEndian.Uint32(entry) != uint32(index) {
			return fmt.Errorf("entry %d is %x", index, entry)
		}
		next++
		return nil
	}
	if err := block.Table(r, size, 3, count, 4, "table", each); err != nil || next != count {
		t.Errorf("%d entries, %v", next, err)
	}
	for _, c := range [][2]int64{{4, count}, {-1, 1}, {0, 1 << 62}, {1 << 62, 1}, {0, -1}, {size, 1}} {
		err := block.Table(r, size, c[0], c[1], 4, "table", func(int64, []byte) error { return errors.New("read") })
		if !errors.Is(err, block.ErrTruncated) || !strings.HasPrefix(err.Error(), "table: ") {
			t.Errorf("%d entries at %d: %v", c[1], c[0], err)
		}
	}
	stop := errors.New("stop")
	if err := block.Table(r, size, 3, 5, 4, "table", func(int64, []byte) error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
}

// TestPlacement: blocks that lie side by side become one, overlaps and what is
// outside are refused.
func TestPlacement(t *testing.T) {
	file := content.Bytes("HHaabbccTTdd")
	size := file.Size()
	place := func(source content.Source, adds ...[3]int64) (*diskmap.Map, error) {
		p := block.NewPlacement(size)
		if err := p.Reserve("header", 0, 2); err != nil {
			t.Fatal(err)
		}
		if err := p.Reserve("table", 8, 2); err != nil {
			t.Fatal(err)
		}
		for _, a := range adds {
			if err := p.Add(a[0], a[1], a[2]); err != nil {
				return nil, err
			}
		}
		return p.Map(source, 20)
	}
	m, err := place(file, [3]int64{0, 4, 2}, [3]int64{2, 6, 2}, [3]int64{10, 2, 2}, [3]int64{18, 10, 2})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 20)
	if err := content.ReadFull(m, got, 0); err != nil || string(got) != "bbcc\x00\x00\x00\x00\x00\x00aa\x00\x00\x00\x00\x00\x00dd" {
		t.Errorf("got %q, %v", got, err)
	}
	extents := 0
	for range m.Extents(0, 20) {
		extents++
	}
	if extents != 3 {
		t.Errorf("%d extents, want 3", extents)
	}

	for want, add := range map[string][3]int64{
		"the header and the data of the disk's byte 5": {5, 1, 2},
		"the table": {5, 7, 2},
		"the data of the disk's byte 0 and the data of the disk's byte 5 l": {5, 4, 2},
		"truncated": {5, 11, 2},
		"damaged":   {5, -2, 2},
	} {
		if _, err := place(file, [3]int64{0, 4, 1}, add); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}

	// Holes of the file are holes of the disk.
	var b diskmap.Builder
	b.Place(3, content.Bytes("x"))
	sparse, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = place(sparse, [3]int64{10, 2, 6}); err != nil || m.DataSize() != 1 {
		t.Errorf("%d bytes of data, %v", m.DataSize(), err)
	}
}

// TestProgress: what a container adds to the disk is not progress.
func TestProgress(t *testing.T) {
	m := maps.Random(t, 1, 3<<20)
	var b diskmap.Builder
	b.Place(0, content.Bytes(make([]byte, 100_000)))
	b.Place(1<<20, m)
	file, err := b.Map(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	done := int64(0)
	maps.Write(t, "file", func(f *os.File) error {
		return block.WriteFile(context.Background(), file, m, f, block.Options{Workers: 1, Progress: func(n int64) { done += n }})
	})
	if done != m.DataSize() {
		t.Errorf("progress of %d, want %d", done, m.DataSize())
	}
}
