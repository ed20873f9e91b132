package tarfile

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

const blockSize = 512

// block is a header: POSIX.1-2017, pax, "ustar Interchange Format"; tar.5 of
// FreeBSD for the others.
type block [blockSize]byte

// field is where something is in a header.
type field struct{ from, to int }

var (
	fieldName     = field{0, 100}
	fieldMode     = field{100, 108}
	fieldUID      = field{108, 116}
	fieldGID      = field{116, 124}
	fieldSize     = field{124, 136}
	fieldMtime    = field{136, 148}
	fieldChecksum = field{148, 156}
	fieldLinkname = field{157, 257}
	fieldMagic    = field{257, 265} // and version
	fieldMajor    = field{329, 337}
	fieldMinor    = field{337, 345}

	fieldPrefix     = field{345, 500} // ustar
	fieldPrefixStar = field{345, 476} // star has times behind it
	fieldMagicStar  = field{508, 512}

	fieldSparseGNU   = field{386, 482} // the first segments of type S
	fieldRealSizeGNU = field{483, 495}
)

const (
	typeflagAt       = 156
	isExtendedGNU    = 482 // whether blocks with more segments follow
	isExtendedMore   = 504 // the same in those blocks
	sparseEntrySize  = 24
	sparseNumberSize = 12

	magicUstar = "ustar\x00"
	magicGNU   = "ustar  \x00"
	magicStar  = "tar\x00"
)

func (b *block) bytes(f field) []byte { return b[f.from:f.to] }

func (b *block) text(f field) string { return cString(b.bytes(f)) }

func (b *block) typeflag() byte { return b[typeflagAt] }

func (b *block) isGNU() bool { return string(b.bytes(fieldMagic)) == magicGNU }

func (b *block) isUstar() bool { return bytes.HasPrefix(b.bytes(fieldMagic), []byte(magicUstar)) }

// fullName returns the name with the prefix that ustar and star put before it.
func (b *block) fullName() string {
	name := b.text(fieldName)
	if !b.isUstar() {
		return name
	}
	prefix := fieldPrefix
	if string(b.bytes(fieldMagicStar)) == magicStar {
		prefix = fieldPrefixStar
	}
	if p := b.text(prefix); p != "" {
		return p + "/" + name
	}
	return name
}

