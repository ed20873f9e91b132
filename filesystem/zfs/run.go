package zfs

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"sync"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
)

// run is blocks of a file that are not spooled and lie one behind the other in the pool:
// either as they are, and then they follow each other in the file too, or compressed.
// All copies of the blocks do so, each at a place of its own.
type run struct {
	blockSize int
	packed    bool
	starts    []int64 // addresses of the first block's copies
	length    int64   // from a start to behind the last block
	size      int64   // of that without what is unused behind the last block's data
	blocks    []runBlock
}

// runBlock is a block of a run.
type runBlock struct {
	index int64  // in the file
	at    uint32 // from the run's start
	size  uint32 // in the pool, without what is unused of its last unit
}

func newRun(index int64, b *ondisk.BlockPointer) run {
	r := run{blockSize: b.LogicalSize, packed: b.Compression != ondisk.CompressionOff, starts: starts(b, nil)}
	r.extend(index, b)
	return r
}

// extend appends a block, if it continues the run.
func (r *run) extend(index int64, b *ondisk.BlockPointer) bool {
	if packed := b.Compression != ondisk.CompressionOff; packed != r.packed || r.blockSize != b.LogicalSize || !follows(b, r.starts, r.length) {
		return false
	}
	if r.length+int64(b.Addresses[0].Size) > math.MaxUint32 {
		return false
	}
	if n := len(r.blocks); n > 0 && !r.packed {
		last := r.blocks[n-1]
		// What is unused behind a block is not data of the file.
		if index != last.index+1 || int64(last.at)+int64(last.size) != r.length {
			return false
		}
	}
	r.blocks = append(r.blocks, runBlock{index, uint32(r.length), uint32(b.PhysicalSize)})
	r.size = r.length + int64(b.PhysicalSize)
	r.length += int64(b.Addresses[0].Size)
	return true
}

// starts appends the addresses of all copies of a block to list.
func starts(b *ondisk.BlockPointer, list []int64) []int64 {
	for _, a := range b.Addresses {
		if a.Size > 0 {
			list = append(list, a.Offset)
		}
	}
	return list
}

// follows reports whether each copy of a block lies so far behind one of the starts.
func follows(b *ondisk.BlockPointer, starts []int64, length int64) bool {
	for i, start := range starts {
		if b.Addresses[i].Offset != start+length {
			return false
		}
	}
	return len(starts) > 0
}

// placeRun puts a run of an inode's content into the map. Blocks that are not
// compressed are just a part of the file.
func (z *zpl) placeRun(r *run, ordinal uint32) {
	if r.length == 0 {
		return
	}
	src := z.inodes[ordinal].Content
	var data content.Source
	if r.packed {
		if len(r.blocks) < cap(r.blocks) {
			r.blocks = slices.Clone(r.blocks) // they stay, the room behind them need not
		}
		data = &packedRun{run: *r, packing: z.fs.storage.packing, src: src, paths: z.paths, ordinal: ordinal}
	} else {
		from := r.blocks[0].index * int64(r.blockSize)
		data = content.Section(src, from, min(r.size, src.Size()-from))
	}
	for _, start := range r.starts {
		z.pool.disk.Place(ondisk.DataOffset+start, data)
	}
}

// packedRun is the blocks of a run as they lie in the pool. They are compressed
// when they are read.
type packedRun struct {
	run
	packing packing
	src     content.Source
	*paths         // for errors
	ordinal uint32 // of the file
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

func unpackersFor(how packing) *sync.Pool {
	idle, ok := unpackers.Load(how)
	if !ok {
		idle, _ = unpackers.LoadOrStore(how, new(sync.Pool))
	}
	return idle.(*sync.Pool)
}

// ReadAt implements [io.ReaderAt].
func (r *packedRun) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > r.size {
		return 0, fmt.Errorf("offset %d is outside of %d bytes", off, r.size)
	}
	n := min(int64(len(p)), r.size-off)
	idle := unpackersFor(r.packing)
	u, _ := idle.Get().(*unpacker)
	if u == nil {
		u = &unpacker{packer: newPacker(r.packing), buffer: make([]byte, segmentSize)}
	}
	defer idle.Put(u)
	i := sort.Search(len(r.blocks), func(i int) bool { return int64(r.blocks[i].at) > off }) - 1
	clear(p[:n]) // the unused parts
	for i < len(r.blocks) && int64(r.blocks[i].at) < off+n {
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
		int64(r.blocks[i+n].at) < end && (n+1)*r.blockSize <= segmentSize {
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
		if !ok || len(data) != int(b.size) {
			return fmt.Errorf("%q: block %d is not what it was when the pool was planned: %w", r.path(r.ordinal), b.index, content.ErrChanged)
		}
		if at := int64(b.at); at >= off {
			copy(p[at-off:], data)
		} else if skip := off - at; skip < int64(len(data)) {
			copy(p, data[skip:])
		}
	}
	return nil
}
