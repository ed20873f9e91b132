package content

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// counting returns a source of n bytes made on demand, and the same bytes.
func counting(n int) (*Generated, []byte) {
	all := make([]byte, n)
	for i := range all {
		all[i] = byte(i*7 + i>>8)
	}
	return &Generated{Length: int64(n), Fill: func(p []byte, off int64) error {
		copy(p, all[off:off+int64(len(p))]) // panics outside
		return nil
	}}, all
}

func TestSourcesAreReaders(t *testing.T) {
	generated, all := counting(3000)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(append([]byte("xx"), all...)); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]Source{
		"bytes":              Bytes(all),
		"generated":          generated,
		"section":            Section(generated, 0, 3000),
		"section of bytes":   Section(Bytes(append([]byte("xx"), all...)), 2, 3000),
		"part":               Part{file, 2, 3000},
		"section of part":    Section(Part{file, 1, 3001}, 1, 3000),
		"section of section": Section(Section(generated, 0, 2999), 0, 2999),
	} {
		t.Run(name, func(t *testing.T) {
			want := all[:src.Size()]
			if err := iotest.TestReader(io.NewSectionReader(src, 0, src.Size()), want); err != nil {
				t.Error(err)
			}
			for _, off := range []int64{-1, src.Size() + 1, math.MaxInt64, math.MinInt64} {
				if n, err := src.ReadAt(make([]byte, 1), off); n > 0 || err == nil {
					t.Errorf("ReadAt(%d) = %d, %v", off, n, err)
				}
			}
			if n, err := src.ReadAt(make([]byte, 10), src.Size()-3); n != 3 || err != io.EOF {
				t.Errorf("a read across the end = %d, %v", n, err)
			}
			if n, err := src.ReadAt(nil, src.Size()); n != 0 || err != nil {
				t.Errorf("an empty read at the end = %d, %v", n, err)
			}
		})
	}
}

func TestSectionsNest(t *testing.T) {
	generated, all := counting(500)
	rapid.Check(t, func(t *rapid.T) {
		src, want := Source(generated), all
		if rapid.Bool().Draw(t, "in memory") {
			src = Bytes(all)
		}
		for range rapid.IntRange(1, 4).Draw(t, "depth") {
			off := rapid.IntRange(0, len(want)).Draw(t, "off")
			n := rapid.IntRange(0, len(want)-off).Draw(t, "n")
			src, want = Section(src, int64(off), int64(n)), want[off:off+n]
		}
		got := make([]byte, len(want))
		if err := ReadFull(src, got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%x, %v, want %x", got, err, want)
		}
	})
}

func TestSectionOutsidePanics(t *testing.T) {
	for _, c := range [][2]int64{{-1, 1}, {0, 11}, {11, 0}, {5, -1}, {math.MaxInt64, 1}, {1, math.MaxInt64}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Section(%d, %d) of 10 bytes does not panic", c[0], c[1])
				}
			}()
			Section(Bytes("0123456789"), c[0], c[1])
		}()
	}
}

func TestReadFull(t *testing.T) {
	broken := errors.New("broken")
	g := &Generated{Length: 4, Fill: func([]byte, int64) error { return broken }}
	if err := ReadFull(g, make([]byte, 2), 1); err != broken {
		t.Errorf("got %v", err)
	}
	if err := ReadFull(Bytes("abc"), make([]byte, 2), 2); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
	if err := ReadFull(Bytes("abc"), make([]byte, 2), 1); err != nil {
		t.Error(err)
	}
}
