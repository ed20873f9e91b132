package ext4

import (
	"iter"
	"sort"

	"diskwright/content"
	"diskwright/diskmap"
)

// span is count blocks of a file from block first on that hold data; before
// of the file's data blocks come ahead of them. What lies between spans are
// holes.
type span struct{ first, count, before uint32 }

func (s span) end() int64 { return int64(s.first) + int64(s.count) }

// blocksFor returns how many blocks size bytes fill.
func blocksFor(size int64) int64 { return (size + blockSize - 1) / blockSize }

// spansOf returns the spans of a file's content and how many blocks they have.
// The spans are nil where there is nothing to remember: data in every block
// from the first to the last. Only whole blocks without data are holes.
func spansOf(src content.Source) (spans []span, blocks int64) {
	if src == nil {
		return nil, 0
	}
	if _, sparse := src.(*diskmap.Map); !sparse {
		return nil, blocksFor(src.Size())
	}
	spans = []span{}
	end := int64(0) // behind the last span
	for e := range diskmap.ExtentsOf(src) {
		first, last := max(e.Offset/blockSize, end), blocksFor(e.End())
		if last <= end {
			continue
		}
		n := uint32(last - first)
		if len(spans) > 0 && first == end {
			spans[len(spans)-1].count += n
		} else {
			spans = append(spans, span{uint32(first), n, uint32(blocks)})
		}
		blocks += int64(n)
		end = last
	}
	if blocks == blocksFor(src.Size()) {
		return nil, blocks
	}
	return spans, blocks
}

// spanBlocks returns how many blocks spans have.
func spanBlocks(spans []span) int64 {
	if len(spans) == 0 {
		return 0
	}
	last := spans[len(spans)-1]
	return int64(last.before) + int64(last.count)
}

// body is the blocks of one inode: its data in ascending order from rank on,
// and right behind it the blocks that map it, which are nodes of an extent
// tree or indirect blocks.
type body struct {
	spans  []span // nil: one span, [0, blocks)
	blocks int64
	rank   int64
}

// piece is a run of blocks of the disk that holds the blocks of a file from
// logical on. Pieces are as long as both sides are contiguous.
type piece struct {
	logical int64
	run
}

// pieces yields the pieces that hold the file's blocks from block from on, in
// order.
func (b body) pieces(sp *space, from int64) iter.Seq[piece] {
	spans := b.spans
	if spans == nil && b.blocks > 0 {
		spans = []span{{count: uint32(b.blocks)}}
	}
	return func(yield func(piece) bool) {
		i := sort.Search(len(spans), func(i int) bool { return spans[i].end() > from })
		for _, s := range spans[i:] {
			first := max(int64(s.first), from)
			skip := first - int64(s.first)
			for r := range sp.slice(b.rank+int64(s.before)+skip, int64(s.count)-skip) {
				if !yield(piece{first, r}) {
					return
				}
				first += r.count
			}
		}
	}
}

// A blockMap is how an inode says where its blocks are: an extent tree or
// indirect blocks. It owns nodes, blocks of its own behind the body's.
type blockMap interface {
	// nodes returns how many blocks the map occupies.
	nodes() int64
	// root writes i_block.
	root(p []byte)
	// node writes the i-th of its blocks.
	node(p []byte, i int64)
}
