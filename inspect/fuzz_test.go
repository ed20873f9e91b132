package inspect

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/partition"
)

// FuzzOpen opens disks that have some bytes at the start, some at an offset,
// and are zero elsewhere.
func FuzzOpen(f *testing.F) {
	table := plan(f, partition.EFI, 70)
	front := make([]byte, 3*512)
	if _, err := disk(f, table, nil).ReadAt(front, 0); err != nil {
		f.Fatal(err)
	}
	var super [ondisk.SuperblockSize]byte
	(&ondisk.Superblock{
		Inodes: 16, FreeInodes: 5, Blocks: 256, FreeBlocks: 100, LogBlockSize: 2, LogClusterSize: 2,
		BlocksPerGroup: 32768, ClustersPerGroup: 32768, InodesPerGroup: 16, Revision: 1, FirstInode: 11, InodeSize: 256,
		Features: ondisk.Features{Incompat: ondisk.IncompatExtents, ROCompat: ondisk.ROCompatMetadataCsum},
		Label:    "fuzz", ChecksumType: ondisk.ChecksumCRC32C, MkfsTime: time.Unix(1e9, 0).Unix(), State: ondisk.StateClean,
	}).Encode(super[:])
	f.Add(front, super[:], uint32(133120*512+1024), uint32(70<<20))
	f.Add([]byte{}, super[:], uint32(1024), uint32(1<<20))
	boot := make([]byte, 512)
	copy(boot, "\xeb\x3c\x90mkfs.fat\x00\x02\x04\x01\x00\x02\x00\x02\x00\x08\xf8\x02\x00\x20\x00\x02\x00\x00\x00\x00\x00")
	boot[510], boot[511] = 0x55, 0xaa
	f.Add(boot, []byte("\xf8\xff\xff\xff"), uint32(512), uint32(1<<20))
	f.Fuzz(func(t *testing.T, start, more []byte, offset, size uint32) {
		if size == 0 || size > 256<<20 {
			return
		}
		var b diskmap.Builder
		n := min(int64(len(start)), int64(size), int64(offset))
		b.Place(0, content.Bytes(start[:n]))
		if int64(offset) < int64(size) {
			b.Place(int64(offset), content.Bytes(more[:min(int64(len(more)), int64(size-offset))]))
		}
		m, err := b.Map(int64(size))
		if err != nil {
			t.Fatal(err)
		}
		img, err := OpenReader(struct{ io.ReaderAt }{m}, m.Size())
		if err != nil {
			return
		}
		if _, err := json.Marshal(img); err != nil {
			t.Error(err)
		}
		for _, width := range []int{0, 80} {
			if picture := img.Picture(width); strings.Count(picture, "\n") != 5 {
				t.Errorf("%s", picture)
			}
		}
		for _, g := range img.Gaps {
			if g.Offset < 0 || g.Size <= 0 || g.Offset+g.Size > img.DiskSize {
				t.Errorf("gap %+v of %d", g, img.DiskSize)
			}
		}
		for _, fs := range img.FileSystems {
			if fs.Used < 0 || fs.Free < 0 || fs.Size < 0 {
				t.Errorf("%+v", fs)
			}
		}
	})
}
