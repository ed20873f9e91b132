package ondisk

import (
	"slices"
	"strconv"
)

// System attributes (SA) are what stat shows of a file, its access list, the target
// of a symbolic link, and its extended attributes. They lie packed in the bonus of
// the dnode, and what does not fit in a spill block, each with a header that names
// a layout: which attributes, in which order.
//
//	| magic (u32) | header size / 8 << 10 + layout (u16) | sizes of attributes of variable size (u16 each) | attributes |
const (
	saMagic = 0x2f505a

	// MaxXattrList is the largest list of extended attributes, whose size is
	// kept in 16 bits; MaxXattrValue the largest value in it
	// (DXATTR_MAX_ENTRY_SIZE).
	MaxXattrList  = 1<<16 - 8
	MaxXattrValue = 1 << 15
)

// attribute is the number of an attribute in the registry.
type attribute uint16

// Numbers as every file system registers them (zfs_attr_table).
const (
	attrAtime attribute = iota
	attrMtime
	attrCtime
	attrCrtime
	attrGen
	attrMode
	attrSize
	attrParent
	attrLinks
	attrXattr
	attrRdev
	attrFlags
	attrUID
	attrGID
	attrPad
	attrZnodeACL
	attrDACLCount
	attrSymlink
	attrScanstamp
	attrDACLACEs
	attrDXattr
	attrProjectID
)

// registry has name, size (0 is variable) and how a machine of the other byte order
// swaps the attribute (sa_bswap_type_t), by number.
var registry = [...]struct {
	name string
	size uint64
	swap uint64
}{
	{"ZPL_ATIME", 16, 0}, {"ZPL_MTIME", 16, 0}, {"ZPL_CTIME", 16, 0}, {"ZPL_CRTIME", 16, 0},
	{"ZPL_GEN", 8, 0}, {"ZPL_MODE", 8, 0}, {"ZPL_SIZE", 8, 0}, {"ZPL_PARENT", 8, 0},
	{"ZPL_LINKS", 8, 0}, {"ZPL_XATTR", 8, 0}, {"ZPL_RDEV", 8, 0}, {"ZPL_FLAGS", 8, 0},
	{"ZPL_UID", 8, 0}, {"ZPL_GID", 8, 0}, {"ZPL_PAD", 32, 0}, {"ZPL_ZNODE_ACL", 88, 3},
	{"ZPL_DACL_COUNT", 8, 0}, {"ZPL_SYMLINK", 0, 3}, {"ZPL_SCANSTAMP", 32, 3},
	{"ZPL_DACL_ACES", 0, 4}, {"ZPL_DXATTR", 0, 3}, {"ZPL_PROJID", 8, 0},
}

// Every layout of the bonus begins with these.
var commonAttributes = []attribute{
	attrMode, attrSize, attrGen, attrUID, attrGID, attrParent, attrFlags,
	attrAtime, attrMtime, attrCtime, attrCrtime, attrLinks,
}

// layouts are those that files can have. Numbers begin with 2, since OpenZFS keeps
// 0 and 1.
var layouts = [...][]attribute{
	layout(attrDACLCount, attrDACLACEs),
	layout(attrDACLCount, attrDACLACEs, attrSymlink),
	layout(attrDACLCount, attrDACLACEs, attrDXattr),
	layout(attrDACLCount, attrDACLACEs, attrSymlink, attrDXattr),
	layout(attrRdev, attrDACLCount, attrDACLACEs),
	layout(attrRdev, attrDACLCount, attrDACLACEs, attrDXattr),
	{attrSymlink},
	{attrDXattr},
	{attrSymlink, attrDXattr},
}

const firstLayout = 2

func layout(special ...attribute) []attribute {
	return append(commonAttributes[:len(commonAttributes):len(commonAttributes)], special...)
}

// AttributeRegistry returns the entries of the ZAP that numbers attributes.
func AttributeRegistry() []ZAPEntry {
	entries := make([]ZAPEntry, len(registry))
	for i, a := range registry {
		entries[i] = ZAPEntry{Name: a.name, Value: a.size<<24 | a.swap<<16 | uint64(i)}
	}
	return entries
}

// AttributeLayouts returns the entries of the ZAP that has the layouts.
func AttributeLayouts() []ZAPEntry {
	entries := make([]ZAPEntry, len(layouts))
	for i, l := range layouts {
		array := make([]byte, 0, 2*len(l))
		for _, a := range l {
			array = be.AppendUint16(array, uint16(a))
		}
		entries[i] = ZAPEntry{Name: strconv.Itoa(firstLayout + i), Array: array, ArrayUnit: 2}
	}
	return entries
}

// Time is seconds since 1970 and nanoseconds.
type Time struct {
	Sec  int64
	Nsec uint32
}

