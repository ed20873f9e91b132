package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
	"diskwright/finding"
	"diskwright/progress"
)

// Kinds of findings of [Check].
const (
	findLabel      = "label"
	findUberblock  = "uberblock"
	findChecksum   = "checksum"
	findPointer    = "block-pointer"
	findPadding    = "padding"
	findShared     = "shared-blocks"
	findObject     = "object"
	findSpace      = "space-map"
	findLeak       = "leak"
	findFeature    = "feature"
	findAccount    = "space-used"
	findUnreadable = "unreadable"
)

// Check looks for what is wrong with the pool on the device of size bytes in r, as
// zdb -bcc does, and adds it to list: labels and uberblocks, every block that
// anything leads to, all its copies, what is behind them up to the end of what is
// allocated, the space maps against the blocks that there are, how often features
// are said to be used, and the names in file systems. It goes on after whatever it finds; an error is only
// what ends it: a cancelled context, [ErrNotZFS] and [ErrUnsupported].
//
// Skipped says what could not be checked, although nothing is wrong with it.
//
// It keeps a bit for each unit of allocation in use, and about 100 bytes for each file
// of a file system.
func Check(ctx context.Context, r io.ReaderAt, size int64, list *finding.List, sink progress.Sink) (skipped []string, err error) {
	return check(ctx, r, size, false, list, sink)
}

// check is Check, perhaps of a pool of a test: see [open].
func check(ctx context.Context, r io.ReaderAt, size int64, trusting bool, list *finding.List, sink progress.Sink) (skipped []string, err error) {
	p, labels, err := open(r, size, trusting)
	switch {
	case errors.Is(err, ErrNotZFS):
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, ErrUnsupported):
		return nil, err
	}
	c := newChecker(ctx, p, list, sink)
	if err != nil {
		list.Add(findUnreadable, "pool", "%v; nothing but labels can be checked", err)
	}
	c.labels(labels, size)
	if err != nil {
		return nil, nil
	}
	progress.Phase(sink, "checking zfs", p.Allocated)
	if err = c.walkAll(); err == nil {
		c.features()
		err = c.space()
	}
	if err == nil {
		err = c.files()
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return c.skipped, err
}

// checker is the state of a check.
type checker struct {
	*Pool
	ctx     context.Context
	list    *finding.List
	done    func(int64)
	skipped []string
	names   map[uint64]string // of datasets, by object

	used *units // of all blocks that were met
	// logged are those of intent logs. Space maps have them only once the pool
	// was imported again.
	logged *units
	// missing says that not all blocks were met: the space maps may know of
	// more.
	missing bool
	// embedded counts blocks of metadata in pointers, which no unit of
	// allocation bounds.
	embedded int
	uses     map[string]bool // features by GUID that blocks and objects need

	work    chan work
	running sync.WaitGroup
}

// work is a block whose bytes are to be checked.
type work struct {
	where string
	b     ondisk.BlockPointer
}

func newChecker(ctx context.Context, p *Pool, list *finding.List, sink progress.Sink) *checker {
	return &checker{
		Pool: p, ctx: ctx, list: list, done: progress.Adder(sink),
		names: make(map[uint64]string), used: newUnits(), logged: newUnits(), uses: make(map[string]bool),
	}
}

// walkAll walks all blocks, and returns when all of them were checked.
func (c *checker) walkAll() error {
	c.startWorkers()
	defer c.stopWorkers()
	return c.everything()
}

func (c *checker) startWorkers() {
	c.work = make(chan work, 64)
	for range runtime.GOMAXPROCS(0) {
		c.running.Go(func() {
			for w := range c.work {
				if c.ctx.Err() == nil {
					c.bytes(w.where, &w.b)
				}
			}
		})
	}
}

func (c *checker) stopWorkers() {
	close(c.work)
	c.running.Wait()
}

