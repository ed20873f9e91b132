package block_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"

	"pgregory.net/rapid"
)

// double stores every byte twice, and says no more about it.
func double(dst, src []byte) ([]byte, error) {
	for _, c := range src {
		dst = append(dst, c, c)
	}
	return dst, nil
}

// drawDisk returns a disk of small extents, some of them all zeros, and its
// bytes.
func drawDisk(t *rapid.T) (*diskmap.Map, []byte) {
	size := rapid.IntRange(0, 3000).Draw(t, "size")
	model := make([]byte, size)
	var b diskmap.Builder
	for pos := 0; ; {
		pos += rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 400)).Draw(t, "gap")
		n := rapid.IntRange(1, 300).Draw(t, "length")
		if pos+n > size {
			break
		}
		if rapid.Bool().Draw(t, "data") {
			for i := range n {
				model[pos+i] = byte(rapid.IntRange(0, 3).Draw(t, "byte"))
			}
		}
		b.Place(int64(pos), content.Bytes(bytes.Clone(model[pos:pos+n])))
		pos += n
	}
	m, err := b.Map(int64(size))
	if err != nil {
		t.Fatal(err)
	}
	return m, model
}

// TestWriteAndStream: exactly the blocks that are not all zeros, in order, each
// stored where it was placed.
func TestWriteAndStream(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		m, model := drawDisk(t)
		size := rapid.IntRange(1, 500).Draw(t, "block")
		var want []int64
		for i := 0; i*size < len(model); i++ {
			if !block.IsZero(model[i*size : min(len(model), (i+1)*size)]) {
				want = append(want, int64(i))
			}
		}
		f, err := os.Create(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		gap := int64(rapid.IntRange(0, 3).Draw(t, "gap between"))
		end := int64(7)
		var placed, offsets []int64
		var done atomic.Int64
		l := block.Layout{Size: size, Encode: double, Place: func(b block.Block) (int64, error) {
			if len(b.Data) != 2*b.Length {
				t.Errorf("block %d: %d bytes stored of %d", b.Index, len(b.Data), b.Length)
			}
			at := end
			placed, offsets = append(placed, b.Index), append(offsets, at)
			end += int64(len(b.Data)) + gap
			return at, nil
		}}
		o := block.Options{Workers: rapid.IntRange(1, 4).Draw(t, "workers"), Progress: func(n int64) { done.Add(n) }}
		if err := block.Write(context.Background(), m, f, l, o); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(placed) != fmt.Sprint(want) || done.Load() != m.DataSize() {
			t.Fatalf("placed %v, want %v; progress %d of %d", placed, want, done.Load(), m.DataSize())
		}
		for i, index := range placed {
			data := model[int(index)*size : min(len(model), (int(index)+1)*size)]
			stored, _ := double(nil, data)
			got := make([]byte, len(stored))
			if _, err := f.ReadAt(got, offsets[i]); err != nil || !bytes.Equal(got, stored) {
				t.Fatalf("block %d: %v or other bytes", index, err)
			}
		}
		var streamed []int64
		for b, err := range block.Stream(context.Background(), m, l, o) {
			if err != nil {
				t.Fatal(err)
			}
			stored, _ := double(nil, model[int(b.Index)*size:min(len(model), (int(b.Index)+1)*size)])
			if !bytes.Equal(b.Data, stored) {
				t.Fatalf("block %d of the stream has other bytes", b.Index)
			}
			streamed = append(streamed, b.Index)
		}
		if fmt.Sprint(streamed) != fmt.Sprint(want) {
			t.Fatalf("streamed %v, want %v", streamed, want)
		}
	})
}

// TestWriteErrors: of several errors the first of the map, and nothing is placed
// behind it.
func TestWriteErrors(t *testing.T) {
	const blocks = 400 // several batches
	for _, bad := range []int64{0, 1, 77, blocks - 1} {
		var b diskmap.Builder
		for i := range int64(blocks) {
			b.Place(i*64<<10, &content.Generated{Length: 64 << 10, Fill: func(p []byte, _ int64) error {
				if i >= bad {
					return fmt.Errorf("error %d", i)
				}
				p[0] = 1
				return nil
			}})
		}
		m, err := b.Map(blocks * 64 << 10)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		last := int64(-1)
		l := block.Layout{Size: 64 << 10, Encode: func(_, src []byte) ([]byte, error) { return src[:1], nil }, Place: func(b block.Block) (int64, error) {
			if b.Index != last+1 {
				t.Errorf("block %d behind %d", b.Index, last)
			}
			last = b.Index
			return b.Index, nil
		}}
		if err := block.Write(context.Background(), m, f, l, block.Options{Workers: 3}); err == nil || err.Error() != fmt.Sprintf("error %d", bad) {
			t.Errorf("got %v, want error %d", err, bad)
		}
		if last >= bad {
			t.Errorf("block %d was placed, behind error %d", last, bad)
		}
		// What cannot be placed or encoded is an error, too.
		failing := errors.New("no")
		l.Place = func(block.Block) (int64, error) { return 0, failing }
		if err := block.Write(context.Background(), m, f, l, block.Options{}); bad > 64 && !errors.Is(err, failing) {
			t.Errorf("place: %v", err)
		}
		l.Encode = func(_, _ []byte) ([]byte, error) { return nil, failing }
		if err := block.Write(context.Background(), m, f, l, block.Options{}); bad > 64 && !errors.Is(err, failing) {
			t.Errorf("encode: %v", err)
		}
		f.Close()
		l = block.Layout{Size: 64 << 10, Encode: double, Place: func(block.Block) (int64, error) { return 0, nil }}
		if err := block.Write(context.Background(), m, f, l, block.Options{}); bad > 64 && (err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%q: ", f.Name()))) {
			t.Errorf("closed file: %v", err)
		}
	}
}

func TestIsZero(t *testing.T) {
	for n := range 100 {
		p := make([]byte, n)
		if !block.IsZero(p) {
			t.Errorf("%d zeros are none", n)
		}
		for i := range p {
			p[i] = 1
			if block.IsZero(p) {
				t.Errorf("a one at %d of %d is overlooked", i, n)
			}
			p[i] = 0
		}
	}
}