// ACE is an entry of an NFSv4 access list (zfs_ace_hdr_t): type "allow".
type ACE struct {
	Flags uint16
	Mask  uint32
}

// Attributes are the system attributes of a file.
type Attributes struct {
	Mode, Size, Generation      uint64
	UID, GID, Parent            uint64
	Flags                       uint64
	Atime, Mtime, Ctime, Crtime Time
	Links                       uint64

	Device bool // has a number
	Rdev   uint64

	ACL    []ACE
	Target []byte // of a symbolic link
	Xattrs []byte // an encoded NVList, nil if there are none

	// XattrDir is the object of a directory whose files are further extended
	// attributes; 0 is none. It is only read.
	XattrDir uint64
}

// AttributeEncoder encodes attributes of one file after the other. Its zero value is
// ready.
type AttributeEncoder struct {
	values  []attributeValue
	numbers []byte // what of their bytes is not elsewhere
	bonus   []byte
}

type attributeValue struct {
	attribute
	value []byte
}

// Encode returns the bonus, valid until the next call, and, nil if everything fits in
// that, the spill block. As OpenZFS does it, once there is a spill block what would
// lie in the last 128 bytes of the bonus is in it as well.
func (e *AttributeEncoder) Encode(a *Attributes) (bonus, spill []byte) {
	e.collect(a)
	e.bonus = appendAttributes(e.bonus[:0], e.values)
	if len(e.bonus) <= MaxBonus {
		return e.bonus, nil
	}
	n := len(e.values)
	for len(e.bonus) > MaxBonusWithSpill {
		n--
		e.bonus = appendAttributes(e.bonus[:0], e.values[:n])
	}
	return e.bonus, pad(appendAttributes(nil, e.values[n:]), SectorSize)
}

// collect takes the attributes in the order of layouts.
func (e *AttributeEncoder) collect(a *Attributes) {
	e.values, e.numbers = e.values[:0], slices.Grow(e.numbers[:0], 8*(len(registry)+4+len(a.ACL)))
	add := func(n attribute, value []byte) { e.values = append(e.values, attributeValue{n, value}) }
	number := func(n attribute, value ...uint64) {
		at := len(e.numbers)
		for _, v := range value {
			e.numbers = le.AppendUint64(e.numbers, v)
		}
		add(n, e.numbers[at:])
	}
	moment := func(n attribute, t Time) { number(n, uint64(t.Sec), uint64(t.Nsec)) }
	number(attrMode, a.Mode)
	number(attrSize, a.Size)
	number(attrGen, a.Generation)
	number(attrUID, a.UID)
	number(attrGID, a.GID)
	number(attrParent, a.Parent)
	number(attrFlags, a.Flags)
	moment(attrAtime, a.Atime)
	moment(attrMtime, a.Mtime)
	moment(attrCtime, a.Ctime)
	moment(attrCrtime, a.Crtime)
	number(attrLinks, a.Links)
	if a.Device {
		number(attrRdev, a.Rdev)
	}
	number(attrDACLCount, uint64(len(a.ACL)))
	acl := len(e.numbers)
	for _, ace := range a.ACL {
		e.numbers = le.AppendUint32(le.AppendUint16(append(e.numbers, 0, 0), ace.Flags), ace.Mask)
	}
	add(attrDACLACEs, e.numbers[acl:])
	if a.Target != nil {
		add(attrSymlink, a.Target)
	}
	if a.Xattrs != nil {
		add(attrDXattr, a.Xattrs)
	}
}

// appendAttributes appends packed attributes behind a header to p, which is empty.
func appendAttributes(p []byte, values []attributeValue) []byte {
	p = le.AppendUint32(p, saMagic)
	p = append(p, 0, 0)
	for _, v := range values {
		if registry[v.attribute].size == 0 {
			p = le.AppendUint16(p, uint16(len(v.value)))
		}
	}
	p = pad(p, 8)
	le.PutUint16(p[4:], uint16(len(p)/8<<10|layoutNumber(values)))
	for _, v := range values {
		p = pad(append(p, v.value...), 8)
	}
	return p
}

// pad appends zeros up to a multiple of unit.
func pad(p []byte, unit int) []byte {
	n := len(p)
	p = slices.Grow(p, roundUp(n, unit)-n)[:roundUp(n, unit)]
	clear(p[n:])
	return p
}

// layoutNumber returns the number of the layout with just these attributes. They
// are a prefix or the rest of some file's, split behind the access list at the
// earliest, so there is one.
func layoutNumber(values []attributeValue) int {
next:
	for i, l := range layouts {
		if len(l) != len(values) {
			continue
		}
		for j, v := range values {
			if l[j] != v.attribute {
				continue next
			}
		}
		return firstLayout + i
	}
	return 0
}
