package fat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"diskwright/content"
	"diskwright/finding"
	"diskwright/progress"
)

// Kinds of findings of [Check].
const (
	findBoot       = "boot-sector"
	findBackup     = "backup"
	findInfo       = "fsinfo"
	findTables     = "fat-copies"
	findTable      = "fat-entry"
	findChain      = "cluster-chain"
	findShared     = "shared-clusters"
	findLost       = "lost-clusters"
	findSize       = "file-size"
	findDirectory  = "directory"
	findName       = "name"
	findUnreadable = "unreadable"
)

// Check looks for what is wrong with the FAT in the size bytes of r, as
// fsck.vfat -n does, and adds it to list. It goes on after whatever it finds; an
// error is only what ends it: a cancelled context, and [ErrNotFAT]. It keeps a
// bit for each cluster, and reads the tables and directories.
func Check(ctx context.Context, r io.ReaderAt, size int64, list *finding.List, sink progress.Sink) error {
	c := &checker{ctx: ctx, list: list}
	v, err := Open(r, size)
	if errors.Is(err, ErrNotFAT) {
		return err
	}
	if err != nil {
		list.Add(findBoot, "boot sector", "%v; nothing else can be checked", err)
		return ctx.Err()
	}
	c.Volume = v
	progress.Phase(sink, "checking FAT", 0)
	c.used = make([]uint64, (uint64(v.clusters)+firstCluster+63)/64)
	if c.raw = c.get("boot sector", 0, sectorSize); c.raw == nil {
		return ctx.Err()
	}
	for _, step := range []func() error{c.boot, c.tables, c.tree, c.lost} {
		if err := step(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

type checker struct {
	*Volume
	ctx  context.Context
	list *finding.List
	used []uint64 // clusters that belong to something

	raw   []byte // the boot sector
	free  int64
	label bool
}

// get reads n bytes, or says that it cannot.
func (c *checker) get(where string, off int64, n int) []byte {
	p := make([]byte, n)
	if err := content.ReadFull(c.r, p, off); err != nil {
		c.list.Add(findUnreadable, where, "%v", err)
		return nil
	}
	return p
}

// boot checks the boot sector, its backup and FSInfo.
func (c *checker) boot() error {
	b := c.raw
	bad := func(format string, args ...any) { c.list.Add(findBoot, "boot sector", format, args...) }
	sectors, sectors32 := uint32(le.Uint16(b[19:])), le.Uint32(b[32:])
	if sectors != 0 && sectors32 != 0 && sectors != sectors32 {
		bad("it says both %d and %d sectors", sectors, sectors32)
	}
	if b[0] != 0xeb && b[0] != 0xe9 {
		bad("it begins with %#x and not with a jump", b[0])
	}
	if tables := b[16]; tables > 2 {
		bad("it has %d FATs; one or two are possible", tables)
	}
	if rootBytes := int64(c.rootEntries) * dirEntrySize; rootBytes%c.sectorSize != 0 {
		bad("the root directory has %d entries, which do not fill sectors", c.rootEntries)
	}
	if c.bits != 32 && c.rootEntries == 0 {
		bad("the root directory has no entries")
	}
	tableSectors := int64(le.Uint16(b[22:]))
	if c.bits == 32 {
		tableSectors = int64(le.Uint32(b[36:]))
	}
	clusters := (c.Volume.size - c.dataOffset) / c.clusterSize
	if room := tableSectors * c.sectorSize * 8 / int64(c.bits); room < clusters+firstCluster {
		bad("a FAT has room for %d clusters, and there are %d", room-firstCluster, clusters)
	}
	if c.bits == 32 {
		c.boot32(b)
	} else if clusters > maxClusters16 {
		bad("%d clusters are more than FAT16 can have", clusters)
	}
	return nil
}

// boot32 checks what only FAT32 has.
func (c *checker) boot32(b []byte) {
	bad := func(format string, args ...any) { c.list.Add(findBoot, "boot sector", format, args...) }
	reserved := int64(le.Uint16(b[14:]))
	if c.rootEntries != 0 {
		bad("it has a root directory of %d entries outside of the clusters", c.rootEntries)
	}
	if version := le.Uint16(b[42:]); version != 0 {
		bad("the version of the file system is %d", version)
	}
	if flags := le.Uint16(b[40:]); flags&0x80 != 0 {
		bad("only FAT %d is in use", flags&15)
	}
	if !c.valid(c.rootCluster) {
		bad("the root directory begins in cluster %d of %d", c.rootCluster, c.clusters)
	}
	info, backup := int64(le.Uint16(b[48:])), int64(le.Uint16(b[50:]))
	if backup == 0 || backup == 0xffff {
		c.list.Add(findBackup, "boot sector", "it has no backup")
	} else if backup >= reserved {
		c.list.Add(findBackup, "boot sector", "its backup is in sector %d, and %d are reserved", backup, reserved)
	} else if p := c.get("backup of the boot sector", backup*c.sectorSize, sectorSize); p != nil && !bytes.Equal(p, b) {
		at := 0
		for p[at] == b[at] {
			at++
		}
		c.list.Add(findBackup, "boot sector", "its backup in sector %d differs, byte %d first: %#x instead of %#x", backup, at, p[at], b[at])
	}
	if info == 0 || info == 0xffff {
		c.list.Add(findInfo, "boot sector", "there is no FSInfo")
		return
	}
	if info >= reserved || info == backup {
		c.list.Add(findInfo, "boot sector", "FSInfo is in sector %d, and %d are reserved", info, reserved)
		return
	}
	if p := c.get("FSInfo", info*c.sectorSize, sectorSize); p != nil && (le.Uint32(p) != infoLead || le.Uint32(p[484:]) != infoStruct || le.Uint32(p[508:]) != bootSignature<<16) {
		c.list.Add(findInfo, fmt.Sprintf("sector %d", info), "it is no FSInfo: its signatures are wrong")
	}
}

// tables compares the copies of the FAT, and looks at each entry.
func (c *checker) tables() error {
	copies := int64(c.raw[16])
	tableSectors := int64(le.Uint16(c.raw[22:]))
	if c.bits == 32 {
		tableSectors = int64(le.Uint32(c.raw[36:]))
	}
	length := min(tableSectors*c.sectorSize, ((int64(c.clusters)+firstCluster)*int64(c.bits)+7)/8)
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for k := int64(1); k < copies; k++ {
		for at := int64(0); at < length; at += int64(len(a)) {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			n := min(int64(len(a)), length-at)
			other := c.tableOffset + k*tableSectors*c.sectorSize + at
			if err := errors.Join(content.ReadFull(c.r, a[:n], c.tableOffset+at), content.ReadFull(c.r, b[:n], other)); err != nil {
				c.list.Add(findUnreadable, "FAT", "%v", err)
				break
			}
			if bytes.Equal(a[:n], b[:n]) {
				continue
			}
			i := int64(0)
			for a[i] == b[i] {
				i++
			}
			c.list.Add(findTables, fmt.Sprintf("FAT %d", k+1), "it differs from the first one at byte %d, the entry of cluster %d", at+i, (at+i)*8/int64(c.bits))
			break
		}
	}
	return c.entries()
}

// entries checks the entries of the FAT by themselves.
func (c *checker) entries() error {
	t := c.tableReader()
	mask := uint32(1)<<c.bits - 1
	if c.bits == 32 {
		mask = 0x0fffffff
	}
	bad := mask &^ 8 // ...ff7
	media, err := t.next(0)
	if err == nil && media != mask&^0xff|uint32(c.raw[21]) && media&0xff != 0xff {
		c.list.Add(findTable, "FAT", "its first entry is %#x, and the boot sector's media byte %#x", media, c.raw[21])
	}
	first, err2 := t.next(1)
	if err := errors.Join(err, err2); err != nil {
		c.list.Add(findUnreadable, "FAT", "%v", err)
		return nil
	}
	if c.bits > 12 {
		clean, noErrors := uint32(1)<<(c.bits-1), uint32(1)<<(c.bits-2)
		if c.bits == 32 {
			clean, noErrors = 1<<27, 1<<26
		}
		if first&clean == 0 {
			c.list.Add(findTable, "FAT", "it was not unmounted")
		}
		if first&noErrors == 0 {
			c.list.Add(findTable, "FAT", "a disk error was met")
		}
	}
	offset := 37 // of the state byte, which Windows and Linux set
	if c.bits == 32 {
		offset = 65
	}
	if c.raw[offset]&3 != 0 {
		c.list.Add(findBoot, "boot sector", "it was not unmounted, or an error was met: state %#x", c.raw[offset])
	}
	for n := uint32(0); n < c.clusters; n++ {
		if n%(1<<20) == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		cluster := firstCluster + n
		next, err := t.next(cluster)
		switch {
		case err != nil:
			c.list.Add(findUnreadable, "FAT", "%v", err)
			return nil
		case next == 0:
			c.free++
		case next == bad:
			c.mark(cluster) // a bad cluster belongs to nobody
		case c.isEnd(next) || c.valid(next):
		default:
			c.list.Add(findTable, fmt.Sprintf("cluster %d", cluster), "its entry %#x in the FAT is neither a cluster nor an end", next)
		}
	}
	c.info()
	return nil
}

// info compares FSInfo's count of free clusters.
func (c *checker) info() {
	if c.bits != 32 {
		return
	}
	info := int64(le.Uint16(c.raw[48:]))
	if info == 0 || info >= int64(le.Uint16(c.raw[14:])) {
		return
	}
	p := c.get("FSInfo", info*c.sectorSize, sectorSize)
	if p == nil || le.Uint32(p[484:]) != infoStruct {
		return
	}
	if n := le.Uint32(p[488:]); int64(n) != c.free && n != 0xffffffff {
		c.list.Add(findInfo, fmt.Sprintf("sector %d", info), "%d clusters are free, and it says %d", c.free, n)
	}
	if n := le.Uint32(p[492:]); n != 0xffffffff && n != 0 && !c.valid(n) {
		c.list.Add(findInfo, fmt.Sprintf("sector %d", info), "free clusters are said to be behind number %d of %d", n, c.clusters)
	}
}

func (c *checker) mark(cluster uint32) (again bool) {
	bit := uint64(1) << (cluster % 64)
	again = c.used[cluster/64]&bit != 0
	c.used[cluster/64] |= bit
	return again
}

// follow marks the chain that begins with a cluster, and returns its length,
// and its clusters if they are wanted. It ends where something is wrong.
func (c *checker) follow(where string, first uint32, want bool) (count int64, clusters []uint32) {
	t := c.tableReader()
	for at := first; ; {
		if !c.valid(at) {
			c.list.Add(findChain, where, "its chain leads to cluster %d of %d", at, c.clusters)
			return count, clusters
		}
		next, err := t.next(at)
		if err != nil {
			c.list.Add(findUnreadable, where, "%v", err)
			return count, clusters
		}
		if next == 0 {
			c.list.Add(findChain, where, "its cluster %d is free in the FAT", at)
			return count, clusters
		}
		if c.mark(at) {
			c.list.Add(findShared, where, "its cluster %d belongs to something else, too, or is bad", at)
			return count, clusters
		}
		count++
		if want {
			clusters = append(clusters, at)
		}
		if c.isEnd(next) {
			return count, clusters
		}
		at = next
		if count%(1<<20) == 0 && c.ctx.Err() != nil {
			return count, clusters
		}
	}
}

// found is a directory to be checked.
type found struct {
	path          string
	first, parent uint32 // clusters; the parent is 0 for the root
	root          bool
}

// tree checks all directories and the chains of files.
func (c *checker) tree() error {
	queue := []found{{path: "/", first: c.rootCluster, root: true}}
	for len(queue) > 0 {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		d := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		raw := c.directoryBytes(d)
		queue = append(queue, c.directory(d, raw)...)
	}
	return nil
}

// directoryBytes reads a directory, and marks its clusters.
func (c *checker) directoryBytes(d found) []byte {
	if d.root && c.bits != 32 {
		return c.get(d.path, c.rootOffset, c.rootEntries*dirEntrySize)
	}
	_, clusters := c.follow(d.path, d.first, true)
	if int64(len(clusters))*c.clusterSize > max(maxEntries*dirEntrySize, c.clusterSize) {
		c.list.Add(findDirectory, d.path, "it has %d clusters; more than %d entries are not possible", len(clusters), maxEntries)
		clusters = clusters[:max(1, maxEntries*dirEntrySize/c.clusterSize)]
	}
	raw := make([]byte, 0, int64(len(clusters))*c.clusterSize)
	for _, n := range clusters {
		p := c.get(d.path, c.clusterOffset(n), int(c.clusterSize))
		if p == nil {
			break
		}
		raw = append(raw, p...)
	}
	return raw
}

// directory checks the entries of a directory, and returns those that are
// directories.
func (c *checker) directory(d found, raw []byte) (subs []found) {
	var long longName
	pending := false // entries of a long name were met
	shorts, names := map[shortName]bool{}, map[string]bool{}
	index := 0
	orphan := func() {
		if pending {
			c.list.Add(findName, d.path, "pieces of a long name belong to no file")
		}
		long, pending = longName{}, false
	}
	for e := range entriesOf(raw) {
		short := shortName(e[:shortLen])
		position := index
		index++
		if e[0] != deletedEntry && e[11]&attrMask != attrLong && e[12]&noShortName != 0 {
			c.list.Add(findName, d.path, "%q is marked as having no short name", short[:])
		}
		if long := e[11]&attrMask == attrLong; e[0] != deletedEntry && (e[11]&^attrMask != 0 || !long && e[11]&(attrVolume|attrDir) == attrVolume|attrDir) {
			c.list.Add(findDirectory, d.path, "%q has the attributes %#x", short[:], e[11])
		}
		switch {
		case e[0] == deletedEntry:
			orphan()
			continue
		case e[11]&attrMask == attrLong:
			if e[0]&longLast != 0 || !pending {
				orphan()
			}
			before := long.order
			long.add(e)
			pending = true
			if order := int(e[0] &^ longLast); e[0]&longLast == 0 && before != order+1 || le.Uint16(e[26:]) != 0 || e[12] != 0 {
				c.list.Add(findName, d.path, "a piece of a long name is out of its order")
			}
			continue
		case !d.root && position < 2:
			orphan()
			c.dots(d, position, e)
			continue
		case e[11]&attrVolume != 0:
			orphan()
			c.volumeLabel(d, e)
			continue
		case short == dotName || short == dotDotName:
			orphan()
			c.list.Add(findDirectory, d.path, "a second %q", strings.TrimRight(string(short[:]), " "))
			continue
		}
		name := c.name(d, short, long, pending)
		path := strings.TrimSuffix(d.path, "/") + "/" + name
		long, pending = longName{}, false
		if shorts[short] || names[foldName(name)] {
			c.list.Add(findName, path, "the name is there twice")
		}
		shorts[short], names[foldName(name)] = true, true
		if sub, ok := c.file(d, path, e); ok {
			subs = append(subs, sub)
		}
	}
	orphan()
	if boot := c.Volume.label; d.root && !c.label && boot != noLabel {
		c.list.Add(findDirectory, d.path, "there is no label, and in the boot sector %q", boot[:])
	}
	if !d.root && index < 2 {
		c.list.Add(findDirectory, d.path, "it does not begin with \".\" and \"..\"")
	}
	return subs
}

// noShortName is the flag, beside those for lower case, with which some drivers
// mark files that have a long name only.
const noShortName = 0x20

// attributesOfOS2 is the one file that has a space in its short name.
const attributesOfOS2 = "EA DATA  SF"

// name checks a file's name, and returns it.
func (c *checker) name(d found, short shortName, long longName, pending bool) string {
	name := long.name(short.checksum())
	if pending && name == "" {
		c.list.Add(findName, d.path, "the long name of %q is not complete, or has another's checksum", short.decode(false, false))
	}
	if name != "" && checkName(name) != nil {
		c.list.Add(findName, d.path, "the name %q %v", name, checkName(name))
	}
	for i, b := range short {
		switch {
		case b < ' ' && !(i == 0 && b == escapedDeleted), b == 0x7f, strings.IndexByte("\"*+,./:;<=>?[\\]|", b) >= 0, 'a' <= b && b <= 'z', i == 0 && b == ' ':
			c.list.Add(findName, d.path, "the short name %q has the character %q", short[:], b)
			return orShort(name, short)
		}
	}
	for _, part := range [][]byte{short[:baseLen], short[baseLen:]} {
		if trimmed := bytes.TrimRight(part, " "); bytes.IndexByte(trimmed, ' ') >= 0 && string(short[:]) != attributesOfOS2 {
			c.list.Add(findName, d.path, "the short name %q has a space within", short[:])
		}
	}
	return orShort(name, short)
}

func orShort(name string, short shortName) string {
	if name == "" {
		return short.decode(false, false)
	}
	return name
}

// first returns the first cluster of an entry.
func (c *checker) first(e []byte) uint32 {
	first := uint32(le.Uint16(e[26:]))
	if c.bits == 32 {
		first |= uint32(le.Uint16(e[20:])) << 16
	}
	return first
}

// dots checks the first two entries of a directory, which lead to itself and to
// its parent.
func (c *checker) dots(d found, position int, e []byte) {
	want, to := dotName, d.first
	if position == 1 {
		want, to = dotDotName, d.parent
	}
	if shortName(e[:shortLen]) != want || e[11]&attrDir == 0 {
		c.list.Add(findDirectory, d.path, "entry %d is %q and should be %q", position+1, e[:shortLen], want[:])
		return
	}
	if first := c.first(e); first != to {
		c.list.Add(findDirectory, d.path, "%q leads to cluster %d, and should to %d", strings.TrimRight(string(want[:]), " "), first, to)
	}
	if size := le.Uint32(e[28:]); size != 0 {
		c.list.Add(findSize, d.path, "%q has a size of %d bytes", strings.TrimRight(string(want[:]), " "), size)
	}
}

// volumeLabel checks the entry with the label, which the root may have.
func (c *checker) volumeLabel(d found, e []byte) {
	if !d.root {
		c.list.Add(findDirectory, d.path, "a volume label, which only the root directory has")
		return
	}
	if c.label {
		c.list.Add(findDirectory, d.path, "a second volume label, %q", e[:shortLen])
	}
	c.label = true
	label := shortName(e[:shortLen])
	if boot := c.Volume.label; boot != label {
		c.list.Add(findDirectory, d.path, "the label is %q, and in the boot sector %q", label[:], boot[:])
	}
	if c.first(e) != 0 || le.Uint32(e[28:]) != 0 {
		c.list.Add(findDirectory, d.path, "the volume label has a cluster or a size")
	}
}

// file checks the chain and the size of a file, or returns the directory.
func (c *checker) file(d found, path string, e []byte) (sub found, ok bool) {
	first, size := c.first(e), int64(le.Uint32(e[28:]))
	if e[11]&attrDir != 0 {
		if size != 0 {
			c.list.Add(findSize, path, "a directory has a size of %d bytes", size)
		}
		switch {
		case first == 0:
			c.list.Add(findChain, path, "the directory has no cluster")
			return found{}, false
		case len(path) > maxPath:
			c.list.Add(findDirectory, path[:100]+"...", "a path of more than %d bytes", maxPath)
			return found{}, false
		case c.valid(first) && c.used[first/64]&(1<<(first%64)) != 0:
			c.list.Add(findShared, path, "its cluster %d belongs to something else, too", first)
			return found{}, false
		}
		sub = found{path: path, first: first, parent: d.first}
		if d.root {
			sub.parent = 0 // stands for the root, also in FAT32
		}
		return sub, true
	}
	if first == 0 {
		if size != 0 {
			c.list.Add(findSize, path, "it has %d bytes, and no cluster", size)
		}
		return found{}, false
	}
	count, _ := c.follow(path, first, false)
	if need := (size + c.clusterSize - 1) / c.clusterSize; need != count {
		c.list.Add(findSize, path, "it has %d bytes, which need %d clusters, and has %d", size, need, count)
	}
	return found{}, false
}

// lost reports clusters that the FAT has in use, and nobody.
func (c *checker) lost() error {
	t := c.tableReader()
	lost, first := int64(0), uint32(0)
	for n := uint32(0); n < c.clusters; n++ {
		cluster := firstCluster + n
		word := c.used[cluster/64]
		if word == ^uint64(0) && cluster%64 == 0 && n+64 <= c.clusters {
			n += 63
			continue
		}
		if word&(1<<(cluster%64)) != 0 {
			continue
		}
		next, err := t.next(cluster)
		if err != nil {
			c.list.Add(findUnreadable, "FAT", "%v", err)
			return nil
		}
		if next != 0 {
			if lost == 0 {
				first = cluster
			}
			lost++
		}
	}
	if lost > 0 {
		c.list.Add(findLost, "FAT", "%d clusters are in use, but by nothing, the first is %d", lost, first)
	}
	return nil
}