// labels checks the four labels.
func (c *checker) labels(labels []*label, size int64) {
	best := bestLabel(labels)
	for i, l := range labels {
		where := fmt.Sprintf("label %d", i)
		if l.err != nil {
			c.list.Add(findLabel, where, "%v", l.err)
			continue
		}
		if !ondisk.BootEnvironmentSealed(l.raw, l.offset) {
			c.list.Add(findLabel, where, "the checksum of the block for boot loaders is wrong")
		}
		if number(l.list, "txg") != number(best.list, "txg") || string(l.list.Encode()) != string(best.list.Encode()) {
			c.list.Add(findLabel, where, "it says something else than the newest label")
		}
		if c.Pool == nil {
			continue
		}
		if l.damaged > 0 {
			c.list.Add(findUberblock, where, "%d slots have uberblocks that are damaged", l.damaged)
		}
		newest := uint64(0)
		for _, u := range l.uberblocks {
			newest = max(newest, u.TXG)
		}
		if newest != c.uber.TXG {
			c.list.Add(findUberblock, where, "its newest uberblock is of transaction group %d, not %d", newest, c.uber.TXG)
		}
	}
	if c.Pool == nil {
		return
	}
	tree, _ := best.list.Lookup("vdev_tree").(ondisk.NVList)
	if sum := c.GUID + number(tree, "guid"); c.uber.GUIDSum != sum {
		c.list.Add(findUberblock, "", "the GUIDs of pool and device sum up to %d, not %d", sum, c.uber.GUIDSum)
	}
}

// everything walks all object sets.
func (c *checker) everything() error {
	if _, err := c.walk("MOS", &c.uber.Root, 0); err != nil {
		return err
	}
	for _, d := range c.datasets {
		c.names[d.object] = d.Name
	}
	if err := c.eachObject(c.mos, func(number uint64, d *ondisk.DNode) error {
		if d.BonusType != ondisk.TypeDSLDataset {
			return nil
		}
		return c.dataset(number, d)
	}); err != nil {
		return err
	}
	return c.freeing()
}

// eachObject calls do for the objects of an object set that can be read; what cannot
// is met, and reported, by others.
func (c *checker) eachObject(s *objset, do func(uint64, *ondisk.DNode) error) error {
	perBlock := uint64(s.meta.BlockSize / ondisk.DNodeSize)
	return s.meta.runs(s.meta.LastBlock+1, func(from, count uint64) error {
		for index := from; index < from+count; index++ {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			data, err := s.meta.block(index)
			if err != nil || data == nil {
				continue
			}
			for i := uint64(0); i < perBlock; {
				d, err := ondisk.DecodeDNode(data[i*ondisk.DNodeSize:])
				if err == nil && d.Type != ondisk.TypeNone {
					if err := do(index*perBlock+i, &d); err != nil {
						return err
					}
				}
				i += uint64(max(d.Slots, 1))
			}
		}
		return nil
	})
}

// dataset walks a dataset or snapshot: those blocks that were written after the
// snapshot before it, which has the others.
func (c *checker) dataset(number uint64, d *ondisk.DNode) error {
	name := c.names[number]
	if name == "" {
		name = fmt.Sprintf("dataset %d", number)
	}
	set, err := ondisk.DecodeDSLDataset(d.Bonus)
	if err != nil {
		c.list.Add(findObject, name, "%v", err)
		return nil
	}
	if set.Pointer.IsHole() {
		return nil
	}
	w, err := c.walk(name, &set.Pointer, set.PreviousTXG)
	if err != nil || w == nil {
		return err
	}
	if !w.pruned && !w.broken && w.allocated != set.Referenced.Allocated {
		c.list.Add(findAccount, name, "it says to reference %d bytes, and references %d", set.Referenced.Allocated, w.allocated)
	}
	if set.Children == 0 && !w.log.IsHole() { // of a snapshot the log is none of its own
		return c.intentLog(name, &w.log)
	}
	return nil
}

// setWalk is the walk of an object set.
type setWalk struct {
	*checker
	name  string
	since uint64 // blocks that are not younger are another dataset's

	allocated int64
	pruned    bool // some blocks are another dataset's
	broken    bool // some could not be read
	log       ondisk.BlockPointer
}

// walk walks an object set. It returns nil if there is nothing to walk.
func (c *checker) walk(name string, b *ondisk.BlockPointer, since uint64) (*setWalk, error) {
	w := &setWalk{checker: c, name: name, since: since}
	if b.Type != ondisk.TypeObjset || b.Level != 0 {
		c.list.Add(findPointer, name, "a block of type %d and level %d in place of an object set", b.Type, b.Level)
		c.missing = true
		return nil, nil
	}
	if !w.visit("the object set", b, c.TXG) {
		// A dataset that has not changed since its snapshot has a log of its
		// own nevertheless.
		if s, err := c.openObjset(b); err == nil {
			w.log = s.Log
		}
		return w, nil
	}
	data, ok := w.read("the object set", b)
	if !ok {
		return w, nil
	}
	h, err := ondisk.DecodeObjset(data)
	if err != nil {
		w.bad(findObject, "the object set", "%v", err)
		return w, nil
	}
	w.log = h.Log
	fill := uint64(0)
	for i := range h.Meta.Pointers {
		fill += h.Meta.Pointers[i].Fill
	}
	if fill != b.Fill {
		c.list.Add(findPointer, name, "its pointer says that there are %d objects, its dnode %d", b.Fill, fill)
	}
	if err := w.object(0, &h.Meta, b.Birth); err != nil {
		return w, err
	}
	for i := range h.Accounts {
		if h.Accounts[i].Type != ondisk.TypeNone {
			if err := w.object(maxObject+uint64(i), &h.Accounts[i], b.Birth); err != nil {
				return w, err
			}
		}
	}
	return w, nil
}

// bad adds a finding because of which not all blocks are met.
func (w *setWalk) bad(kind, where, format string, args ...any) {
	w.list.Add(kind, w.name+", "+where, format, args...)
	w.missing, w.broken = true, true
}

// objectName names an object in findings.
func objectName(number uint64) string {
	switch {
	case number == 0:
		return "the dnodes"
	case number >= maxObject:
		return "accounting"
	}
	return fmt.Sprintf("object %d", number)
}

// object walks the blocks of an object, which a block leads to that was born in a
// transaction group.
func (w *setWalk) object(number uint64, d *ondisk.DNode, birth uint64) error {
	o := &objectWalk{setWalk: w, object: &object{pool: w.Pool, number: number, DNode: *d}, where: objectName(number)}
	before := w.pruned
	w.pruned = false
	for i := range d.Pointers {
		if err := o.pointer(&d.Pointers[i], d.Levels-1, uint64(i), birth); err != nil {
			return err
		}
	}
	if d.Spill != nil && !d.Spill.IsHole() {
		if d.Spill.Level != 0 || d.Spill.Type != ondisk.TypeSA {
			w.bad(findPointer, o.where, "a spill block of type %d and level %d", d.Spill.Type, d.Spill.Level)
		} else {
			o.count(d.Spill)
			if w.visit(o.where, d.Spill, birth) {
				w.send(o.where, d.Spill)
			}
		}
	}
	if !w.pruned && !o.broken && o.allocated != d.Used {
		w.list.Add(findAccount, w.name+", "+o.where, "it says to use %d bytes, and uses %d", d.Used, o.allocated)
	}
	w.pruned = w.pruned || before
	return nil
}

// objectWalk is the walk of an object.
type objectWalk struct {
	*setWalk
	*object
	where     string
	allocated int64
	broken    bool
}

// count counts what a block of the object takes, if it is not another dataset's.
func (o *objectWalk) count(b *ondisk.BlockPointer) {
	if b.Birth > o.since {
		o.allocated += b.AllocatedSize()
	}
}

// maxEmbedded bounds how many blocks of metadata may be in pointers, where the same
// bytes can lead to themselves.
const maxEmbedded = 1 << 20

