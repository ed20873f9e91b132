package compress

import "hash/crc32"

// checksum is gzip's, of which zeros take no time.
type checksum struct{ crc uint32 }

// add adds p, or n zeros if p is nil.
func (c *checksum) add(p []byte, n int64) {
	if p != nil {
		c.crc = crc32.Update(c.crc, crc32.IEEETable, p)
		return
	}
	// A zero bit shifts the register, which is the complement of the sum. What
	// it does to 32 registers of one bit each is a matrix; what n zeros do, its
	// power.
	register := ^c.crc
	step := zeroBit()
	for bits := uint64(n) * 8; bits > 0; bits >>= 1 {
		if bits&1 != 0 {
			register = step.apply(register)
		}
		step = step.squared()
	}
	c.crc = ^register
}

// matrix has, for each bit of a register, what becomes of it.
type matrix [32]uint32

// zeroBit is what one zero bit does.
func zeroBit() matrix {
	var m matrix
	m[0] = crc32.IEEE
	for i := 1; i < 32; i++ {
		m[i] = 1 << (i - 1)
	}
	return m
}

func (m *matrix) apply(v uint32) uint32 {
	sum := uint32(0)
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *matrix) squared() matrix {
	var s matrix
	for i := range m {
		s[i] = m.apply(m[i])
	}
	return s
}
