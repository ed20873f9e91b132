package fat

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf16"

	"diskwright/content"
)

const longMax = 20 // entries of a long name ([FAT] "FAT Long Directory Entries")

// List returns the entries of a directory, in their order on disk.
func (v *Volume) List(dir DirEntry) ([]DirEntry, error) {
	if !dir.Dir {
		return nil, errors.New("is not a directory")
	}
	raw, err := v.readRaw(dir)
	if err != nil {
		return nil, err
	}
	var (
		list []DirEntry
		long longName
	)
	for e := range entriesOf(raw) {
		short := shortName(e[:shortLen])
		switch {
		case e[0] == deletedEntry:
			long = longName{}
		case e[11]&attrMask == attrLong:
			long.add(e)
		case e[11]&attrVolume != 0, short == dotName, short == dotDotName:
			long = longName{}
		default:
			d, err := v.decodeEntry(e, long)
			if err != nil {
				return nil, err
			}
			list = append(list, d)
			long = longName{}
		}
	}
	return list, nil
}

// decodeEntry decodes an entry with a short name that follows those of a long
// one.
func (v *Volume) decodeEntry(e []byte, long longName) (DirEntry, error) {
	short := shortName(e[:shortLen])
	d := DirEntry{
		Name:     long.name(short.checksum()),
		Short:    short.decode(false, false),
		Dir:      e[11]&attrDir != 0,
		ReadOnly: e[11]&attrReadOnly != 0,
		Mtime:    decodeTime(le.Uint16(e[24:]), le.Uint16(e[22:])),
		first:    uint32(le.Uint16(e[26:])),
	}
	if v.bits == 32 { // OS/2 has something else there in FAT12/16
		d.first |= uint32(le.Uint16(e[20:])) << 16
	}
	if !d.Dir {
		d.Size = int64(le.Uint32(e[28:]))
	}
	if !safeName(d.Name) {
		d.Name = short.decode(e[12]&lowerBase != 0, e[12]&lowerExtension != 0)
	}
	if !safeName(d.Name) {
		return d, corrupt("a file has the name %q", e[:shortLen])
	}
	return d, nil
}

// safeName reports whether a name can be a component of a path.
func safeName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// longName collects the entries of a long name. They come with the last part
// first, directly before the entry with the short name; anything else is a
// leftover of a system that knew nothing of long names.
type longName struct {
	units    []uint16
	order    int // of the last entry; 0 before the first and after a mistake
	checksum byte
}

// add adds the next entry.
func (l *longName) add(e []byte) {
	order := int(e[0] &^ longLast)
	switch {
	case e[0]&longLast != 0:
		if order == 0 || order > longMax {
			*l = longName{}
			return
		}
		l.units, l.checksum = make([]uint16, order*longUnits), e[13]
	case order == 0 || order != l.order-1 || e[13] != l.checksum:
		*l = longName{}
		return
	}
	l.order = order
	for n, place := range longPlaces {
		l.units[(order-1)*longUnits+n] = le.Uint16(e[place:])
	}
}

// name returns the name if it is complete and belongs to the short name with
// that checksum, else "".
func (l *longName) name(checksum byte) string {
	if l.order != 1 || l.checksum != checksum {
		return ""
	}
	units := l.units
	if end := slices.Index(units, 0); end >= 0 {
		units = units[:end]
	}
	return string(utf16.Decode(units))
}

// entriesOf yields the entries of 32 bytes up to the mark of the end.
func entriesOf(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for ; len(raw) >= dirEntrySize && raw[0] != 0; raw = raw[dirEntrySize:] {
			if !yield(raw[:dirEntrySize]) {
				return
			}
		}
	}
}

// readRaw returns the bytes of a directory, at most 2 MiB.
func (v *Volume) readRaw(dir DirEntry) ([]byte, error) {
	if dir.root && v.bits != 32 {
		raw := make([]byte, v.rootEntries*dirEntrySize)
		return raw, v.read(raw, v.rootOffset)
	}
	var raw []byte
	t := v.tableReader()
	cluster := make([]byte, v.clusterSize)
	for c := dir.first; ; {
		if !v.valid(c) {
			return nil, corrupt("a directory leads to cluster %d of %d", c, v.clusters)
		}
		if err := v.read(cluster, v.clusterOffset(c)); err != nil {
			return nil, err
		}
		if raw = append(raw, cluster...); len(raw) > max(maxEntries*dirEntrySize, len(cluster)) {
			return nil, corrupt("a directory of more than %d entries", maxEntries)
		}
		next, err := t.next(c)
		if err != nil {
			return nil, err
		}
		if v.isEnd(next) || endsIn(cluster) {
			return raw, nil
		}
		c = next
	}
}

// endsIn reports whether the mark of the end of a directory lies in the
// cluster.
func endsIn(cluster []byte) bool {
	for e := range slices.Chunk(cluster, dirEntrySize) {
		if e[0] == 0 {
			return true
		}
	}
	return false
}

// valid reports whether c is the number of a cluster.
func (v *Volume) valid(c uint32) bool { return c >= firstCluster && c-firstCluster < v.clusters }

// isEnd reports whether an entry of the FAT says that no cluster follows.
func (v *Volume) isEnd(next uint32) bool { return next >= tableEndMin&(1<<v.bits-1) }

// clusterOffset returns where cluster c lies, in bytes.
func (v *Volume) clusterOffset(c uint32) int64 {
	return v.dataOffset + int64(c-firstCluster)*v.clusterSize
}

// read fills p from off.
func (v *Volume) read(p []byte, off int64) error {
	if err := content.ReadFull(v.r, p, off); err != nil {
		return fmt.Errorf("fat: byte %d: %w", off, err)
	}
	return nil
}
