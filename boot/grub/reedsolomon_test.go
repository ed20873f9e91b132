package grub

import (
	"testing"

	"pgregory.net/rapid"
)

// Every word is a multiple of the generator: it vanishes at the code's roots.
// (That chunks are cut as GRUB's decoder cuts them is for test/grub_test.go,
// which compares with GRUB's own setup.)
func TestRedundancyVanishesAtRoots(t *testing.T) {
	f := newField()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 3*sectorSize).Draw(t, "data")
		n := rapid.IntRange(1, 3*sectorSize).Draw(t, "n")
		extra := redundancy(data, n)
		if len(extra) != n {
			t.Fatalf("%d bytes of redundancy, want %d", len(extra), n)
		}
		for i := range interleave {
			var word []byte
			for j := i; j < len(data); j += interleave {
				word = append(word, data[j])
			}
			symbols := 0
			for j := i; j < n && len(word) > 0; j += interleave {
				word = append(word, extra[j])
				symbols++
			}
			for root := range symbols {
				sum := byte(0)
				for _, c := range word { // Horner
					sum = f.mul(sum, f.exp[root]) ^ c
				}
				if sum != 0 {
					t.Fatalf("word %d of %d+%d bytes does not vanish at root %d", i, len(data), n, root)
				}
			}
		}
	})
}

// What is longer than a chunk is cut; no chunk has words longer than the field
// allows.
func TestRedundancyChunks(t *testing.T) {
	for _, sectors := range []int{99, 100, 101, 400, 888} {
		data := make([]byte, sectors*sectorSize-17)
		for i := range data {
			data[i] = byte(i * 31 >> 3)
		}
		for _, n := range []int{0, 1, sectorSize, len(data)} {
			if have := redundancy(data, n); len(have) != n {
				t.Errorf("%d sectors: %d bytes of redundancy, want %d", sectors, len(have), n)
			}
		}
	}
}
