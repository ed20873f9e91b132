package fat

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	nameMax   = 255 // of a long name, in units of UTF-16 ([FAT] "Name Limits and Character Sets")
	baseLen   = 8   // of a short name, before the extension
	shortLen  = 11
	numericAt = 6 // where "~1" begins at the latest
	hashedAt  = 2 // where the hash begins at the latest
	tailMax   = 9 // of the number behind the tilde
)

// shortName is the name in a directory entry: eight characters and three of
// the extension, padded with spaces, without the dot.
type shortName [shortLen]byte

var (
	dotName    = shortName([]byte(".          "))
	dotDotName = shortName([]byte("..         "))
)

// checkName says why FAT cannot hold a name.
func checkName(name string) error {
	const forbidden = `"*/:<>?\|`
	switch {
	case name == "":
		return errors.New("is empty")
	case !utf8.ValidString(name):
		return errors.New("is not UTF-8, and FAT keeps names in UTF-16")
	case strings.ContainsAny(name, forbidden):
		return fmt.Errorf("holds one of the characters %s, which FAT forbids", forbidden)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }):
		return errors.New("holds a control character, which FAT forbids")
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return errors.New("ends in a dot or a space, which FAT drops")
	case utf16Len(name) > nameMax:
		return fmt.Errorf("is longer than %d units of UTF-16", nameMax)
	}
	return nil
}

// utf16Len returns the length of a name in units of UTF-16.
func utf16Len(name string) int {
	units := 0
	for _, r := range name {
		units += utf16.RuneLen(r)
	}
	return units
}

// foldName returns what is equal for names that differ in case only. Drivers
// do not agree on case beyond ASCII; this takes for equal what any of them
// does.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// A shortForm is what is left of a name in the form of a short name.
type shortForm struct {
	name  shortName
	base  int  // length before the extension
	whole bool // nothing was lost but case
	upper bool // nor was that
}

// shorten returns the short form of a name as Linux makes it: the last dot
// that is not at the start separates the extension, spaces and other dots are
// dropped, what a short name cannot hold becomes "_". Characters that are not
// ASCII are among that, so that a name is the same in every code page.
func shorten(name string) shortForm {
	form := shortForm{name: shortName([]byte("           ")), whole: true, upper: true}
	base, extension := name, ""
	if dot := strings.LastIndexByte(name, '.'); strings.Trim(name[:max(dot, 0)], " .") != "" {
		base, extension = name[:dot], name[dot+1:]
	}
	form.base = form.fill(form.name[:baseLen], base)
	form.fill(form.name[baseLen:], extension)
	return form
}

// fill puts the short form of part into field and returns its length.
func (form *shortForm) fill(field []byte, part string) int {
	n := 0
	put := func(c byte) {
		if n == len(field) {
			form.whole = false
			return
		}
		field[n] = c
		n++
	}
	for _, r := range part {
		switch {
		case r == ' ' || r == '.':
			form.whole = false
		case r >= 0x7f || strings.ContainsRune("[];,+=", r):
			form.whole = false
			for range utf16.RuneLen(r) {
				put('_')
			}
		case 'a' <= r && r <= 'z':
			form.upper = false
			put(byte(r - 'a' + 'A'))
		default:
			put(byte(r))
		}
	}
	return n
}

// shortNames returns the short names for the names of a directory. Names that
// have the form of a short name, but for case, get that; the others one that
// nothing else in the directory has, as Linux makes them: the first six
// characters and "~1" to "~9", then the first two, four digits and such a
// tail. Linux takes the digits from the clock; here they are a hash of the
// name.
func shortNames(names []string) []shortName {
	short := make([]shortName, len(names))
	taken := make(map[shortName]bool, len(names))
	var rest []int
	for n, name := range names {
		form := shorten(name)
		if !form.whole {
			rest = append(rest, n)
			continue
		}
		short[n] = form.name
		taken[form.name] = true
	}
	for _, n := range rest {
		short[n] = shorten(names[n]).unique(names[n], taken)
		taken[short[n]] = true
	}
	return short
}

// unique returns a short name for name that is not taken. The 589,824 hashed
// ones are more than a directory has entries.
func (form shortForm) unique(name string, taken map[shortName]bool) shortName {
	tail := []byte("????~?")
	for n := range tailMax {
		tail[5] = byte('1' + n)
		if s := form.withTail(min(form.base, numericAt), tail[4:]); !taken[s] {
			return s
		}
	}
	hash := fnv.New32a()
	hash.Write([]byte(name))
	for n := hash.Sum32() & 0xffff; ; n++ {
		tail[5] = byte('1' + n>>16%tailMax)
		for digit := range 4 {
			tail[digit] = "0123456789ABCDEF"[n>>(12-4*digit)&15]
		}
		if s := form.withTail(min(form.base, hashedAt), tail); !taken[s] {
			return s
		}
	}
}

// withTail replaces what follows the first keep characters before the
// extension.
func (form shortForm) withTail(keep int, tail []byte) shortName {
	s := form.name
	for n := keep; n < baseLen; n++ {
		s[n] = ' '
	}
	copy(s[keep:baseLen], tail)
	return s
}

// checksum ties the entries of a long name to the short one ([FAT] "FAT Long
// Directory Entries").
func (s shortName) checksum() byte {
	var sum byte
	for _, c := range s {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// cp437 are the characters from 0x80 on of the code page that Linux assumes
// short names to be in.
var cp437 = []rune("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
	"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0")

// decode returns the name with its dot. A directory entry says which parts
// are meant to be in lower case.
func (s shortName) decode(lowerBase, lowerExtension bool) string {
	base, extension := decodeShort(s.unescaped()[:baseLen]), decodeShort(s[baseLen:])
	if lowerBase {
		base = strings.ToLower(base)
	}
	if lowerExtension {
		extension = strings.ToLower(extension)
	}
	if extension != "" {
		return base + "." + extension
	}
	return base
}

// text returns the name without a dot, as labels are read.
func (s shortName) text() string { return decodeShort(s.unescaped()) }

// unescaped returns the characters of the name.
func (s shortName) unescaped() []byte {
	if s[0] == escapedDeleted {
		s[0] = deletedEntry
	}
	return s[:]
}

// decodeShort returns the characters of a field that is padded with spaces, or
// with zeros as some systems pad labels.
func decodeShort(field []byte) string {
	var b strings.Builder
	for _, c := range bytes.TrimRight(field, " \x00") {
		if c < 0x80 {
			b.WriteByte(c)
		} else {
			b.WriteRune(cp437[c-0x80])
		}
	}
	return b.String()
}
