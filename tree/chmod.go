package tree

import (
	"fmt"
	"strings"
)

// ModeChange is a change of permissions as chmod(1) and rsync's --chmod write
// it. See [ParseMode].
type ModeChange []modeItem

// modeItem is an element of a ModeChange.
type modeItem struct {
	dirs, files bool // apply to directories only; to all else only

	clear    uint32 // bits that go before anything is set
	set      uint32
	capitalX bool // set no x where there was none, but for directories

	// With from, a class, the bits are those of that class of the mode: they
	// are set in (or, with remove, taken from) the classes to, under mask.
	from, to, mask uint32
	remove         bool
}

// Bits of modes, by class: user, group, other.
const (
	permUser  = 0o100
	permGroup = 0o010
	permOther = 0o001
	permAll   = permUser | permGroup | permOther // times 0 to 7

	setUID = 0o4000
	setGID = 0o2000
	sticky = 0o1000

	// bareMask is not set by an item that names no class ("+w"). chmod and
	// rsync take the umask of the process; the reference's is always this.
	bareMask = 0o022
)

// ParseMode reads a change of permissions: items between commas, each either
// octal ("755", which sets all twelve bits) or symbolic ("u+rwX", "go-w",
// "a=rX", "g=u"). An item that begins with D is for directories only, one that begins
// with F for everything else. All is as in rsync's --chmod; in particular an
// item has one operator, and s and t belong to the permissions.
func ParseMode(text string) (ModeChange, error) {
	var change ModeChange
	for item := range strings.SplitSeq(text, ",") {
		m, err := parseModeItem(item)
		if err != nil {
			return nil, fmt.Errorf("mode %q: %w; want octal (\"755\", \"D755,F644\") or symbolic (\"u+rwX,go-w\") items", text, err)
		}
		change = append(change, m)
	}
	return change, nil
}

func parseModeItem(item string) (modeItem, error) {
	var m modeItem
	if item == "" {
		return m, fmt.Errorf("an item is empty")
	}
	rest := strings.TrimLeft(item, "DFugoa")
	who := item[:len(item)-len(rest)]
	m.dirs, m.files = strings.Contains(who, "D"), strings.Contains(who, "F")
	if m.dirs && m.files {
		return m, fmt.Errorf("%q is for directories only and for all else only", item)
	}
	who = strings.Trim(who, "DF")
	switch {
	case rest == "":
		return m, fmt.Errorf("%q says nothing about permissions", item)
	case rest[0] >= '0' && rest[0] <= '7' && who == "":
		bits, err := parseOctal(rest)
		m.clear, m.set = PermMask, bits
		return m, err
	case !strings.Contains("+-=", rest[:1]):
		return m, fmt.Errorf("%q has %q where one of + - = is wanted", item, rest[:1])
	}
	return m, m.symbolic(who, rest[0], rest[1:])
}

// parseOctal reads all twelve bits.
func parseOctal(text string) (bits uint32, err error) {
	for _, c := range []byte(text) {
		if c < '0' || c > '7' {
			return 0, fmt.Errorf("%q is not octal", text)
		}
		if bits = bits<<3 | uint32(c-'0'); bits > PermMask {
			return 0, fmt.Errorf("%q is greater than 7777", text)
		}
	}
	return bits, nil
}

// classOf are the bits of a class, and the special bits that s means for it.
var classOf = map[byte]struct{ perm, special uint32 }{
	'u': {permUser, setUID},
	'g': {permGroup, setGID},
	'o': {permOther, 0},
	'a': {permAll, setUID | setGID},
}

// symbolic sets the item to who, operator and permissions.
func (m *modeItem) symbolic(who string, operator byte, permissions string) error {
	var classes, special uint32
	for _, c := range []byte(who) {
		classes |= classOf[c].perm
		special |= classOf[c].special
	}
	mask := PermMask
	if classes == 0 {
		classes, mask = permAll, PermMask&^bareMask
	}
	if operator == '=' {
		m.clear = classes * 7
	}
	m.remove = operator == '-'
	if len(permissions) == 1 && strings.Contains("ugo", permissions) {
		m.from, m.to, m.mask = classOf[permissions[0]].perm, classes, mask
		if operator == '=' { // nothing of the class stays, the special bit neither
			m.clear |= classes&permUser<<5 | classes&permGroup<<7 | classes&permOther<<9
		}
		return nil
	}

	var bits, top uint32
	for _, c := range []byte(permissions) {
		switch c {
		case 'r':
			bits |= 4
		case 'w':
			bits |= 2
		case 'x':
			bits |= 1
		case 'X':
			bits |= 1
			m.capitalX = !m.remove
		case 's':
			if special != 0 {
				top |= special
			} else {
				top = setUID // rsync's idea of +s and o+s
			}
		case 't':
			top |= sticky
		default:
			return fmt.Errorf("%q is not a permission, one of r w x X s t", c)
		}
	}
	set := classes*bits&mask | top
	if m.remove {
		m.clear = set
		return nil
	}
	m.set = set
	if operator == '=' && top != 0 {
		m.clear |= special
	}
	return nil
}

// Apply returns what becomes of a mode, which includes the type. Symbolic
// links have none that could change.
func (c ModeChange) Apply(mode uint32) uint32 {
	if mode&TypeMask == TypeSymlink {
		return mode
	}
	dir := mode&TypeMask == TypeDir
	executable := mode&permAll != 0
	perm := mode & PermMask
	for _, m := range c {
		if m.dirs && !dir || m.files && dir {
			continue
		}
		set := m.set
		if m.capitalX && !executable && !dir {
			set &^= permAll
		}
		if m.from != 0 {
			set = perm / m.from & 7 * m.to & m.mask
		}
		if m.remove && m.from != 0 {
			perm &^= set
			continue
		}
		perm = perm&^m.clear | set
	}
	return mode&TypeMask | perm
}
