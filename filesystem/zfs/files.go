package zfs

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/zfs/ondisk"
)

const (
	// segmentSize is how much of a file is read at once.
	segmentSize = 1 << 20

	// A job ends with the segment with which it has this size, or so many
	// segments.
	jobSize   = 256 << 10
	maxPieces = 64
)

// segment is blocks of a file: count of them from block first on.
type segment struct{ first, count int64 }

// segments yields the blocks of a file that may have data, in order. Blocks that
// lie in holes of a sparse file are not there.
func segments(src content.Source, blockSize int) iter.Seq[segment] {
	most := max(segmentSize/int64(blockSize), 1)
	return func(yield func(segment) bool) {
		next := int64(0) // the first block that has not been yielded
		for e := range diskmap.ExtentsOf(src) {
			end := (e.End()-1)/int64(blockSize) + 1
			for next = max(next, e.Offset/int64(blockSize)); next < end; {
				s := segment{next, min(most, end-next)}
				if !yield(s) {
					return
				}
				next += s.count
			}
		}
	}
}

// files reads the content of all files ahead, in order, sums it, and compresses it
// to learn its size.
type files struct {
	ctx  context.Context
	done chan struct{} // closed when nothing is read any more

	// jobs are those that were begun, in order. Of current, pieces are left.
	jobs    chan *job
	current *job
	pieces  []piece

	idle chan []byte // memory for the blocks of a job
}

// job is what a worker sums at a time: a piece of a large file, or many small ones,
// since handing one over takes as long as reading it.
type job struct {
	pieces []piece
	size   int64
	blocks []byte // those that are to be spooled, as they lie in the pool
	err    error
	ready  chan struct{}
}

// piece is a segment of a file.
type piece struct {
	src       content.Source
	ordinal   uint32 // of the file
	blockSize int
	segment
	sums []blockSum
}

// blockSum is what is known of a block without keeping it, but if it is embedded.
type blockSum struct {
	size     int32 // in the pool, or as it is embedded; 0 is a hole
	packed   bool
	embedded []byte // nil if it is not
	spooled  int32  // where it is among the blocks of the job; -1 is nowhere
	sum      ondisk.Checksum
}

// readFiles starts reading.
func (z *zpl) readFiles(ctx context.Context) *files {
	workers := z.pool.opts.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	f := &files{ctx: ctx, done: make(chan struct{}), jobs: make(chan *job, 2*workers+4), idle: make(chan []byte, 3*workers+4)}
	work := make(chan *job)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			w := z.newSummer()
			for j := range work {
				if z.pool.assume {
					w.assume(j)
				} else {
					j.err = w.sum(j)
					j.blocks = w.packer.take(f.memory())
				}
				close(j.ready)
			}
		})
	}
	running.Go(func() {
		defer close(work)
		z.eachJob(func(j *job) bool {
			for _, c := range []chan *job{f.jobs, work} {
				select {
				case c <- j:
				case <-ctx.Done():
					return false
				}
			}
			return true
		})
	})
	go func() {
		running.Wait()
		close(f.done)
	}()
	return f
}

// eachJob calls do with the segments of every file, in the order in which
// [files.write] asks for them, until do returns false.
func (z *zpl) eachJob(do func(*job) bool) {
	j := &job{ready: make(chan struct{})}
	for _, inode := range z.inodes {
		if !inode.IsRegular() || inode.Content == nil {
			continue
		}
		size := z.fs.fileBlockSize(inode.Size())
		for s := range segments(inode.Content, size) {
			j.pieces = append(j.pieces, piece{src: inode.Content, ordinal: inode.Ordinal, blockSize: size, segment: s})
			if j.size += s.count * int64(size); j.size < jobSize && len(j.pieces) < maxPieces {
				continue
			}
			if !do(j) {
				return
			}
			j = &job{ready: make(chan struct{})}
		}
	}
	if len(j.pieces) > 0 {
		do(j)
	}
}

// wait returns when nothing is read any more. The context must have ended, or all
// jobs have been taken.
func (f *files) wait() { <-f.done }

// memory returns memory that no job uses, if there is any.
func (f *files) memory() []byte {
	select {
	case m := <-f.idle:
		return m
	default:
		return nil
	}
}

// next returns the next piece, summed.
func (f *files) next() (p piece, err error) {
	if len(f.pieces) == 0 {
		if err := f.nextJob(); err != nil {
			return p, err
		}
	}
	p, f.pieces = f.pieces[0], f.pieces[1:]
	return p, nil
}

// nextJob takes the next job, when it is done. Nobody uses the blocks of the one
// before it any more.
func (f *files) nextJob() error {
	if f.current != nil {
		select {
		case f.idle <- f.current.blocks:
		default:
		}
		f.current = nil
	}
	select {
	case j := <-f.jobs:
		select {
		case <-j.ready:
			f.current, f.pieces = j, j.pieces
			return j.err
		case <-f.ctx.Done():
		}
	case <-f.ctx.Done():
	}
	return context.Cause(f.ctx)
}