// valid reports whether the checksum is right: the sum of all bytes, its own
// being spaces. Some old tars summed bytes with a sign.
func (b *block) valid() bool {
	want, err := b.number(fieldChecksum)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for n, c := range b {
		if n >= fieldChecksum.from && n < fieldChecksum.to {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return want == unsigned || want == signed
}

// number reads a number of a header: octal digits between spaces and NULs, or,
// if the first bit is set, big endian base 256 with a sign.
func (b *block) number(f field) (int64, error) { return parseNumber(b.bytes(f)) }

func parseNumber(p []byte) (int64, error) {
	if p[0]&0x80 != 0 {
		return parseBase256(p)
	}
	digits := bytes.Trim(p, " \x00")
	if n := bytes.IndexAny(digits, " \x00"); n >= 0 {
		digits = digits[:n]
	}
	var value int64
	for _, c := range digits {
		if c < '0' || c > '7' {
			return 0, fmt.Errorf("%q is not an octal number", p)
		}
		if value > math.MaxInt64>>3 {
			return 0, fmt.Errorf("%q is too large a number", p)
		}
		value = value<<3 | int64(c-'0')
	}
	return value, nil
}

// parseBase256 reads GNU's and star's way to write large and negative numbers.
func parseBase256(p []byte) (int64, error) {
	value := int64(p[0]&0x3f) | -int64(p[0]&0x40)
	for _, c := range p[1:] {
		if value > math.MaxInt64>>8 || value < math.MinInt64>>8 {
			return 0, fmt.Errorf("% x is too large a number", p)
		}
		value = value<<8 | int64(c)
	}
	return value, nil
}

// cString returns what is before the first NUL.
func cString(p []byte) string {
	if n := bytes.IndexByte(p, 0); n >= 0 {
		p = p[:n]
	}
	return string(p)
}

// describe makes the Header of a member from its own header and those before
// it, and moves on to the next.
func (r *Reader) describe(m *member, b *block) (*Header, error) {
	h := &Header{Offset: m.offset, Type: b.typeflag(), Name: b.fullName(), Linkname: b.text(fieldLinkname)}
	if m.longName != nil {
		h.Name = *m.longName
	}
	if m.longLink != nil {
		h.Linkname = *m.longLink
	}
	n, err := b.numbers()
	if err != nil {
		return nil, err
	}
	var x extras
	for _, list := range []records{r.globals, m.local} {
		if err := list.apply(h, &n, &x); err != nil {
			return nil, err
		}
	}
	if h.Type == 'S' && !b.isGNU() && !x.sparse() {
		return nil, fmt.Errorf("a sparse file in a format other than GNU's")
	}
	if x.sparseName != "" {
		h.Name = x.sparseName
	}
	m.name = h.Name
	if err := n.check(h); err != nil {
		return nil, err
	}
	return h, r.locate(h, b, m, &n, &x)
}

// numbers are those of a header, before they are checked.
type numbers struct {
	mode, uid, gid, size, mtime, major, minor int64
	nsec                                      uint32
}

func (b *block) numbers() (n numbers, err error) {
	for _, f := range []struct {
		name  string
		field field
		value *int64
	}{
		{"mode", fieldMode, &n.mode}, {"uid", fieldUID, &n.uid}, {"gid", fieldGID, &n.gid},
		{"size", fieldSize, &n.size}, {"mtime", fieldMtime, &n.mtime},
	} {
		if *f.value, err = b.number(f.field); err != nil {
			return n, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	// Other members may have anything there, and v7 knows no devices.
	if t := b.typeflag(); t != TypeChar && t != TypeBlock {
		return n, nil
	}
	if n.major, err = b.number(fieldMajor); err == nil {
		n.minor, err = b.number(fieldMinor)
	}
	if err != nil {
		return n, fmt.Errorf("device number: %w", err)
	}
	return n, nil
}

// check puts the numbers where they belong.
func (n *numbers) check(h *Header) error {
	for _, f := range []struct {
		name  string
		value int64
		to    *uint32
	}{
		{"uid", n.uid, &h.UID}, {"gid", n.gid, &h.GID}, {"device number", n.major, &h.Major}, {"device number", n.minor, &h.Minor},
	} {
		if f.value < 0 || f.value > math.MaxUint32 {
			return fmt.Errorf("%s %d is not in [0, %d]", f.name, f.value, uint32(math.MaxUint32))
		}
		*f.to = uint32(f.value)
	}
	h.Mode = uint32(n.mode & 0o7777)
	h.Mtime.Sec, h.Mtime.Nsec = n.mtime, n.nsec
	for _, name := range []string{h.Name, h.Linkname} {
		if len(name) > maxName {
			return fmt.Errorf("a name of %d bytes: at most %d are possible", len(name), maxName)
		}
		if strings.Contains(name, "\x00") {
			return fmt.Errorf("a name with a NUL byte: %q", name)
		}
	}
	if n.size < 0 || n.size > maxSize {
		return fmt.Errorf("a size of %d bytes", n.size)
	}
	return nil
}

// locate finds the data of a member, and the end of the member.
func (r *Reader) locate(h *Header, b *block, m *member, n *numbers, x *extras) error {
	switch h.Type {
	case 0, '7', 'S': // v7's; "contiguous"; GNU's sparse
		h.Type = TypeRegular
		fallthrough
	case TypeRegular:
		// v7 knows no other way to write a directory.
		if strings.HasSuffix(h.Name, "/") {
			h.Type = TypeDir
			break
		}
		return r.locateFile(h, b, n, x)
	case TypeLink, TypeSymlink, TypeChar, TypeBlock, TypeDir, TypeFIFO:
	case 'D': // GNU: a directory, with a list of its names
		h.Type = TypeDir
		return r.skip(n.size)
	case 'M':
		return fmt.Errorf("the rest of a file that begins in another volume: join the volumes first")
	default:
		return fmt.Errorf("a member of type %q, which is not known", b.typeflag())
	}
	if n.size == 0 {
		return nil
	}
	// Some tars give these a size, most of them without data. pax gives hard
	// links data only if it says so in a header of its own. Elsewhere, the
	// next header tells.
	if h.Type == TypeLink && m.local != nil || !r.headerAt(r.next) {
		return r.skip(n.size)
	}
	return nil
}

// skip moves behind data.
func (r *Reader) skip(size int64) error {
	if size > r.size-r.next {
		return fmt.Errorf("%d bytes of data of which %d are there: %w", size, r.size-r.next, errTruncated)
	}
	r.next += roundUp(size)
	return nil
}

// headerAt reports whether there is a header at off, or the archive's end.
func (r *Reader) headerAt(off int64) bool {
	p, err := r.read(off, blockSize)
	if err != nil {
		return true
	}
	b := (*block)(p)
	return *b == (block{}) || b.valid()
}
