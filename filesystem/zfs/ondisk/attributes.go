package ondisk

import "strconv"

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

// Encode returns the bonus and, nil if everything fits in that, the spill block.
// As OpenZFS does it, once there is a spill block what would lie in the last 128
// bytes of the bonus is in it as well.
func (a *Attributes) Encode() (bonus, spill []byte) {
	values := a.values()
	if bonus = encodeAttributes(values); len(bonus) <= MaxBonus {
		return bonus, nil
	}
	n := len(values)
	for len(bonus) > MaxBonusWithSpill {
		n--
		bonus = encodeAttributes(values[:n])
	}
	spill = encodeAttributes(values[n:])
	return bonus, append(spill, make([]byte, roundUp(len(spill), SectorSize)-len(spill))...)
}

type attributeValue struct {
	attribute
	value []byte
}

// values returns the attributes in the order of layouts.
func (a *Attributes) values() []attributeValue {
	v := make([]attributeValue, 0, len(registry))
	numbers := make([]byte, 0, 8*(len(registry)+4)) // what is made here lies in one piece
	add := func(n attribute, value []byte) { v = append(v, attributeValue{n, value}) }
	number := func(n attribute, value uint64) {
		at := len(numbers)
		numbers = le.AppendUint64(numbers, value)
		add(n, numbers[at:])
	}
	moment := func(n attribute, t Time) {
		at := len(numbers)
		numbers = le.AppendUint64(le.AppendUint64(numbers, uint64(t.Sec)), uint64(t.Nsec))
		add(n, numbers[at:])
	}
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
	acl := make([]byte, 0, 8*len(a.ACL))
	for _, e := range a.ACL {
		acl = le.AppendUint32(le.AppendUint16(append(acl, 0, 0), e.Flags), e.Mask)
	}
	add(attrDACLACEs, acl)
	if a.Target != nil {
		add(attrSymlink, a.Target)
	}
	if a.Xattrs != nil {
		add(attrDXattr, a.Xattrs)
	}
	return v
}

// encodeAttributes packs attributes behind a header.
func encodeAttributes(values []attributeValue) []byte {
	var sizes []byte
	for _, v := range values {
		if registry[v.attribute].size == 0 {
			sizes = le.AppendUint16(sizes, uint16(len(v.value)))
		}
	}
	head := roundUp(6+len(sizes), 8)
	p := le.AppendUint32(make([]byte, 0, MaxBonus), saMagic)
	p = le.AppendUint16(p, uint16(head/8<<10|layoutNumber(values)))
	p = append(p, sizes...)
	p = append(p, make([]byte, head-len(p))...)
	for _, v := range values {
		p = append(p, v.value...)
		p = append(p, make([]byte, roundUp(len(p), 8)-len(p))...)
	}
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
