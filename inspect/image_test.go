package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/format"
	"diskwright/partition"
	"diskwright/test/maps"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// plan returns the table of a disk of so many MiB whose boot partition ends at
// 65 MiB.
func plan(t testing.TB, layout partition.Layout, mib int64) *partition.Table {
	t.Helper()
	table, err := partition.Plan(partition.Request{
		Layout: layout, DiskSize: mib << 20, BootSize: 64 << 20, Deterministic: true,
		RootGUID: uuid.MustParse("F222513B-DED1-49FA-B591-20CE86A2FE7F"),
		Identify: func(string) uuid.UUID { return uuid.UUID{0x78, 0x56, 0x34, 0x12} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// disk returns the map of a disk with content in its partitions.
func disk(t testing.TB, table *partition.Table, parts map[int]content.Source) *diskmap.Map {
	t.Helper()
	m, err := table.Map(parts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, m *diskmap.Map) *Image {
	t.Helper()
	img, err := OpenReader(m, m.Size())
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// with returns n bytes that are zero but for text at an offset.
func with(t testing.TB, n, offset int64, text string) *diskmap.Map {
	t.Helper()
	var b diskmap.Builder
	b.Place(offset, content.Bytes(text))
	m, err := b.Map(n)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGaps(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		layout partition.Layout
		want   []Gap
	}{
		{partition.None, []Gap{}},
		{partition.Legacy, []Gap{{512, mib - 512}}},
		{partition.LegacyBoot, []Gap{{512, mib - 512}}},
		{partition.LegacyGPT, []Gap{{34 * 512, mib - 34*512}, {299 * mib, mib - 33*512}}},
		{partition.Hybrid, []Gap{{mib, 7 * mib}, {299 * mib, mib - 33*512}}},
	} {
		img := open(t, disk(t, plan(t, c.layout, 300), nil))
		if diff := cmp.Diff(c.want, img.Gaps); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.layout, diff)
		}
	}
}

// TestMagic has each magic number in a partition and on a bare disk.
func TestMagic(t *testing.T) {
	table := plan(t, partition.EFI, 300)
	for _, m := range magics {
		fs := with(t, 1<<20, m.offset, m.magic)
		for _, img := range []*Image{open(t, fs), open(t, disk(t, table, map[int]content.Source{2: fs}))} {
			if len(img.FileSystems) != 1 || img.FileSystems[0].Type != m.name || img.FileSystems[0].Detailed {
				t.Errorf("%s at %d: %+v", m.name, m.offset, img.FileSystems)
			}
		}
	}
	for _, uberblock := range []string{"\x0c\xb1\xba\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\xba\xb1\x0c"} {
		img := open(t, with(t, 5<<20, 128<<10+5<<10, uberblock))
		if len(img.FileSystems) != 1 || img.FileSystems[0].Type != "zfs" {
			t.Errorf("zfs: %+v", img.FileSystems)
		}
	}
}

// TestISOWithTable: an ISO 9660 leaves room for a partition table, and is shown
// beside its partitions.
func TestISOWithTable(t *testing.T) {
	table := plan(t, partition.Legacy, 10)
	var b diskmap.Builder
	sector0 := make([]byte, 512)
	if _, err := disk(t, table, nil).ReadAt(sector0, 0); err != nil {
		t.Fatal(err)
	}
	b.Place(0, content.Bytes(sector0))
	b.Place(32769, content.Bytes("CD001"))
	m, err := b.Map(10 << 20)
	if err != nil {
		t.Fatal(err)
	}
	img := open(t, m)
	if fs := img.FileSystem(0); fs == nil || fs.Type != "iso9660" || len(img.Table.Partitions) != 1 {
		t.Errorf("%+v", img)
	}
	if img.FileSystem(1) != nil || img.FileSystem(7) != nil {
		t.Error("a file system where there is none")
	}
}

// TestFormats: the same disk in any format.
func TestFormats(t *testing.T) {
	m := disk(t, plan(t, partition.EFI, 300), nil)
	want := open(t, m)
	for _, name := range format.Names() {
		e, err := format.New(name, format.Options{})
		if err != nil {
			t.Fatal(err)
		}
		path := maps.Write(t, "image", func(f *os.File) error { return e.Write(context.Background(), m, f) })
		img, err := Open(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer img.Close()
		if strings.TrimSuffix(name, "-compressed") != img.Format || len(img.Table.Partitions) != len(want.Table.Partitions) || img.FileSize <= 0 {
			t.Errorf("%s: %+v", name, img)
		}
		if len(img.Container) == 0 != (name == format.Raw) {
			t.Errorf("%s: %v", name, img.Container)
		}
		if _, err := json.Marshal(img); err != nil {
			t.Error(err)
		}
	}
}

func TestOtherFormat(t *testing.T) {
	_, err := OpenReader(with(t, 1<<20, 0, "QED\x00"), 1<<20)
	var unread *format.UnreadError
	if !errors.As(err, &unread) || unread.Format != "qed" {
		t.Errorf("error %v", err)
	}
}

func TestBootCode(t *testing.T) {
	for text, want := range map[string]BootCode{
		"":                                    NoBootCode,
		"....GRUB \x00Geom\x00Hard Disk\x00 ": GRUB,
		"\xeb\x58\x90LIMINE  ....":            Limine,
		"....Missing operating system.\r\n":   Syslinux,
		"....":                                OtherBootCode,
	} {
		table := plan(t, partition.Legacy, 10)
		table.BootCode = []byte(text)
		if got := open(t, disk(t, table, nil)).BootCode; got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := open(t, disk(t, plan(t, partition.Legacy, 10), nil)).BootCode; got != PartedBootCode {
		t.Errorf("as planned: %s", got)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "neither a file nor a block device") {
		t.Errorf("directory: %v", err)
	}
	for text, want := range map[string]string{
		"":                        "it is empty",
		"QFI\xfb\x00\x00\x00\x03": "it is truncated",
		"\x1f\x8b\x08":            "gzip: unexpected EOF",
	} {
		path := filepath.Join(dir, "image")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
	path := filepath.Join(dir, "small")
	if err := os.WriteFile(path, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	img, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.File != path || img.DiskSize != 1 || img.Table.Scheme != partition.Unpartitioned || len(img.FileSystems) != 0 {
		t.Errorf("%+v", img)
	}
}

// broken fails to read what lies behind an offset.
type broken struct {
	io.ReaderAt
	from int64
}

var errBroken = errors.New("broken")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.from {
		return 0, errBroken
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestReadErrors(t *testing.T) {
	m := disk(t, plan(t, partition.Legacy, 10), nil)
	for _, from := range []int64{0, 10<<20 - 1, 10 << 20} {
		_, err := OpenReader(broken{m, from}, m.Size())
		if from < m.Size() && !errors.Is(err, errBroken) || from == m.Size() && err != nil {
			t.Errorf("broken from %d on: %v", from, err)
		}
	}
	m = with(t, 5<<20, 0, "x")
	for _, from := range []int64{600, 1100, 5000, 40000, 70000, 200000} {
		// The end of the disk can be read.
		r := broken{m, from}
		b := make([]byte, m.Size())
		if _, err := findFileSystem(io.NewSectionReader(r, 0, int64(len(b)))); !errors.Is(err, errBroken) {
			t.Errorf("broken from %d on: %v", from, err)
		}
	}
}

// TestTruncated: partitions beyond the end of a disk that was cut are shown,
// and reported.
func TestTruncated(t *testing.T) {
	m := disk(t, plan(t, partition.EFI, 300), nil)
	for _, size := range []int64{250 << 20, 60 << 20, 20 << 20, 600} {
		img, err := OpenReader(m, size)
		if err != nil {
			t.Fatal(err)
		}
		if size > 1024 && (len(img.Table.Partitions) != 2 || len(img.Problems()) == 0) {
			t.Errorf("%d bytes: %+v", size, img.Table)
		}
		for _, p := range img.Table.Partitions {
			if n := img.Content(p).Size(); n < 0 || n > size {
				t.Errorf("partition %d has %d bytes of %d", p.Number, n, size)
			}
		}
		if picture := img.Picture(60); strings.Count(picture, "\n") != 5 {
			t.Errorf("%s", picture)
		}
	}
}

// TestJSON pins the keys of the document.
func TestJSON(t *testing.T) {
	img := open(t, disk(t, plan(t, partition.LegacyBoot, 300), map[int]content.Source{2: with(t, 1<<20, 0, "XFSB")}))
	text, err := json.Marshal(img)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(`{
		"format": "raw",
		"fileSize": 314572800,
		"diskSize": 314572800,
		"table": {
			"scheme": "mbr", "sectorSize": 512, "diskSize": 314572800, "signature": 305419896,
			"partitions": [
				{"number": 1, "start": 2048, "sectors": 131072, "typeCode": 12, "active": true},
				{"number": 2, "start": 133120, "sectors": 481280, "typeCode": 131}
			]
		},
		"bootCode": "parted",
		"fileSystems": [{"partition": 2, "type": "xfs", "detailed": false}],
		"gaps": [{"offset": 512, "size": 1048064}]
	}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnfit has superblocks that cannot be ones.
func TestUnfit(t *testing.T) {
	img := open(t, with(t, 1<<20, 1024+56, "\x53\xef"))
	if fs := img.FileSystem(0); fs == nil || fs.Type != "ext" || len(fs.Problems) != 1 || len(img.Problems()) != 1 {
		t.Errorf("%+v", img.FileSystems)
	}
	// The magic number alone says less than that of another file system.
	m := with(t, 1<<20, 1024+56, "\x53\xef")
	b := make([]byte, m.Size())
	if _, err := m.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	copy(b, "XFSB")
	img, err := OpenReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if fs := img.FileSystem(0); fs == nil || fs.Type != "xfs" {
		t.Errorf("%+v", img.FileSystems)
	}
}

func TestExtType(t *testing.T) {
	want := []string{"dir_prealloc", "FEATURE_C31", "extent", "FEATURE_I31", "uninit_bg", "FEATURE_R30"}
	f := features(1|1<<31, 0x40|1<<31, 0x10|1<<30)
	if got := featureNames(f); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for f, want := range map[[3]uint32]string{
		{0, 0, 0}:        "ext2",
		{4, 2, 3}:        "ext3",
		{0, 0x42, 3}:     "ext4",
		{4, 2, 0x400}:    "ext4",
		{0, 8, 0}:        "jbd",
		{4, 2 | 4, 1}:    "ext3",
		{0, 0x40 | 8, 0}: "jbd",
	} {
		if got := extType(features(f[0], f[1], f[2])); got != want {
			t.Errorf("%x: %s, want %s", f, got, want)
		}
	}
}

func features(compat, incompat, roCompat uint32) ondisk.Features {
	return ondisk.Features{Compat: compat, Incompat: incompat, ROCompat: roCompat}
}
