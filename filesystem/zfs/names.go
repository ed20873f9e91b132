package zfs

import (
	"fmt"
	"unicode/utf8"

	"diskwright/filesystem/zfs/ondisk"
	"diskwright/tree"
)

// caseSensitive is the value of casesensitivity where names that differ in case are
// different (ZFS_CASE_SENSITIVE).
const (
	caseSensitive   = 0
	caseInsensitive = 1
)

// normalizes reports whether directories find names by something else than their
// bytes.
func (n *naming) normalizes() bool { return n.normalization != 0 || n.caseSensitivity != caseSensitive }

// zapFlags returns how the ZAPs of directories find names (zap_create_norm).
func (n *naming) zapFlags() ondisk.Normalization {
	flags := ondisk.Normalization(n.normalization)
	if n.caseSensitivity != caseSensitive {
		flags |= ondisk.ToUpper
	}
	return flags
}

// masterEntries returns what the master node says of names.
func (n *naming) masterEntries() []ondisk.ZAPEntry {
	return []ondisk.ZAPEntry{
		number("normalization", n.normalization),
		number("utf8only", n.utf8Only),
		number("casesensitivity", n.caseSensitivity),
	}
}

// check says what is wrong with the names in a directory. Where names are normalized
// or their case does not matter, they must be ASCII: tables of Unicode are not ours
// to have, and other file systems than those of file servers do without.
func (n *naming) check(entries []tree.Entry) error {
	folded := make(map[string]string)
	for _, e := range entries {
		switch {
		case len(e.Name) > tree.NameMax:
			return fmt.Errorf("the name %q has more than %d bytes", e.Name, tree.NameMax)
		case n.normalizes() && !isASCII(e.Name):
			return fmt.Errorf("the name %q is not ASCII, in a file system with normalization or without case sensitivity", e.Name)
		case n.utf8Only != 0 && !utf8.ValidString(e.Name):
			return fmt.Errorf("the name %q is not UTF-8, in a file system with utf8only", e.Name)
		}
		if n.caseSensitivity == caseInsensitive {
			upper := ondisk.ToUpper.Apply(e.Name)
			if other, ok := folded[upper]; ok {
				return fmt.Errorf("the names %q and %q differ in case only, in a file system without case sensitivity", other, e.Name)
			}
			folded[upper] = e.Name
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
