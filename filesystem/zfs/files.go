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

// segmentSize is how much of a file is read at once.
const segmentSize = 1 << 20

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

	// jobs are those that were begun, in order.
	jobs chan *job
}

// job is a segment that a worker sums.
type job struct {
	src       content.Source
	ordinal   uint32 // of the file
	blockSize int
	segment
	sums  []blockSum
	err   error
	ready chan struct{}
}

// blockSum is what is known of a block without keeping it, but if it is embedded.
type blockSum struct {
	size     int32 // in the pool, or as it is embedded; 0 is a hole
	packed   bool
	embedded []byte // nil if it is not
	sum      ondisk.Checksum
}

// readFiles starts reading.
func (z *zpl) readFiles(ctx context.Context) *files {
	workers := z.pool.opts.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	f := &files{ctx: ctx, done: make(chan struct{}), jobs: make(chan *job, 4*workers)}
	work := make(chan *job)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			w := newSummer(&z.fs.storage, z.pool.features.has(featureEmbeddedData))
			for j := range work {
				if z.pool.assume {
					w.assume(j)
				} else {
					j.err = w.sum(j)
				}
				close(j.ready)
			}
		})
	}
	running.Go(func() {
		defer close(work)
		z.eachSegment(func(j *job) bool {
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

// eachSegment calls do for every segment of every file, in the order in which
// [files.write] asks for them, until do returns false.
func (z *zpl) eachSegment(do func(*job) bool) {
	for _, inode := range z.inodes {
		if !inode.IsRegular() || inode.Content == nil {
			continue
		}
		size := z.fs.fileBlockSize(inode.Size())
		for s := range segments(inode.Content, size) {
			if !do(&job{src: inode.Content, ordinal: inode.Ordinal, blockSize: size, segment: s, ready: make(chan struct{})}) {
				return
			}
		}
	}
}

// wait returns when nothing is read any more. The context must have ended, or all
// jobs have been taken.
func (f *files) wait() { <-f.done }

// next returns the next job, when it is done.
func (f *files) next() (*job, error) {
	select {
	case j := <-f.jobs:
		select {
		case <-j.ready:
			return j, j.err
		case <-f.ctx.Done():
		}
	case <-f.ctx.Done():
	}
	return nil, context.Cause(f.ctx)
}

// write gives the blocks of the next file, an inode with content, their places.
func (f *files) write(z *zpl, t *blockTree, ordinal uint32, blockSize int) error {
	var r run
	src := z.inodes[ordinal].Content
	for s := range segments(src, blockSize) {
		j, err := f.next()
		if err != nil {
			return err
		}
		for i, sum := range j.sums {
			if sum.size == 0 {
				continue
			}
			index := s.first + int64(i)
			b := z.dataBlock(sum, blockSize)
			if sum.embedded == nil && !r.extend(index, &b) {
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
	buffer   []byte
}

func newSummer(s *storage, mayEmbed bool) *summer {
	return &summer{kind: s.checksum, packer: newPacker(s.packing), mayEmbed: mayEmbed}
}

// sum reads a segment and sums its blocks.
func (w *summer) sum(j *job) error {
	size := int(j.count) * j.blockSize
	if len(w.buffer) < size {
		w.buffer = make([]byte, size)
	}
	if err := readPadded(j.src, w.buffer[:size], j.first*int64(j.blockSize)); err != nil {
		return err
	}
	j.sums = make([]blockSum, j.count)
	for i := range j.sums {
		data := w.buffer[i*j.blockSize:][:j.blockSize]
		if isZero(data) {
			continue
		}
		st := w.packer.store(data, w.mayEmbed)
		sum := blockSum{size: int32(len(st.data)), packed: st.packed}
		if st.embedded {
			sum.embedded = bytes.Clone(st.data)
		} else {
			sum.sum = w.kind.Sum(st.data)
		}
		j.sums[i] = sum
	}
	return nil
}

// assume takes a segment for blocks that do not compress, but for the padding of a
// file's last one, with checksums that differ.
func (w *summer) assume(j *job) {
	j.sums = make([]blockSum, j.count)
	for i := range j.sums {
		index := j.first + int64(i)
		sum := blockSum{size: int32(j.blockSize)}
		data := int(min(j.src.Size()-index*int64(j.blockSize), int64(j.blockSize)))
		if packed := roundUp(data+data/128+64, 1<<w.packer.ashift); w.packer.encoder != nil && packed < j.blockSize-j.blockSize/8 {
			sum.size, sum.packed = int32(packed), true
		}
		random := rand.NewPCG(uint64(j.ordinal), uint64(index))
		for w := range sum.sum {
			sum.sum[w] = random.Uint64()
		}
		j.sums[i] = sum
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
