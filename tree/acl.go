package tree

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A POSIX access control list in an extended attribute, as the kernel gives it
// and takes it (linux/posix_acl_xattr.h), little endian:
//
//	+---------+-----+------+----+-----+------+----+---
//	| version | tag | perm | id | tag | perm | id | ...
//	+---------+-----+------+----+-----+------+----+---
//	  4         2     2      4    2     2      4
const (
	aclVersion    = 2
	aclHeaderSize = 4
	aclEntrySize  = 8

	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20

	aclNoID = 0xffffffff // of tags that name nobody
)

// aclEntry is an element of an access control list.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// named reports whether the entry is of somebody by number.
func (e aclEntry) named() bool { return e.tag == aclUser || e.tag == aclGroup }

// decodeACL reads the value of an extended attribute and checks it as the
// kernel would.
func decodeACL(value []byte) ([]aclEntry, error) {
	if len(value) < aclHeaderSize || (len(value)-aclHeaderSize)%aclEntrySize != 0 {
		return nil, fmt.Errorf("an ACL cannot have %d bytes", len(value))
	}
	if v := binary.LittleEndian.Uint32(value); v != aclVersion {
		return nil, fmt.Errorf("an ACL of version %d, want %d", v, aclVersion)
	}
	var acl []aclEntry
	for p := value[aclHeaderSize:]; len(p) > 0; p = p[aclEntrySize:] {
		acl = append(acl, aclEntry{
			tag:  binary.LittleEndian.Uint16(p),
			perm: binary.LittleEndian.Uint16(p[2:]),
			id:   binary.LittleEndian.Uint32(p[4:]),
		})
	}
	return acl, checkACL(acl)
}

// checkACL returns an error if a list is not one that the kernel takes
// (posix_acl_valid): each of the owner, the group and all others once, in the
// order of tags, and a mask if somebody is named.
func checkACL(acl []aclEntry) error {
	count := map[uint16]int{}
	named := false
	for n, e := range acl {
		switch e.tag {
		case aclUserObj, aclUser, aclGroupObj, aclGroup, aclMask, aclOther:
		default:
			return fmt.Errorf("an ACL with the tag %#x, which is not known", e.tag)
		}
		if e.perm > 7 {
			return fmt.Errorf("an ACL with the permissions %#o", e.perm)
		}
		if n > 0 && e.tag < acl[n-1].tag {
			return fmt.Errorf("an ACL that is not in the order owner, users, group, groups, mask, others")
		}
		named = named || e.named()
		count[e.tag]++
	}
	if count[aclUserObj] != 1 || count[aclGroupObj] != 1 || count[aclOther] != 1 || count[aclMask] > 1 {
		return fmt.Errorf("an ACL must have the owner, the group and all others once, and at most one mask")
	}
	if named && count[aclMask] == 0 {
		return fmt.Errorf("an ACL that names users or groups must have a mask")
	}
	return nil
}

// encodeACL returns the value of the extended attribute.
func encodeACL(acl []aclEntry) []byte {
	value := binary.LittleEndian.AppendUint32(make([]byte, 0, aclHeaderSize+len(acl)*aclEntrySize), aclVersion)
	for _, e := range acl {
		value = binary.LittleEndian.AppendUint16(value, e.tag)
		value = binary.LittleEndian.AppendUint16(value, e.perm)
		value = binary.LittleEndian.AppendUint32(value, e.id)
	}
	return value
}

// isModeACL reports whether a list says no more than a mode does. The kernel
// stores no access list then.
func isModeACL(acl []aclEntry) bool {
	return !slices.ContainsFunc(acl, func(e aclEntry) bool { return e.named() || e.tag == aclMask })
}

// modeOfACL returns the permissions that the kernel gives a file together with
// an access list. bsdtar has others in the header: those of the group where
// those of the mask belong.
func modeOfACL(acl []aclEntry) (mode uint32) {
	var group uint16
	var mask aclEntry
	for _, e := range acl {
		switch e.tag {
		case aclUserObj:
			mode |= uint32(e.perm) << 6
		case aclGroupObj:
			group = e.perm
		case aclMask:
			mask = e
		case aclOther:
			mode |= uint32(e.perm)
		}
	}
	if mask.tag != 0 {
		group = mask.perm
	}
	return mode | uint32(group)<<3
}