// write gives the blocks of the next file, an inode with content, their places.
func (f *files) write(z *zpl, t *blockTree, ordinal uint32, blockSize int) error {
	var r run
	src := z.inodes[ordinal].Content
	for s := range segments(src, blockSize) {
		if len(f.pieces) == 0 { // what is spooled so far is of a job that ends
			if err := z.spooling.flush(); err != nil {
				return err
			}
		}
		p, err := f.next()
		if err != nil {
			return err
		}
		for i, sum := range p.sums {
			if sum.size == 0 {
				continue
			}
			index := s.first + int64(i)
			b := z.dataBlock(sum, blockSize)
			switch {
			case sum.embedded != nil:
			case sum.spooled >= 0:
				if err := z.spooling.add(&b, f.current.blocks, int(sum.spooled)); err != nil {
					return err
				}
			case !r.extend(index, &b):
				z.placeRun(&r, ordinal)
				r = newRun(index, &b)
			}
			t.add(index, &b)
		}
	}
	z.placeRun(&r, ordinal)
	return nil
}

// dataBlock allocates a block of a file.
func (z *zpl) dataBlock(sum blockSum, blockSize int) ondisk.BlockPointer {
	b := ondisk.BlockPointer{
		LogicalSize: blockSize, PhysicalSize: int(sum.size), Compression: ondisk.CompressionOff,
		Type: ondisk.TypeFileContents, Birth: birth, Fill: 1, Embedded: sum.embedded,
	}
	if sum.embedded == nil {
		b.Addresses = z.pool.space.take(int(sum.size), z.fs.storage.copies)
		b.ChecksumKind, b.Checksum = z.fs.storage.checksum, sum.sum
	}
	if sum.packed {
		b.Compression = z.fs.storage.compression
	}
	z.pool.useFeatures(z.fs, &b)
	z.objset.space.Count(&b)
	return b
}

// summer is a worker's own.
type summer struct {
	kind     ondisk.ChecksumKind
	packer   *packer
	mayEmbed bool

	// Whether blocks that are compressed, and others, are kept for the spool.
	keepPacked, keepAll bool

	buffer []byte
}

func (z *zpl) newSummer() *summer {
	s, opts := &z.fs.storage, &z.pool.opts
	return &summer{
		kind: s.checksum, packer: newPacker(s.packing), mayEmbed: z.pool.features.has(featureEmbeddedData),
		keepPacked: opts.Spool != nil, keepAll: opts.Spool != nil && opts.SpoolAll,
	}
}

// sum reads the pieces of a job and sums their blocks. Those that are to be spooled
// are kept.
func (w *summer) sum(j *job) error {
	for i := range j.pieces {
		if err := w.sumPiece(&j.pieces[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *summer) sumPiece(p *piece) error {
	size := int(p.count) * p.blockSize
	if len(w.buffer) < size {
		w.buffer = make([]byte, size)
	}
	if err := readPadded(p.src, w.buffer[:size], p.first*int64(p.blockSize)); err != nil {
		return err
	}
	p.sums = make([]blockSum, p.count)
	for i := range p.sums {
		data := w.buffer[i*p.blockSize:][:p.blockSize]
		if isZero(data) {
			continue
		}
		st := w.packer.store(data, w.mayEmbed)
		sum := blockSum{size: int32(len(st.data)), packed: st.packed, spooled: -1}
		if st.embedded {
			sum.embedded = bytes.Clone(st.data)
		} else {
			sum.sum = w.kind.Sum(st.data)
			if w.keepPacked && st.packed || w.keepAll {
				sum.spooled = int32(w.packer.keep(st))
			}
		}
		p.sums[i] = sum
	}
	return nil
}

// assume takes the pieces of a job for blocks that do not compress, but for the
// padding of a file's last one, with checksums that differ.
func (w *summer) assume(j *job) {
	for i := range j.pieces {
		w.assumePiece(&j.pieces[i])
	}
}

func (w *summer) assumePiece(p *piece) {
	p.sums = make([]blockSum, p.count)
	for i := range p.sums {
		index := p.first + int64(i)
		sum := blockSum{size: int32(p.blockSize), spooled: -1}
		data := int(min(p.src.Size()-index*int64(p.blockSize), int64(p.blockSize)))
		if packed := roundUp(data+data/128+64, 1<<w.packer.ashift); w.packer.encoder != nil && packed < p.blockSize-p.blockSize/8 {
			sum.size, sum.packed = int32(packed), true
		}
		random := rand.NewPCG(uint64(p.ordinal), uint64(index))
		for w := range sum.sum {
			sum.sum[w] = random.Uint64()
		}
		p.sums[i] = sum
	}
}

// readPadded fills p with the bytes of src from off on, and with zeros behind its
// end.
func readPadded(src content.Source, p []byte, off int64) error {
	n := min(int64(len(p)), src.Size()-off)
	if n < 0 {
		return fmt.Errorf("offset %d is behind %d bytes", off, src.Size())
	}
	clear(p[n:])
	return content.ReadFull(src, p[:n], off)
}
