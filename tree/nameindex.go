package tree

import "hash/maphash"

// nameIndex finds entries that are in no order by their names. It is a hash
// table of their numbers, which takes a fifth of the memory of a map: a
// million files may be indexed at the same time.
type nameIndex struct {
	slots []uint32 // one more than the number of the entry; 0 is free
	used  int
}

// seed differs from process to process, so that nobody can choose names that
// collide. No order depends on it.
var seed = maphash.MakeSeed()

// slot returns the slot of name: its own, or the free one where it belongs.
func (x *nameIndex) slot(entries []Entry, name string) *uint32 {
	mask := uint64(len(x.slots) - 1)
	for n := maphash.String(seed, name) & mask; ; n = (n + 1) & mask {
		if s := &x.slots[n]; *s == 0 || entries[*s-1].Name == name {
			return s
		}
	}
}

// find returns the number of the entry called name, or -1.
func (x *nameIndex) find(entries []Entry, name string) int {
	if len(x.slots) == 0 {
		return -1
	}
	return int(*x.slot(entries, name)) - 1
}

// add takes up entry n, whose name must be new.
func (x *nameIndex) add(entries []Entry, n int) {
	if 4*(x.used+1) > 3*len(x.slots) {
		old := x.slots
		x.slots = make([]uint32, max(64, 2*len(old)))
		for _, s := range old {
			if s != 0 {
				*x.slot(entries, entries[s-1].Name) = s
			}
		}
	}
	*x.slot(entries, entries[n].Name) = uint32(n + 1)
	x.used++
}
