package ondisk

import (
	"encoding/binary"
	"fmt"
)

// Sizes of directory entries ("Linear (Classic) Directories").
const (
	DirEntryHeader = 8 // bytes before the name
	NameMax        = 255
	// DirTailSize is what a block leaves for its checksum, dressed as an
	// entry without a name: ext4_dir_entry_tail.
	DirTailSize = 12
	dirTailType = 0xde
)

// File types in directory entries ("Directory file types").
const (
	FileTypeUnknown uint8 = iota
	FileTypeRegular
	FileTypeDir
	FileTypeChar
	FileTypeBlock
	FileTypeFIFO
	FileTypeSocket
	FileTypeSymlink
)

// FileType returns the file type in the directory entry of an inode with the
// given mode.
func FileType(mode uint16) uint8 {
	switch mode & ModeTypeMask {
	case ModeRegular:
		return FileTypeRegular
	case ModeDir:
		return FileTypeDir
	case ModeChar:
		return FileTypeChar
	case ModeBlock:
		return FileTypeBlock
	case ModeFIFO:
		return FileTypeFIFO
	case ModeSocket:
		return FileTypeSocket
	case ModeSymlink:
		return FileTypeSymlink
	}
	return FileTypeUnknown
}

// DirEntry is an entry of a directory block: ext4_dir_entry_2. Inode 0 marks
// room without a name.
type DirEntry struct {
	Inode    uint32
	RecLen   int // bytes to the next entry; the last one reaches to the end
	FileType uint8
	Name     []byte
}

// DirEntrySize returns the least RecLen of an entry: header and name, rounded up
// to four bytes.
func DirEntrySize(nameLen int) int { return (DirEntryHeader + nameLen + 3) &^ 3 }

// Encode writes the entry to the first bytes of p, as many as it needs; the rest
// of its RecLen stays as it is.
func (e *DirEntry) Encode(p []byte) {
	le := binary.LittleEndian
	le.PutUint32(p[0:], e.Inode)
	le.PutUint16(p[4:], encodeRecLen(e.RecLen))
	p[6] = byte(len(e.Name))
	p[7] = e.FileType
	copy(p[8:], e.Name)
}

// maxRecLen stands for the RecLen of 65,536 that 16 bits do not hold.
const maxRecLen = 0xffff

func encodeRecLen(n int) uint16 { return uint16(min(n, maxRecLen)) }

// DecodeDirEntry reads the entry that begins at offset of a directory block and
// bounds it: it lies within the block, and its name within it. With
// filetype false (no such feature) the upper byte of the name's length is ignored.
// Name is a part of block.
func DecodeDirEntry(block []byte, offset int, filetype bool) (DirEntry, error) {
	le := binary.LittleEndian
	if offset < 0 || offset%4 != 0 || offset > len(block)-DirEntryHeader {
		return DirEntry{}, fmt.Errorf("directory entry at %d of a block of %d bytes", offset, len(block))
	}
	p := block[offset:]
	e := DirEntry{Inode: le.Uint32(p[0:]), RecLen: int(le.Uint16(p[4:]))}
	if len(block) == maxRecLen+1 && (e.RecLen == maxRecLen || e.RecLen == 0) {
		e.RecLen = len(block)
	}
	nameLen := int(p[6])
	if filetype {
		e.FileType = p[7]
	}
	switch {
	case e.RecLen%4 != 0 || e.RecLen > len(p):
		return DirEntry{}, fmt.Errorf("directory entry at %d has %d bytes, of %d in the block", offset, e.RecLen, len(block))
	case e.RecLen < DirEntrySize(nameLen):
		return DirEntry{}, fmt.Errorf("directory entry at %d has %d bytes for a name of %d", offset, e.RecLen, nameLen)
	}
	e.Name = p[DirEntryHeader : DirEntryHeader+nameLen : DirEntryHeader+nameLen]
	return e, nil
}

// SetDirTail puts the tail with the checksum at the end of a leaf block of a
// directory, whose entries end before it.
func SetDirTail(block []byte, inodeSeed uint32) {
	le := binary.LittleEndian
	body, tail := block[:len(block)-DirTailSize], block[len(block)-DirTailSize:]
	le.PutUint32(tail[0:], 0)
	le.PutUint16(tail[4:], DirTailSize)
	tail[6], tail[7] = 0, dirTailType
	le.PutUint32(tail[8:], Checksum(inodeSeed, body))
}

// CheckDirTail reports whether a leaf block of a directory ends in a tail with
// the right checksum.
func CheckDirTail(block []byte, inodeSeed uint32) bool {
	le := binary.LittleEndian
	if len(block) < DirTailSize {
		return false
	}
	body, tail := block[:len(block)-DirTailSize], block[len(block)-DirTailSize:]
	return le.Uint32(tail) == 0 && le.Uint16(tail[4:]) == DirTailSize && tail[6] == 0 && tail[7] == dirTailType &&
		le.Uint32(tail[8:]) == Checksum(inodeSeed, body)
}
