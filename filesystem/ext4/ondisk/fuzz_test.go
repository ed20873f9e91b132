package ondisk

import "testing"

// FuzzDecode gives every decoder arbitrary bytes. None may panic, and what they
// return must lie within what they promise.
func FuzzDecode(f *testing.F) {
	super := make([]byte, SuperblockSize)
	(&Superblock{
		Inodes: 32, Blocks: 1000, BlocksPerGroup: 32768, InodesPerGroup: 32, LogBlockSize: 2,
		Revision: DynamicRevision, FirstInode: InoFirst, InodeSize: InodeSize,
	}).Encode(super)
	f.Add(super)
	inode := make([]byte, InodeSize)
	(&Inode{Mode: ModeRegular, Links: 1, Flags: FlagExtents, ExtraSize: ExtraInodeSize}).Encode(inode)
	f.Add(inode)
	node := make([]byte, 1024)
	ExtentHeader{Entries: 1, Max: 84}.Encode(node)
	Extent{Len: 1, Start: 5}.Encode(node[ExtentHeaderSize:])
	f.Add(node)
	root := make([]byte, 1024)
	EncodeDxRoot(root, 2, 2, HashHalfMD4, 0, DxRootLimit(len(root), true), []DxEntry{{0, 1}, {0x80000000, 2}})
	f.Add(root)
	inner := make([]byte, 1024)
	EncodeDxNode(inner, DxNodeLimit(len(inner), true), []DxEntry{{0, 1}, {0x80000000, 2}})
	f.Add(inner)
	attributes := make([]byte, 1024)
	(&XattrHeader{RefCount: 1, Blocks: 1}).Encode(attributes)
	(&XattrEntry{NameIndex: XattrIndexUser, Name: []byte("name"), ValueOffset: 1020, ValueSize: 4}).Encode(attributes[XattrBlockHeader:])
	f.Add(attributes)
	journal := make([]byte, 1024)
	(&JournalSuperblock{BlockSize: 1024, Blocks: 1024, First: 1}).Encode(journal)
	f.Add(journal)

	f.Fuzz(func(t *testing.T, p []byte) {
		if s, err := DecodeSuperblock(p); err == nil {
			if s.BlockSize() > 1<<16 || s.Groups() == 0 || s.Groups() > 1<<32 || s.GroupDescSize() < DescSize32 || s.InodeSize < OldInodeSize {
				t.Fatalf("%+v", s)
			}
			s.Seed()
		}
		CheckSuperblock(p)
		DecodeGroupDesc(p)
		if i, err := DecodeInode(p); err == nil {
			CheckInode(p, 1, 2)
			if int(i.ExtraSize) > len(p) {
				t.Fatalf("%+v", i)
			}
		}
		if h, err := DecodeExtentHeader(p); err == nil {
			for i := range int(h.Entries) {
				if e := DecodeExtent(p, i); e.Len > ExtentMax {
					t.Fatalf("%+v", e)
				}
				DecodeExtentIndex(p, i)
			}
			CheckExtentTail(p, 1)
		}
		for at := 0; at < len(p); {
			e, err := DecodeDirEntry(p, at, true)
			if err != nil {
				break
			}
			if e.RecLen < DirEntrySize(len(e.Name)) || at+e.RecLen > len(p) {
				t.Fatalf("entry at %d: %+v", at, e)
			}
			at += e.RecLen
		}
		CheckDirTail(p, 1)
		for _, decode := range []func([]byte, bool) (DxNode, error){DecodeDxRoot, DecodeDxNode} {
			if n, err := decode(p, len(p)%2 == 0); err == nil {
				for i := range n.Len() {
					n.Entry(i)
				}
			}
		}
		CheckDxTail(p, 1)
		if _, err := DecodeXattrHeader(p); err == nil {
			for rest := p[XattrBlockHeader:]; ; {
				_, size, err := DecodeXattrEntry(rest)
				if err != nil || size == 0 {
					break
				}
				rest = rest[size:]
			}
			XattrChecksum(p, 1, 2)
		}
		if _, err := DecodeJournalSuperblock(p); err == nil && len(p) < SuperblockSize {
			t.Fatal("short journal superblock")
		}
		CheckOrphanTail(p, 1, 2)
		if len(p) > 4 {
			DirHash(HashVersion(p[0]%8), [16]byte(append(p, make([]byte, 16)...)), p[:min(len(p), NameMax)])
			XattrEntryHash(p, p)
		}
	})
}
