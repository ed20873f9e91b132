package zfs

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"diskwright/filesystem/zfs/ondisk"
)

// Properties come as text, as `zpool create -o` and `-O` take them, and are what
// zpoolprops(7) and zfsprops(7) of OpenZFS 2.1 to 2.3 say. Those of pools lie in one
// ZAP, those that a file system does not inherit in a ZAP of its directory; what is
// not stored has ZFS's default.

// property is a property that ZFS knows (zprop_desc_t).
type property struct {
	name string

	// parse returns the value that a text means, or what would be right.
	parse func(text string) (value, error)

	// local says that file systems below do not inherit it.
	local bool

	// elsewhere says that the value does not lie in the ZAP of properties.
	elsewhere bool

	// refused is why nobody can set it.
	refused string
}

// value is what a text means: a number, or the text itself.
type value struct {
	number uint64
	text   string
	isText bool
}

// entry returns the value as it lies in a ZAP of properties.
func (v value) entry(name string) ondisk.ZAPEntry {
	if v.isText {
		return ondisk.ZAPEntry{Name: name, Array: append([]byte(v.text), 0), ArrayUnit: 1}
	}
	return number(name, v.number)
}

// propertySet is properties that were found right, by name.
type propertySet map[string]value

// entries returns the properties that lie in a ZAP.
func (s propertySet) entries(known map[string]*property) []ondisk.ZAPEntry {
	var entries []ondisk.ZAPEntry
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if p := known[name]; p == nil || !p.elsewhere {
			entries = append(entries, s[name].entry(name))
		}
	}
	return entries
}

// CheckProperties says what is wrong with properties of a file system, as
// [Options.Properties] and [Dataset.Properties] have them.
func CheckProperties(props map[string]string) error {
	_, err := parseProperties(props, fileSystemProperties, "property")
	return err
}

// CheckPoolProperties says what is wrong with properties of a pool, as
// [Options.PoolProperties] has them.
func CheckPoolProperties(props map[string]string) error {
	_, err := parsePoolProperties(props)
	_, wrong := newFeatureSet("", props)
	return errors.Join(err, wrong)
}

// parsePoolProperties returns what the properties of a pool mean, but for those that
// are features.
func parsePoolProperties(props map[string]string) (propertySet, error) {
	props = maps.Clone(props)
	maps.DeleteFunc(props, func(name, _ string) bool { return strings.HasPrefix(name, featureProperty) })
	return parseProperties(props, poolProperties, "pool property")
}

// parseProperties returns what properties mean, or all that is wrong with them.
func parseProperties(props map[string]string, known map[string]*property, kind string) (propertySet, error) {
	set := make(propertySet)
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(props)) {
		v, err := parseProperty(name, props[name], known)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s %w", kind, err))
		}
		set[name] = v
	}
	return set, errors.Join(wrong...)
}

func parseProperty(name, text string, known map[string]*property) (value, error) {
	p := known[name]
	if p == nil {
		if strings.Contains(name, ":") {
			return parseUserProperty(name, text)
		}
		if kind, _, ok := strings.Cut(name, "@"); ok && strings.HasSuffix(kind, "quota") {
			return value{}, fmt.Errorf("%q cannot be set: quotas of users, groups and projects are given when the pool is in use", name)
		}
		if meant := nearest(name, known); meant != "" {
			return value{}, fmt.Errorf("%q is not known; did you mean %q?", name, meant)
		}
		return value{}, fmt.Errorf("%q is not known", name)
	}
	if p.refused != "" {
		return value{}, fmt.Errorf("%q cannot be set: %s", name, p.refused)
	}
	v, err := p.parse(text)
	if err != nil {
		return value{}, fmt.Errorf("%s=%q: %w", name, text, err)
	}
	return v, nil
}

// Limits of user properties (ZAP_MAXNAMELEN, ZAP_MAXVALUELEN), without the NUL.
const (
	maxUserName  = 255
	maxUserValue = 8191
)

