package ext4

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRuns compares runs with a slice of blocks.
func TestRuns(t *testing.T) {
	const limit = 60
	type blocks [limit]bool
	check := func(t *rapid.T, rs runs, want *blocks) {
		t.Helper()
		var got blocks
		last := int64(-1)
		for _, r := range rs {
			if r.count <= 0 || r.start <= last {
				t.Fatalf("%v is not normal", rs)
			}
			last = r.end()
			for b := r.start; b < r.end(); b++ {
				got[b] = true
			}
		}
		if got != *want {
			t.Fatalf("%v is not %v", rs, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var want blocks
		var rs runs
		for range rapid.IntRange(0, 8).Draw(t, "runs") {
			start := rapid.Int64Range(0, limit).Draw(t, "start")
			r := run{start, rapid.Int64Range(0, min(9, limit-start)).Draw(t, "count")}
			rs = append(rs, r)
			for b := r.start; b < r.end(); b++ {
				want[b] = true
			}
		}
		rs = rs.normalise()
		check(t, rs, &want)

		in := run{rapid.Int64Range(0, limit).Draw(t, "in"), 0}
		in.count = rapid.Int64Range(0, limit-in.start).Draw(t, "n")
		count := int64(0)
		for b := in.start; b < in.end(); b++ {
			if want[b] {
				count++
			}
		}
		if got := rs.within(in); got != count {
			t.Fatalf("%d of %v are in %v, not %d", count, rs, in, got)
		}

		goal := rapid.Int64Range(0, limit).Draw(t, "goal")
		got := rs.free(goal, 7, limit)
		first := goal
		for first < limit && want[first] {
			first++
		}
		n := int64(0)
		for n < 7 && first+n < limit && !want[first+n] {
			n++
		}
		if got != (run{first, n}) {
			t.Fatalf("free from %d in %v is %v, want %v", goal, rs, got, run{first, n})
		}
		if n == 0 {
			return
		}
		before := slices.Clone(rs)
		rs = rs.insert(got)
		for b := got.start; b < got.end(); b++ {
			want[b] = true
		}
		check(t, rs, &want)
		if again := rs.without([]run{got}); !slices.Equal(again, before) {
			t.Fatalf("without %v: %v, want %v", got, again, before)
		}
		at := int64(0)
		for _, r := range append(before.gaps(limit), run{limit, 0}) {
			for ; at < r.start; at++ {
				if !want[at] {
					t.Fatalf("block %d is not in %v", at, before)
				}
			}
			at = r.end()
		}
	})
}
