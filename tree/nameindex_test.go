package tree

import (
	"testing"

	"pgregory.net/rapid"
)

// TestNameIndex compares an index with a map.
func TestNameIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x nameIndex
		var entries []Entry
		model := map[string]int{}
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a-d]{0,5}`), 0, 300).Draw(t, "names") {
			want, there := model[name]
			if !there {
				want = -1
			}
			if got := x.find(entries, name); got != want {
				t.Fatalf("%q is %d, want %d", name, got, want)
			}
			if !there {
				model[name] = len(entries)
				entries = append(entries, Entry{Name: name})
				x.add(entries, len(entries)-1)
			}
		}
		for name, want := range model {
			if got := x.find(entries, name); got != want {
				t.Fatalf("%q is %d, want %d", name, got, want)
			}
		}
	})
}