// chmodACL returns an access list with the permissions of a mode, as the
// kernel's chmod leaves it: what the mode says of the group is the mask's.
func chmodACL(acl []aclEntry, mode uint32) []aclEntry {
	acl = slices.Clone(acl)
	group := slices.IndexFunc(acl, func(e aclEntry) bool { return e.tag == aclMask })
	for n := range acl {
		switch e := &acl[n]; {
		case e.tag == aclUserObj:
			e.perm = uint16(mode >> 6 & 7)
		case n == group, e.tag == aclGroupObj && group < 0:
			e.perm = uint16(mode >> 3 & 7)
		case e.tag == aclOther:
			e.perm = uint16(mode & 7)
		}
	}
	return acl
}

// setMode sets the permissions of an inode, and those of its access list,
// which the kernel goes by if there is one.
func (i *Inode) setMode(mode uint32) {
	i.Mode = i.Type() | mode&PermMask
	for n, x := range i.Xattrs {
		if x.Name != xattrACLAccess {
			continue
		}
		acl, err := decodeACL(x.Value)
		if err != nil {
			continue // not for us to judge
		}
		i.Xattrs = slices.Clone(i.Xattrs) // they may be shared
		i.Xattrs[n].Value = encodeACL(chmodACL(acl, mode))
	}
}

// parseACL reads the text form of a list, as star, GNU tar and bsdtar put it
// into archives: entries between commas or newlines, such as "user::rwx",
// "group:1001:r-x" or, with the number behind, "user:lisa:r--:1000". It
// returns nil if the list says no more than a mode.
func parseACL(text string) ([]aclEntry, error) {
	var acl []aclEntry
	for entry := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		entry, _, _ = strings.Cut(entry, "#") // of the effective permissions
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		e, err := parseACLEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("entry %q of an ACL: %w", entry, err)
		}
		acl = append(acl, e)
	}
	slices.SortFunc(acl, func(a, b aclEntry) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.id, b.id))
	})
	return acl, checkACL(acl)
}

func parseACLEntry(entry string) (aclEntry, error) {
	fields := strings.Split(entry, ":")
	e := aclEntry{id: aclNoID}
	kind := fields[0]
	if len(fields) == 2 && (kind == "mask" || kind == "m" || kind == "other" || kind == "o") {
		fields = []string{kind, "", fields[1]} // as Solaris has it
	}
	if len(fields) < 3 || len(fields) > 4 {
		return e, fmt.Errorf("want kind:name:permissions")
	}
	name := fields[1]
	switch kind {
	case "user", "u":
		e.tag = aclUserObj
		if name != "" {
			e.tag = aclUser
		}
	case "group", "g":
		e.tag = aclGroupObj
		if name != "" {
			e.tag = aclGroup
		}
	case "mask", "m":
		e.tag = aclMask
	case "other", "o":
		e.tag = aclOther
	default:
		return e, fmt.Errorf("%q is none of user, group, mask and other", kind)
	}
	if e.named() {
		number := name
		if len(fields) == 4 && fields[3] != "" {
			number = fields[3]
		}
		id, err := strconv.ParseUint(number, 10, 32)
		switch {
		case err == nil:
			e.id = uint32(id)
		case number == "root":
			e.id = 0
		default:
			return e, fmt.Errorf("no number for the name %q, which belongs to another system; GNU tar writes numbers with --xattrs --acls, and bsdtar does", name)
		}
	}
	for _, c := range []byte(fields[2]) {
		switch c {
		case 'r':
			e.perm |= 4
		case 'w':
			e.perm |= 2
		case 'x':
			e.perm |= 1
		case '-':
		default:
			return e, fmt.Errorf("%q is not a permission", c)
		}
	}
	return e, nil
}

// formatACL returns the text form of a list, with numbers.
func formatACL(acl []aclEntry) string {
	kinds := map[uint16]string{
		aclUserObj: "user:", aclUser: "user:", aclGroupObj: "group:", aclGroup: "group:", aclMask: "mask:", aclOther: "other:",
	}
	var b strings.Builder
	for n, e := range acl {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(kinds[e.tag])
		if e.named() {
			b.WriteString(strconv.FormatUint(uint64(e.id), 10))
		}
		b.WriteByte(':')
		for bit, c := range []byte("rwx") {
			if e.perm&(4>>bit) == 0 {
				c = '-'
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}
