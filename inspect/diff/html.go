package diff

import (
	"cmp"
	_ "embed"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"diskwright/inspect"
	"diskwright/inspect/du"
	"diskwright/inspect/page"
)

//go:embed diff.js
var script string

// What a page has at most, so that it stays a few megabytes for a million files.
const (
	maxPageFiles = 20_000
	maxPageText  = 2 << 20 // bytes of all differences of texts
)

// WriteHTML writes a page that shows two images side by side, and what is
// different: packages, files, fields, bytes, in tables to sort and filter. It needs
// nothing but the file. Files of store paths that only one of the images has are
// summed up as packages.
func (r *Result) WriteHTML(w io.Writer, a, b *inspect.Image) error {
	return page.Write(w, r.page(a, b))
}

func (r *Result) page(a, b *inspect.Image) page.Page {
	d := pageData{A: pageSideOf(a), B: pageSideOf(b), Fields: []Field{}, Bytes: []Bytes{}, Packages: []Package{}, Files: []pageFile{}}
	if d.A.Name == d.B.Name { // as builds of the same have it
		d.A.Name, d.B.Name = longerName(a), longerName(b)
	}
	for _, f := range r.Fields {
		d.Fields = append(d.Fields, Field{f.Where, page.Show(f.Name), page.Show(f.A), page.Show(f.B)})
	}
	for _, b := range r.Bytes {
		b.What = page.Show(b.What)
		d.Bytes = append(d.Bytes, b)
	}
	for n := range r.FileSystems {
		fs := &r.FileSystems[n]
		d.Packages = append(d.Packages, fs.Packages...) // whose names have the characters of store paths
		for _, f := range fs.Files {
			d.count(f)
			if fs.StorePath(f) == "" {
				d.Files = append(d.Files, pageFile{f, fs.Partition})
			}
		}
	}
	d.Places = r.places()
	d.bound()
	text := 0
	for n := range d.Files {
		d.Files[n].File = showFile(d.Files[n].File, &text)
	}
	return page.Page{Title: d.A.Name + " and " + d.B.Name + " · differences", Script: script, Data: d}
}

// pageData is what the page's script gets.
type pageData struct {
	A        pageSide   `json:"a"`
	B        pageSide   `json:"b"`
	Fields   []Field    `json:"fields"`
	Packages []Package  `json:"packages"`
	Files    []pageFile `json:"files"`
	Bytes    []Bytes    `json:"bytes"`
	// Places are the directories with most of what only one of the images has.
	Places []pagePlace `json:"places"`
	// Numbers of all files; some of them may not be listed.
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
	Left    int `json:"left"` // out of the list
}

type pageSide struct {
	Name     string    `json:"name"`
	File     string    `json:"file"`
	Format   string    `json:"format"`
	FileSize int64     `json:"fileSize"`
	DiskSize int64     `json:"diskSize"`
	Parts    []du.Part `json:"parts"`
}

// pagePlace is a directory, and what only one of the images has below it, in bytes.
type pagePlace struct {
	Path string `json:"path"`
	A    int64  `json:"a"`
	B    int64  `json:"b"`
}

type pageFile struct {
	File
	Partition int `json:"partition"`
}

func pageSideOf(img *inspect.Image) pageSide {
	s := pageSide{
		Name: page.Show(filepath.Base(img.File)), File: page.Show(img.File), Format: img.Format,
		FileSize: img.FileSize, DiskSize: img.DiskSize, Parts: du.Parts(img),
	}
	for n := range s.Parts {
		s.Parts[n].Label = page.Show(s.Parts[n].Label)
	}
	return s
}

// longerName returns the name of an image with the directory that it is in.
func longerName(img *inspect.Image) string {
	return page.Show(filepath.Join(filepath.Base(filepath.Dir(img.File)), filepath.Base(img.File)))
}

func (d *pageData) count(f File) {
	switch f.Only {
	case "a":
		d.Removed++
	case "b":
		d.Added++
	default:
		d.Changed++
	}
}

const (
	maxPlaces  = 8
	placeDepth = 2 // names in the path of a place
)

// places sums up what only one of the images has by directories, the largest first.
func (r *Result) places() []pagePlace {
	sums := make(map[string]*pagePlace)
	for _, fs := range r.FileSystems {
		for _, f := range fs.Files {
			if f.Only == "" || f.Type != "file" || f.Path == "" {
				continue
			}
			names := strings.SplitN(f.Path, "/", placeDepth+2) // the first is empty, the last the rest
			dir := strings.Join(names[:min(len(names)-1, placeDepth+1)], "/")
			p := sums[dir]
			if p == nil {
				p = &pagePlace{Path: page.Show(dir + "/")}
				sums[dir] = p
			}
			if f.Only == "a" {
				p.A += f.Size
			} else {
				p.B += f.Size
			}
		}
	}
	list := make([]pagePlace, 0, len(sums))
	for _, p := range sums {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b pagePlace) int { return cmp.Or(cmp.Compare(b.A+b.B, a.A+a.B), cmp.Compare(a.Path, b.Path)) })
	return list[:min(len(list), maxPlaces)]
}

// bound keeps the largest of too many files.
func (d *pageData) bound() {
	d.Left = max(0, len(d.Files)-maxPageFiles)
	if d.Left == 0 {
		return
	}
	slices.SortStableFunc(d.Files, func(a, b pageFile) int { return cmp.Compare(b.Size, a.Size) })
	d.Files = d.Files[:maxPageFiles]
}

// showFile returns the file as people see it. Text counts the bytes of differences
// of texts.
func showFile(f File, text *int) File {
	f.Name = inspect.Name{Path: page.Show(f.Bytes())}
	f.Changes = slices.Clone(f.Changes)
	for n := range f.Changes {
		c := &f.Changes[n]
		c.A, c.B = page.Show(c.A), page.Show(c.B)
		if *text += len(c.Text); *text > maxPageText {
			c.Text = ""
		}
	}
	return f
}
