package tarfile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// record is what a pax header says: POSIX.1-2017, pax, "pax Header Block".
type record struct{ key, value string }

// records are in the order of the archive. GNU's sparse files of version 0.0
// have the same keys many times.
type records []record

// parseRecords reads the data of a pax header: "length key=value\n", where
// length counts all of it, itself included.
func parseRecords(p []byte) (records, error) {
	list := records{}
	for len(p) > 0 {
		space := bytes.IndexByte(p[:min(len(p), 20)], ' ')
		if space < 0 {
			return nil, fmt.Errorf("a record of a pax header has no length")
		}
		length, err := strconv.ParseUint(string(p[:space]), 10, 32)
		if err != nil || length > uint64(len(p)) || length < uint64(space)+3 {
			return nil, fmt.Errorf("a record of a pax header has the length %q", p[:space])
		}
		line := p[space+1 : length]
		p = p[length:]
		key, value, found := bytes.Cut(line[:len(line)-1], []byte("="))
		if !found || len(key) == 0 || line[len(line)-1] != '\n' {
			return nil, fmt.Errorf("a record of a pax header is not \"key=value\": %q", line[:min(len(line), 40)])
		}
		list = append(list, record{string(key), string(value)})
	}
	return list, nil
}

// update makes newer records, of a pax header for all members that follow,
// replace those of the same key.
func (l *records) update(newer records) error {
	replaced := make(map[string]bool)
	total := 0
	for _, r := range newer {
		switch {
		case strings.HasPrefix(r.key, "GNU.sparse.") || r.key == "path" || r.key == "linkpath" || r.key == "size":
			return fmt.Errorf("a pax header gives all members the same %s", r.key)
		case r.key == "comment":
			continue
		}
		replaced[r.key] = true
		total += len(r.key) + len(r.value)
	}
	list := slices.DeleteFunc(*l, func(old record) bool { return replaced[old.key] })
	for _, r := range list {
		total += len(r.key) + len(r.value)
	}
	if total > maxGlobals {
		return fmt.Errorf("the pax headers for all members have %d bytes: at most %d are possible", total, maxGlobals)
	}
	for _, r := range newer {
		if replaced[r.key] {
			list = append(list, r)
		}
	}
	*l = list
	return nil
}

// extras is what records say that has no place in a header.
type extras struct {
	realSize     int64 // of a sparse file; -1 is unknown
	hasRealSize  bool
	major, minor string // version of the sparse format
	sparseName   string
	sparseMap    []int64 // offset, length, offset, length, ...
	hasMap       bool
}

// sparse reports whether the records are those of a sparse file.
func (x *extras) sparse() bool { return x.hasRealSize || x.hasMap || x.major != "" }

// Prefixes of keys that hold the name of an extended attribute.
const (
	keyXattr           = "SCHILY.xattr."     // star, GNU tar, bsdtar: the value as it is
	keyXattrLibarchive = "LIBARCHIVE.xattr." // bsdtar: name in URL encoding, value in base64
	keySELinux         = "RHT.security.selinux"
)

// apply puts what the records say in the place of what the header says. An
// empty value leaves the header's.
func (l records) apply(h *Header, n *numbers, x *extras) error {
	for _, r := range l {
		if err := r.apply(h, n, x); err != nil {
			return fmt.Errorf("%s of the pax header: %w", r.key, err)
		}
	}
	return nil
}

