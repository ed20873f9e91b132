package block

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"runtime"
	"sync"

	"diskwright/content"
	"diskwright/diskmap"
)

// batchSize is about how much of the disk a worker takes at a time. A large file of
// the host is opened once for it.
const batchSize = 2 << 20

// Layout says how a container keeps blocks.
type Layout struct {
	// Size of a block in bytes. The disk's last block may be shorter.
	Size int
	// Encode appends to dst what is stored of a block: src, which is not all
	// zeros. Workers call it, several at once. src may be returned instead.
	Encode func(dst, src []byte) ([]byte, error)
	// Place returns the offset in the file of what is stored of a block. It is
	// called once for each block that is not all zeros, in the order of the
	// map, never twice at once. Stream does not use it.
	Place func(b Block) (offset int64, err error)
}

// Block is a piece of the disk that is not all zeros.
type Block struct {
	Index  int64  // offset on the disk / Layout.Size
	Length int    // on the disk
	Data   []byte // what is stored
}

// Write reads m in blocks, encodes those that are not all zeros and writes them
// to f. Blocks are placed only when they and all before them have been read
// without error. Errors name the file that they are about:
// f, or the source in m; it is the first of the map.
func Write(ctx context.Context, m *diskmap.Map, f *os.File, l Layout, o Options) error {
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	first := make(chan struct{})
	close(first)
	b := &batches{m: m, size: int64(max(1, batchSize/l.Size)) * int64(l.Size), turn: first}
	var running sync.WaitGroup
	// Twice as many as are busy, since some wait for their turn.
	for range 2 * workers {
		running.Go(func() {
			w := &writer{batches: b, f: f, layout: l, options: o}
			for {
				batch, ok := b.next(ctx)
				if !ok {
					return
				}
				if err := w.do(batch); err != nil {
					b.fail(batch, err)
				}
			}
		})
	}
	running.Wait()
	return b.err
}

// batches hands out the parts of the map that hold data, in order.
type batches struct {
	m    *diskmap.Map
	size int64 // of a batch, a multiple of the block size

	mu      sync.Mutex
	pos     int64           // end of the last batch
	turn    <-chan struct{} // closed when the last batch has been placed
	stopped bool
	failed  int64 // start of the batch that err is of
	err     error
}

// batch is a part of the map. It is placed between the closing of turn and that
// of placed.
type batch struct {
	from, to int64
	turn     <-chan struct{}
	placed   chan struct{}
}

func (b *batches) next(ctx context.Context) (batch, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return batch{}, false
	}
	if err := context.Cause(ctx); err != nil {
		b.stopped, b.failed, b.err = true, b.pos, err
		return batch{}, false
	}
	for e := range b.m.Extents(b.pos, b.m.Size()) {
		from := e.Offset - e.Offset%b.size
		b.pos = min(from+b.size, b.m.Size())
		next := batch{from, b.pos, b.turn, make(chan struct{})}
		b.turn = next.placed
		return next, true
	}
	b.stopped = true
	return batch{}, false
}

func (b *batches) fail(at batch, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.err == nil || at.from < b.failed {
		b.failed, b.err = at.from, err
	}
}

// failedBefore reports whether there was an error in front of a batch.
func (b *batches) failedBefore(at batch) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil && b.failed < at.from
}

// writer is a worker. The slices are kept for their memory.
type writer struct {
	*batches
	f       *os.File
	layout  Layout
	options Options
	buffer  []byte
	touched []bool // blocks of the batch in which the map has extents
	encoded [][]byte
	blocks  []Block
	offsets []int64
	joined  []byte
}

// do reads, places and writes a batch.
func (w *writer) do(b batch) error {
	n, err := w.read(b)
	if err == nil {
		err = w.encode()
	}
	<-b.turn
	if err == nil && !w.failedBefore(b) {
		err = w.place()
	} else {
		w.blocks = w.blocks[:0]
	}
	if err != nil {
		w.fail(b, err) // before the next batch has its turn
	}
	close(b.placed)
	if err != nil {
		return err
	}
	if err := w.write(); err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("%q: %w", w.f.Name(), err)
	}
	if w.options.Progress != nil {
		w.options.Progress(n)
	}
	return nil
}

