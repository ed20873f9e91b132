package zfs

import (
	"fmt"
	"io"
	"sort"
	"sync"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
)

// run is blocks of a file that lie one behind the other in the pool: either as they
// are, and then they follow each other in the file too, or compressed.
type run struct {
	blockSize int
	packed    bool
	start     int64 // address of the first
	end       int64 // behind the last
	size      int64 // of the last one's data, from start
	blocks    []runBlock
}

// runBlock is a block of a run.
type runBlock struct {
	index int64 // in the file
	at    int64 // from the run's start
	size  int   // in the pool, without what is unused of its last unit
}

func newRun(index int64, b *ondisk.BlockPointer) run {
	r := run{
		blockSize: b.LogicalSize,
		packed:    b.Compression != ondisk.CompressionOff,
		start:     b.Addresses[0].Offset,
	}
	r.end = r.start
	r.extend(index, b)
	return r
}

// extend appends a block, if it continues the run.
func (r *run) extend(index int64, b *ondisk.BlockPointer) bool {
	a := b.Addresses[0]
	if packed := b.Compression != ondisk.CompressionOff; a.Offset != r.end || packed != r.packed || r.blockSize != b.LogicalSize {
		return false
	}
	if n := len(r.blocks); n > 0 && !r.packed {
		last := r.blocks[n-1]
		// What is unused behind a block is not data of the file.
		if index != last.index+1 || r.start+last.at+int64(last.size) != r.end {
			return false
		}
	}
	r.blocks = append(r.blocks, runBlock{index, a.Offset - r.start, b.PhysicalSize})
	r.end = a.Offset + int64(a.Size)
	r.size = a.Offset - r.start + int64(b.PhysicalSize)
	return true
}

// placeRun puts a run into the map. Blocks that are not compressed are just a part
// of the file.
func (z *zpl) placeRun(r *run, src content.Source) {
	if len(r.blocks) == 0 {
		return
	}
	var data content.Source
	if r.packed {
		data = &packedRun{run: *r, packing: z.fs.storage.packing, src: src}
	} else {
		from := r.blocks[0].index * int64(r.blockSize)
		data = content.Section(src, from, min(r.size, src.Size()-from))
	}
	z.pool.disk.Place(ondisk.DataOffset+r.start, data)
}

// packedRun is the blocks of a run as they lie in the pool. They are compressed
// when they are read.
type packedRun struct {
	run
	packing packing
	src     content.Source
}

// Size returns the length in bytes.
func (r *packedRun) Size() int64 { return r.size }

// unpacker has what a reader of packed runs needs.
type unpacker struct {
	packer *packer
	buffer []byte
}

// unpackers are those not in use: a [sync.Pool] for each packing.
var unpackers sync.Map

// ReadAt implements [io.ReaderAt].
func (r *packedRun) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > r.size {
		return 0, fmt.Errorf("offset %d is outside of %d bytes", off, r.size)
	}
	n := min(int64(len(p)), r.size-off)
	idle, _ := unpackers.LoadOrStore(r.packing, new(sync.Pool))
	u, _ := idle.(*sync.Pool).Get().(*unpacker)
	if u == nil {
		u = &unpacker{packer: newPacker(r.packing), buffer: make([]byte, segmentSize)}
	}
	defer idle.(*sync.Pool).Put(u)
	i := sort.Search(len(r.blocks), func(i int) bool { return r.blocks[i].at > off }) - 1
	clear(p[:n]) // the unused parts
	for i < len(r.blocks) && r.blocks[i].at < off+n {
		count := r.batch(i, off+n)
		if err := r.read(u, p[:n], off, r.blocks[i:i+count]); err != nil {
			return 0, err
		}
		i += count
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// batch returns how many blocks from block i on follow each other in the file, begin
// before end, and can be read at once.
func (r *packedRun) batch(i int, end int64) int {
	n := 1
	for i+n < len(r.blocks) && r.blocks[i+n].index == r.blocks[i+n-1].index+1 &&
		r.blocks[i+n].at < end && (n+1)*r.blockSize <= segmentSize {
		n++
	}
	return n
}

// read compresses blocks that follow each other in the file to where they belong in
// p, which begins at off of the run.
func (r *packedRun) read(u *unpacker, p []byte, off int64, blocks []runBlock) error {
	raw := u.buffer[:len(blocks)*r.blockSize]
	if err := readPadded(r.src, raw, blocks[0].index*int64(r.blockSize)); err != nil {
		return err
	}
	for i, b := range blocks {
		data, ok := u.packer.pack(raw[i*r.blockSize:][:r.blockSize])
		if !ok || len(data) != b.size {
			return fmt.Errorf("block %d of a file is not what it was when the pool was planned: %w", b.index, content.ErrChanged)
		}
		if b.at >= off {
			copy(p[b.at-off:], data)
		} else if skip := off - b.at; skip < int64(len(data)) {
			copy(p, data[skip:])
		}
	}
	return nil
}
