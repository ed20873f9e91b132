package volume

import (
	"math/rand/v2"
	"testing"
)

// A set of units does what a map does.
func TestUnits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	u, want := newUnits(), make(map[uint64]bool)
	const limit = 4 * chunkUnits
	for range 300 {
		from := r.Uint64N(limit)
		count := r.Uint64N(limit-from) + 1
		switch r.Uint64N(4) {
		case 0:
			from, count = from&^(chunkUnits-1), chunkUnits
		case 1:
			count = min(count, 100)
		}
		some, all := false, true
		for i := from; i < from+count; i++ {
			some, all = some || want[i], all && want[i]
		}
		if r.Uint64N(2) == 0 {
			if got, ok := u.add(from, count); got != some || !ok {
				t.Fatalf("add %d from %d on: %v, want %v", count, from, got, some)
			}
			for i := from; i < from+count; i++ {
				want[i] = true
			}
		} else {
			if got, ok := u.remove(from, count); got != all || !ok {
				t.Fatalf("remove %d from %d on: %v, want %v", count, from, got, all)
			}
			for i := from; i < from+count; i++ {
				delete(want, i)
			}
		}
	}
	other := newUnits()
	other.add(0, limit/2)
	count, first := uint64(0), uint64(1<<64-1)
	for i := range want {
		if i >= limit/2 {
			count++
			first = min(first, i)
		}
	}
	if c, f := u.minus(other); c != count || f != first {
		t.Errorf("minus is %d from %d on, want %d from %d on", c, f, count, first)
	}
	if _, ok := newUnits().add(0, 1<<60); ok {
		t.Error("there is no end to what may be added")
	}
}