// pointer walks the block at an index of a level, and what is below. Above is the
// transaction group in which what leads to it was written.
func (o *objectWalk) pointer(b *ondisk.BlockPointer, level int, index, above uint64) error {
	if b.IsHole() {
		return nil
	}
	if err := o.ctx.Err(); err != nil {
		return err
	}
	if err := o.checkPointer(b, level); err != nil || b.Type != o.Type && b.Embedded == nil {
		if err == nil {
			err = fmt.Errorf("a block of type %d in an object of type %d", b.Type, o.Type)
		}
		o.fail(findPointer, "%v", err)
		return nil
	}
	if level == 0 && index > o.LastBlock {
		o.fail(findPointer, "a block %d behind the last, %d", index, o.LastBlock)
		return nil
	}
	o.count(b)
	before := o.setWalk.broken
	ok := o.visit(o.where, b, above)
	o.broken = o.broken || o.setWalk.broken && !before
	if !ok {
		return nil
	}
	if level == 0 && o.Type != ondisk.TypeDNode {
		if b.Fill != 1 {
			o.list.Add(findPointer, o.name+", "+o.where, "block %d is said to be %d", index, b.Fill)
		}
		o.send(o.where, b)
		return nil
	}
	if b.Embedded != nil {
		if o.embedded++; o.embedded > maxEmbedded {
			o.fail(findPointer, "%v", errTooMany)
			return nil
		}
	}
	data, ok := o.read(o.where, b)
	if !ok {
		o.broken = true
		return nil
	}
	if level == 0 {
		return o.dnodes(b, data, index)
	}
	fill := uint64(0)
	for i := uint64(0); len(data) > 0; data, i = data[ondisk.BlockPointerSize:], i+1 {
		child, err := ondisk.DecodeBlockPointer(data)
		if err != nil {
			o.fail(findPointer, "%v", err)
			continue
		}
		fill += child.Fill
		if err := o.pointer(&child, level-1, index<<o.shift()|i, b.Birth); err != nil {
			return err
		}
	}
	if fill != b.Fill && b.Embedded == nil {
		o.list.Add(findPointer, o.name+", "+o.where, "an indirect block is said to lead to %d blocks or dnodes, and leads to %d", b.Fill, fill)
	}
	return nil
}

func (o *objectWalk) fail(kind, format string, args ...any) {
	o.bad(kind, o.where, format, args...)
	o.broken = true
}

// dnodes walks the objects of a block of a meta dnode.
func (o *objectWalk) dnodes(b *ondisk.BlockPointer, data []byte, index uint64) error {
	perBlock := uint64(o.BlockSize / ondisk.DNodeSize)
	count := uint64(0)
	for i := uint64(0); i < perBlock; {
		number := index*perBlock + i
		d, err := ondisk.DecodeDNode(data[i*ondisk.DNodeSize:])
		i += uint64(max(d.Slots, 1))
		if err != nil {
			count++
			o.bad(findObject, objectName(number), "%v", err)
			continue
		}
		if d.Type == ondisk.TypeNone {
			continue
		}
		count++
		if d.Slots > 1 {
			o.uses["org.zfsonlinux:large_dnode"] = true
		}
		if err := o.setWalk.object(number, &d, b.Birth); err != nil {
			return err
		}
	}
	if count != b.Fill && b.Embedded == nil {
		o.list.Add(findPointer, o.name+", "+o.where, "a block is said to have %d dnodes, and has %d", b.Fill, count)
	}
	return nil
}

// visit checks a pointer, and marks what it takes. It returns whether to go on with
// the block: not if another dataset has it, it was met before, or cannot be.
func (w *setWalk) visit(where string, b *ondisk.BlockPointer, above uint64) bool {
	if b.IsHole() {
		return false
	}
	if b.Birth <= w.since {
		w.pruned = true
		return false
	}
	if b.Birth > above {
		w.list.Add(findPointer, w.name+", "+where, "a block of transaction group %d in one of %d", b.Birth, above)
	}
	w.need(b)
	if b.Embedded != nil {
		return true
	}
	shared := b.Shared || w.active("com.fudosecurity:block_cloning") > 0
	again := false
	for i := range b.Addresses {
		a := b.Addresses[i]
		if a.Size == 0 {
			continue
		}
		size := b.PhysicalSize
		if a.Gang {
			size = 0
		}
		if err := w.checkAddress(a, size); err != nil {
			w.bad(findPointer, where, "%v", err)
			return false
		}
		some := w.mark(a)
		if some && !shared {
			w.list.Add(findShared, w.name+", "+where, "the block at %s is not the only one there", place(b))
		}
		again = again || some
		if a.Gang {
			w.gang(where, b, i, 0)
		}
	}
	w.allocated += b.AllocatedSize()
	return !again
}

// mark notes that an address is in use, and tells whether it was.
func (c *checker) mark(a ondisk.Address) bool {
	size := int64(a.Size)
	if a.Gang {
		size = ondisk.GangSize
	}
	unit := int64(1) << c.Ashift
	if a.Offset>>c.MetaslabShift != (a.Offset+size-1)>>c.MetaslabShift {
		c.list.Add(findSpace, fmt.Sprintf("offset %d", a.Offset), "a block of %d bytes crosses from one metaslab into the next", size)
	}
	some, ok := c.used.add(uint64(a.Offset>>c.Ashift), uint64((size+unit-1)>>c.Ashift))
	if !ok {
		c.missing = true
	}
	return some
}

