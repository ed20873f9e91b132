//go:build linux

// Package manifest writes down everything that a file tree holds, so that what
// went into an image can be compared with what the kernel finds in it.
//
// A manifest has one [File] for each name: type and mode, owner, modification
// time to the nanosecond, link count and which names lead to the same file,
// device numbers, size, target, extended attributes (access lists included) and
// a digest of the content. Content is read sparsely: 60 GiB of zeros cost
// nothing, whether they are holes or not.
//
// Every file is reached by its name in an open directory, so that paths may be
// of any length, and so that each name is looked up once in the file system
// under test.
package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A File is one name in a tree.
type File struct {
	Path         string // below the root; "." is the root itself
	Mode         uint32 // as st_mode: type and permissions
	UID, GID     uint32
	Sec          int64 // modification time
	Nsec         int64
	Major, Minor uint32 // of devices
	Size         int64  // of regular files and symbolic links
	Target       string // of symbolic links
	Digest       string // of regular files; see digest.go
	Xattrs       []Xattr

	// Links is the number of names that the file system says the file has;
	// zero for directories, whose count means different things in different
	// file systems. Same is the first path that leads to this file.
	Links uint64
	Same  string
}

// An Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// A Manifest is what a tree holds, sorted by path.
type Manifest []File

// Find returns the file at path, or nil.
func (m Manifest) Find(path string) *File {
	i, found := slices.BinarySearchFunc(m, path, func(f File, path string) int { return strings.Compare(f.Path, path) })
	if !found {
		return nil
	}
	return &m[i]
}

// Below returns the manifest of the directory at path.
func (m Manifest) Below(path string) Manifest {
	var below Manifest
	for _, f := range m {
		switch rest, inside := strings.CutPrefix(f.Path, path+"/"); {
		case f.Path == path:
			f.Path = "."
		case inside:
			f.Path = rest
		default:
			continue
		}
		f.Same = strings.TrimPrefix(f.Same, path+"/")
		below = append(below, f)
	}
	below.sort()
	return below
}

// Without returns the manifest without what lies at and below the paths.
func (m Manifest) Without(paths ...string) Manifest {
	return m.filter(func(path, gone string) bool { return path == gone || strings.HasPrefix(path, gone+"/") }, paths)
}

// WithoutBelow returns the manifest without what lies below the paths.
func (m Manifest) WithoutBelow(paths ...string) Manifest {
	return m.filter(func(path, gone string) bool { return strings.HasPrefix(path, gone+"/") }, paths)
}

func (m Manifest) filter(drop func(path, gone string) bool, paths []string) Manifest {
	var kept Manifest
	for _, f := range m {
		if !slices.ContainsFunc(paths, func(p string) bool { return drop(f.Path, p) }) {
			kept = append(kept, f)
		}
	}
	return kept
}

// Map returns the manifest as change leaves its files.
func (m Manifest) Map(change func(*File)) Manifest {
	changed := slices.Clone(m)
	for i := range changed {
		change(&changed[i])
	}
	return changed
}

func (m Manifest) sort() {
	slices.SortFunc(m, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
}

// maxDifferences is how many lines Diff writes.
const maxDifferences = 40

// Diff says how got differs from want, a line for each field of a file, at most
// some dozens of lines. It is empty if they are equal.
func Diff(want, got Manifest) string {
	var d differences
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0].Path < got[0].Path:
			d.add("missing     %q", want[0].Path)
			want = want[1:]
		case len(want) == 0 || got[0].Path < want[0].Path:
			d.add("unexpected  %q", got[0].Path)
			got = got[1:]
		default:
			d.file(&want[0], &got[0])
			want, got = want[1:], got[1:]
		}
	}
	if d.more > 0 {
		fmt.Fprintf(&d.text, "and %d differences more\n", d.more)
	}
	return d.text.String()
}

type differences struct {
	text  strings.Builder
	lines int
	more  int
}

func (d *differences) add(format string, args ...any) {
	if d.lines++; d.lines > maxDifferences {
		d.more++
		return
	}
	fmt.Fprintf(&d.text, format+"\n", args...)
}

// file adds the differences of one file.
func (d *differences) file(want, got *File) {
	compare := func(name string, equal bool, format string, w, g []any) {
		if !equal {
			d.add("%-11s %q: want %s, got %s", name, clip(want.Path), fmt.Sprintf(format, w...), fmt.Sprintf(format, g...))
		}
	}
	type a = []any
	compare("mode", want.Mode == got.Mode, "%06o", a{want.Mode}, a{got.Mode})
	compare("owner", want.UID == got.UID && want.GID == got.GID, "%d:%d", a{want.UID, want.GID}, a{got.UID, got.GID})
	compare("mtime", want.Sec == got.Sec && want.Nsec == got.Nsec, "%d.%09d", a{want.Sec, want.Nsec}, a{got.Sec, got.Nsec})
	compare("device", want.Major == got.Major && want.Minor == got.Minor, "%d:%d", a{want.Major, want.Minor}, a{got.Major, got.Minor})
	compare("size", want.Size == got.Size, "%d", a{want.Size}, a{got.Size})
	compare("target", want.Target == got.Target, "%q", a{clip(want.Target)}, a{clip(got.Target)})
	compare("content", want.Digest == got.Digest, "%s", a{want.Digest}, a{got.Digest})
	compare("links", want.Links == got.Links, "%d", a{want.Links}, a{got.Links})
	compare("same as", want.Same == got.Same, "%q", a{clip(want.Same)}, a{clip(got.Same)})
	d.xattrs(want, got)
}

// xattrs adds the differences of the attributes of one file.
func (d *differences) xattrs(want, got *File) {
	w, g := want.Xattrs, got.Xattrs
	for len(w) > 0 || len(g) > 0 {
		switch {
		case len(g) == 0 || len(w) > 0 && w[0].Name < g[0].Name:
			d.add("xattr       %q: misses %q", clip(want.Path), w[0].Name)
			w = w[1:]
		case len(w) == 0 || g[0].Name < w[0].Name:
			d.add("xattr       %q: has %q", clip(want.Path), g[0].Name)
			g = g[1:]
		default:
			if !bytes.Equal(w[0].Value, g[0].Value) {
				d.add("xattr       %q: %q: want %d bytes %.40x, got %d bytes %.40x", clip(want.Path), w[0].Name,
					len(w[0].Value), w[0].Value, len(g[0].Value), g[0].Value)
			}
			w, g = w[1:], g[1:]
		}
	}
}

// clip shortens a path of the nasty kind for print.
func clip(s string) string {
	if len(s) > 160 {
		return s[:80] + "…" + s[len(s)-80:]
	}
	return s
}
