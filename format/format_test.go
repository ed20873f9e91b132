package format

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/compress"
	"diskwright/test/maps"
	"diskwright/test/oracle"

	"github.com/google/uuid"
)

// variants are all that encoders can be asked for.
func variants(t testing.TB) []*Encoder {
	t.Helper()
	var all []*Encoder
	add := func(name string, o Options) {
		o.Options = block.Options{Identify: func(role string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(role)) }}
		e, err := New(name, o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	for _, f := range Formats {
		add(f.Name, Options{})
		for _, s := range f.Subformats[min(1, len(f.Subformats)):] {
			add(f.Name, Options{Subformat: s})
		}
	}
	add(Qcow2Compressed, Options{CompressionType: "zstd", Level: 9})
	add(VPC, Options{ForceSize: true})
	for _, k := range compress.Kinds {
		add(Raw, Options{Compress: k})
		add(Qcow2Compressed, Options{Compress: k})
	}
	add(Raw, Options{Subformat: tarSubformat, Compress: compress.Gzip})
	add(VPC, Options{Subformat: fixedSubformat, Compress: compress.Zstd})
	add(VMDK, Options{Subformat: streamSubformat, Level: 9})
	add(VMDK, Options{Subformat: streamSubformat, Compress: compress.Gzip, Level: 1})
	return all
}

func (e *Encoder) label() string {
	return fmt.Sprintf("%s %s %s %s", e.Format.Name, e.options.Subformat, e.options.CompressionType, e.options.Compress)
}

// write returns the path of an image of m.
func write(t testing.TB, e *Encoder, m *diskmap.Map) string {
	t.Helper()
	return maps.Write(t, "image"+e.Suffix(), func(f *os.File) error { return e.Write(context.Background(), m, f) })
}

func open(t testing.TB, path string) *Image {
	t.Helper()
	img, err := OpenFile(context.Background(), path, OpenOptions{Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

func disk(t testing.TB, img *Image) *diskmap.Map {
	t.Helper()
	m, err := img.Map()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPairs: an image of any format, made of one of any other, is the same disk.
func TestPairs(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	m := maps.Random(t, 7, 9<<20)
	all := variants(t)
	for _, from := range all {
		t.Run(from.label(), func(t *testing.T) {
			first := open(t, write(t, from, m))
			if first.Format != strings.TrimSuffix(from.Format.Name, "-compressed") || first.Compress != from.options.Compress || first.Tar != (from.options.Subformat == tarSubformat) {
				t.Errorf("it is taken for %s, compressed with %q, tar %v", first.Format, first.Compress, first.Tar)
			}
			source := disk(t, first)
			maps.EqualStart(t, source, m)
			for _, to := range all {
				if to.options.Compress == compress.XZ && from.Format.Name != Raw {
					continue // slow
				}
				second := disk(t, open(t, write(t, to, source)))
				maps.EqualStart(t, second, m)
				if want, err := to.DiskSize(source.Size()); err != nil || second.Size() != want {
					t.Errorf("%s: %d bytes, want %d, %v", to.label(), second.Size(), want, err)
				}
			}
		})
	}
}

// TestStreams: what goes to a pipe is what would go into a file.
func TestStreams(t *testing.T) {
	m := maps.Random(t, 8, 5<<20)
	for _, e := range variants(t) {
		var out bytes.Buffer
		err := e.WriteStream(context.Background(), m, &out)
		if !e.Streams() {
			if err == nil || !strings.Contains(err.Error(), "cannot be written to a pipe") {
				t.Errorf("%s: %v", e.label(), err)
			}
			continue
		}
		want, errFile := os.ReadFile(write(t, e, m))
		if err != nil || errFile != nil {
			t.Fatalf("%s: %v, %v", e.label(), err, errFile)
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%s: the stream is not the file", e.label())
		}
	}
}

// TestTar: GNU tar and Go's read the disk, which stays sparse.
func TestTar(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	var b diskmap.Builder
	for i := range int64(60) { // three extensions
		b.Place(i*300_000, content.Bytes(fmt.Sprintf("piece %d", i)))
	}
	b.Place(10<<30, content.Bytes("far")) // beyond what octal digits can say
	m, err := b.Map(11 << 30)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Raw, Options{Subformat: tarSubformat})
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, e, m)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := tar.NewReader(f)
	h, err := r.Next()
	if err != nil || h.Name != "disk.raw" || h.Size != m.Size() || h.ModTime.Unix() != block.Epoch || h.Mode != 0o644 || h.Format&tar.FormatGNU == 0 {
		t.Errorf("%+v, %v", h, err)
	}
	dir := t.TempDir()
	oracle.Run(t, "tar", "-C", dir, "-xSf", path)
	out, err := os.Open(filepath.Join(dir, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	got, err := mapFile(out, false)
	if err != nil {
		t.Fatal(err)
	}
	maps.Equal(t, got, m)
	if n := got.DataSize(); n > 61*pieceUnit {
		t.Errorf("%d bytes of data", n)
	}
	fi, err := f.Stat()
	if err != nil || fi.Size()%tarRecord != 0 || fi.Size() > 62*pieceUnit {
		t.Errorf("the tar has %d bytes, %v", fi.Size(), err)
	}
	// A disk of one hole.
	hole, err := new(diskmap.Builder).Map(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	maps.Equal(t, disk(t, open(t, write(t, e, hole))), hole)
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"raw", ""}, {"qcow2-compressed", ""}, {"vpc", ""},
		{"vhd", `"vhd" is not supported: it is called "vpc"; the formats are raw, qcow2, `},
		{"qed", `"qed" is not supported: QEMU only reads it`},
		{"parallels", `"parallels" is not supported: diskwright does not write it`},
		{"floppy", `"floppy" is not a format; the formats are raw, `},
	} {
		_, err := ByName(c.name)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFromPath(t *testing.T) {
	for _, c := range []struct {
		path, name, subformat string
		kind                  compress.Kind
	}{
		{"a/nixos.img", Raw, "", ""}, {"x.raw", Raw, "", ""}, {"x.qcow2", Qcow2, "", ""}, {"X.VHD", VPC, "", ""},
		{"x.vhdx", VHDX, "", ""}, {"x.vdi", VDI, "", ""}, {"x.qcow2.gz", Qcow2, "", compress.Gzip}, {"x.img.zst", Raw, "", compress.Zstd},
		{"x.img.xz", Raw, "", compress.XZ}, {"x.raw.tar.gz", Raw, "tar", compress.Gzip}, {"x.tgz", Raw, "tar", compress.Gzip},
		{"x", "", "", ""}, {"x.gz", "", "", ""}, {"qcow2", "", "", ""},
	} {
		f, o, err := FromPath(c.path)
		if c.name == "" {
			if err == nil {
				t.Errorf("%s is %s", c.path, f.Name)
			}
			continue
		}
		if err != nil || f.Name != c.name || o.Subformat != c.subformat || o.Compress != c.kind {
			t.Errorf("%s: %v, %+v, %v", c.path, f, o, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"qcow2", Options{Subformat: "fixed"}, `"fixed": the format qcow2 has no subformats`},
		{"vpc", Options{Subformat: "x"}, `"x": the format vpc has dynamic, fixed`},
		{"raw", Options{Subformat: "x"}, `"x": the format raw has tar`},
		{"raw", Options{ForceSize: true}, "the format raw keeps the size"},
		{"qcow2", Options{CompressionType: "zstd"}, "the format qcow2 has no compressed clusters"},
		{"qcow2-compressed", Options{CompressionType: "lzma"}, `compression "lzma" is neither zlib nor zstd`},
		{"qcow2-compressed", Options{Level: 5}, "levels are for zstd"},
		{"raw", Options{Level: 5}, "has no levels"},
		{"vmdk", Options{Subformat: streamSubformat, Level: 10}, "10 of streamOptimized is not in 1 to 9"},
		{"raw", Options{Compress: "bzip2"}, `compression "bzip2" is not known`},
		{"raw", Options{Compress: compress.Gzip, Level: 10}, "not in 1 to 9"},
	} {
		if _, err := New(c.name, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: %v, want %q", c.name, c.o, err, c.want)
		}
	}
	suffixes := []string{}
	for _, e := range variants(t) {
		suffixes = append(suffixes, e.Suffix())
	}
	for _, want := range []string{".img", ".raw.tar", ".qcow2", ".vdi", ".vhd", ".vhdx", ".vmdk", ".img.gz", ".raw.tar.gz", ".qcow2.xz"} {
		if !slices.Contains(suffixes, want) {
			t.Errorf("nothing has the suffix %s", want)
		}
	}
}

// TestOpenRefuses: what is not read is called by its name.
func TestOpenRefuses(t *testing.T) {
	sector := func(p string) []byte { return append([]byte(p), make([]byte, 1024-len(p))...) }
	dir := t.TempDir()
	for _, c := range []struct {
		content []byte
		want    string
	}{
		{nil, "it is empty"},
		{sector("QED\x00"), "it is in the format qed, which is not read here"},
		{sector("QFI\xfb\x00\x00\x00\x01"), "it is in the format qcow, "},
		{sector("WithoutFreeSpace"), "it is in the format parallels"},
		{sector("BZh9"), "it is in the format bzip2, which is not read here; decompress it first"},
		{append(make([]byte, 1024), sector("koly\x00\x00\x00\x04")[:512]...), "dmg"},
		{sector("QFI\xfb\x00\x00\x00\x03"), "qcow2: "},
		{gzipped(t, gzipped(t, sector("x"))), "compressed twice, with gzip and with gzip"},
		{gzipped(t, sector("x"))[:20], "gzip: unexpected EOF"},
		{gzipped(t, nil), "it is empty"},
	} {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := OpenFile(context.Background(), path, OpenOptions{Spool: dir})
		if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%q: ", path)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.10q: %v, want %q", c.content, err, c.want)
		}
	}
	path := filepath.Join(dir, "bomb")
	if err := os.WriteFile(path, gzipped(t, make([]byte, 10<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(context.Background(), path, OpenOptions{Spool: dir, Limit: 1 << 20}); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a bomb: %v", err)
	}
	if _, err := OpenFile(context.Background(), path, OpenOptions{NoSpool: true}); !errors.As(err, new(*UnreadError)) {
		t.Errorf("no spool: %v", err)
	}
	if _, err := OpenFile(context.Background(), dir, OpenOptions{}); err == nil || !strings.Contains(err.Error(), "neither a file nor a block device") {
		t.Errorf("a directory: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".diskwright*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func gzipped(t testing.TB, p []byte) []byte {
	t.Helper()
	var b diskmap.Builder
	b.Place(0, content.Bytes(p))
	m, err := b.Map(int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := compress.Write(context.Background(), m, &out, compress.Gzip, compress.Options{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSparse: an image file with holes is a disk with holes, and a file that
// changes is noticed.
func TestSparse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []int64{5 << 20, 100 << 20} {
		if _, err := f.WriteAt([]byte("data"), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	m := disk(t, open(t, path))
	if n := m.DataSize(); n > 1<<20 {
		t.Skipf("%d bytes of data: no holes here", n)
	}
	if _, err := f.WriteAt([]byte("changed"), 5<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(2 << 30); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadAt(make([]byte, 10), 5<<20); !errors.Is(err, content.ErrChanged) {
		t.Errorf("a changed file: %v", err)
	}
}

// TestDeterministic: the same bytes for any number of workers.
func TestDeterministic(t *testing.T) {
	m := maps.Random(t, 9, 9<<20)
	for _, e := range variants(t) {
		var first [32]byte
		for i, workers := range []int{1, 4} {
			o := e.options.Options
			o.Workers = workers
			p, err := os.ReadFile(write(t, e.With(o, ""), m))
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(p); i == 0 {
				first = sum
			} else if sum != first {
				t.Errorf("%s: %d workers write something else", e.label(), workers)
			}
		}
	}
}

// FuzzOpen: no file of any format makes us panic or hang.
func FuzzOpen(f *testing.F) {
	for _, format := range []string{Qcow2, VDI, VPC, VHDX, VMDK} {
		e, err := New(format, Options{})
		if err != nil {
			f.Fatal(err)
		}
		p, err := os.ReadFile(write(f, e, maps.Random(f, 1, 64<<10)))
		if err != nil {
			f.Fatal(err)
		}
		if len(p) <= 256<<10 {
			f.Add(p)
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		img, err := Open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			return
		}
		img.Fields()
		m, err := img.Map()
		if err != nil {
			return
		}
		if _, err := m.ReadAt(make([]byte, 1000), 0); err != nil && err != io.EOF {
			return
		}
	})
}
