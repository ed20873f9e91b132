package block

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"diskwright/content"
	"diskwright/diskmap"
)

// MaxSpans is how many separate runs of blocks an image may have. Each costs
// memory, up to 100 bytes; an image of 4 TiB in blocks of 1 MiB that are all in
// disorder has as many.
const MaxSpans = 4 << 20

// Source returns r as a source of size bytes. If r is one already it stays what
// it is, which lets the kernel copy what lies in a file of the host.
func Source(r io.ReaderAt, size int64) content.Source {
	if s, ok := r.(content.Source); ok && s.Size() == size {
		return s
	}
	return &source{r, size}
}

type source struct {
	io.ReaderAt
	size int64
}

func (s *source) Size() int64 { return s.size }

// ReadAt reads n bytes at off of an image of size bytes, or says that what they
// are, named by what, is cut off.
func ReadAt(r io.ReaderAt, size, off int64, n int, what string) ([]byte, error) {
	if off < 0 || off > size-int64(n) {
		return nil, truncated(what, off, int64(n), size)
	}
	p := make([]byte, n)
	if err := content.ReadFull(r, p, off); err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	return p, nil
}

// ErrTruncated is wrapped by errors about parts of an image that lie behind the
// end of its file.
var ErrTruncated = errors.New("the file is truncated or damaged")

func truncated(what string, off, n, size int64) error {
	return fmt.Errorf("%s: %d bytes at %d, but the file has %d: %w", what, n, off, size, ErrTruncated)
}

// tablePiece is how much of a table is in memory at a time.
const tablePiece = 64 << 10

// tablePieces are kept, because a disk may have a hundred thousand tables.
var tablePieces = sync.Pool{New: func() any { return new([tablePiece]byte) }}

// Table reads count entries of width bytes at off of an image of size bytes and
// calls each for all of them, in order. It holds little of the table, which is
// checked to lie in the file before anything is read.
func Table(r io.ReaderAt, size, off, count int64, width int, what string, each func(index int64, entry []byte) error) error {
	w := int64(width)
	if off < 0 || count < 0 || count > size/w || off > size-count*w {
		return truncated(what, off, count*w, size)
	}
	piece := tablePieces.Get().(*[tablePiece]byte)
	defer tablePieces.Put(piece)
	buffer := piece[:tablePiece-tablePiece%w]
	for index := int64(0); index < count; {
		p := buffer[:min(int64(len(buffer)), (count-index)*w)]
		if err := content.ReadFull(r, p, off+index*w); err != nil {
			return fmt.Errorf("reading the %s: %w", what, err)
		}
		for ; len(p) > 0; p = p[w:] {
			if err := each(index, p[:w]); err != nil {
				return err
			}
			index++
		}
	}
	return nil
}

// Placement is where the blocks of a disk lie in the file of its image, and where
// the file has something else.
type Placement struct {
	fileSize int64
	runs     []placed
	others   []reserved
}

// placed is n bytes of the disk that lie at file.
type placed struct{ disk, file, n int64 }

// reserved is a part of the file that is no data.
type reserved struct {
	off, n int64
	what   string
}

// NewPlacement returns an empty one, for a file of size bytes.
func NewPlacement(size int64) *Placement { return &Placement{fileSize: size} }

// Reserve says that n bytes of the file are a header or table, in which no
// block may lie.
func (p *Placement) Reserve(what string, off, n int64) error {
	if off < 0 || n < 0 || off > p.fileSize-n {
		return truncated(what, off, n, p.fileSize)
	}
	if n == 0 {
		return nil
	}
	if last := len(p.others) - 1; last >= 0 {
		if o := &p.others[last]; o.what == what && o.off+o.n == off {
			o.n += n
			return nil
		}
	}
	if len(p.others) >= MaxSpans {
		return fmt.Errorf("more than %d tables", MaxSpans)
	}
	p.others = append(p.others, reserved{off, n, what})
	return nil
}

// Add says that n bytes of the disk lie at file. They must lie behind those
// that were added before.
func (p *Placement) Add(disk, file, n int64) error {
	if file < 0 || n < 0 || file > p.fileSize-n {
		return truncated(fmt.Sprintf("the data of the disk's byte %d", disk), file, n, p.fileSize)
	}
	if n == 0 {
		return nil
	}
	if last := len(p.runs) - 1; last >= 0 {
		r := &p.runs[last]
		if r.disk+r.n == disk && r.file+r.n == file {
			r.n += n
			return nil
		}
	}
	if len(p.runs) >= MaxSpans {
		return fmt.Errorf("the image is in more than %d pieces", MaxSpans)
	}
	p.runs = append(p.runs, placed{disk, file, n})
	return nil
}

// Map returns the disk of size bytes, read from src, the image's file. If that
// is a map, its holes are holes of the disk too. Map fails if two things lie in
// the same bytes of the file.
func (p *Placement) Map(src content.Source, size int64) (*diskmap.Map, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	var b diskmap.Builder
	b.Reserve(len(p.runs))
	for _, r := range p.runs {
		if m, ok := src.(*diskmap.Map); ok {
			Copy(&b, m, r.file, r.file+r.n, r.disk)
			continue
		}
		b.Place(r.disk, content.Section(src, r.file, r.n))
	}
	return b.Map(size)
}

// Check fails if two things lie in the same bytes of the file. An image in which
// one block stands for many would be a disk of any size for the price of a
// table.
func (p *Placement) Check() error {
	type piece struct {
		off, end int64
		index    int // in runs, or in others, negative, from -1 on
	}
	pieces := make([]piece, 0, len(p.runs)+len(p.others))
	for i, r := range p.runs {
		pieces = append(pieces, piece{r.file, r.file + r.n, i})
	}
	for i, o := range p.others {
		pieces = append(pieces, piece{o.off, o.off + o.n, -1 - i})
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.index, b.index))
	})
	name := func(x piece) string {
		if x.index < 0 {
			return "the " + p.others[-1-x.index].what
		}
		return fmt.Sprintf("the data of the disk's byte %d", p.runs[x.index].disk)
	}
	for i := 1; i < len(pieces); i++ {
		if a, b := pieces[i-1], pieces[i]; b.off < a.end {
			return fmt.Errorf("%s and %s lie in the same bytes of the file, at %d", name(a), name(b), b.off)
		}
	}
	return nil
}
