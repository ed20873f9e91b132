package grub

// The redundancy that GRUB's setup adds to a core image, so that the decoder
// in its first sectors can repair what software of the "copy protection" kind
// writes into the sectors between MBR and first partition.
//
// It is a Reed-Solomon code over GF(256) with the polynomial
// x^8 + x^4 + x^3 + x^2 + 1 and the consecutive roots a^0, a^1, … of the
// generator. Byte i of every sector belongs to code word i, so that a sector
// that is lost costs each of the 512 words one symbol only.
const (
	fieldPolynomial = 0x11d
	fieldSize       = 256

	// interleave is how many code words a chunk has: one for each byte of a
	// sector.
	interleave = sectorSize
	// chunkSectors is the largest chunk, data and redundancy together. Words
	// are that many symbols long, which must be less than the 255 of the field.
	chunkSectors = 200
)

// field has the powers of the field's generator a and their inverse, the
// discrete logarithm.
type field struct {
	exp [2 * fieldSize]byte
	log [fieldSize]int
}

func newField() *field {
	f := &field{}
	power := 1
	for i := range fieldSize - 1 {
		f.exp[i], f.exp[i+fieldSize-1] = byte(power), byte(power)
		f.log[power] = i
		if power <<= 1; power >= fieldSize {
			power ^= fieldPolynomial
		}
	}
	return f
}

func (f *field) mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return f.exp[f.log[a]+f.log[b]]
}

// generator returns the polynomial with the roots a^0 to a^(n-1), without its
// leading coefficient, which is 1: the coefficient of x^(n-1) comes first.
func (f *field) generator(n int) []byte {
	g := make([]byte, 1, n+1)
	g[0] = 1
	for root := range n {
		// g := g · (x + a^root)
		g = append(g, 0)
		for i := len(g) - 1; i > 0; i-- {
			g[i] ^= f.mul(g[i-1], f.exp[root])
		}
	}
	return g[1:]
}

// parity returns what data leaves when it is divided by the generator: the
// symbols that make a code word of it.
func (f *field) parity(data, generator []byte) []byte {
	n := len(generator)
	remainder := make([]byte, n)
	for _, symbol := range data {
		lead := symbol ^ remainder[0]
		copy(remainder, remainder[1:])
		remainder[n-1] = 0
		if lead == 0 {
			continue
		}
		for i, c := range generator {
			remainder[i] ^= f.mul(lead, c)
		}
	}
	return remainder
}

// redundancy returns n bytes for data. Both are cut into chunks of at most
// chunkSectors together, in which data and redundancy have the shares that they
// have in all; the decoder cuts in the same way.
func redundancy(data []byte, n int) []byte {
	f := newField()
	generators := map[int][]byte{}
	out := make([]byte, 0, n)
	for len(data) > 0 {
		d, r := len(data), n-len(out)
		if total := d + r; total > chunkSectors*sectorSize {
			d = d * chunkSectors / total * sectorSize
			r = r * chunkSectors / total * sectorSize
		}
		if d == 0 {
			break // nearly all is redundancy, which no core image comes near
		}
		out = append(out, f.chunk(data[:d], r, generators)...)
		data = data[d:]
	}
	return append(out, make([]byte, n-len(out))...)
}

// chunk returns r bytes of redundancy for a chunk. The last sector of either
// may be a part of one: the words of its missing bytes are shorter.
func (f *field) chunk(data []byte, r int, generators map[int][]byte) []byte {
	out := make([]byte, r)
	word := make([]byte, 0, chunkSectors)
	for i := range interleave {
		symbols := (r + interleave - 1 - i) / interleave
		if symbols == 0 {
			break // of shorter words there are no more
		}
		word = word[:0]
		for j := i; j < len(data); j += interleave {
			word = append(word, data[j])
		}
		if len(word) == 0 {
			continue
		}
		g := generators[symbols]
		if g == nil {
			g = f.generator(symbols)
			generators[symbols] = g
		}
		for j, p := range f.parity(word, g) {
			out[j*interleave+i] = p
		}
	}
	return out
}
