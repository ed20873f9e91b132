package diff

import (
	"cmp"
	"slices"
	"strings"

	"diskwright/nixstore"
)

// Package is what differs of the store paths of one name: of a package as Nix
// takes it, with all its versions and outputs.
type Package struct {
	Name   string        `json:"name"`
	Change PackageChange `json:"change"`
	// Versions that only one of the images has. A store path without one has the
	// version "".
	VersionsA []string `json:"versionsA,omitempty"`
	VersionsB []string `json:"versionsB,omitempty"`
	// Paths that only one of the images has, sorted, and what their files hold in
	// bytes.
	PathsA []string `json:"pathsA,omitempty"`
	PathsB []string `json:"pathsB,omitempty"`
	SizeA  int64    `json:"sizeA"`
	SizeB  int64    `json:"sizeB"`
}

// PackageChange is what happened to a package from A to B.
type PackageChange string

// The changes of packages.
const (
	Added      PackageChange = "added"
	Removed    PackageChange = "removed"
	Upgraded   PackageChange = "upgraded"
	Downgraded PackageChange = "downgraded"
	Rebuilt    PackageChange = "rebuilt" // the same versions, other hashes
)

// packagesOf groups the store paths that only one of the images has by the names
// of packages, sorted by those.
func packagesOf(files []File) []Package {
	found := make(map[string]*Package)
	for _, f := range files {
		path, top := storePath(f.Path)
		if path == "" || f.Only == "" {
			continue
		}
		name, version := splitName(path.Name())
		p := found[name]
		if p == nil {
			p = &Package{Name: name}
			found[name] = p
		}
		versions, paths, size := &p.VersionsA, &p.PathsA, &p.SizeA
		if f.Only == "b" {
			versions, paths, size = &p.VersionsB, &p.PathsB, &p.SizeB
		}
		switch {
		case top:
			*versions = append(*versions, version)
			*paths = append(*paths, string(path))
		case len(*paths) == 0 || (*paths)[len(*paths)-1] != string(path): // what is in a path follows it
			continue // both have the path
		}
		if f.Type == "file" {
			*size += f.Size
		}
	}
	list := make([]Package, 0, len(found))
	for _, p := range found {
		if len(p.PathsA)+len(p.PathsB) == 0 {
			continue
		}
		p.VersionsA, p.VersionsB = sortVersions(p.VersionsA), sortVersions(p.VersionsB)
		p.Change = p.change()
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Package) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// StorePath returns the store path that a file is in, if only one of the images
// has that, so that a package stands for it.
func (fs *FileSystem) StorePath(f File) string {
	path, _ := storePath(f.Path)
	if path == "" || f.Only == "" {
		return ""
	}
	name, _ := splitName(path.Name())
	n, ok := slices.BinarySearchFunc(fs.Packages, name, func(p Package, name string) int { return cmp.Compare(p.Name, name) })
	if !ok {
		return ""
	}
	paths := fs.Packages[n].PathsA
	if f.Only == "b" {
		paths = fs.Packages[n].PathsB
	}
	if _, ok := slices.BinarySearch(paths, string(path)); !ok {
		return ""
	}
	return string(path)
}

// storePath returns the store path that a path leads to (top) or into, or "".
func storePath(path string) (p nixstore.Path, top bool) {
	below, ok := strings.CutPrefix(path, nixstore.StoreDir+"/")
	if !ok {
		return "", false
	}
	base, rest, inside := strings.Cut(below, "/")
	p, err := nixstore.ParsePath(nixstore.StoreDir + "/" + base)
	if err != nil {
		return "", false
	}
	return p, !inside && rest == ""
}

func (p *Package) change() PackageChange {
	switch {
	case len(p.PathsA) == 0:
		return Added
	case len(p.PathsB) == 0:
		return Removed
	}
	switch order := compareVersions(p.VersionsA[len(p.VersionsA)-1], p.VersionsB[len(p.VersionsB)-1]); {
	case order < 0:
		return Upgraded
	case order > 0:
		return Downgraded
	case slices.Equal(p.VersionsA, p.VersionsB):
		return Rebuilt
	}
	return Upgraded
}

func sortVersions(list []string) []string {
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(compareVersions(a, b), cmp.Compare(a, b)) })
	return slices.Compact(list)
}

// splitName splits the name of a store path as builtins.parseDrvName does: the
// version begins behind the first dash that no letter follows. The name of an
// output at its end ("-dev") belongs to neither, and that of a derivation stays
// with the name.
func splitName(text string) (name, version string) {
	text, derivation := strings.CutSuffix(text, ".drv")
	name = text
	for i := range len(text) - 1 {
		if text[i] == '-' && !isLetter(text[i+1]) {
			name, version = text[:i], text[i+1:]
			break
		}
	}
	if dash := strings.LastIndexByte(version, '-'); dash >= 0 && outputs[version[dash+1:]] {
		version = version[:dash]
	}
	if derivation {
		name += ".drv"
	}
	return name, version
}

// outputs are the usual names of outputs.
var outputs = map[string]bool{
	"bin": true, "dev": true, "doc": true, "lib": true, "man": true, "info": true, "devdoc": true, "debug": true, "static": true,
	"data": true, "terminfo": true, "locale": true, "modules": true, "lib32": true, "lib64": true, "getent": true, "tools": true, "xen": true,
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// compareVersions orders versions as builtins.compareVersions does: by their
// components, which are runs of digits or of other characters between dots and
// dashes.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a = nextComponent(a)
		y, b = nextComponent(b)
		if order := compareComponents(x, y); order != 0 {
			return order
		}
	}
	return 0
}

func nextComponent(v string) (component, rest string) {
	v = strings.TrimLeft(v, ".-")
	n := 0
	for n < len(v) && v[n] != '.' && v[n] != '-' && isDigit(v[n]) == isDigit(v[0]) {
		n++
	}
	return v[:n], v[n:]
}

// compareComponents: numbers are more than nothing, and that is more than "pre";
// other words are less than numbers.
func compareComponents(x, y string) int {
	number := func(s string) bool { return s != "" && isDigit(s[0]) }
	switch {
	case x == y:
		return 0
	case number(x) && number(y):
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	case x == "" && number(y), x == "pre", number(y) && y != "":
		return -1
	case y == "" && number(x), y == "pre", number(x) && x != "":
		return 1
	}
	return cmp.Compare(x, y)
}
