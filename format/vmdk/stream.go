package vmdk

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"diskwright/diskmap"
	"diskwright/format/block"

	"github.com/klauspost/compress/zlib"
)

const (
	// Kinds of markers.
	markerEnd       = 0 // end of stream
	markerTable     = 1
	markerDirectory = 2
	markerFooter    = 3

	// grainHeader is how many bytes are in front of a compressed grain: its
	// LBA, 64 bits, and its compressed length, 32 bits.
	grainHeader = 12

	// streamOverhead is where the first grain of a stream lies, in sectors, as
	// in VMware's.
	streamOverhead = 128

	defaultLevel = 6
)

// stream is a streamOptimized image that is being written.
type stream struct {
	w         *bufio.Writer
	err       error
	sector    int64 // of the next byte
	header    header
	directory []uint32
	table     [tableGrains]uint32
	current   int64 // the number of table, or -1
}

// writeStream writes an image from front to back. Grains are compressed by
// several workers, and written in order.
func writeStream(ctx context.Context, m *diskmap.Map, w io.Writer, o Options) error {
	sectors, err := diskSectors(m)
	if err != nil {
		return err
	}
	text, err := o.descriptor(sectors)
	if err != nil {
		return err
	}
	level := o.Level
	if level == 0 {
		level = defaultLevel
	}
	if level < 1 || level > 9 {
		return fmt.Errorf("vmdk: compression level %d; there are 1 to 9", o.Level)
	}
	s := &stream{
		w: bufio.NewWriterSize(w, 256<<10),
		header: header{
			version:        versionStream,
			flags:          flagNewlines | flagCompress | flagMarkers,
			capacity:       uint64(sectors),
			grainSize:      grainSectors,
			descriptor:     descriptorSector,
			descriptorSize: descriptorSectors,
			tableEntries:   tableGrains,
			directory:      directoryAtEnd,
			overhead:       streamOverhead,
			compression:    compressDeflate,
		},
		directory: make([]uint32, block.DivideUp(sectors, grainSectors*tableGrains)),
		current:   -1,
	}
	s.write(s.header.encode())
	s.write(text)
	s.write(make([]byte, (streamOverhead-s.sector)*sectorSize))
	for grain, err := range block.Stream(ctx, m, block.Layout{Size: GrainSize, Encode: compressor(level)}, o.Options) {
		if err != nil {
			return err
		}
		s.grain(grain.Index, grain.Data)
		if s.err != nil {
			return s.err
		}
	}
	s.finish()
	return s.err
}

// compressor returns what makes a zlib stream of a grain. A disk's last grain
// is filled up with zeros: readers expect all of a grain.
func compressor(level int) func(dst, src []byte) ([]byte, error) {
	var writers sync.Pool // of *zlib.Writer
	return func(dst, src []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		z, ok := writers.Get().(*zlib.Writer)
		if !ok {
			var err error
			if z, err = zlib.NewWriterLevel(out, level); err != nil {
				return nil, err
			}
		} else {
			z.Reset(out)
		}
		_, err := z.Write(src)
		if missing := GrainSize - len(src); err == nil && missing > 0 {
			_, err = z.Write(make([]byte, missing))
		}
		if err == nil {
			err = z.Close()
		}
		writers.Put(z)
		return out.Bytes(), err
	}
}

// write writes p and fills the last sector up with zeros. It keeps the first
// error.
func (s *stream) write(p []byte) {
	if s.err != nil {
		return
	}
	if _, s.err = s.w.Write(p); s.err != nil {
		return
	}
	if rest := len(p) % sectorSize; rest != 0 {
		_, s.err = s.w.Write(make([]byte, sectorSize-rest))
	}
	s.sector += block.DivideUp(int64(len(p)), sectorSize)
	if s.err == nil && s.sector > maxSectors {
		s.err = errTooMuchData(s.sector)
	}
}

// grain writes a grain, behind the table of those before it if that is
// complete.
func (s *stream) grain(index int64, compressed []byte) {
	if table := index / tableGrains; table != s.current {
		s.endTable()
		s.current = table
	}
	s.table[index%tableGrains] = uint32(s.sector)
	p := make([]byte, grainHeader, grainHeader+len(compressed))
	le.PutUint64(p[0:], uint64(index*grainSectors))
	le.PutUint32(p[8:], uint32(len(compressed)))
	s.write(append(p, compressed...))
}

// endTable writes the table of the grains before.
func (s *stream) endTable() {
	if s.current < 0 {
		return
	}
	s.marker(markerTable, tableSectors)
	s.directory[s.current] = uint32(s.sector)
	s.write(encodeEntries(s.table[:]))
	clear(s.table[:])
}

// marker announces metadata of so many sectors.
func (s *stream) marker(kind uint32, sectors int64) {
	p := make([]byte, sectorSize)
	le.PutUint64(p[0:], uint64(sectors))
	// 8: a size of zero tells it from a grain
	le.PutUint32(p[12:], kind)
	s.write(p)
}

// finish writes what is behind the last grain.
func (s *stream) finish() {
	s.endTable()
	s.marker(markerDirectory, block.DivideUp(int64(len(s.directory))*entrySize, sectorSize))
	footer := s.header
	footer.directory = uint64(s.sector)
	s.write(encodeEntries(s.directory))
	s.marker(markerFooter, 1)
	s.write(footer.encode())
	s.marker(markerEnd, 0)
	if s.err == nil {
		s.err = s.w.Flush()
	}
}

func encodeEntries(entries []uint32) []byte {
	p := make([]byte, 0, len(entries)*entrySize)
	for _, e := range entries {
		p = le.AppendUint32(p, e)
	}
	return p
}
