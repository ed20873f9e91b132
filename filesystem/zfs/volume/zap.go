package volume

import (
	"encoding/binary"
	"fmt"

	"diskwright/filesystem/zfs/ondisk"
)

// zapEntries returns all entries of the ZAP that is an object.
func (s *objset) zapEntries(number uint64) ([]ondisk.ZAPEntry, error) {
	o, err := s.object(number)
	if err != nil {
		return nil, err
	}
	var all []ondisk.ZAPEntry
	err = o.eachEntry(func(entries []ondisk.ZAPEntry) { all = append(all, entries...) })
	return all, err
}

// zapNumber returns the number that a name has in the ZAP that is an object; not ok
// if it is not there.
func (s *objset) zapNumber(number uint64, name string) (value uint64, ok bool, err error) {
	o, err := s.object(number)
	if err != nil {
		return 0, false, err
	}
	e, ok, err := o.findEntry(name)
	if err != nil || !ok {
		return 0, false, err
	}
	value, err = e.Number()
	return value, err == nil, err
}

// eachEntry calls each for some entries of a ZAP at a time.
func (o *object) eachEntry(each func([]ondisk.ZAPEntry)) error {
	block, err := o.block(0)
	if err != nil {
		return o.wrap(err)
	}
	if ondisk.IsMicroZAP(block) {
		entries, err := ondisk.DecodeMicroZAP(block)
		if err != nil {
			return corrupt("object %d: %v", o.number, err)
		}
		each(entries)
		return nil
	}
	h, err := ondisk.DecodeFatZAP(block)
	if err != nil {
		return corrupt("object %d: %v", o.number, err)
	}
	// No leaf is met twice, since each has another prefix.
	for slot := uint64(0); slot < 1<<h.TableShift; {
		leaf, err := o.leaf(h, slot)
		if err != nil {
			return o.wrap(err)
		}
		entries, err := leaf.Entries()
		if err != nil {
			return corrupt("object %d: %v", o.number, err)
		}
		each(entries)
		slot += 1 << (h.TableShift - leaf.PrefixBits)
	}
	return nil
}

// findEntry returns the entry of a ZAP with a name.
func (o *object) findEntry(name string) (e ondisk.ZAPEntry, ok bool, err error) {
	block, err := o.block(0)
	if err != nil {
		return e, false, o.wrap(err)
	}
	var entries []ondisk.ZAPEntry
	if ondisk.IsMicroZAP(block) {
		entries, err = ondisk.DecodeMicroZAP(block)
	} else {
		var h *ondisk.FatZAPHeader
		if h, err = ondisk.DecodeFatZAP(block); err == nil && h.Normalized {
			err = o.eachEntry(func(some []ondisk.ZAPEntry) { entries = append(entries, some...) })
			if err != nil {
				return e, false, err
			}
		} else if err == nil {
			var leaf *ondisk.ZAPLeaf
			hash := h.Hash(name)
			if leaf, err = o.leaf(h, hash>>(64-h.TableShift)); err != nil {
				return e, false, o.wrap(err)
			}
			entries, err = leaf.Bucket(hash)
		}
	}
	if err != nil {
		return e, false, corrupt("object %d: %v", o.number, err)
	}
	for _, e := range entries {
		if e.Name == name {
			return e, true, nil
		}
	}
	return e, false, nil
}

func (o *object) wrap(err error) error { return fmt.Errorf("object %d: %w", o.number, err) }

// leaf returns the leaf that a slot of the table leads to.
func (o *object) leaf(h *ondisk.FatZAPHeader, slot uint64) (*ondisk.ZAPLeaf, error) {
	index, at := h.Slot(slot)
	table, err := o.block(index)
	if err != nil {
		return nil, err
	}
	if at+8 > len(table) {
		return nil, corrupt("slot %d of a table is in a hole", slot)
	}
	block, err := o.block(binary.LittleEndian.Uint64(table[at:]))
	if err != nil {
		return nil, err
	}
	leaf, err := ondisk.DecodeZAPLeaf(block)
	if err != nil {
		return nil, corrupt("slot %d: %v", slot, err)
	}
	if bits := leaf.PrefixBits; bits > h.TableShift || leaf.Prefix != slot>>(h.TableShift-bits) {
		return nil, corrupt("slot %d leads to the leaf of prefix %d with %d bits", slot, leaf.Prefix, bits)
	}
	return leaf, nil
}
