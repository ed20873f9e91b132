package efivars

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever is set in whatever order, the store says what was set last, in memory
// and when it is read again; and only the space for variables changes.
func TestSetKeepsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		template := small.template()
		s, err := Read(template)
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]Variable{}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			v := Variable{
				Name:       rapid.SampledFrom([]string{"A", "Boot0000", "ö", "😀x"}).Draw(t, "name"),
				Vendor:     Global,
				Attributes: rapid.SampledFrom([]uint32{3, 7}).Draw(t, "attributes"),
				Data:       rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "data"),
			}
			if err := s.Set(v); err != nil {
				t.Fatal(err)
			}
			model[v.Name] = v
		}
		again, err := Read(s.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, store := range []*Store{s, again} {
			if n := len(store.Variables()); n != len(model) {
				t.Fatalf("%d variables, want %d", n, len(model))
			}
			for name, want := range model {
				if v, ok := store.Lookup(Global, name); !ok || string(v.Data) != string(want.Data) || v.Attributes != want.Attributes {
					t.Fatalf("%q is %+v, want %+v", name, v, want)
				}
			}
		}
		for n, b := range again.Bytes() {
			if (n < again.first || n >= again.end) && b != template[n] {
				t.Fatalf("byte %#x changed", n)
			}
		}
	})
}
