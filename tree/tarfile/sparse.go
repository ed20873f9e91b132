package tarfile

import (
	"bytes"
	"fmt"
	"strconv"
)

// locateFile finds the data of a regular file.
func (r *Reader) locateFile(h *Header, b *block, n *numbers, x *extras) (err error) {
	var list []int64 // offset, length, offset, length, ...
	archived := n.size
	switch {
	case b.typeflag() == 'S' && b.isGNU():
		if list, err = r.sparseGNU(b); err != nil {
			return err
		}
		h.Size, err = b.number(fieldRealSizeGNU)
		if err != nil {
			return fmt.Errorf("size: %w", err)
		}
		if x.hasRealSize {
			h.Size = x.realSize
		}
	case !x.sparse():
		h.Size = n.size
		if n.size > 0 {
			h.Data = []Segment{{0, n.size, r.next}}
		}
		return r.skip(n.size)
	case x.major == "1" && x.minor == "0":
		h.Size = x.realSize
		var mapSize int64
		if list, mapSize, err = r.sparseMap(n.size); err != nil {
			return err
		}
		if archived -= mapSize; archived < 0 {
			return fmt.Errorf("the map of a sparse file is longer than its data")
		}
		r.next += mapSize
	case x.major == "" || x.major == "0":
		h.Size = x.realSize
		list = x.sparseMap
	default:
		return fmt.Errorf("a sparse file of version %s.%s, which is not known", x.major, x.minor)
	}
	if h.Data, err = segments(list, h.Size, archived, r.next); err != nil {
		return err
	}
	return r.skip(archived)
}

// segments checks the map of a sparse file of size bytes of which archived are
// in the archive, from position on.
func segments(list []int64, size, archived, position int64) ([]Segment, error) {
	if size < 0 || size > maxSize {
		return nil, fmt.Errorf("a sparse file of %d bytes", size)
	}
	if len(list)%2 != 0 {
		return nil, fmt.Errorf("the map of a sparse file has an offset without a length")
	}
	var data []Segment
	end, left := int64(0), archived
	for ; len(list) > 0; list = list[2:] {
		offset, length := list[0], list[1]
		if offset < end || length < 0 || offset > size || length > size-offset {
			return nil, fmt.Errorf("the map of a sparse file has %d bytes at %d: it is not in order, or larger than the file", length, offset)
		}
		if length > left {
			return nil, fmt.Errorf("the map of a sparse file has more than its %d bytes of data", archived)
		}
		if end = offset + length; length > 0 {
			data = append(data, Segment{offset, length, position})
		}
		position += length
		left -= length
	}
	if left > 0 {
		return nil, fmt.Errorf("the map of a sparse file lacks %d of its %d bytes of data", left, archived)
	}
	return data, nil
}

// sparseGNU reads the map of a member of type S: four segments in the header,
// and as many blocks of 21 more as are needed.
func (r *Reader) sparseGNU(b *block) (list []int64, err error) {
	if list, err = sparseEntries(nil, b.bytes(fieldSparseGNU)); err != nil {
		return nil, err
	}
	for more := b[isExtendedGNU] != 0; more; {
		p, err := r.read(r.next, blockSize)
		if err != nil {
			return nil, err
		}
		if list, err = sparseEntries(list, p[:isExtendedMore]); err != nil {
			return nil, err
		}
		more = p[isExtendedMore] != 0
		r.next += blockSize
	}
	return list, nil
}

// sparseEntries appends the segments in p. An empty one ends them.
func sparseEntries(list []int64, p []byte) ([]int64, error) {
	for ; len(p) >= sparseEntrySize; p = p[sparseEntrySize:] {
		if p[0] == 0 {
			break
		}
		for _, number := range [][]byte{p[:sparseNumberSize], p[sparseNumberSize:sparseEntrySize]} {
			value, err := parseNumber(number)
			if err != nil {
				return nil, fmt.Errorf("the map of a sparse file: %w", err)
			}
			list = append(list, value)
		}
	}
	return list, nil
}

// sparseMap reads the map that comes before the data in version 1.0: lines
// with numbers, first that of segments, then offset and length of each, padded
// to whole blocks.
func (r *Reader) sparseMap(archived int64) (list []int64, size int64, err error) {
	var line []byte // the start of a line that a block's end cut
	left := int64(-1)
	for left != 0 {
		if size+blockSize > roundUp(archived) {
			return nil, 0, fmt.Errorf("the map of a sparse file is longer than its data")
		}
		p, err := r.read(r.next+size, blockSize)
		if err != nil {
			return nil, 0, err
		}
		size += blockSize
		for left != 0 {
			text, rest, found := bytes.Cut(p, []byte("\n"))
			line = append(line, text...)
			if len(line) > 20 {
				return nil, 0, fmt.Errorf("the map of a sparse file has the number %.40q", line)
			}
			if !found {
				break
			}
			value, err := strconv.ParseInt(string(line), 10, 64)
			if err != nil || value < 0 {
				return nil, 0, fmt.Errorf("the map of a sparse file has the number %q", line)
			}
			line, p = line[:0], rest
			if left < 0 {
				if value > maxSize/2 {
					return nil, 0, fmt.Errorf("the map of a sparse file has %d segments", value)
				}
				left = 2 * value
				continue
			}
			list = append(list, value)
			left--
		}
	}
	return list, size, nil
}