func (r record) apply(h *Header, n *numbers, x *extras) (err error) {
	if name, ok := strings.CutPrefix(r.key, keyXattr); ok {
		return h.setXattr(unquoteGNU.Replace(name), []byte(r.value), true)
	}
	if r.value == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(r.key, keyXattrLibarchive); ok {
		return h.setXattrLibarchive(name, r.value)
	}
	switch r.key {
	case "path":
		h.Name = r.value
	case "linkpath":
		h.Linkname = r.value
	case "size":
		n.size, err = parseDecimal(r.value)
	case "uid":
		n.uid, err = parseDecimal(r.value)
	case "gid":
		n.gid, err = parseDecimal(r.value)
	case "mtime":
		n.mtime, n.nsec, err = parseTime(r.value)
	case "SCHILY.devmajor":
		n.major, err = parseDecimal(r.value)
	case "SCHILY.devminor":
		n.minor, err = parseDecimal(r.value)
	case "SCHILY.acl.access":
		h.ACLAccess = r.value
	case "SCHILY.acl.default":
		h.ACLDefault = r.value
	case keySELinux:
		err = h.setXattr("security.selinux", append([]byte(r.value), 0), false)
	default:
		err = x.applySparse(r)
	}
	return err
}

// setXattr adds an attribute. Of two that have the same name, that which
// replaces stays.
func (h *Header) setXattr(name string, value []byte, replace bool) error {
	for n := range h.Xattrs {
		if h.Xattrs[n].Name == name {
			if replace {
				h.Xattrs[n].Value = value
			}
			return nil
		}
	}
	if len(h.Xattrs) == maxXattrs {
		return fmt.Errorf("more than %d extended attributes", maxXattrs)
	}
	h.Xattrs = append(h.Xattrs, Xattr{name, value})
	return nil
}

// unquoteGNU undoes what GNU tar does to names of attributes, to keep '=' out
// of the key.
var unquoteGNU = strings.NewReplacer("%3D", "=", "%3d", "=", "%25", "%")

// setXattrLibarchive adds an attribute as bsdtar writes it, mostly beside
// star's way, which it must not replace.
func (h *Header) setXattrLibarchive(name, value string) error {
	name, err := url.PathUnescape(name)
	if err != nil {
		return fmt.Errorf("not a name in URL encoding")
	}
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return fmt.Errorf("not a value in base64")
	}
	return h.setXattr(name, decoded, false)
}

// applySparse reads a record of GNU's sparse files.
func (x *extras) applySparse(r record) (err error) {
	switch r.key {
	case "GNU.sparse.major":
		x.major = r.value
	case "GNU.sparse.minor":
		x.minor = r.value
	case "GNU.sparse.name":
		x.sparseName = r.value
	case "GNU.sparse.size", "GNU.sparse.realsize":
		x.realSize, err = parseDecimal(r.value)
		x.hasRealSize = true
	case "GNU.sparse.offset", "GNU.sparse.numbytes": // version 0.0
		if (len(x.sparseMap)%2 == 0) != (r.key == "GNU.sparse.offset") {
			return fmt.Errorf("offsets and lengths do not alternate")
		}
		var value int64
		value, err = parseDecimal(r.value)
		x.sparseMap, x.hasMap = append(x.sparseMap, value), true
	case "GNU.sparse.map": // version 0.1
		x.sparseMap, x.hasMap = nil, true
		for number := range strings.SplitSeq(r.value, ",") {
			value, err := parseDecimal(number)
			if err != nil {
				return err
			}
			x.sparseMap = append(x.sparseMap, value)
		}
	}
	return err
}

func parseDecimal(text string) (int64, error) {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a number", text)
	}
	return value, nil
}

// parseTime reads seconds with a fraction and a sign. What is finer than
// nanoseconds is cut off.
func parseTime(text string) (sec int64, nsec uint32, err error) {
	whole, fraction, _ := strings.Cut(text, ".")
	bad := fmt.Errorf("%.40q is not a time", text)
	sec, err = strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, 0, bad
	}
	for n := range 9 {
		digit := byte('0')
		if n < len(fraction) {
			digit = fraction[n]
		}
		nsec = nsec*10 + uint32(digit-'0')
	}
	if strings.Trim(fraction, "0123456789") != "" {
		return 0, 0, bad
	}
	if strings.HasPrefix(whole, "-") && nsec > 0 {
		if sec == math.MinInt64 {
			return 0, 0, bad
		}
		return sec - 1, 1e9 - nsec, nil
	}
	return sec, nsec, nil
}
