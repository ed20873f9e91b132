package ondisk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/oracle"
)

// image is a file system that other people's tools made.
type image struct {
	t      *testing.T
	bytes  []byte
	super  *Superblock
	seed   uint32
	counts map[string]int // structures seen
}

// foreignImage has mke2fs, debugfs and e2fsck make a file system with one of
// every structure: an indexed directory, an extent tree with leaves, attributes
// in an inode and in a block, times beyond 2038, a journal and an orphan file.
func foreignImage(t *testing.T) *image {
	t.Helper()
	dir := t.TempDir()
	tree, path := filepath.Join(dir, "tree"), filepath.Join(dir, "image")
	if err := os.MkdirAll(filepath.Join(tree, "many"), 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range 1500 {
		name := fmt.Sprintf("a file with a rather long name, to fill more blocks, and number %d", i)
		if i%7 == 0 {
			name = fmt.Sprintf("\xffé\x80 %d %s", i, strings.Repeat("\xfe", i%150))
		}
		if err := os.WriteFile(filepath.Join(tree, "many", name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(filepath.Join(tree, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	for i := range int64(1000) {
		if _, err := sparse.WriteAt([]byte{1}, i*8192); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-N", "4096", "-O", "metadata_csum,64bit,metadata_csum_seed,orphan_file",
		"-d", tree, path, "32m")
	commands := filepath.Join(dir, "commands")
	script := strings.Join([]string{
		"ea_set /sparse user.small value",
		"ea_set /sparse user.big " + strings.Repeat("many bytes ", 200),
		"ea_set /sparse security.odd abc",
		"set_inode_field /sparse mtime 21060207062817",
		"set_inode_field /sparse uid 100000",
		"set_inode_field /sparse gid 4000000000",
	}, "\n")
	if err := os.WriteFile(commands, []byte(strings.ReplaceAll(script, "many bytes ", "many-bytes-")), 0o666); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "debugfs", "-w", "-f", commands, path)
	if output, status := oracle.Exit(t, "e2fsck", "-fyD", path); status > 1 {
		t.Fatalf("e2fsck: %d\n%s", status, output)
	}
	return open(t, path)
}

func open(t *testing.T, path string) *image {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	super, err := DecodeSuperblock(content[SuperblockOffset:])
	if err != nil {
		t.Fatal(err)
	}
	return &image{t, content, super, super.Seed(), map[string]int{}}
}

func (m *image) block(n uint64) []byte {
	size := uint64(m.super.BlockSize())
	return m.bytes[n*size : (n+1)*size]
}

// check reports a structure that is wrong, and counts it.
func (m *image) check(ok bool, what string, args ...any) {
	m.counts[what]++
	if !ok {
		m.t.Errorf("wrong: %s %v", what, args)
	}
}

func (m *image) desc(group int) []byte {
	size := m.super.GroupDescSize()
	return m.block(1)[group*size:][:size]
}

func (m *image) inode(ino uint32) []byte {
	group, index := int(ino-1)/int(m.super.InodesPerGroup), int(ino-1)%int(m.super.InodesPerGroup)
	d := DecodeGroupDesc(m.desc(group))
	return m.bytes[int(d.InodeTable)*m.super.BlockSize()+index*int(m.super.InodeSize):][:m.super.InodeSize]
}

// TestForeignImage decodes all of a file system that we have no part in, and
// encodes it again.
func TestForeignImage(t *testing.T) {
	m := foreignImage(t)
	super := m.bytes[SuperblockOffset:][:SuperblockSize]
	m.check(CheckSuperblock(super), "superblock")
	m.superblocks(super)
	m.groups()
	for ino := uint32(1); ino <= m.super.Inodes; ino++ {
		p := m.inode(ino)
		inode, err := DecodeInode(p)
		if err != nil {
			t.Fatalf("inode %d: %v", ino, err)
		}
		if inode.Links == 0 {
			continue
		}
		m.check(CheckInode(p, m.seed, ino), "inode", ino)
		m.reencodeInode(p, inode, ino)
		m.attributes(p, inode)
		seed := InodeSeed(m.seed, ino, inode.Generation)
		if inode.Flags&FlagExtents == 0 {
			continue
		}
		blocks := map[uint32]uint64{}
		m.extents(inode.Block[:], seed, blocks)
		switch {
		case inode.Mode&ModeTypeMask == ModeDir:
			m.directory(ino, inode, seed, blocks)
		case ino == InoJournal:
			m.journal(blocks)
		case ino == m.super.OrphanFileInode:
			for _, b := range blocks {
				m.check(CheckOrphanTail(m.block(b), b, seed), "orphan block", b)
				tail := bytes.Clone(m.block(b))
				clear(tail[len(tail)-orphanTailSize:])
				SetOrphanTail(tail, b, seed)
				m.check(bytes.Equal(tail, m.block(b)), "orphan block again", b)
			}
		}
	}
	m.sparse()
	for _, what := range []string{
		"superblock", "superblock again", "descriptor", "descriptor again", "inode", "inode again", "extent leaf", "extent block",
		"directory leaf", "hash tree root", "hash tree leaf", "journal superblock", "orphan block", "orphan block again",
		"attribute in inode", "attribute block", "attribute hash", "bitmap",
	} {
		if m.counts[what] == 0 {
			t.Errorf("the image has no %s", what)
		}
	}
}

func (m *image) superblocks(p []byte) {
	again := make([]byte, SuperblockSize)
	m.super.Encode(again)
	m.check(bytes.Equal(p, again), "superblock again")
}

func (m *image) groups() {
	for g := range int(m.super.Groups()) {
		p := m.desc(g)
		d := DecodeGroupDesc(p)
		m.check(GroupDescChecksum(p, uint32(g), m.seed) == d.Checksum, "descriptor", g)
		again := make([]byte, len(p))
		d.Encode(again)
		SetGroupDescChecksum(again, uint32(g), m.seed)
		m.check(bytes.Equal(p, again), "descriptor again", g)
		if d.Flags&GroupBlockUninit == 0 {
			m.check(BitmapChecksum(m.seed, m.block(d.BlockBitmap)[:m.super.ClustersPerGroup/8]) == d.BlockBitmapChecksum, "bitmap", g)
		}
		if d.Flags&GroupInodeUninit == 0 {
			m.check(BitmapChecksum(m.seed, m.block(d.InodeBitmap)[:m.super.InodesPerGroup/8]) == d.InodeBitmapChecksum, "bitmap", g)
		}
	}
}

func (m *image) reencodeInode(p []byte, inode Inode, ino uint32) {
	again := make([]byte, len(p))
	inode.Encode(again)
	end := OldInodeSize + int(inode.ExtraSize)
	copy(again[end:], p[end:]) // attributes
	SetInodeChecksum(again, m.seed, ino)
	m.check(bytes.Equal(p, again), "inode again", ino)
}

// extents collects the blocks of a file.
func (m *image) extents(p []byte, seed uint32, blocks map[uint32]uint64) {
	h, err := DecodeExtentHeader(p)
	if err != nil {
		m.t.Fatal(err)
	}
	again := bytes.Clone(p)
	h.Encode(again)
	for i := range int(h.Entries) {
		if h.Depth == 0 {
			e := DecodeExtent(p, i)
			for k := range uint32(e.Len) {
				blocks[e.Block+k] = e.Start + uint64(k)
			}
			e.Encode(again[ExtentHeaderSize+i*ExtentSize:])
			m.counts["extent leaf"]++
			continue
		}
		x := DecodeExtentIndex(p, i)
		node := m.block(x.Node)
		m.check(CheckExtentTail(node, seed), "extent block", x.Node)
		m.extents(node, seed, blocks)
		x.Encode(again[ExtentHeaderSize+i*ExtentSize:])
	}
	if len(p) > 60 {
		SetExtentTail(again, seed)
	}
	m.check(bytes.Equal(p, again), "extent node again")
}

func (m *image) directory(ino uint32, inode Inode, seed uint32, blocks map[uint32]uint64) {
	size := m.super.BlockSize()
	if inode.Flags&FlagIndex == 0 {
		for i := range uint32(inode.Size) / uint32(size) {
			m.leaf(m.block(blocks[i]), seed, func([]byte) {})
			m.counts["directory leaf"]++
		}
		return
	}
	root := m.block(blocks[0])
	m.check(CheckDxTail(root, seed), "hash tree root", ino)
	x, err := DecodeDxRoot(root, true)
	if err != nil {
		m.t.Fatal(err)
	}
	dotdot, err := DecodeDirEntry(root, dxDotDot, true)
	if err != nil {
		m.t.Fatal(err)
	}
	var entries []DxEntry
	for i := range x.Len() {
		entries = append(entries, x.Entry(i))
	}
	again := make([]byte, size)
	EncodeDxRoot(again, ino, dotdot.Inode, x.Version, x.Levels, DxRootLimit(size, true), entries)
	SetDxTail(again, seed)
	// e2fsck leaves what it likes behind the entries.
	used := dxRootEntries + x.Len()*dxEntrySize
	m.check(bytes.Equal(root[:used], again[:used]), "hash tree root again")
	version := m.super.DirHashVersion(x.Version)
	for i, e := range entries {
		if x.Levels != 0 {
			m.t.Fatal("a hash tree of two levels; make fewer files")
		}
		m.leaf(m.block(blocks[e.Block]), seed, func(name []byte) {
			hash, _, ok := DirHash(version, m.super.HashSeed, name)
			in := hash >= e.Hash&^1 && (i+1 == len(entries) || hash <= entries[i+1].Hash)
			m.check(ok && in, "hash tree leaf", string(name))
		})
	}
}

// leaf checks a leaf of a directory.
func (m *image) leaf(p []byte, seed uint32, visit func(name []byte)) {
	m.check(CheckDirTail(p, seed), "directory tail")
	again := bytes.Clone(p)
	for at := 0; at < len(p)-DirTailSize; {
		e, err := DecodeDirEntry(p, at, true)
		if err != nil {
			m.t.Fatal(err)
		}
		if e.Inode != 0 {
			visit(e.Name)
			inode, err := DecodeInode(m.inode(e.Inode))
			m.check(err == nil && FileType(inode.Mode) == e.FileType, "file type", string(e.Name))
		}
		e.Encode(again[at:])
		at += e.RecLen
	}
	clear(again[len(p)-DirTailSize:])
	SetDirTail(again, seed)
	m.check(bytes.Equal(p, again), "directory leaf again")
}

func (m *image) journal(blocks map[uint32]uint64) {
	p := m.block(blocks[0])
	j, err := DecodeJournalSuperblock(p)
	again := make([]byte, len(p))
	j.Encode(again)
	m.check(err == nil && int(j.Blocks) == len(blocks) && bytes.Equal(p, again), "journal superblock", err, j)
}

// attributes checks those of an inode, and of its block.
func (m *image) attributes(p []byte, inode Inode) {
	area := p[OldInodeSize+int(inode.ExtraSize):]
	if len(area) > 4 && binary.LittleEndian.Uint32(area) == XattrMagic {
		m.entries(area[XattrMagicSize:], area[XattrMagicSize:], func(e XattrEntry, value []byte) {
			m.check(e.Hash == 0, "attribute in inode", string(e.Name), string(value))
		})
	}
	if inode.FileACL == 0 {
		return
	}
	block := m.block(inode.FileACL)
	h, err := DecodeXattrHeader(block)
	m.check(err == nil && h.Checksum == XattrChecksum(block, inode.FileACL, m.seed), "attribute block", err)
	var hashes []uint32
	again := bytes.Clone(block)
	h.Encode(again)
	m.entries(block, block[XattrBlockHeader:], func(e XattrEntry, value []byte) {
		m.check(e.Hash == XattrEntryHash(e.Name, value), "attribute hash", string(e.Name))
		hashes = append(hashes, e.Hash)
	})
	if h.Hash != 0 { // debugfs does not make any
		m.check(h.Hash == XattrBlockHash(hashes), "block hash")
	}
	SetXattrChecksum(again, inode.FileACL, m.seed)
	m.check(bytes.Equal(block, again), "attribute block again")
}

// entries visits the attributes in p, whose values are in area.
func (m *image) entries(area, p []byte, visit func(e XattrEntry, value []byte)) {
	for {
		e, size, err := DecodeXattrEntry(p)
		if err != nil {
			m.t.Fatal(err)
		}
		if size == 0 {
			return
		}
		again := make([]byte, size)
		e.Encode(again)
		m.check(bytes.Equal(again, p[:size]), "attribute entry again", string(e.Name))
		visit(e, area[e.ValueOffset:][:e.ValueSize])
		p = p[size:]
	}
}

// sparse checks fields that debugfs set.
func (m *image) sparse() {
	for ino := uint32(InoFirst); ino <= m.super.Inodes; ino++ {
		inode, err := DecodeInode(m.inode(ino))
		if err != nil || inode.UID != 100000 {
			continue
		}
		m.check(inode.GID == 4000000000 && inode.Mtime.Sec == 4294967297 && inode.Size == 999*8192+1 && inode.Links == 1, "fields", inode)
		return
	}
	m.t.Error("no inode has the owner that debugfs set")
}
