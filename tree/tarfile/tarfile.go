// Package tarfile finds the members of a tar archive: what they are, and where
// in the archive their bytes lie. It copies no content, so that an archive
// that can seek never has to be unpacked.
//
// It reads what tars have been written in since 1979: the original format
// (v7), POSIX ustar and pax, star, and GNU's. An archive is a row of blocks of
// 512 bytes:
//
//	|header|data ...|header|data ......|header|pax records|header|data|0|0|
//	 a file          a file             says more about...  a file     end
//
// # Vocabulary
//
// A member is a file of any type with all that the archive says of it. A pax
// header (types x and g) holds records, "length key=value\n", that take
// precedence over the fields of the header of the next member, or of all
// members that follow. GNU has long names in members of their own (types L
// and K). A sparse file has [Segment] values, of which only the data is in the
// archive.
//
// Archives are not trusted: numbers are checked against the size of the
// archive, headers against their checksum, and nothing is allocated by what a
// number says alone. [Reader] does no more than that. Names are as they are
// in the archive; what to do with one like "../x" is the caller's business.
package tarfile

import (
	"fmt"
	"io"
)

// Types of members.
const (
	TypeRegular byte = '0'
	TypeLink    byte = '1' // a hard link
	TypeSymlink byte = '2'
	TypeChar    byte = '3'
	TypeBlock   byte = '4'
	TypeDir     byte = '5'
	TypeFIFO    byte = '6'
)

// Header describes a member.
type Header struct {
	// Offset is where in the archive the member begins, its pax header
	// included.
	Offset int64

	Name     string
	Linkname string // of a hard link, or the target of a symbolic link
	Type     byte
	Mode     uint32 // permissions only
	UID, GID uint32

	// Mtime is in seconds since 1970, which may be negative, and
	// nanoseconds after those.
	Mtime struct {
		Sec  int64
		Nsec uint32
	}

	Major, Minor uint32 // of a device

	// Size is the length of a regular file, holes included.
	Size int64

	// Data are the parts of the file that are in the archive, in order, not
	// overlapping, none empty. The rest of Size are holes.
	Data []Segment

	// Xattrs are the extended attributes, in the order of the archive and
	// without duplicates.
	Xattrs []Xattr

	// ACLs in their text form; empty if there are none.
	ACLAccess, ACLDefault string
}

// Segment is a part of a file: Length bytes at Offset of the file lie at
// Position of the archive.
type Segment struct{ Offset, Length, Position int64 }

// Xattr is an extended attribute by its full name.
type Xattr struct {
	Name  string
	Value []byte
}

