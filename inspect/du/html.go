package du

import (
	_ "embed"
	"io"
	"path/filepath"
	"slices"

	"diskwright/inspect"
	"diskwright/inspect/page"
)

//go:embed du.js
var script string

// What a page has at most, so that it stays a few megabytes for a million files.
const (
	maxNodes      = 20_000
	maxStorePaths = 10_000
	maxDuplicates = 300
	maxPageDepth  = 200 // of directories; what is deeper is one cell
)

// WriteHTML writes a page that shows the usage: a treemap to zoom into, and tables
// to sort and filter. It needs nothing but the file. Small files of large trees
// are summed up by directory.
func (u *Usage) WriteHTML(w io.Writer) error { return page.Write(w, u.page()) }

func (u *Usage) page() page.Page {
	name := page.Show(filepath.Base(u.File))
	if u.File == "" {
		name = "disk image"
	}
	d := pageData{Name: name, Usage: *u}
	d.FileSystems = nil
	kinds := make(map[Kind]int, len(Kinds))
	for n, kind := range Kinds {
		kinds[kind] = n
		d.Kinds = append(d.Kinds, string(kind))
	}
	d.Parts = slices.Clone(u.Parts)
	for n := range d.Parts {
		d.Parts[n].Label = page.Show(d.Parts[n].Label)
	}
	d.File = page.Show(u.File)
	least := threshold(u.FileSystems)
	for _, fs := range u.FileSystems {
		d.Systems = append(d.Systems, pageSystemOf(fs, kinds, least))
	}
	return page.Page{Title: name + " · disk usage", Script: script, Data: d}
}

// pageData is what the page's script gets.
type pageData struct {
	Name string `json:"name"`
	Usage
	FileSystems []FileSystem `json:"fileSystems,omitempty"` // never; Systems instead
	Kinds       []string     `json:"kinds"`
	Systems     []pageSystem `json:"systems"`
}

// pageSystem is a file system with its files.
type pageSystem struct {
	FileSystem
	Tree pageNode `json:"tree"`
	// How many there are of what may have been cut.
	StorePaths int `json:"storePaths"`
	Groups     int `json:"groups"`
}

// pageNode is a node as an array, which is short: name, size, kind, length, files
// and what is in it. Files that are summed up have the kind that most of them are,
// subtracted from this one.
type pageNode []any

const summedUp = -10

func pageSystemOf(fs FileSystem, kinds map[Kind]int, least int64) pageSystem {
	s := pageSystem{FileSystem: fs, Tree: pageNodeOf(fs.Root, kinds, least, maxPageDepth)}
	s.Label = page.Show(fs.Label)
	s.Problems = nil
	for _, p := range fs.Problems {
		s.Problems = append(s.Problems, page.Show(p))
	}
	if fs.Store != nil {
		store := *fs.Store
		s.StorePaths = len(store.Paths)
		store.Paths = store.Paths[:min(len(store.Paths), maxStorePaths)]
		s.Store = &store
	}
	if fs.Duplicates != nil {
		duplicates := *fs.Duplicates
		s.Groups = len(duplicates.Groups)
		duplicates.Groups = slices.Clone(duplicates.Groups[:min(len(duplicates.Groups), maxDuplicates)])
		for n, group := range duplicates.Groups {
			duplicates.Groups[n].Names = slices.Clone(group.Names)
			for k, name := range duplicates.Groups[n].Names {
				duplicates.Groups[n].Names[k] = inspect.Name{Path: page.Show(name.Bytes())}
			}
		}
		s.Duplicates = &duplicates
	}
	return s
}

func pageNodeOf(n *Node, kinds map[Kind]int, least int64, depth int) pageNode {
	p := pageNode{page.Show(n.Name), n.Size, kinds[n.Kind], n.Length, n.Files}
	if !n.IsDir() || depth == 0 {
		return p
	}
	children := []pageNode{}
	var rest Node
	sizes := make(map[Kind]int64)
	for _, child := range n.Children {
		if child.Size < least {
			rest.Size = plus(rest.Size, child.Size)
			rest.Length = plus(rest.Length, child.Length)
			rest.Files += child.Files
			child.addKinds(sizes)
			continue
		}
		children = append(children, pageNodeOf(child, kinds, least, depth-1))
	}
	if rest.Size > 0 {
		children = append(children, pageNode{"", rest.Size, summedUp - kinds[mostOf(sizes)], rest.Length, rest.Files})
	}
	return append(p, children)
}

// threshold returns the smallest size of files and directories that a page has of
// their own: not more than maxNodes are as large. What is above one that is large
// enough is, too, so that these are all of a tree from its root down.
func threshold(systems []FileSystem) int64 {
	var sizes []int64
	var add func(n *Node)
	add = func(n *Node) {
		sizes = append(sizes, n.Size)
		for _, child := range n.Children {
			add(child)
		}
	}
	for _, fs := range systems {
		add(fs.Root)
	}
	if len(sizes) <= maxNodes {
		return 0
	}
	slices.Sort(sizes)
	return sizes[len(sizes)-maxNodes-1] + 1
}

// addKinds adds the sizes of the files at and below a node.
func (n *Node) addKinds(sizes map[Kind]int64) {
	if !n.IsDir() {
		sizes[n.Kind] = plus(sizes[n.Kind], n.Size)
	}
	for _, child := range n.Children {
		child.addKinds(sizes)
	}
}

// mostOf returns the kind of the largest size.
func mostOf(sizes map[Kind]int64) Kind {
	most := Other
	for _, kind := range Kinds {
		if sizes[kind] > sizes[most] {
			most = kind
		}
	}
	return most
}
