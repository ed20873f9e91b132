package ext4

import (
	"testing"
)

// BenchmarkPlan plans an empty file system of 16 TiB: 131,072 groups.
func BenchmarkPlan(b *testing.B) {
	o := testOptions(Ext4, 16*tib)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(emptyTree(&o), o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLayout is the part of it that a search for a size repeats.
func BenchmarkLayout(b *testing.B) {
	o := testOptions(Ext4, 16*tib)
	for b.Loop() {
		geo, err := NewGeometry(&o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := newLayout(&o, geo); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMetadata makes all 230 MiB of its metadata.
func BenchmarkMetadata(b *testing.B) {
	o := testOptions(Ext4, 16*tib)
	p := make([]byte, mib)
	for b.Loop() {
		fs, err := New(emptyTree(&o), o)
		if err != nil {
			b.Fatal(err)
		}
		n := int64(0)
		for e := range fs.Map().Extents(0, o.Size) {
			for off := int64(0); off < e.Length; off += mib {
				part := p[:min(mib, e.Length-off)]
				if _, err := e.ReadAt(part, off); err != nil {
					b.Fatal(err)
				}
				n += int64(len(part))
			}
		}
		b.SetBytes(n)
	}
}
