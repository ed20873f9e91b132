package ext4

import (
	"fmt"
	"slices"

	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// A hashed directory ("Hash Tree Directories" of the kernel's documentation)
// has its entries in leaves by the hash of their names. The root, and beyond
// some 500 leaves nodes between root and leaves, say at which hash each begins:
//
//	block 0   1 .. nodes   ..
//	| root  | node | node | leaf | leaf | ...
//
// If a leaf ends between names of one hash, the lowest bit of the next one's
// hash says so to whoever searches (a continued hash).
type hashIndex struct {
	order  []uint32 // entries by hash, then name
	leaves []uint32 // for each leaf the place of its first entry in order
	nodes  int64    // between root and leaves; 0 if the root suffices
	hash   nameHash
	limits dxLimits
}

// dxLimits are the numbers of entries that a root and a node have room for.
type dxLimits struct{ root, node int }

// leafSlack is how much of a leaf stays free for names to come, so that the
// first of them does not split it: a fifth, as e2fsck -D leaves.
const leafSlack = blockSize / 5

// nameHash is the hash function of a file system: half MD4, bytes of names
// signed as on x86 (the superblock says so), with the seed.
type nameHash [16]byte

// of returns the hash of a name.
func (h nameHash) of(name string) uint32 {
	var buf [tree.NameMax]byte
	major, _, _ := ondisk.DirHash(ondisk.HashHalfMD4, h, buf[:copy(buf[:], name)])
	return major
}

// newHashIndex sorts the entries of a directory into leaves of leafSize bytes.
func newHashIndex(entries []tree.Entry, seed [16]byte, leafSize int, checksums bool) (*hashIndex, error) {
	x := &hashIndex{
		hash:   seed,
		limits: dxLimits{ondisk.DxRootLimit(blockSize, checksums), ondisk.DxNodeLimit(blockSize, checksums)},
	}
	x.sort(entries)
	room := 0
	for n, i := range x.order {
		size := ondisk.DirEntrySize(len(entries[i].Name))
		if room < size {
			x.leaves = append(x.leaves, uint32(n))
			room = leafSize - leafSlack
		}
		room -= size
	}
	x.leaves = slices.Clip(x.leaves)
	if len(x.leaves) > x.limits.root {
		x.nodes = int64((len(x.leaves) + x.limits.node - 1) / x.limits.node)
	}
	if x.nodes > int64(x.limits.root) {
		return nil, fmt.Errorf("%d entries with long names fill %d blocks; a directory has room for %d",
			len(entries), len(x.leaves), x.limits.root*x.limits.node)
	}
	return x, nil
}

// sort computes the order of the entries.
func (x *hashIndex) sort(entries []tree.Entry) {
	keys := make([]uint64, len(entries))
	for i, e := range entries {
		keys[i] = uint64(x.hash.of(e.Name))<<32 | uint64(i)
	}
	slices.Sort(keys)
	x.order = make([]uint32, len(keys))
	for i, key := range keys {
		x.order[i] = uint32(key)
	}
}

// blocks returns how many blocks the directory has.
func (x *hashIndex) blocks() int64 { return 1 + x.nodes + int64(len(x.leaves)) }

// leaf returns the entries of the i-th leaf.
func (x *hashIndex) leaf(i int64) []uint32 {
	if i+1 < int64(len(x.leaves)) {
		return x.order[x.leaves[i]:x.leaves[i+1]]
	}
	return x.order[x.leaves[i]:]
}

// leafHash returns the hash at which the i-th leaf begins, the lowest bit set
// if the leaf before ends with it.
func (x *hashIndex) leafHash(i int64, entries []tree.Entry) uint32 {
	if i == 0 {
		return 0
	}
	first := x.leaves[i]
	hash := x.hash.of(entries[x.order[first]].Name)
	if hash == x.hash.of(entries[x.order[first-1]].Name) {
		hash |= 1
	}
	return hash
}

// putNode writes block i of the directory: the root (0) or a node, without
// its checksum.
func (x *hashIndex) putNode(p []byte, i int64, self, parent uint32, entries []tree.Entry) {
	leaves, node := int64(len(x.leaves)), int64(x.limits.node)
	switch {
	case i > 0:
		first := (i - 1) * node
		ondisk.EncodeDxNode(p, x.limits.node, x.entries(first, min(first+node, leaves), 1, 1+x.nodes, entries))
	case x.nodes > 0:
		ondisk.EncodeDxRoot(p, self, parent, ondisk.HashHalfMD4, 1, x.limits.root, x.entries(0, leaves, node, 1, entries))
	default:
		ondisk.EncodeDxRoot(p, self, parent, ondisk.HashHalfMD4, 0, x.limits.root, x.entries(0, leaves, 1, 1, entries))
	}
}

// entries returns the index entries for every step-th of the leaves from first
// to behind last. They lead to blocks base, base+1 and so on, counted as if first
// were 0.
func (x *hashIndex) entries(first, last, step, base int64, entries []tree.Entry) []ondisk.DxEntry {
	index := make([]ondisk.DxEntry, 0, (last-first+step-1)/step)
	for leaf := first; leaf < last; leaf += step {
		index = append(index, ondisk.DxEntry{Hash: x.leafHash(leaf, entries), Block: uint32(base + leaf/step)})
	}
	return index
}