// read makes blocks of what is not all zeros, and returns how long the extents
// are.
func (w *writer) read(b batch) (n int64, err error) {
	size := int64(w.layout.Size)
	if w.buffer == nil {
		w.buffer = make([]byte, w.size)
		w.touched = make([]bool, w.size/size)
	}
	clear(w.touched)
	w.blocks = w.blocks[:0]
	// Where no extent is in a block, the buffer holds anything.
	done := int64(0) // the end of what the buffer holds, in touched blocks
	for e := range w.m.Extents(b.from, b.to) {
		from, to := e.Offset-b.from, e.End()-b.from
		start := max(done, from-from%size)
		if start > done { // the rest of the block before, which is another one
			clear(w.buffer[done:min(roundUp(done, size), start)])
		}
		clear(w.buffer[start:from])
		if _, err := e.ReadAt(w.buffer[from:to], 0); err != nil {
			return n, err
		}
		for i := from / size; i <= (to-1)/size; i++ {
			w.touched[i] = true
		}
		done = to
		n += e.Length
	}
	clear(w.buffer[done:min(roundUp(done, size), w.size)])
	for i, touched := range w.touched {
		if !touched {
			continue
		}
		at := int64(i) * size
		p := w.buffer[at:min(at+size, b.to-b.from)]
		if !IsZero(p) {
			w.blocks = append(w.blocks, Block{Index: b.from/size + int64(i), Length: len(p), Data: p})
		}
	}
	return n, nil
}

// DivideUp returns how many units n needs.
func DivideUp(n, unit int64) int64 { return (n + unit - 1) / unit }

func roundUp(n, unit int64) int64 { return DivideUp(n, unit) * unit }

func (w *writer) encode() error {
	for len(w.encoded) < len(w.blocks) {
		w.encoded = append(w.encoded, nil)
	}
	for i := range w.blocks {
		b := &w.blocks[i]
		p, err := w.layout.Encode(w.encoded[i][:0], b.Data)
		if err != nil {
			return err
		}
		if len(p) > 0 && &p[0] != &b.Data[0] {
			w.encoded[i] = p
		}
		b.Data = p
	}
	return nil
}

func (w *writer) place() error {
	w.offsets = w.offsets[:0]
	for _, b := range w.blocks {
		offset, err := w.layout.Place(b)
		if err != nil {
			return err
		}
		w.offsets = append(w.offsets, offset)
	}
	return nil
}

// write writes blocks, which are small, together where they lie side by side.
func (w *writer) write() error {
	for i := 0; i < len(w.blocks); {
		w.joined = append(w.joined[:0], w.blocks[i].Data...)
		at := w.offsets[i]
		for i++; i < len(w.blocks) && w.offsets[i] == at+int64(len(w.joined)); i++ {
			w.joined = append(w.joined, w.blocks[i].Data...)
		}
		if _, err := content.WriteAt(w.f, w.joined, at); err != nil {
			return err
		}
	}
	return nil
}

// Stream yields the blocks of m that are not all zeros, encoded, in the order of
// the map, for formats that are written from front to back. Place is not used.
// A block's data is valid until the next step of the loop. An error is yielded
// once and ends the loop.
func Stream(ctx context.Context, m *diskmap.Map, l Layout, o Options) iter.Seq2[Block, error] {
	var buffers sync.Pool // of *[]byte
	type result struct {
		block  Block
		buffer *[]byte
		done   int64
	}
	work := func(c diskmap.Chunk) (result, error) {
		if c.IsHole() {
			return result{}, nil
		}
		r := result{done: c.Length}
		if IsZero(c.Data) {
			return r, nil
		}
		r.block = Block{Index: c.Offset / int64(l.Size), Length: int(c.Length), Data: c.Data}
		var ok bool
		if r.buffer, ok = buffers.Get().(*[]byte); !ok {
			r.buffer = new([]byte)
		}
		p, err := l.Encode((*r.buffer)[:0], c.Data)
		if err == nil && len(p) > 0 && &p[0] != &c.Data[0] {
			*r.buffer = p
		}
		r.block.Data = p
		return r, err
	}
	return func(yield func(Block, error) bool) {
		for r, err := range diskmap.Ordered(ctx, m, l.Size, o.Workers, work) {
			if err != nil {
				yield(Block{}, err)
				return
			}
			if r.block.Data != nil && !yield(r.block, nil) {
				return
			}
			if r.buffer != nil {
				buffers.Put(r.buffer)
			}
			if o.Progress != nil && r.done > 0 {
				o.Progress(r.done)
			}
		}
	}
}
