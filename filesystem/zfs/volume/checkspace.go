package volume

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
)

// freeing marks blocks that nothing leads to, but that are not free yet: those on
// lists of what is to be freed.
func (c *checker) freeing() error {
	for _, name := range []string{"free_bpobj", "sync_bplist"} {
		if object := c.directory[name]; object != 0 {
			if err := c.blockList(name, object, make(map[uint64]bool)); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"bptree_obj", "com.delphix:deleted_clones"} {
		if o, err := c.mos.object(c.directory[name]); err == nil && name == "bptree_obj" && len(o.Bonus) >= 16 && le.Uint64(o.Bonus) == le.Uint64(o.Bonus[8:]) {
			continue // from where to where it has something: nowhere
		}
		if c.directory[name] != 0 {
			c.skip("whether space is lost: datasets are being destroyed (" + name + ")")
		}
	}
	if c.uber.Checkpoint != 0 || c.directory["com.delphix:zpool_checkpoint"] != 0 {
		c.skip("whether space is lost: the pool has a checkpoint")
	}
	return nil
}

// skip notes what cannot be checked because not all blocks are met.
func (c *checker) skip(what string) {
	c.skipped = append(c.skipped, what)
	c.missing = true
}

// maxLists bounds how many lists of blocks are followed.
const maxLists = 1 << 20

// blockList marks the blocks of a list, and of the lists in it.
func (c *checker) blockList(name string, number uint64, seen map[uint64]bool) error {
	if seen[number] || len(seen) > maxLists {
		return nil
	}
	seen[number] = true
	o, err := c.mos.object(number)
	if err != nil {
		c.list.Add(findObject, name, "%v", err)
		c.missing = true
		return nil
	}
	l, err := ondisk.DecodeBlockList(o.Bonus)
	if err == nil && l.Count > uint64(c.data>>c.Ashift) {
		err = fmt.Errorf("a list of %d blocks, more than there can be", l.Count)
	}
	if err != nil {
		c.list.Add(findObject, name, "object %d: %v", number, err)
		c.missing = true
		return nil
	}
	w := &setWalk{checker: c, name: name}
	var p [ondisk.BlockPointerSize]byte
	for i := range l.Count {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := o.readFull(p[:], int64(i)*ondisk.BlockPointerSize); err != nil {
			c.missing = true
			return nil // which the walk of the MOS has found
		}
		b, err := ondisk.DecodeBlockPointer(p[:])
		if err != nil {
			w.bad(findPointer, objectName(number), "%v", err)
			continue
		}
		// Its bytes may be others already: what is written twice in a
		// transaction group is written to one place.
		w.visit(objectName(number), &b, math.MaxUint64)
	}
	if l.Lists == 0 {
		return nil
	}
	lists, err := c.mos.object(l.Lists)
	if err != nil {
		c.missing = true
		return nil
	}
	for i := range min(l.SubLists, maxLists) {
		sub, err := lists.word(i)
		if err != nil {
			c.missing = true
			return nil
		}
		if err := c.blockList(name, sub, seen); err != nil {
			return err
		}
	}
	return nil
}

// intentLog marks the blocks of a log that the pool has not taken over. What is in
// them is checked by whoever imports the pool.
func (c *checker) intentLog(name string, first *ondisk.BlockPointer) error {
	told := false
	for b := *first; !b.IsHole(); {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		a := b.Addresses[0]
		if a.Gang || c.checkAddress(a, b.PhysicalSize) != nil {
			return nil // it was not written
		}
		if some, ok := c.logged.add(uint64(a.Offset>>c.Ashift), uint64(a.Size>>c.Ashift)); some || !ok {
			return nil
		}
		next, records, ok := c.logBlock(&b)
		if !ok {
			return nil // it was allocated, but nothing was written to it
		}
		if records && !told {
			told = true
			c.skipped = append(c.skipped, fmt.Sprintf("the intent log of %s, whose entries are not in the files yet", name))
		}
		b = next
	}
	return nil
}

// logBlock reads a block of an intent log.
func (c *checker) logBlock(b *ondisk.BlockPointer) (next ondisk.BlockPointer, used, ok bool) {
	raw := make([]byte, b.PhysicalSize)
	if err := content.ReadFull(c.device, raw, ondisk.DataOffset+b.Addresses[0].Offset); err != nil {
		return next, false, false
	}
	return ondisk.DecodeLogBlock(raw, b)
}

// space compares the space maps with the blocks that there are.
func (c *checker) space() error {
	m := &spaceMaps{checker: c, units: newUnits()}
	if err := m.read(); err != nil {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if errors.Is(err, errWork) {
			c.skip("the space maps: they are too long")
			return nil
		}
		c.list.Add(findSpace, "", "%v", err)
		return nil
	}
	unit := int64(1) << c.Ashift
	if n, first := c.used.minus(m.units); n > 0 {
		c.list.Add(findSpace, fmt.Sprintf("offset %d", int64(first)*unit), "%d bytes are in use here and behind, but free in the space maps", int64(n)*unit)
	}
	if c.missing {
		if len(c.skipped) == 0 {
			c.skip("whether space is lost: not all blocks can be read")
		}
		return nil
	}
	c.used.addAll(c.logged)
	if n, first := m.units.minus(c.used); n > 0 {
		c.list.Add(findLeak, fmt.Sprintf("offset %d", int64(first)*unit), "%d bytes are allocated here and behind, but nothing leads to them", int64(n)*unit)
	}
	return nil
}

// errWork says that space maps are so long that it would take for ever.
var errWork = errors.New("the space maps are too long")

// spaceMaps are what all space maps together say.
type spaceMaps struct {
	*checker
	units     *units
	unflushed []uint64 // of each metaslab, the first transaction group that its map does not have
}

// read reads the maps of all metaslabs, and the logs of what is not in them yet.
func (m *spaceMaps) read() error {
	perMetaslab := uint64(1) << (m.MetaslabShift - m.Ashift)
	err := m.metaslabs(func(n uint64, o *object) error {
		if o == nil {
			return nil
		}
		allocated := int64(0)
		err := m.log(o, perMetaslab, func(e ondisk.SpaceMapEntry) error {
			if e.From >= perMetaslab || e.Size > perMetaslab-e.From {
				return corrupt("an entry for units %d to %d of %d", e.From, e.From+e.Size-1, perMetaslab)
			}
			if e.Free {
				allocated -= int64(e.Size)
			} else {
				allocated += int64(e.Size)
			}
			return m.apply(n*perMetaslab+e.From, e)
		})
		if err != nil {
			return err
		}
		i, err := ondisk.DecodeSpaceMapHeader(o.Bonus)
		if err == nil && i.Allocated != allocated<<m.Ashift {
			m.list.Add(findSpace, fmt.Sprintf("metaslab %d", n), "its space map has %d bytes allocated, and says %d", allocated<<m.Ashift, i.Allocated)
		}
		return err
	})
	if err != nil {
		return err
	}
	return m.logs()
}

// apply takes an entry, for units from on.
func (m *spaceMaps) apply(from uint64, e ondisk.SpaceMapEntry) error {
	if e.Free {
		all, ok := m.units.remove(from, e.Size)
		if !ok {
			return errWork
		}
		if !all {
			m.list.Add(findSpace, fmt.Sprintf("offset %d", int64(from)<<m.Ashift), "%d bytes are freed that are free", int64(e.Size)<<m.Ashift)
		}
		return nil
	}
	some, ok := m.units.add(from, e.Size)
	if !ok {
		return errWork
	}
	if some {
		m.list.Add(findSpace, fmt.Sprintf("offset %d", int64(from)<<m.Ashift), "%d bytes are allocated that are allocated", int64(e.Size)<<m.Ashift)
	}
	return nil
}

// minLog is how long any log may be: OpenZFS writes a log anew when it is several
// times as long as it has to be.
const minLog = 64 << 20

// log reads the entries of a space map of so many units.
func (m *spaceMaps) log(o *object, units uint64, each func(ondisk.SpaceMapEntry) error) error {
	i, err := ondisk.DecodeSpaceMapHeader(o.Bonus)
	if err != nil {
		return corrupt("object %d: %v", o.number, err)
	}
	if uint64(i.Length) > minLog+16*units {
		return errWork
	}
	p := make([]byte, o.BlockSize)
	for at := int64(0); at < i.Length; at += int64(len(p)) {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		if m.units.work -= 1 + len(p)>>12; m.units.work < 0 {
			return errWork
		}
		p = p[:min(int64(len(p)), i.Length-at)]
		if err := o.readFull(p, at); err != nil {
			return err
		}
		if err := ondisk.DecodeSpaceMap(p, each); err != nil {
			return fmt.Errorf("object %d: %w", o.number, err)
		}
	}
	return nil
}

// logs applies the logs of what all metaslabs have allocated and freed lately, with
// the feature log_spacemap. Units in them are sectors.
func (m *spaceMaps) logs() error {
	object := m.directory["com.delphix:log_spacemap_zap"]
	if object == 0 {
		return nil
	}
	entries, err := m.mos.zapEntries(object)
	if err != nil {
		return fmt.Errorf("logs of space maps: %w", err)
	}
	type txgLog struct{ txg, object uint64 }
	var logs []txgLog
	for _, e := range entries {
		txg, err := strconv.ParseUint(e.Name, 16, 64)
		number, numberErr := e.Number()
		if err != nil || numberErr != nil {
			return corrupt("a log of space maps %q", e.Name)
		}
		logs = append(logs, txgLog{txg, number})
	}
	slices.SortFunc(logs, func(a, b txgLog) int { return int(min(max(int64(a.txg-b.txg), -1), 1)) })
	if err := m.readUnflushed(); err != nil {
		return err
	}
	sectors := uint64(m.Ashift - 9)
	for _, l := range logs {
		o, err := m.mos.object(l.object)
		if err != nil {
			return fmt.Errorf("log of transaction group %d: %w", l.txg, err)
		}
		err = m.log(o, uint64(m.Size>>9), func(e ondisk.SpaceMapEntry) error {
			from, size := e.From>>sectors, e.Size>>sectors
			metaslab := from >> (m.MetaslabShift - m.Ashift)
			if size == 0 || metaslab >= uint64(m.Size>>m.MetaslabShift) {
				return corrupt("an entry of the log of transaction group %d for sector %d", l.txg, e.From)
			}
			if metaslab < uint64(len(m.unflushed)) && l.txg < m.unflushed[metaslab] {
				return nil // the metaslab's map has it
			}
			return m.apply(from, ondisk.SpaceMapEntry{Free: e.Free, Size: size})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readUnflushed reads which logs each metaslab's map has.
func (m *spaceMaps) readUnflushed() error {
	config, err := m.config()
	if err != nil {
		return err
	}
	tree, _ := config.Lookup("vdev_tree").(ondisk.NVList)
	children, _ := tree.Lookup("children").([]ondisk.NVList)
	if len(children) != 1 {
		return nil
	}
	zap := number(children[0], "com.delphix:vdev_zap_top")
	if zap == 0 {
		return nil
	}
	object, ok, err := m.mos.zapNumber(zap, "com.delphix:ms_unflushed_phys_txgs")
	if err != nil || !ok {
		return err
	}
	array, err := m.mos.object(object)
	if err != nil {
		return err
	}
	for n := range uint64(m.Size >> m.MetaslabShift) {
		txg, err := array.word(n)
		if err != nil {
			return err
		}
		m.unflushed = append(m.unflushed, txg)
	}
	return nil
}

// perDataset are the features that count the datasets that list them.
var perDataset = []string{
	"com.klarasystems:large_microzap", "org.freebsd:zstd_compress", "org.illumos:sha512", "org.open-zfs:large_blocks",
	"org.openzfs:zilsaxattr", "org.zfsonlinux:large_dnode", "org.zfsonlinux:project_quota", "org.zfsonlinux:userobj_accounting",
}

// Features that count objects.
const (
	featureHistogram = "com.delphix:spacemap_histogram"
	histogramBonus   = 320
)

// features checks how often features are said to be used.
func (c *checker) features() {
	counts := make(map[string]uint64)
	err := c.eachObject(c.mos, func(number uint64, d *ondisk.DNode) error {
		if d.BonusType == ondisk.TypeSpaceMapHeader && len(d.Bonus) == histogramBonus {
			counts[featureHistogram]++
		}
		if d.BonusType == ondisk.TypeDSLDataset && d.Type == ondisk.TypeZAP {
			entries, err := c.mos.zapEntries(number)
			if err != nil {
				return nil // which the walk has found
			}
			for _, e := range entries {
				counts[e.Name]++
			}
		}
		return nil
	})
	if err != nil {
		return
	}
	for _, guid := range append(perDataset, featureHistogram) {
		if said := c.active(guid); said != counts[guid] {
			c.list.Add(findFeature, guid, "it is said to be used %d times, and is %d times", said, counts[guid])
		}
	}
	var needed []string
	for guid := range c.uses {
		if c.active(guid) == 0 {
			needed = append(needed, guid)
		}
	}
	slices.Sort(needed)
	for _, guid := range needed {
		c.list.Add(findFeature, guid, "it is used, but not active")
	}
}