// gang marks the pieces of a gang block.
func (w *setWalk) gang(where string, b *ondisk.BlockPointer, copy, depth int) {
	if copy > 0 && b.Addresses[copy] == b.Addresses[0] || depth > maxGang {
		return
	}
	pieces, err := w.gangPieces(b, copy)
	if err != nil {
		w.bad(findChecksum, where, "%v", err)
		return
	}
	if copy > 0 {
		return // all copies of the header lead to the same pieces
	}
	for i := range pieces {
		piece := &pieces[i]
		for k := range piece.Addresses {
			a := piece.Addresses[k]
			if a.Size == 0 {
				continue
			}
			if err := w.checkAddress(a, 0); err != nil {
				w.bad(findPointer, where, "%v", err)
				return
			}
			if w.mark(a) {
				w.list.Add(findShared, w.name+", "+where, "a piece of a gang block at %s is not the only one there", place(piece))
				return
			}
			if a.Gang {
				w.gang(where, piece, k, depth+1)
			}
		}
	}
}

// need notes which features a block needs.
func (c *checker) need(b *ondisk.BlockPointer) {
	for guid, needed := range map[string]bool{
		"com.delphix:embedded_data": b.Embedded != nil,
		"org.open-zfs:large_blocks": b.LogicalSize > 128<<10,
		"org.illumos:lz4_compress":  b.Compression == ondisk.CompressionLZ4,
		"org.freebsd:zstd_compress": b.Compression == ondisk.CompressionZstd,
		"org.illumos:sha512":        b.ChecksumKind == ondisk.ChecksumSHA512,
	} {
		if needed {
			c.uses[guid] = true
		}
	}
}

// read returns a block of metadata, all of whose copies are checked.
func (w *setWalk) read(where string, b *ondisk.BlockPointer) ([]byte, bool) {
	w.send(where, b)
	data, err := w.readBlock(b)
	if err != nil {
		// The worker says what is wrong.
		w.missing, w.broken = true, true
		return nil, false
	}
	return data, true
}

// send has the bytes of a block checked.
func (w *setWalk) send(where string, b *ondisk.BlockPointer) {
	select {
	case w.work <- work{w.name + ", " + where, *b}:
	case <-w.ctx.Done():
	}
}

// bytes checks the bytes of all copies of a block.
func (c *checker) bytes(where string, b *ondisk.BlockPointer) {
	if b.Embedded != nil {
		if _, err := decompress(b, b.Embedded); err != nil {
			c.list.Add(findChecksum, where, "%v", err)
		}
		return
	}
	var raw []byte
	for i := range b.Addresses {
		a := b.Addresses[i]
		if a.Size == 0 {
			continue
		}
		data, err := c.readCopy(b, i)
		if err != nil {
			c.list.Add(findChecksum, where, "copy %d: %v", i+1, err)
			continue
		}
		raw = data
		if c.done != nil {
			c.done(int64(a.Size))
		}
		if !a.Gang {
			c.padding(where, b, a)
		}
	}
	if raw == nil {
		return
	}
	if b.ChecksumKind == ondisk.ChecksumOff {
		return
	}
	if _, err := decompress(b, raw); err != nil {
		c.list.Add(findChecksum, where, "%v", err)
	}
}

// padding checks that what is behind a block up to the end of its last unit is
// zeros, as ZFS writes it.
func (c *checker) padding(where string, b *ondisk.BlockPointer, a ondisk.Address) {
	n := int64(a.Size) - int64(b.PhysicalSize)
	if n <= 0 || n >= 1<<c.Ashift {
		if n > 0 {
			c.list.Add(findPointer, where, "the block at %s has %d bytes, and %d are allocated", place(b), b.PhysicalSize, a.Size)
		}
		return
	}
	p := make([]byte, n)
	if err := content.ReadFull(c.device, p, ondisk.DataOffset+a.Offset+int64(b.PhysicalSize)); err != nil {
		c.list.Add(findUnreadable, where, "%v", err)
		return
	}
	if slices.ContainsFunc(p, func(b byte) bool { return b != 0 }) {
		c.list.Add(findPadding, where, "the bytes behind the block at %s are not zeros", place(b))
	}
}
