package inspect

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/partition"
	"diskwright/test/oracle"

	"github.com/google/go-cmp/cmp"
)

// imageFile makes an empty file.
func imageFile(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func inspectFile(t *testing.T, path string) *Image {
	t.Helper()
	img, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// dumpe2fs returns the fields that dumpe2fs -h prints.
func dumpe2fs(t *testing.T, path string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for line := range strings.Lines(oracle.Run(t, "dumpe2fs", "-h", path)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return fields
}

// number reads a field of dumpe2fs.
func number(t *testing.T, fields map[string]string, key string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(fields[key], &n); err != nil {
		t.Fatalf("dumpe2fs: %s: %q", key, fields[key])
	}
	return n
}

// TestExt compares with dumpe2fs.
func TestExt(t *testing.T) {
	for name, args := range map[string][]string{
		"ext2":            {"-t", "ext2"},
		"ext3":            {"-t", "ext3"},
		"ext4":            {"-t", "ext4", "-L", "ünïcode"},
		"ext4 1K":         {"-t", "ext4", "-b", "1024", "-L", "sixteen bytes ok"},
		"ext4 quota":      {"-t", "ext4", "-O", "quota,project,verity,encrypt,casefold,inline_data,large_dir,ea_inode,metadata_csum_seed,stable_inodes"},
		"ext4 old":        {"-t", "ext4", "-O", "^metadata_csum,uninit_bg,^64bit,^flex_bg,meta_bg,^resize_inode,^has_journal,sparse_super2"},
		"ext4 bigalloc":   {"-t", "ext4", "-O", "bigalloc", "-C", "65536"},
		"ext4 no journal": {"-t", "ext4", "-O", "^has_journal", "-m", "0", "-N", "100000"},
	} {
		t.Run(name, func(t *testing.T) {
			path := imageFile(t, 64<<20)
			oracle.Run(t, "mke2fs", append(args, "-q", "-F", "-U", "6e0b0f0c-0d1f-4a66-8f63-0f1a0e5e7c01", path)...)
			img := inspectFile(t, path)
			if len(img.FileSystems) != 1 || img.Table.Scheme != partition.Unpartitioned || len(img.Problems()) > 0 {
				t.Fatalf("%+v", img)
			}
			got := img.FileSystems[0]
			want := dumpe2fs(t, path)
			block := number(t, want, "Block size")
			blocks, free := number(t, want, "Block count"), number(t, want, "Free blocks")
			label := want["Filesystem volume name"]
			if label == "<none>" {
				label = ""
			}
			expected := FileSystem{
				Type: strings.Fields(name)[0], Detailed: true,
				Label: label, UUID: want["Filesystem UUID"],
				Size: blocks * block, BlockSize: block, Used: (blocks - free) * block, Free: free * block,
				Reserved: number(t, want, "Reserved block count") * block,
				Inodes:   number(t, want, "Inode count"), FreeInodes: number(t, want, "Free inodes"),
				InodeSize: number(t, want, "Inode size"),
				Features:  strings.Fields(want["Filesystem features"]),
				State:     want["Filesystem state"],
				Created:   date(t, want["Filesystem created"]),
				Written:   date(t, want["Last write time"]),
				Checked:   date(t, want["Last checked"]),
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("(-dumpe2fs +inspect):\n%s", diff)
			}
		})
	}
}

// date reads a time of dumpe2fs.
func date(t *testing.T, text string) *time.Time {
	t.Helper()
	when, err := time.Parse(time.ANSIC, text)
	if err != nil {
		t.Fatal(err)
	}
	return &when
}

// TestFAT compares with blkid and minfo.
func TestFAT(t *testing.T) {
	for kind, c := range map[string]struct {
		args []string
		size int64
	}{
		"fat12": {[]string{"-F", "12"}, 2 << 20},
		"fat16": {[]string{"-F", "16", "-s", "8"}, 64 << 20},
		"fat32": {[]string{"-F", "32"}, 64 << 20},
	} {
		path := imageFile(t, c.size)
		oracle.Run(t, "mkfs.vfat", append(c.args, "-i", "12cea600", "-n", "ESP", path)...)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, make([]byte, 100_000), 0o666); err != nil {
			t.Fatal(err)
		}
		empty := inspectFile(t, path).FileSystems[0]
		oracle.Run(t, "mcopy", "-i", path, file, "::file")
		full := inspectFile(t, path).FileSystems[0]
		if full.Type != kind || full.Label != "ESP" || full.UUID != "12CE-A600" || !full.Detailed || full.Size != c.size {
			t.Errorf("%s: %+v", kind, full)
		}
		clusters := (100_000 + full.BlockSize - 1) / full.BlockSize
		if full.Used-empty.Used != clusters*full.BlockSize || full.Used+full.Free != full.Size {
			t.Errorf("%s: used %d, then %d of %d", kind, empty.Used, full.Used, full.Size)
		}
		blkid := oracle.Run(t, "blkid", "-p", "-o", "export", path)
		for _, want := range []string{"UUID=" + full.UUID, "LABEL=" + full.Label, "VERSION=" + strings.ToUpper(kind)} {
			if !strings.Contains(blkid, want+"\n") {
				t.Errorf("%s: blkid says %s", kind, blkid)
			}
		}
	}
}

// TestSwap recognises what mkswap makes, at every size of a page.
func TestSwap(t *testing.T) {
	for _, page := range []string{"4096", "8192", "16384", "65536"} {
		path := imageFile(t, 1<<20)
		oracle.Run(t, "mkswap", "--pagesize", page, path)
		if img := inspectFile(t, path); len(img.FileSystems) != 1 || img.FileSystems[0].Type != "swap" {
			t.Errorf("pages of %s: %+v", page, img.FileSystems)
		}
	}
}

// TestDisk inspects a disk that foreign programs made: partitions with and
// without file systems.
func TestDisk(t *testing.T) {
	path := imageFile(t, 200<<20)
	oracle.Run(t, "sgdisk", "--clear",
		"--new=1:2048:+40M", "--typecode=1:EF00", "--change-name=1:EFI system",
		"--new=2:0:+100M", "--typecode=2:8300",
		"--new=3:0:+10M", "--typecode=3:8200", path)
	oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-E", "offset=42991616", path, "102400K")
	img := inspectFile(t, path)
	if len(img.Problems()) > 0 {
		t.Errorf("%q", img.Problems())
	}
	if len(img.Table.Partitions) != 3 || img.Table.Partitions[0].Role != partition.ESP || img.Table.Partitions[0].Name != "EFI system" {
		t.Errorf("%+v", img.Table.Partitions)
	}
	if root := img.FileSystem(2); len(img.FileSystems) != 1 || root == nil || root.Label != "root" || root.Size != 100<<20 {
		t.Errorf("%+v", img.FileSystems)
	}
	if len(img.Gaps) != 2 || img.Gaps[1].Size < 40<<20 {
		t.Errorf("%+v", img.Gaps)
	}
}

// TestDamaged damages file systems, and expects to be told.
func TestDamaged(t *testing.T) {
	change := func(path string, offset int64, b ...byte) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, offset); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		make   func(path string)
		damage func(path string)
		kind   string
		want   string
	}{
		"label of ext4 without a new checksum": {
			func(path string) { oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", path) },
			func(path string) { change(path, 1024+0x78, 'x') },
			"ext4", "checksum of the superblock is wrong",
		},
		"ext2 that was cut": {
			func(path string) { oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext2", path) },
			func(path string) { os.Truncate(path, 10<<20) },
			"ext2", "file system has 16777216 bytes, but its partition 10485760",
		},
		"ext2 without blocks": {
			func(path string) { oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext2", path) },
			func(path string) { change(path, 1024+4, 0, 0, 0, 0) },
			"ext", "blocks",
		},
		"FAT that was cut": {
			func(path string) { oracle.Run(t, "mkfs.vfat", path) },
			func(path string) { os.Truncate(path, 10<<20) },
			"fat", "claims 16777216 bytes",
		},
		"FAT with too many reserved sectors": {
			func(path string) { oracle.Run(t, "mkfs.vfat", path) },
			func(path string) { change(path, 14, binary.LittleEndian.AppendUint16(nil, 0xffff)...) },
			"fat", "corrupt",
		},
	} {
		path := imageFile(t, 16<<20)
		c.make(path)
		c.damage(path)
		img := inspectFile(t, path)
		problems := strings.Join(img.Problems(), "; ")
		if len(img.FileSystems) != 1 || img.FileSystems[0].Type != c.kind || !strings.Contains(problems, c.want) {
			t.Errorf("%s: %+v", name, img.FileSystems)
		}
	}
}
