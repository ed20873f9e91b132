package ondisk

import (
	"bytes"
	"compress/zlib"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// compressed returns a block as each kind of compression has it, but lz4 and lzjb,
// with padding.
func compressed(t testing.TB, block []byte) map[Compression][]byte {
	t.Helper()
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write(block); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := e.EncodeAll(block, nil)[len(zstdMagic):]
	header := be.AppendUint32(be.AppendUint32(nil, uint32(len(frame))), 10405<<8|3)
	var zle []byte
	for rest := block; len(rest) > 0; {
		zeros := 0
		for zeros < len(rest) && rest[zeros] == 0 && zeros < 256-zleLevel {
			zeros++
		}
		if zeros > 0 {
			zle = append(zle, byte(zleLevel+zeros-1))
			rest = rest[zeros:]
			continue
		}
		literals := 0
		for literals < len(rest) && rest[literals] != 0 && literals < zleLevel {
			literals++
		}
		zle = append(append(zle, byte(literals-1)), rest[:literals]...)
		rest = rest[literals:]
	}
	padding := make([]byte, 300)
	return map[Compression][]byte{
		CompressionOff: block, CompressionGzip1: append(z.Bytes(), padding...),
		CompressionZLE:  append(zle, padding...),
		CompressionZstd: append(append(header, frame...), padding...),
	}
}

func TestDecompress(t *testing.T) {
	text := bytes.Repeat([]byte("some text that repeats\x00\x00\x00\x00\x00"), 5000)
	for _, block := range [][]byte{text[:512], text, append(noise(5000), make([]byte, 70000)...)} {
		for kind, src := range compressed(t, block) {
			got := make([]byte, len(block))
			if err := kind.Decompress(got, src); err != nil || !bytes.Equal(got, block) {
				t.Errorf("compression %d of %d bytes: %v", kind, len(block), err)
			}
			if err := kind.Decompress(make([]byte, len(block)+1), src[:min(len(src), len(block))]); err == nil && kind != CompressionZLE {
				t.Errorf("compression %d: a block of another size", kind)
			}
		}
	}
	if err := Compression(77).Decompress(nil, nil); err == nil {
		t.Error("compression 77 is known")
	}
}

// By hand: "abc", a match of 9 at 3, "xyz", a match of 64 that the block ends in.
func TestLZJB(t *testing.T) {
	src := []byte{0b10001000, 'a', 'b', 'c', 6 << 2, 3, 'x', 'y', 'z', 61 << 2, 1}
	want := "abcabcabcabcxyz" + "zzzzzz"
	got := make([]byte, len(want))
	if err := CompressionLZJB.Decompress(got, src); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range [][]byte{nil, {1}, {1, 0}, {1, 0, 1}, {0}, {2, 'a', 0, 2}} {
		if err := CompressionLZJB.Decompress(got, bad); err == nil {
			t.Errorf("%v is a block", bad)
		}
	}
}

// By hand: four words, two of each sum.
func TestFletcher2(t *testing.T) {
	var p []byte
	for _, w := range []uint64{1, 2, 10, 20} {
		p = le.AppendUint64(p, w)
	}
	if got, want := Fletcher2(p), (Checksum{11, 22, 12, 24}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzDecompress(f *testing.F) {
	for kind, src := range compressed(f, append(noise(20), make([]byte, 100)...)) {
		f.Add(uint8(kind), src, uint16(120))
	}
	f.Add(uint8(CompressionLZJB), []byte{2, 'a', 61 << 2, 1}, uint16(60))
	f.Fuzz(func(t *testing.T, kind uint8, src []byte, size uint16) {
		dst := make([]byte, size)
		if err := Compression(kind).Decompress(dst, src); err == nil && Compression(kind) == CompressionOff && !bytes.Equal(dst, src) {
			t.Error("what is not compressed changes")
		}
	})
}