// parseUserProperty checks a property that means nothing to ZFS.
func parseUserProperty(name, text string) (value, error) {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte(":+.-_", c) >= 0) || c == '-' && i == 0 {
			return value{}, fmt.Errorf("%q: the name of a user property is small letters, digits and \":+.-_\"", name)
		}
	}
	if len(name) > maxUserName {
		return value{}, fmt.Errorf("%q: the name of a user property has at most %d bytes", name, maxUserName)
	}
	v, err := freeText(maxUserValue)(text)
	if err != nil {
		return v, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// choice is a value of an index, and the number that is stored.
type choice struct {
	text   string
	number uint64
}

// oneOf parses an index.
func oneOf(choices ...choice) func(string) (value, error) {
	return func(text string) (value, error) {
		names := make([]string, len(choices))
		for i, c := range choices {
			if c.text == text {
				return value{number: c.number}, nil
			}
			names[i] = c.text
		}
		return value{}, fmt.Errorf("not one of %s", strings.Join(names, ", "))
	}
}

// onOff parses a truth value.
var onOff = oneOf(choice{"on", 1}, choice{"off", 0})

// only parses an index of which this package writes only some values.
func only(why string, choices ...choice) func(string) (value, error) {
	parse := oneOf(choices...)
	return func(text string) (value, error) {
		v, err := parse(text)
		if err != nil {
			return v, fmt.Errorf("%w: %s", err, why)
		}
		return v, nil
	}
}

// amount parses a number of bytes; "none" is 0.
func amount(text string) (value, error) {
	if text == "none" {
		return value{}, nil
	}
	n, err := parseSize(text)
	return value{number: n}, err
}

// powerOfTwo parses a number of bytes within limits.
func powerOfTwo(least, most uint64) func(string) (value, error) {
	return func(text string) (value, error) {
		n, err := parseSize(text)
		if err == nil && (n < least || n > most || bits.OnesCount64(n) != 1) {
			err = fmt.Errorf("not a power of two from %d to %d", least, most)
		}
		return value{number: n}, err
	}
}

// integer parses a number within limits.
func integer(least, most uint64) func(string) (value, error) {
	return func(text string) (value, error) {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n < least || n > most {
			return value{}, fmt.Errorf("not a number from %d to %d", least, most)
		}
		return value{number: n}, nil
	}
}

// freeText parses a text of any kind, of at most so many bytes.
func freeText(most int) func(string) (value, error) {
	return func(text string) (value, error) {
		switch {
		case len(text) > most:
			return value{}, fmt.Errorf("more than %d bytes", most)
		case strings.ContainsRune(text, 0):
			return value{}, errors.New("has a zero byte")
		}
		return value{text: text, isText: true}, nil
	}
}

// parseMountpoint parses where a file system is mounted.
func parseMountpoint(text string) (value, error) {
	if text != "legacy" && text != "none" &&
		(!strings.HasPrefix(text, "/") || len(text) > maxMountpoint || strings.ContainsRune(text, 0)) {
		return value{}, fmt.Errorf("neither an absolute path of at most %d bytes nor \"legacy\" nor \"none\"", maxMountpoint)
	}
	return value{text: text, isText: true}, nil
}

const maxMountpoint = 1023 // PATH_MAX of the systems that OpenZFS runs on, without the NUL

// parseSize parses a number of bytes as zfs takes it: a number, perhaps with a
// fraction, and perhaps one of K to E, which may have B or iB behind it
// (zfs_nicestrtonum).
func parseSize(text string) (uint64, error) {
	wrong := errors.New("not a number of bytes such as 4096, 128K or 1.5G")
	digits := strings.TrimRight(strings.ToUpper(text), "BI")
	shift := 0
	if n := len(digits) - 1; n >= 0 {
		if i := strings.IndexByte("KMGTPE", digits[n]); i >= 0 {
			shift, digits = 10*(i+1), digits[:n]
		}
	}
	switch suffix := strings.ToUpper(text)[len(digits)+min(shift, 1):]; {
	case suffix != "" && suffix != "B" && (suffix != "IB" || shift == 0):
		return 0, wrong
	case digits == "" || strings.Trim(digits, "0123456789.") != "":
		return 0, wrong
	}
	if !strings.Contains(digits, ".") {
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || bits.Len64(n)+shift > 64 {
			return 0, wrong
		}
		return n << shift, nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if f *= math.Ldexp(1, shift); err != nil || f >= math.MaxUint64 {
		return 0, wrong
	}
	return uint64(f), nil
}

// nearest returns the property that a name may mean, or nothing.
func nearest(name string, known map[string]*property) (best string) {
	least := len(name)/3 + 2 // as many letters may differ, without this one
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		d := distance(name, candidate)
		if strings.HasPrefix(candidate, name) && len(name) > 2 {
			d = 1
		}
		if d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance returns how many letters must be put in, left out or changed to make b
// of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
