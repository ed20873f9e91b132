package fat

import (
	"sort"

	"diskwright/content"
)

// Marks in the entries of the FAT ([FAT] "FAT Data Structure"), cut to its width.
const (
	tableMedia  = 0x0ffffff8 // entry 0: the media byte, 0xf8, in its lowest byte
	tableClean  = 0x0fffffff // entry 1: unmounted, no errors
	tableEnd    = 0x0fffffff // the last cluster of a file
	tableEndMin = 0x0ffffff8 // readers take all from here on for an end
)

// table is a file allocation table in which every file is one run of clusters
// and the runs follow each other.
type table struct {
	bits int
	next uint32   // the first free cluster
	ends []uint32 // the last clusters of the runs, in order
}

func newTable(bits int) table { return table{bits: bits, next: firstCluster} }

// allocate returns the first of n clusters, or 0, which stands for none, if n
// is 0.
func (t *table) allocate(n uint32) uint32 {
	if n == 0 {
		return 0
	}
	first := t.next
	t.next += n
	t.ends = append(t.ends, t.next-1)
	return first
}

// source returns the FAT up to the last entry in use. All others are zero.
func (t *table) source() content.Source {
	return &content.Generated{Length: (int64(t.next)*int64(t.bits) + 7) / 8, Fill: t.fill}
}

// fill makes the bytes of the FAT from off on.
func (t *table) fill(p []byte, off int64) error {
	clear(p)
	width := int64(t.bits)
	cluster := uint32(off * 8 / width)
	last := uint32(min((((off+int64(len(p)))*8)+width-1)/width, int64(t.next)))
	run := sort.Search(len(t.ends), func(i int) bool { return t.ends[i] >= cluster })
	for ; cluster < last; cluster++ {
		value := cluster + 1
		switch {
		case cluster == 0:
			value = tableMedia
		case cluster == 1:
			value = tableClean
		case cluster == t.ends[run]:
			value = tableEnd
			if t.bits == 32 && run == 0 {
				value = tableMedia // as mkfs.vfat ends the root directory
			}
			run++
		}
		t.put(p, off, cluster, value)
	}
	return nil
}

// put ors an entry into p, which holds the bytes of the FAT from off on and
// may have only some of the entry's.
func (t *table) put(p []byte, off int64, cluster, value uint32) {
	bit := int64(cluster) * int64(t.bits)
	// Half a byte of a 12-bit entry may belong to its neighbour.
	bits := uint64(value) & (1<<t.bits - 1) << (bit % 8)
	for at := bit/8 - off; bits != 0 && at < int64(len(p)); at, bits = at+1, bits>>8 {
		if at >= 0 {
			p[at] |= byte(bits)
		}
	}
}
