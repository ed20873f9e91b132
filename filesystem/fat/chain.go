package fat

import (
	"errors"
	"sort"

	"diskwright/content"
)

// chain is the clusters of a file.
type chain struct {
	v    *Volume
	runs []run
	size int64 // of the file in bytes
}

// run is a row of clusters that follow each other on disk and in the file. It
// ends where the next one begins.
type run struct {
	index   uint32 // of the first cluster in the file
	cluster uint32 // its number
}

// Content returns the content of a file.
func (v *Volume) Content(e DirEntry) (content.Source, error) {
	if e.Dir {
		return nil, errors.New("is a directory")
	}
	c := &chain{v: v, size: e.Size}
	if err := c.follow(e.first); err != nil {
		return nil, err
	}
	return &content.Generated{Length: e.Size, Fill: c.read}, nil
}

// follow finds the runs of the file that begins with cluster number next, as
// far as its size tells.
func (c *chain) follow(next uint32) error {
	v := c.v
	count := (c.size + v.clusterSize - 1) / v.clusterSize
	if count > int64(v.clusters) {
		return corrupt("a file of %d bytes", c.size)
	}
	t := v.tableReader()
	for index := range uint32(count) {
		if !v.valid(next) {
			return corrupt("cluster %d of the file's %d is number %d of %d", index, count, next, v.clusters)
		}
		if last := len(c.runs) - 1; last < 0 || next != c.runs[last].cluster+index-c.runs[last].index {
			c.runs = append(c.runs, run{index, next})
		}
		var err error
		if next, err = t.next(next); err != nil {
			return err
		}
	}
	return nil
}

// read fills p with the file's bytes from off on.
func (c *chain) read(p []byte, off int64) error {
	size := c.v.clusterSize
	at := sort.Search(len(c.runs), func(n int) bool { return int64(c.runs[n].index)*size > off }) - 1
	for ; len(p) > 0; at++ {
		end := off + int64(len(p))
		if at+1 < len(c.runs) {
			end = min(end, int64(c.runs[at+1].index)*size)
		}
		n := end - off
		r := c.runs[at]
		if err := c.v.read(p[:n], c.v.clusterOffset(r.cluster)+off-int64(r.index)*size); err != nil {
			return err
		}
		p, off = p[n:], end
	}
	return nil
}
