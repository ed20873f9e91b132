package ondisk

import (
	"errors"
	"fmt"
	"strconv"
)

// AttributeTables are the numbers, sizes and layouts of attributes as a file system
// has registered them.
type AttributeTables struct {
	attributes map[uint16]registered
	layouts    map[uint16][]uint16
}

// registered is what a number of an attribute means. One that is not known here is
// not read.
type registered struct {
	attribute attribute
	known     bool
	size      int // 0 is variable
}

// maxLayouts bounds what is kept of tables: 10 bits of a header are the number of
// a layout.
const maxLayouts = 1 << 10

// NewAttributeTables returns the tables that two ZAPs have: see
// [AttributeRegistry] and [AttributeLayouts].
func NewAttributeTables(registryZAP, layoutsZAP []ZAPEntry) (*AttributeTables, error) {
	t := &AttributeTables{attributes: make(map[uint16]registered), layouts: make(map[uint16][]uint16)}
	byName := make(map[string]attribute)
	for i, a := range registry {
		byName[a.name] = attribute(i)
	}
	for i := range registryZAP {
		e := &registryZAP[i]
		v, err := e.Number()
		if err != nil {
			return nil, fmt.Errorf("registry of attributes: %w", err)
		}
		a, known := byName[e.Name]
		t.attributes[uint16(v)] = registered{a, known, int(v >> 24 & 0xffff)}
	}
	for _, e := range layoutsZAP {
		number, err := strconv.ParseUint(e.Name, 10, 16)
		if err != nil || number >= maxLayouts || e.ArrayUnit != 2 {
			return nil, fmt.Errorf("a layout of attributes %q of integers of %d bytes", e.Name, e.ArrayUnit)
		}
		list := make([]uint16, len(e.Array)/2)
		for i := range list {
			list[i] = be.Uint16(e.Array[2*i:])
			if _, ok := t.attributes[list[i]]; !ok {
				return nil, fmt.Errorf("layout %d has attribute %d, which is not registered", number, list[i])
			}
		}
		t.layouts[uint16(number)] = list
	}
	return t, nil
}

// Decode adds what attributes there are in p, a bonus or a spill block, to a.
func (t *AttributeTables) Decode(a *Attributes, p []byte) error {
	if len(p) < 8 || le.Uint32(p) != saMagic {
		return errors.New("no system attributes where they should be")
	}
	info := le.Uint16(p[4:])
	head := int(info>>10) * 8
	list, ok := t.layouts[info&(maxLayouts-1)]
	if !ok {
		return fmt.Errorf("attributes of layout %d, which there is not", info&(maxLayouts-1))
	}
	if head < 8 || head > len(p) {
		return fmt.Errorf("attributes with a header of %d bytes in %d", head, len(p))
	}
	sizes := p[6:head]
	p = p[head:]
	for _, number := range list {
		r := t.attributes[number]
		size := r.size
		if size == 0 {
			if len(sizes) < 2 {
				return fmt.Errorf("attribute %d has no size", number)
			}
			size = int(le.Uint16(sizes))
			sizes = sizes[2:]
		}
		if size > len(p) {
			return fmt.Errorf("attribute %d of %d bytes, of which there are %d", number, size, len(p))
		}
		if r.known {
			if err := a.set(r.attribute, p[:size]); err != nil {
				return err
			}
		}
		p = p[min(roundUp(size, 8), len(p)):]
	}
	return nil
}

// set takes the value of an attribute, if it is one of those that are kept.
func (a *Attributes) set(n attribute, value []byte) error {
	if want := int(registry[n].size); want != 0 && len(value) != want {
		return fmt.Errorf("attribute %s has %d bytes, not %d", registry[n].name, len(value), want)
	}
	number := func() uint64 { return le.Uint64(value) }
	moment := func() Time { return Time{int64(le.Uint64(value)), uint32(le.Uint64(value[8:]))} }
	switch n {
	case attrMode:
		a.Mode = number()
	case attrSize:
		a.Size = number()
	case attrGen:
		a.Generation = number()
	case attrUID:
		a.UID = number()
	case attrGID:
		a.GID = number()
	case attrParent:
		a.Parent = number()
	case attrFlags:
		a.Flags = number()
	case attrAtime:
		a.Atime = moment()
	case attrMtime:
		a.Mtime = moment()
	case attrCtime:
		a.Ctime = moment()
	case attrCrtime:
		a.Crtime = moment()
	case attrLinks:
		a.Links = number()
	case attrRdev:
		a.Device, a.Rdev = true, number()
	case attrXattr:
		a.XattrDir = number()
	case attrSymlink:
		a.Target = append([]byte{}, value...)
	case attrDXattr:
		a.Xattrs = append([]byte{}, value...)
	case attrDACLACEs:
		a.ACL = nil
		for ; len(value) >= aceSize; value = value[aceSize:] {
			if le.Uint16(value) != aceAllow {
				return nil // an access list of its own, which trees do not have
			}
			a.ACL = append(a.ACL, ACE{Flags: le.Uint16(value[2:]), Mask: le.Uint32(value[4:])})
		}
	}
	return nil
}

const (
	aceSize  = 8 // of an entry that names nobody
	aceAllow = 0
)
