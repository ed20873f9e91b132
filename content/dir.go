package content

import "strings"

// Dir is a directory of the host, known by its name in its parent, so that a
// million files do not hold a million paths. It may be gone.
type Dir struct {
	parent *Dir
	name   string // the whole path if parent is nil
	open   *openDirs
	number uint32 // among those with the same open
}

// NewDir returns the directory at path.
func NewDir(path string) *Dir {
	open := newOpenDirs()
	return &Dir{name: path, open: open, number: open.next()}
}

// Sub returns the directory name in d.
func (d *Dir) Sub(name string) Dir {
	return Dir{parent: d, name: name, open: d.open, number: d.open.next()}
}

// Path returns the path of the host.
func (d *Dir) Path() string { return pathOf(d, "") }

// pathOf returns the path of name in dir, which may be nil, or of dir itself if
// name is empty.
func pathOf(dir *Dir, name string) string {
	if dir == nil {
		return name
	}
	n := len(name)
	for d := dir; d != nil; d = d.parent {
		n += len(d.name) + 1
	}
	var b strings.Builder
	b.Grow(n)
	dir.write(&b)
	if name != "" {
		write(&b, name)
	}
	return b.String()
}

func (d *Dir) write(b *strings.Builder) {
	if d.parent == nil {
		b.WriteString(d.name)
		return
	}
	d.parent.write(b)
	write(b, d.name)
}

// write appends name to the path of a directory, which may be "/" or empty.
func write(b *strings.Builder, name string) {
	if path := b.String(); path != "" && path[len(path)-1] != '/' {
		b.WriteByte('/')
	}
	b.WriteString(name)
}