// An Error says what is wrong with an archive, and where.
type Error struct {
	Offset int64  // of the member
	Name   string // of the member; may be empty
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("at byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("member %q at byte %d: %v", e.Name, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Limits. A larger header would be read into memory for nothing: no file
// system has such names, and no file has so many attributes.
const (
	maxName    = 4096     // PATH_MAX of Linux
	maxRecords = 16 << 20 // bytes of a pax header; a sparse file's map may be long
	maxGlobals = 64 << 10 // bytes of the records for all members: each member costs the time to read them
	maxXattrs  = 1024     // of a member
	maxSize    = 1 << 60  // bytes of a file: that of a disk map
)

// Reader reads the headers of an archive. See [NewReader].
type Reader struct {
	src  io.ReaderAt
	size int64
	next int64 // where the next header is

	globals records
	current block

	window []byte // the part of the archive at windowAt
	at     int64
	buf    []byte
}

// NewReader returns a reader of the archive of size bytes.
func NewReader(src io.ReaderAt, size int64) *Reader {
	return &Reader{src: src, size: size, buf: make([]byte, 16<<10)}
}

// Next returns the next member, or [io.EOF] at the archive's end. Everything
// else that is wrong is an [*Error] or an error of reading.
func (r *Reader) Next() (*Header, error) {
	m := member{offset: r.next}
	h, err := r.member(&m)
	if err != nil && err != io.EOF {
		return nil, &Error{Offset: m.offset, Name: m.name, Err: err}
	}
	return h, err
}

// errTruncated is what all archives end with that miss something.
var errTruncated = fmt.Errorf("the archive is truncated: %w", io.ErrUnexpectedEOF)

// member is what is known of a member so far.
type member struct {
	offset             int64
	name               string // for errors
	local              records
	longName, longLink *string
}

// extended reports whether the member has headers before its own.
func (m *member) extended() bool { return m.local != nil || m.longName != nil || m.longLink != nil }

// member reads headers up to and including the member's own.
func (r *Reader) member(m *member) (*Header, error) {
	for {
		b, err := r.header()
		if err == io.EOF && m.extended() {
			return nil, fmt.Errorf("the archive ends behind a header that belongs to a member: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		m.name = b.fullName()
		var body []byte
		switch t := b.typeflag(); t {
		case 'x', 'X', 'g':
			if body, err = r.body(b, maxRecords); err != nil {
				return nil, err
			}
			parsed, err := parseRecords(body)
			if err != nil {
				return nil, err
			}
			if t == 'g' {
				if err := r.globals.update(parsed); err != nil {
					return nil, err
				}
				if !m.extended() {
					m.offset = r.next
				}
				continue
			}
			m.local = append(m.local, parsed...)
		case 'L', 'K':
			if body, err = r.body(b, maxName+1); err != nil {
				return nil, err
			}
			name := cString(body)
			if t == 'L' {
				m.longName = &name
			} else {
				m.longLink = &name
			}
		case 'V': // the label of the archive
			if _, err = r.body(b, maxName); err != nil {
				return nil, err
			}
			m.offset = r.next
		default:
			return r.describe(m, b)
		}
	}
}

// header reads the next header. A block of zeros followed by another one, or
// by nothing, ends the archive; alone it is skipped, as GNU tar does.
func (r *Reader) header() (*block, error) {
	zeros := 0
	for {
		if r.next >= r.size {
			if zeros > 0 {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("it has no end mark: %w", errTruncated)
		}
		p, err := r.read(r.next, blockSize)
		if err != nil {
			return nil, err
		}
		b := (*block)(p)
		if *b == (block{}) {
			if zeros++; zeros == 2 {
				return nil, io.EOF
			}
			r.next += blockSize
			continue
		}
		if !b.valid() {
			if r.next == 0 {
				return nil, fmt.Errorf("not a tar archive")
			}
			return nil, fmt.Errorf("the checksum of the header at byte %d is wrong: the archive is damaged", r.next)
		}
		r.next += blockSize
		r.current = *b // what p points into moves
		return &r.current, nil
	}
}

// body reads the data of a header that is not a file's.
func (r *Reader) body(b *block, limit int64) ([]byte, error) {
	size, err := b.number(fieldSize)
	if err != nil {
		return nil, fmt.Errorf("size: %w", err)
	}
	if size < 0 || size > limit {
		return nil, fmt.Errorf("a header of type %q has %d bytes: at most %d are possible", b.typeflag(), size, limit)
	}
	p, err := r.read(r.next, size)
	if err != nil {
		return nil, err
	}
	r.next += roundUp(size)
	return p, nil
}

// read returns the n bytes at off. They are valid until the next read.
func (r *Reader) read(off, n int64) ([]byte, error) {
	if off > r.size || n > r.size-off {
		return nil, errTruncated
	}
	if off >= r.at && off+n <= r.at+int64(len(r.window)) {
		return r.window[off-r.at:][:n], nil
	}
	p := r.buf
	if n > int64(len(p)) {
		p = make([]byte, n) // n is within the archive, and limited by callers
	}
	p = p[:min(int64(len(p)), r.size-off)]
	got, err := r.src.ReadAt(p, off)
	if got < len(p) {
		r.window = nil
		if err == nil || err == io.EOF {
			err = errTruncated
		}
		return nil, err
	}
	r.window, r.at = p, off
	return p[:n], nil
}

// roundUp returns n rounded up to whole blocks.
func roundUp(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }
