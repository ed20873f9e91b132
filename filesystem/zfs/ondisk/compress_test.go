package ondisk

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// encoders are all kinds of compression.
var encoders = []struct {
	kind  Compression
	level ZstdLevel
}{
	{CompressionLZ4, 0}, {CompressionGzip1, 0}, {CompressionGzip1 + 5, 0}, {CompressionGzip9, 0}, {CompressionZLE, 0},
	{CompressionZstd, 0}, {CompressionZstd, 1}, {CompressionZstd, 7}, {CompressionZstd, 19}, {CompressionZstd, ZstdFast + 4},
}

// drawBlock returns a block of pieces: zeros, noise, repeated bytes, a copy from
// before.
func drawBlock(t *rapid.T) []byte {
	size := rapid.OneOf(rapid.IntRange(1, 64), rapid.IntRange(1, 64), rapid.IntRange(120, 400)).Draw(t, "sectors") * SectorSize
	var p []byte
	for len(p) < size {
		n := rapid.IntRange(1, 3000).Draw(t, "length")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			p = append(p, make([]byte, n)...)
		case 1:
			x := rapid.Uint64().Draw(t, "noise")
			for range n {
				x = x*6364136223846793005 + 1442695040888963407
				p = append(p, byte(x>>56))
			}
		case 2:
			p = append(p, bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte"), 0, 1}, n/3+1)...)
		case 3:
			from := rapid.IntRange(0, len(p)).Draw(t, "from")
			p = append(p, p[from:min(from+n, len(p))]...)
		}
	}
	return p[:size]
}

// What is compressed is what comes out; it fits or is refused; and it is the same
// whatever the encoder has compressed before.
func TestEncoders(t *testing.T) {
	for _, e := range encoders {
		used := e.kind.Encoder(e.level)
		rapid.Check(t, func(t *rapid.T) {
			block := drawBlock(t)
			packed := make([]byte, 2*len(block)+1000)
			n, ok := used.Encode(packed, block)
			if !ok {
				t.Fatalf("kind %d: %d bytes do not fit %d", e.kind, len(block), len(packed))
			}
			if _, ok := used.Encode(make([]byte, n-1), block); ok {
				t.Fatalf("kind %d: %d bytes fit less", e.kind, n)
			}
			exact := make([]byte, n)
			if m, ok := used.Encode(exact, block); !ok || m != n || !bytes.Equal(exact, packed[:n]) {
				t.Fatalf("kind %d: %d bytes differ the second time: %d", e.kind, n, m)
			}
			if rapid.IntRange(0, 19).Draw(t, "fresh") == 0 {
				fresh := make([]byte, n)
				if m, ok := e.kind.Encoder(e.level).Encode(fresh, block); !ok || m != n || !bytes.Equal(fresh, exact) {
					t.Fatalf("kind %d: what was compressed before makes a difference", e.kind)
				}
			}
			out := make([]byte, len(block))
			padded := append(exact, make([]byte, rapid.IntRange(0, 600).Draw(t, "padding"))...)
			if err := e.kind.Decompress(out, padded); err != nil || !bytes.Equal(out, block) {
				t.Fatalf("kind %d: %d bytes are not what they were: %v", e.kind, len(block), err)
			}
		})
	}
}

// Every block of a kind begins as OpenZFS reads it.
func TestZstdHeader(t *testing.T) {
	packed := make([]byte, 4096)
	n, _ := CompressionZstd.Encoder(0).Encode(packed, bytes.Repeat([]byte("text "), 1000))
	if got := be.Uint32(packed); int(got) != n-8 {
		t.Errorf("length %d of %d bytes", got, n)
	}
	if !bytes.Equal(packed[4:8], []byte{3, 0, 0x28, 0xa5}) {
		t.Errorf("level and version % x", packed[4:8])
	}
}

// The table of LZ4 is not cleared for each block; that nothing in it is taken for the
// block's own is seen where base begins anew.
func TestLZ4Base(t *testing.T) {
	block := bytes.Repeat([]byte("a line that is there again and again\n"), 5000)
	want := make([]byte, len(block))
	n, ok := new(LZ4Encoder).Encode(want, block)
	if !ok {
		t.Fatal("does not fit")
	}
	e := new(LZ4Encoder)
	for i := range 300 { // base begins anew after 127
		noise := bytes.Repeat([]byte{byte(i), byte(i >> 8), 1, 2, 3}, 20000)
		e.Encode(make([]byte, len(noise)), noise)
		got := make([]byte, len(block))
		if m, ok := e.Encode(got, block); !ok || m != n || !bytes.Equal(got, want) {
			t.Fatalf("block %d: %d bytes, want %d, or others", i, m, n)
		}
	}
}
