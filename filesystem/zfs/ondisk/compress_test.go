package ondisk

import (
	"bytes"
	"crypto/sha256"
	"fmt"
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
			again := make([]byte, len(packed))
			if m, ok := used.Encode(again, block); !ok || m != n || !bytes.Equal(again[:m], packed[:n]) {
				t.Fatalf("kind %d: %d bytes differ the second time: %d", e.kind, n, m)
			}
			if rapid.IntRange(0, 19).Draw(t, "fresh") == 0 {
				fresh := make([]byte, len(packed))
				if m, ok := e.kind.Encoder(e.level).Encode(fresh, block); !ok || m != n || !bytes.Equal(fresh[:m], packed[:n]) {
					t.Fatalf("kind %d: what was compressed before makes a difference", e.kind)
				}
			}
			out := make([]byte, len(block))
			padded := append(packed[:n:n], make([]byte, rapid.IntRange(0, 600).Draw(t, "padding"))...)
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

// What encoders return decides where everything lies in a pool: this says when a new
// version of Go or of a module changes it.
func TestEncoderGoldens(t *testing.T) {
	var block []byte
	x := uint64(1)
	for i := 0; len(block) < 100*SectorSize; i++ {
		x = x*6364136223846793005 + 1442695040888963407
		block = fmt.Appendf(block, "line %d of %x\n%s", i, x>>40, make([]byte, x>>60))
	}
	block = block[:100*SectorSize]
	for _, e := range encoders {
		packed := make([]byte, len(block))
		n, _ := e.kind.Encoder(e.level).Encode(packed, block)
		got := fmt.Sprintf("%d %.8x", n, sha256.Sum256(packed[:n]))
		if want := encoderGoldens[fmt.Sprint(e.kind, " ", e.level)]; got != want {
			t.Errorf("kind %d level %d: %q, want %q", e.kind, e.level, got, want)
		}
	}
}

// By kind and level.
var encoderGoldens = map[string]string{
	"15 0":   "24427 ce0b4f903eaa79ea",
	"5 0":    "16366 5da2503b7890af22",
	"10 0":   "14855 0445a131a74ae8ff",
	"13 0":   "14647 c3777b1b588c4065",
	"14 0":   "40210 ca786e4d9875c0cf",
	"16 0":   "15414 0fc865dc58c7b582",
	"16 1":   "15218 ceb77bf1e3cb175f",
	"16 7":   "15014 18340b4a90e2b9d6",
	"16 19":  "14259 76be432070c1b8b9",
	"16 107": "15218 2f444d718e8e177d",
}

// An encoder is used again; nothing of the blocks before is seen.
func TestLZ4Again(t *testing.T) {
	block := bytes.Repeat([]byte("a line that is there again and again\n"), 5000)
	want := make([]byte, len(block))
	n, ok := new(LZ4Encoder).Encode(want, block)
	if !ok {
		t.Fatal("does not fit")
	}
	e := new(LZ4Encoder)
	for i := range 300 {
		noise := bytes.Repeat([]byte{byte(i), byte(i >> 8), 1, 2, 3}, 20000)
		e.Encode(make([]byte, len(noise)), noise)
		got := make([]byte, len(block))
		if m, ok := e.Encode(got, block); !ok || m != n || !bytes.Equal(got, want) {
			t.Fatalf("block %d: %d bytes, want %d, or others", i, m, n)
		}
	}
}
