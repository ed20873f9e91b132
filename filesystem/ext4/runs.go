package ext4

import (
	"cmp"
	"slices"
	"sort"
)

// run is a run of blocks: count of them from start on.
type run struct{ start, count int64 }

// end returns the block behind the last.
func (r run) end() int64 { return r.start + r.count }

// runs are blocks in use: ascending runs, with free blocks between any two.
type runs []run

// normalise sorts rs and joins what touches or overlaps.
func (rs runs) normalise() runs {
	slices.SortFunc(rs, func(a, b run) int { return cmp.Compare(a.start, b.start) })
	joined := rs[:0]
	for _, r := range rs {
		if r.count == 0 {
			continue
		}
		if n := len(joined); n > 0 && r.start <= joined[n-1].end() {
			joined[n-1].count = max(joined[n-1].end(), r.end()) - joined[n-1].start
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// from returns the runs that do not end at or before block b.
func (rs runs) from(b int64) runs {
	return rs[sort.Search(len(rs), func(i int) bool { return rs[i].end() > b }):]
}

// insert returns rs with r, none of whose blocks is in rs.
func (rs runs) insert(r run) runs {
	n := sort.Search(len(rs), func(i int) bool { return rs[i].end() >= r.start })
	before := n < len(rs) && rs[n].end() == r.start
	if before {
		rs[n].count += r.count
		if n+1 < len(rs) && rs[n+1].start == rs[n].end() {
			rs[n].count += rs[n+1].count
			rs = slices.Delete(rs, n+1, n+2)
		}
		return rs
	}
	if n < len(rs) && rs[n].start == r.end() {
		rs[n] = run{r.start, r.count + rs[n].count}
		return rs
	}
	return slices.Insert(rs, n, r)
}

// without returns rs less the blocks of what, all of which are in it.
func (rs runs) without(what []run) runs {
	for _, w := range what {
		n := sort.Search(len(rs), func(i int) bool { return rs[i].end() > w.start })
		r := rs[n]
		rs = slices.Replace(rs, n, n+1, run{r.start, w.start - r.start}, run{w.end(), r.end() - w.end()})
	}
	return slices.DeleteFunc(rs, func(r run) bool { return r.count == 0 })
}

// free returns the first run of at most count free blocks at or above goal, of
// a file system that ends at limit. Its count is 0 if there is none.
func (rs runs) free(goal, count, limit int64) run {
	for _, r := range rs.from(goal) {
		if r.start > goal {
			return run{goal, min(count, r.start-goal)}
		}
		goal = r.end()
	}
	return run{goal, min(count, max(limit-goal, 0))}
}

// gaps returns what rs leaves free below limit.
func (rs runs) gaps(limit int64) []run {
	free := make([]run, 0, len(rs)+1)
	at := int64(0)
	for _, r := range rs {
		if r.start > at {
			free = append(free, run{at, r.start - at})
		}
		at = r.end()
	}
	if at < limit {
		free = append(free, run{at, limit - at})
	}
	return free
}

// total returns the number of blocks in rs.
func (rs runs) total() int64 {
	n := int64(0)
	for _, r := range rs {
		n += r.count
	}
	return n
}

// within returns the number of blocks of rs that are in r.
func (rs runs) within(r run) int64 {
	n := int64(0)
	for _, u := range rs.from(r.start) {
		if u.start >= r.end() {
			break
		}
		n += min(u.end(), r.end()) - max(u.start, r.start)
	}
	return n
}
