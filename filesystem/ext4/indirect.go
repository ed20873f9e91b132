package ext4

import (
	"encoding/binary"
	"sort"
)

// The block map of ext2 and ext3 ("Direct/Indirect Block Addressing" of the
// kernel's documentation): i_block has twelve direct entries and three that
// lead to trees of one, two and three levels of indirect blocks, each with 1,024
// entries of 32 bits. Entries of holes are zero, and indirect blocks that would
// be all zero do not exist.
//
//	i_block[0..11] ──► data
//	i_block[12]    ──► chunk 0 ──► data
//	i_block[13]    ──► table 0 ──► chunks 1..1024 ──► data
//	i_block[14]    ──► triple  ──► tables 1..1024 ──► chunks ──► data
//
// A chunk here is an indirect block whose entries are data, a table one whose
// entries are chunks: chunk 0 maps the first 1,024 blocks behind the direct
// ones, and chunks and tables count on through all three trees.
const (
	directBlocks   = 12
	entrySize      = 4
	entriesInBlock = blockSize / entrySize
)

// chunkOf returns the chunk that maps a block behind the direct ones.
func chunkOf(block int64) int64 { return (block - directBlocks) / entriesInBlock }

// tableOf returns the table that points at a chunk but chunk 0.
func tableOf(chunk int64) int64 { return (chunk - 1) / entriesInBlock }

// indirectMap is the indirect blocks of an inode: those chunks that map
// anything, then the tables that point at any, then the triple indirect block.
type indirectMap struct {
	body
	space  *space
	chunks chunks
	tables tables
}

// chunks are the existing chunks: numbers, or nil for all of 0 to count-1.
type chunks struct {
	sparse []uint32
	count  int64
}

// tables are the existing tables. There are 1,025 at most.
type tables []uint32

// chunks returns the chunks that the body needs.
func (b body) chunks() chunks {
	switch {
	case b.spans != nil:
	case b.blocks <= directBlocks:
		return chunks{}
	default:
		return chunks{count: chunkOf(b.blocks-1) + 1}
	}
	c := chunks{sparse: []uint32{}}
	next := int64(0)
	for _, s := range b.spans {
		if s.end() <= directBlocks {
			continue
		}
		first := max(chunkOf(max(int64(s.first), directBlocks)), next)
		for next = first; next <= chunkOf(s.end()-1); next++ {
			c.sparse = append(c.sparse, uint32(next))
		}
	}
	c.count = int64(len(c.sparse))
	return c
}

// at returns the i-th chunk that exists.
func (c chunks) at(i int64) int64 {
	if c.sparse == nil {
		return i
	}
	return int64(c.sparse[i])
}

// from returns how many chunks below the given one exist, which is the index
// of that chunk if it exists.
func (c chunks) from(chunk int64) int64 {
	return int64(sort.Search(int(c.count), func(i int) bool { return c.at(int64(i)) >= chunk }))
}

// tables returns the tables that point at the chunks.
func (c chunks) tables() tables {
	var t tables
	for i := c.from(1); i < c.count; {
		table := tableOf(c.at(i))
		t = append(t, uint32(table))
		i = c.from((table+1)*entriesInBlock + 1)
	}
	return t
}

// triple reports whether there is a triple indirect block: whether there is a
// table but table 0.
func (t tables) triple() bool { return len(t) > 0 && t[len(t)-1] > 0 }

// indirectNodes returns how many indirect blocks the body needs.
func indirectNodes(c chunks) int64 {
	t := c.tables()
	n := c.count + int64(len(t))
	if t.triple() {
		n++
	}
	return n
}

func newIndirectMap(b body, sp *space, c chunks) *indirectMap {
	return &indirectMap{b, sp, c, c.tables()}
}

func (m *indirectMap) nodes() int64 { return indirectNodes(m.chunks) }

// nodeBlock returns the block of the disk that holds the i-th node.
func (m *indirectMap) nodeBlock(i int64) uint32 {
	return uint32(m.space.block(m.rank + m.blocks + i))
}

func (m *indirectMap) root(p []byte) {
	clear(p)
	m.putData(p[:directBlocks*entrySize], 0)
	rest := p[directBlocks*entrySize:]
	if m.chunks.count > 0 && m.chunks.at(0) == 0 {
		putEntry(rest, 0, m.nodeBlock(0))
	}
	if len(m.tables) > 0 && m.tables[0] == 0 {
		putEntry(rest, 1, m.nodeBlock(m.chunks.count))
	}
	if m.tables.triple() {
		putEntry(rest, 2, m.nodeBlock(m.chunks.count+int64(len(m.tables))))
	}
}

func (m *indirectMap) node(p []byte, i int64) {
	clear(p)
	if i < m.chunks.count {
		m.putData(p, directBlocks+m.chunks.at(i)*entriesInBlock)
		return
	}
	if i -= m.chunks.count; i < int64(len(m.tables)) {
		m.putChunks(p, int64(m.tables[i]))
		return
	}
	for i, table := range m.tables {
		if table > 0 {
			putEntry(p, int64(table-1), m.nodeBlock(m.chunks.count+int64(i)))
		}
	}
}

// putData fills p with entries for the blocks of the file from block from on.
func (m *indirectMap) putData(p []byte, from int64) {
	room := int64(len(p) / entrySize)
	for piece := range m.pieces(m.space, from) {
		for i := range piece.count {
			if piece.logical+i-from >= room {
				return
			}
			putEntry(p, piece.logical+i-from, uint32(piece.start+i))
		}
	}
}

// putChunks fills p with the entries of a table.
func (m *indirectMap) putChunks(p []byte, table int64) {
	first := table*entriesInBlock + 1
	for i := m.chunks.from(first); i < m.chunks.from(first+entriesInBlock); i++ {
		putEntry(p, m.chunks.at(i)-first, m.nodeBlock(i))
	}
}

func putEntry(p []byte, i int64, block uint32) {
	binary.LittleEndian.PutUint32(p[i*entrySize:], block)
}
