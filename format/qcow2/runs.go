package qcow2

import (
	"diskwright/content"
	"diskwright/diskmap"
)

// maxRuns bounds the memory of the map of an image: about 100 MiB.
const maxRuns = 1 << 20

// runs collects where a virtual disk has data. When there are more runs than
// memory should be spent on, small gaps between them become data, which reads as
// the zeros that it is.
type runs struct {
	list []run
	gap  int64 // gaps of at most so many bytes are data
	max  int   // maxRuns if zero
}

type run struct{ from, to int64 }

// add says that there are n bytes of data at off, in ascending order.
func (r *runs) add(off, n int64) {
	if n <= 0 {
		return
	}
	if last := len(r.list) - 1; last >= 0 && off <= r.list[last].to+r.gap {
		r.list[last].to = max(r.list[last].to, off+n)
		return
	}
	limit := r.max
	if limit == 0 {
		limit = maxRuns
	}
	for len(r.list) >= limit {
		r.coarsen()
		if last := len(r.list) - 1; off <= r.list[last].to+r.gap {
			r.list[last].to = off + n
			return
		}
	}
	r.list = append(r.list, run{off, off + n})
}

// coarsen bridges larger gaps.
func (r *runs) coarsen() {
	r.gap = max(2*r.gap, 4<<10)
	kept := r.list[:1]
	for _, next := range r.list[1:] {
		if last := &kept[len(kept)-1]; next.from <= last.to+r.gap {
			last.to = next.to
			continue
		}
		kept = append(kept, next)
	}
	r.list = kept
}

// Map returns the map of a disk of size bytes. The runs beyond its end are cut.
// read fills p with what is at off of the disk; it is called from several
// goroutines at once.
func (r *runs) Map(size int64, read func(p []byte, off int64) error) (*diskmap.Map, error) {
	var b diskmap.Builder
	b.Reserve(len(r.list))
	for _, run := range r.list {
		from := run.from
		if n := min(run.to, size) - from; n > 0 {
			b.Place(from, &content.Generated{Length: n, Fill: func(p []byte, off int64) error {
				return read(p, from+off)
			}})
		}
	}
	return b.Map(size)
}
