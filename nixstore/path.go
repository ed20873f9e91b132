package nixstore

import (
	"fmt"
	"strings"
)

// StoreDir is where a store is on a running system. Nix can be compiled for
// another place; such stores are refused.
const StoreDir = "/nix/store"

const (
	hashChars  = 32                                          // of a store path: 160 bits
	maxName    = 211                                         // src/libstore/path.cc: MaxPathLen
	maxPath    = len(StoreDir) + 1 + hashChars + 1 + maxName // bytes
	drvSuffix  = ".drv"
	pathExpect = "want " + StoreDir + "/HASH-NAME"
)

// Path is a store path: /nix/store/HASH-NAME. Make one with [ParsePath].
type Path string

// ParsePath checks that s is a store path, as Nix would: 32 characters of
// Nix's base 32, a dash, and a name of letters, digits and "+-._?=".
func ParsePath(s string) (Path, error) {
	base, ok := strings.CutPrefix(s, StoreDir+"/")
	if !ok {
		return "", fmt.Errorf("%q is not a store path: %s", shorten(s), pathExpect)
	}
	if err := checkBase(base); err != nil {
		return "", fmt.Errorf("%q is not a store path: %w; %s", shorten(s), err, pathExpect)
	}
	return Path(s), nil
}

// checkBase checks the last component of a store path.
func checkBase(base string) error {
	if len(base) <= hashChars+1 || base[hashChars] != '-' {
		return fmt.Errorf("%q does not begin with %d characters and a dash", shorten(base), hashChars)
	}
	for i := range hashChars {
		if digitOf(base[i]) < 0 {
			return fmt.Errorf("character %q is not one of Nix's base 32", base[i])
		}
	}
	name := base[hashChars+1:]
	if len(name) > maxName {
		return fmt.Errorf("its name has %d characters, and may have %d", len(name), maxName)
	}
	for i := range len(name) {
		if !nameChar(name[i]) {
			return fmt.Errorf("character %q is not one of a name's", name[i])
		}
	}
	return nil
}

// nameChar reports whether c may be in the name of a store path.
func nameChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("+-._?=", c) >= 0
}

// Base returns the last component: HASH-NAME.
func (p Path) Base() string { return strings.TrimPrefix(string(p), StoreDir+"/") }

// Hash returns the first 32 characters of the last component.
func (p Path) Hash() string { return p.Base()[:hashChars] }

// Name returns what is behind the hash and the dash.
func (p Path) Name() string { return p.Base()[hashChars+1:] }

// isDerivation reports whether the path's object is a derivation. Nix, too,
// goes by the name.
func (p Path) isDerivation() bool { return strings.HasSuffix(string(p), drvSuffix) }

// shorten cuts what is too long for an error.
func shorten(s string) string {
	const enough = 300
	if len(s) > enough {
		return s[:enough] + "…"
	}
	return s
}
