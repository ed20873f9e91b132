package format

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/compress"
)

// A tar with the disk as a sparse file, in GNU's old format, is what "tar
// --format=oldgnu -S" makes and Google Compute Engine demands:
//
//	header: name, size, the first 4 pieces      512 bytes
//	more pieces, 21 in each                     512 bytes each
//	the pieces' data, one behind the other, up to a whole block
//	end: zeros, up to a record of 10 KiB
//
// ("Storing Sparse Files" in the manual of GNU tar.)
const (
	tarBlock  = 512
	tarRecord = 10 << 10
	tarName   = "disk.raw" // the only one that Compute Engine takes

	piecesInHeader    = 4
	piecesInExtension = 21
	tarOctal          = 1 << 33 // sizes below are 11 octal digits

	// pieceUnit is what pieces begin and end with a multiple of, and the least
	// hole between two.
	pieceUnit = 64 << 10
)

// Offsets in the header.
const (
	tarMode, tarUID, tarGID = 100, 108, 116
	tarSize, tarTime        = 124, 136
	tarChecksum, tarType    = 148, 156
	tarMagic                = 257
	tarPieces               = 386
	tarExtended, tarReal    = 482, 483
	extensionMore           = piecesInExtension * 24
)

type tarPiece struct{ off, n int64 }

// tarLayout returns the tar as a map.
func tarLayout(m *diskmap.Map, o Options) (*diskmap.Map, error) {
	var pieces []tarPiece
	for e := range m.Extents(0, m.Size()) {
		from, to := e.Offset/pieceUnit*pieceUnit, min((e.End()+pieceUnit-1)/pieceUnit*pieceUnit, m.Size())
		if last := len(pieces) - 1; last >= 0 && from <= pieces[last].off+pieces[last].n {
			pieces[last].n = to - pieces[last].off
			continue
		}
		pieces = append(pieces, tarPiece{from, to - from})
	}
	if last := len(pieces) - 1; last < 0 || pieces[last].off+pieces[last].n < m.Size() {
		pieces = append(pieces, tarPiece{m.Size(), 0}) // says that a hole ends the file
	}
	head := tarHeader(m.Size(), pieces, o.Created().Unix())
	var b diskmap.Builder
	b.Place(0, content.Bytes(head))
	at := int64(len(head))
	for _, p := range pieces {
		block.Copy(&b, m, p.off, p.off+p.n, at)
		at += p.n
	}
	at = (at + tarBlock - 1) / tarBlock * tarBlock
	at = (at + 2*tarBlock + tarRecord - 1) / tarRecord * tarRecord
	return b.Map(at)
}

// tarHeader returns the header and its extensions.
func tarHeader(size int64, pieces []tarPiece, time int64) []byte {
	h := make([]byte, tarBlock)
	copy(h, tarName)
	copy(h[tarMode:], "0000644\x00")
	copy(h[tarUID:], "0000000\x00")
	copy(h[tarGID:], "0000000\x00")
	stored := int64(0)
	for _, p := range pieces {
		stored += p.n
	}
	tarNumber(h[tarSize:tarSize+12], stored)
	tarNumber(h[tarTime:tarTime+12], max(0, time))
	h[tarType] = 'S'
	copy(h[tarMagic:], "ustar  \x00")
	tarNumber(h[tarReal:tarReal+12], size)
	rest := tarPiecesInto(h[tarPieces:], pieces, piecesInHeader)
	var extensions []byte
	if len(rest) > 0 {
		h[tarExtended] = 1
	}
	for len(rest) > 0 {
		x := make([]byte, tarBlock)
		if rest = tarPiecesInto(x, rest, piecesInExtension); len(rest) > 0 {
			x[extensionMore] = 1
		}
		extensions = append(extensions, x...)
	}
	// The sum is that of a header with spaces in place of the sum.
	copy(h[tarChecksum:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[tarChecksum:], fmt.Sprintf("%06o\x00 ", sum))
	return append(h, extensions...)
}

// tarPiecesInto writes at most so many pieces, and returns the rest.
func tarPiecesInto(p []byte, pieces []tarPiece, most int) []tarPiece {
	n := min(most, len(pieces))
	for i, piece := range pieces[:n] {
		tarNumber(p[i*24:i*24+12], piece.off)
		tarNumber(p[i*24+12:i*24+24], piece.n)
	}
	return pieces[n:]
}

// tarNumber writes octal digits, or from 8 GiB on the number itself behind a
// byte that says so.
func tarNumber(p []byte, n int64) {
	if n < tarOctal {
		copy(p, fmt.Sprintf("%011o\x00", n))
		return
	}
	p[0] = 0x80
	for i := len(p) - 1; i > 0; i-- {
		p[i], n = byte(n), n>>8
	}
}

// isTar reports whether a file that begins with p is a tar: any disk may have
// the letters where tars have them, but not the right sum.
func isTar(p []byte) bool {
	if len(p) < tarBlock || string(p[tarMagic:tarMagic+5]) != "ustar" {
		return false
	}
	sum := 8 * int(' ')
	for i, c := range p[:tarBlock] {
		if i < tarChecksum || i >= tarChecksum+8 {
			sum += int(c)
		}
	}
	var want int
	_, err := fmt.Sscanf(string(p[tarChecksum:tarChecksum+6]), "%o", &want)
	return err == nil && sum == want
}

// unwrap makes a copy of what is compressed, or in a tar, without the zeros.
func unwrap(ctx context.Context, file *diskmap.Map, kind compress.Kind, inTar bool, o OpenOptions) (*os.File, bool, error) {
	var r io.Reader = io.NewSectionReader(file, 0, file.Size())
	if kind != compress.None {
		z, err := compress.NewReader(file, file.Size(), kind)
		if err != nil {
			return nil, false, err
		}
		defer z.Close()
		start := make([]byte, tarBlock)
		n, err := fill(z, start)
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		if inner := compress.Detect(start[:n]); inner != compress.None {
			return nil, false, fmt.Errorf("it is compressed twice, with %s and with %s; decompress it first", kind, inner)
		}
		inTar = isTar(start[:n])
		r = io.MultiReader(bytes.NewReader(start[:n]), z)
	}
	if inTar {
		t := tar.NewReader(r)
		if err := findDisk(t); err != nil {
			return nil, false, err
		}
		r = t
	}
	spool, err := newSpool(o.Spool)
	if err != nil {
		return nil, false, err
	}
	limit := o.Limit
	if limit == 0 {
		limit = diskmap.MaxSize
	}
	if err := copySparse(ctx, spool, r, limit); err != nil {
		spool.Close()
		return nil, false, err
	}
	return spool, inTar, nil
}

// findDisk goes to the disk of a tar: its only file.
func findDisk(t *tar.Reader) error {
	for {
		h, err := t.Next()
		if err == io.EOF {
			return fmt.Errorf("it is a tar without %q", tarName)
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			if path.Base(h.Name) == tarName {
				return nil
			}
		}
	}
}

// copySparse copies r to f, and leaves holes where r has zeros.
func copySparse(ctx context.Context, f *os.File, r io.Reader, limit int64) error {
	p := make([]byte, 64<<10)
	size := int64(0)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := fill(r, p)
		if size += int64(n); size > limit {
			return fmt.Errorf("it has more than %d bytes when it is decompressed", limit)
		}
		if !block.IsZero(p[:n]) {
			if _, err := f.WriteAt(p[:n], size-int64(n)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return f.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until p is full, or an error; io.EOF is the end, wherever it is.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var read int
		read, err = r.Read(p[n:])
		n += read
	}
	return n, err
}
