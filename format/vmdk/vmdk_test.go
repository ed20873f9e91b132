package vmdk_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/vmdk"
	"diskwright/test/maps"
	"diskwright/test/oracle"

	"github.com/google/uuid"
)

var le = binary.LittleEndian

const (
	mib    = 1 << 20
	sector = 512
)

func options(s vmdk.Subformat) vmdk.Options {
	return vmdk.Options{Subformat: s, Options: block.Options{Identify: func(role string) uuid.UUID {
		return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(role))
	}}}
}

var subformats = []vmdk.Subformat{vmdk.MonolithicSparse, vmdk.StreamOptimized}

func write(t testing.TB, m *diskmap.Map, o vmdk.Options) string {
	t.Helper()
	return maps.Write(t, "disk.vmdk", func(f *os.File) error { return vmdk.Write(context.Background(), m, f, o) })
}

func open(t testing.TB, path string) *diskmap.Map {
	t.Helper()
	return maps.Disk(t, path, vmdk.Open)
}

// TestQemuReads: qemu-img finds our images sound and equal to our raw ones, and
// so do we.
func TestQemuReads(t *testing.T) {
	for _, subformat := range subformats {
		for _, size := range maps.Sizes() {
			for seed := range uint64(2) {
				if seed == 0 && size > 1<<40 && os.Getenv("DISKWRIGHT_LONG") == "" {
					continue
				}
				t.Run(fmt.Sprintf("%s, %d bytes, seed %d", subformat, size, seed), func(t *testing.T) {
					m := maps.Random(t, seed, size)
					path := write(t, m, options(subformat))
					maps.Equal(t, open(t, path), m)

					oracle.Run(t, "qemu-img", "check", "-f", "vmdk", path)
					maps.QemuEqual(t, "vmdk", path, m, 10<<30, 4<<30)
					var info struct {
						Format   string
						Size     int64 `json:"virtual-size"`
						Cluster  int64 `json:"cluster-size"`
						Dirty    bool  `json:"dirty-flag"`
						Specific struct {
							Data struct {
								CID        uint32
								ParentCID  uint32 `json:"parent-cid"`
								CreateType string `json:"create-type"`
								Extents    []struct {
									Compressed bool
									Size       int64 `json:"virtual-size"`
								}
							}
						} `json:"format-specific"`
					}
					if err := json.Unmarshal(oracle.Output(t, "qemu-img", "info", "--output", "json", path), &info); err != nil {
						t.Fatal(err)
					}
					d := info.Specific.Data
					id := options(subformat).ID("vmdk-content")
					if info.Format != "vmdk" || info.Size != size || info.Cluster != 65536 || info.Dirty ||
						d.CreateType != subformat.String() || d.CID != binary.BigEndian.Uint32(id[:4]) || d.ParentCID != 0xffffffff ||
						len(d.Extents) != 1 || d.Extents[0].Size != size || d.Extents[0].Compressed != (subformat == vmdk.StreamOptimized) {
						t.Errorf("qemu-img info says %+v", info)
					}
				})
			}
		}
	}
}

// TestReadsQemu: what qemu-img writes reads as what it was made from, or is
// refused by name.
func TestReadsQemu(t *testing.T) {
	for subformat, refused := range map[string]bool{
		"monolithicSparse": false, "monolithicSparse,zeroed_grain=on": false, "monolithicSparse,adapter_type=buslogic,compat6=on": false,
		"streamOptimized": false, "monolithicFlat": true, "twoGbMaxExtentSparse": true, "twoGbMaxExtentFlat": true,
	} {
		for _, size := range []int64{mib, 64*mib + 512, 300 * mib} {
			t.Run(fmt.Sprintf("%s, %d bytes", subformat, size), func(t *testing.T) {
				m := maps.Random(t, 7, size)
				path := filepath.Join(t.TempDir(), "qemu.vmdk")
				oracle.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat="+subformat, maps.Raw(t, m), path)
				if !refused {
					maps.Equal(t, open(t, path), m)
					return
				}
				files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.vmdk"))
				if err != nil || len(files) < 2 {
					t.Fatalf("%q, %v", files, err)
				}
				for _, file := range files {
					f, size := maps.Open(t, file)
					image, err := vmdk.Open(f, size)
					if err == nil {
						t.Fatalf("%q is opened as a disk of %d bytes", file, image.Size())
					}
					if file == path && (!strings.Contains(err.Error(), subformat) || !strings.Contains(err.Error(), "qemu-")) {
						t.Errorf("%q: %v", file, err)
					}
				}
			})
		}
	}
	t.Run("backing file", func(t *testing.T) {
		dir := t.TempDir()
		base, child := filepath.Join(dir, "base.vmdk"), filepath.Join(dir, "child.vmdk")
		oracle.Run(t, "qemu-img", "create", "-f", "vmdk", base, "10M")
		oracle.Run(t, "qemu-img", "create", "-f", "vmdk", "-b", base, "-F", "vmdk", child)
		f, size := maps.Open(t, child)
		if _, err := vmdk.Open(f, size); err == nil || !strings.Contains(err.Error(), "base.vmdk") {
			t.Errorf("got %v", err)
		}
	})
}

// header checks the SparseExtentHeader of the specification, field by field.
func header(t *testing.T, p []byte, want map[string]uint64) {
	t.Helper()
	for name, got := range map[string]uint64{
		"magicNumber":        uint64(le.Uint32(p[0:])),
		"version":            uint64(le.Uint32(p[4:])),
		"flags":              uint64(le.Uint32(p[8:])),
		"capacity":           le.Uint64(p[12:]),
		"grainSize":          le.Uint64(p[20:]),
		"descriptorOffset":   le.Uint64(p[28:]),
		"descriptorSize":     le.Uint64(p[36:]),
		"numGTEsPerGT":       uint64(le.Uint32(p[44:])),
		"rgdOffset":          le.Uint64(p[48:]),
		"gdOffset":           le.Uint64(p[56:]),
		"overHead":           le.Uint64(p[64:]),
		"uncleanShutdown":    uint64(p[72]),
		"singleEndLineChar":  uint64(p[73]),
		"nonEndLineChar":     uint64(p[74]),
		"doubleEndLineChar1": uint64(p[75]),
		"doubleEndLineChar2": uint64(p[76]),
		"compressAlgorithm":  uint64(le.Uint16(p[77:])),
	} {
		w, ok := map[string]uint64{
			"magicNumber": 0x564d444b, "singleEndLineChar": '\n', "nonEndLineChar": ' ', "doubleEndLineChar1": '\r', "doubleEndLineChar2": '\n',
		}[name]
		if !ok {
			w = want[name]
		}
		if got != w {
			t.Errorf("%s is %#x, want %#x", name, got, w)
		}
	}
	if !block.IsZero(p[79:512]) {
		t.Error("what follows the header is not zero")
	}
}

// twoTables is a disk of 100 MiB: four grain tables, of which the first and the
// last are used.
func twoTables(t *testing.T) *diskmap.Map {
	var b diskmap.Builder
	b.Place(70000, content.Bytes("hello"))
	b.Place(99000000, content.Bytes("hello"))
	m, err := b.Map(100 * mib)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSparseFields compares a monolithicSparse image with the specification,
// and with what qemu-img makes of the same disk.
func TestSparseFields(t *testing.T) {
	p, err := os.ReadFile(write(t, twoTables(t), options(vmdk.MonolithicSparse)))
	if err != nil {
		t.Fatal(err)
	}
	header(t, p, map[string]uint64{
		"version": 1, "flags": 3, "capacity": 204800, "grainSize": 128, "descriptorOffset": 1, "descriptorSize": 20,
		"numGTEsPerGT": 512, "rgdOffset": 21, "gdOffset": 38, "overHead": 128,
	})
	for _, gd := range []int{21, 38} {
		for n := range 4 {
			gt := int(le.Uint32(p[gd*sector+4*n:]))
			if gt != gd+1+4*n {
				t.Errorf("directory at %d: table %d is at sector %d", gd, n, gt)
			}
			for e := range 512 {
				want := map[int]uint32{1: 128, 1510: 256}[512*n+e]
				if got := le.Uint32(p[gt*sector+4*e:]); got != want {
					t.Errorf("directory at %d: grain %d is at sector %d, want %d", gd, 512*n+e, got, want)
				}
			}
		}
	}
	if len(p) != (256+128)*sector {
		t.Errorf("the file has %d bytes", len(p))
	}

	path := filepath.Join(t.TempDir(), "disk.vmdk")
	oracle.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "adapter_type=lsilogic", maps.Raw(t, twoTables(t)), path)
	theirs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// They differ in the descriptor's content ID.
	text, after := string(p[sector:21*sector]), string(theirs[sector:21*sector])
	from, to := strings.Index(text, "CID="), strings.Index(text, "parentCID")
	from2, to2 := strings.Index(after, "CID="), strings.Index(after, "parentCID")
	if a, b := text[:from]+strings.TrimRight(text[to:], "\x00"), after[:from2]+strings.TrimRight(after[to2:], "\x00"); a != b {
		t.Errorf("the descriptor is\n%s\nwant\n%s", a, b)
	}
	if !bytes.Equal(p[:sector], theirs[:sector]) || !bytes.Equal(p[21*sector:], theirs[21*sector:]) {
		t.Error("qemu-img makes another file")
	}
}

// TestStreamFields reads a streamOptimized image from front to back, as an
// importer does, and compares it with the specification.
func TestStreamFields(t *testing.T) {
	m := maps.Random(t, 9, 100*mib+512)
	o := options(vmdk.StreamOptimized)
	o.Adapter, o.HardwareVersion, o.Name = "ide", 6, "a b.vmdk"
	var stream bytes.Buffer
	if err := vmdk.WriteStream(context.Background(), m, &stream, o); err != nil {
		t.Fatal(err)
	}
	p := stream.Bytes()
	want := map[string]uint64{
		"version": 3, "flags": 0x30001, "capacity": 204801, "grainSize": 128, "descriptorOffset": 1, "descriptorSize": 20,
		"numGTEsPerGT": 512, "rgdOffset": 0, "gdOffset": 0xffffffffffffffff, "overHead": 128, "compressAlgorithm": 1,
	}
	header(t, p, want)
	for _, line := range []string{
		"# Disk DescriptorFile\n", "\nversion=1\n", "\nparentCID=ffffffff\n", "\ncreateType=\"streamOptimized\"\n", "\nRW 204801 SPARSE \"a b.vmdk\"\n",
		"\nddb.virtualHWVersion = \"6\"\n", "\nddb.geometry.cylinders = \"203\"\n", "\nddb.geometry.heads = \"16\"\n", "\nddb.geometry.sectors = \"63\"\n", "\nddb.adapterType = \"ide\"\n",
	} {
		if !bytes.Contains(p[sector:21*sector], []byte(line)) {
			t.Errorf("the descriptor has no %q", line)
		}
	}

	got := make([]byte, 100*mib+64<<10)
	grains := make(map[uint32]uint32) // number of a grain to its sector
	tables := make(map[uint32]uint32)
	last := int64(-1)
	at := uint32(128)
	for done := false; !done; {
		s := p[at*sector:]
		value, size, kind := le.Uint64(s), le.Uint32(s[8:]), le.Uint32(s[12:])
		if size > 0 { // a grain
			if value%128 != 0 || int64(value) <= last {
				t.Fatalf("a grain of LBA %d behind one of %d", value, last)
			}
			last = int64(value)
			z, err := zlib.NewReader(bytes.NewReader(s[12 : 12+size]))
			if err != nil {
				t.Fatal(err)
			}
			grain, err := io.ReadAll(z)
			if err != nil || len(grain) != 65536 {
				t.Fatalf("a grain of %d bytes, %v", len(grain), err)
			}
			copy(got[value*sector:], grain)
			grains[uint32(value/128)] = at
			sectors := (12 + size + 511) / 512
			if !block.IsZero(s[12+size : sectors*512]) {
				t.Error("padding that is not zero")
			}
			at += sectors
			continue
		}
		if !block.IsZero(s[16:sector]) {
			t.Errorf("the marker at %d has more than it should", at)
		}
		at++
		s = s[sector:]
		switch kind {
		case 1: // grain table
			if value != 4 || len(grains) == 0 {
				t.Errorf("a grain table of %d sectors with %d grains", value, len(grains))
			}
			number := uint32(last / 128 / 512)
			tables[number] = at
			for e := range uint32(512) {
				if got, want := le.Uint32(s[4*e:]), grains[512*number+e]; got != want {
					t.Errorf("grain %d is at %d, want %d", 512*number+e, got, want)
				}
				delete(grains, 512*number+e)
			}
		case 2: // grain directory
			if value != 1 || len(grains) != 0 {
				t.Errorf("a grain directory of %d sectors, %d grains without a table", value, len(grains))
			}
			want["gdOffset"] = uint64(at)
			for n := range uint32(4) {
				if got := le.Uint32(s[4*n:]); got != tables[n] {
					t.Errorf("table %d is at %d, want %d", n, got, tables[n])
				}
			}
		case 3: // footer
			if value != 1 {
				t.Errorf("a footer of %d sectors", value)
			}
			header(t, s, want)
		case 0: // end of stream
			if value != 0 || len(s) != 0 {
				t.Errorf("an end of %d sectors, with %d bytes behind it", value, len(s))
			}
			done = true
		default:
			t.Fatalf("a marker of kind %d at %d", kind, at)
		}
		at += uint32(value)
	}
	disk := make([]byte, len(got))
	if err := content.ReadFull(m, disk[:m.Size()], 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, disk) {
		t.Error("the disk is another")
	}
}

// TestPartialReads: any part of a compressed disk reads as it should, several
// at once.
func TestPartialReads(t *testing.T) {
	m := maps.Random(t, 4, 20*mib)
	image := open(t, write(t, m, options(vmdk.StreamOptimized)))
	errs := make(chan error)
	for worker := range 4 {
		go func() {
			for off := int64(worker * 1000); off < m.Size()-100000; off += 33333 {
				n := 1 + off*7%90000
				got, want := make([]byte, n), make([]byte, n)
				err := content.ReadFull(image, got, off)
				if err == nil {
					err = content.ReadFull(m, want, off)
				}
				if err == nil && !bytes.Equal(got, want) {
					err = fmt.Errorf("%d bytes at %d differ", n, off)
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestMemory: 4 TiB take little memory to write and to read.
func TestMemory(t *testing.T) {
	for _, subformat := range subformats {
		m := maps.Random(t, 1, 4<<40)
		maps.Allocates(t, 40*mib, func() {
			maps.Equal(t, open(t, write(t, m, options(subformat))), m)
		})
	}
}

// TestWorkers: any number of workers writes the same file.
func TestWorkers(t *testing.T) {
	m := maps.Random(t, 3, 300*mib+512)
	for _, subformat := range subformats {
		t.Run(fmt.Sprint(subformat), func(t *testing.T) {
			maps.SameForWorkers(t, []int{1, 2, 7}, func(workers int) string {
				o := options(subformat)
				o.Workers = workers
				return write(t, m, o)
			})
		})
	}
}

// TestOptions: what cannot be written is refused.
func TestOptions(t *testing.T) {
	m := maps.Random(t, 1, mib)
	for want, o := range map[string]vmdk.Options{
		`unknown adapter "sata"`:   {Adapter: "sata"},
		"cannot be a file name":    {Name: "a\"b"},
		"cannot be written as a s": {},
		"compression level 10":     {Subformat: vmdk.StreamOptimized, Level: 10},
	} {
		err := vmdk.WriteStream(context.Background(), m, io.Discard, o)
		if o.Adapter != "" || o.Name != "" {
			_, err = vmdk.Layout(context.Background(), m, o)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, subformat := range subformats {
		for _, size := range []int64{0, vmdk.MaxSize + 512} {
			if err := vmdk.Write(context.Background(), maps.Random(t, 0, size), nil, options(subformat)); err == nil || !strings.Contains(err.Error(), "cannot be in an image") {
				t.Errorf("%s, a disk of %d bytes: %v", subformat, size, err)
			}
		}
	}
	full := errors.New("full")
	if err := vmdk.WriteStream(context.Background(), m, failing{full}, options(vmdk.StreamOptimized)); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, subformat := range subformats {
		path := filepath.Join(t.TempDir(), "cancelled")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := vmdk.Write(ctx, m, f, options(subformat)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", subformat, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestRefuses: what is not right is refused, and the message says what.
func TestRefuses(t *testing.T) {
	sparse, err := os.ReadFile(write(t, maps.Random(t, 1, 40*mib), options(vmdk.MonolithicSparse)))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := os.ReadFile(write(t, maps.Random(t, 1, 40*mib), options(vmdk.StreamOptimized)))
	if err != nil {
		t.Fatal(err)
	}
	put32 := func(off int, v uint32) func([]byte) []byte {
		return func(p []byte) []byte { le.PutUint32(p[off:], v); return p }
	}
	replace := func(a, b string) func([]byte) []byte {
		return func(p []byte) []byte { return bytes.Replace(p, []byte(a), []byte(b), 1) }
	}
	gd := int(le.Uint32(sparse[56:])) * sector
	gt := int(le.Uint32(sparse[gd:])) * sector
	for _, c := range []struct {
		name   string
		image  []byte
		damage func(p []byte) []byte
		want   string
	}{
		{"empty", sparse, func(p []byte) []byte { return nil }, "truncated"},
		{"header cut", sparse, func(p []byte) []byte { return p[:100] }, "truncated"},
		{"descriptor cut", sparse, func(p []byte) []byte { return p[:1000] }, "descriptor: "},
		{"directory cut", sparse, func(p []byte) []byte { return p[:21*sector] }, "grain directory"},
		{"table cut", sparse, func(p []byte) []byte { return p[:gd+512] }, "grain table: "},
		{"data cut", sparse, func(p []byte) []byte { return p[:len(p)-65537] }, "the data of the disk's byte"},
		{"stream cut", stream, func(p []byte) []byte { return p[:len(p)-512] }, "no footer at its end"},
		{"signature", sparse, put32(0, 1), "signature"},
		{"as text", sparse, func(p []byte) []byte { p[75] = '\n'; return p }, "transfer as text"},
		{"version", sparse, put32(4, 4), "version 4"},
		{"compression", sparse, put32(8, 0x10003), "contradict"},
		{"huge", sparse, put32(16, 1<<20), "is more than"},
		{"grain size", sparse, put32(20, 100), "grains of 100 sectors"},
		{"grain size 0", sparse, put32(20, 0), "grains of 0 sectors"},
		{"table size", sparse, put32(44, 0), "tables of 0 entries"},
		{"large tables", sparse, put32(44, 1024), "tables of 1024 entries"},
		{"no directory", sparse, put32(56, 0), "grain directory"},
		{"directory outside", sparse, put32(60, 1), "grain directory"},
		{"no descriptor", sparse, put32(28, 0), "part of a disk"},
		{"large descriptor", sparse, put32(36, 1<<20), "descriptor: "},
		{"parent", sparse, replace("parentCID=ffffffff", "parentCID=12345678"), "parent"},
		{"type", sparse, replace("monolithicSparse", "custom"), "type custom"},
		{"more extents", sparse, replace("# Extent description", "RW 1 SPARSE \"b.vmdk\""), "2 files"},
		{"flat", sparse, func([]byte) []byte {
			return []byte("# Disk DescriptorFile\ncreateType=\"vmfs\"\nRW 8 VMFS \"x-flat.vmdk\"\n")
		}, `"x-flat.vmdk"`},
		{"lone descriptor", sparse, func([]byte) []byte {
			return []byte("# Disk DescriptorFile\ncreateType=\"monolithicSparse\"\nRW 8 SPARSE \"x.vmdk\"\n")
		}, "only describes"},
		{"COWD", sparse, replace("KDMV", "COWD"), "ESX"},
		{"table twice", sparse, put32(gd+4, uint32(gt/sector)), "same bytes"},
		{"grain in table", sparse, put32(gt, uint32(gt/sector)), "same bytes"},
		{"grain twice", sparse, put32(gt+4*511, 128), "same bytes"},
		{"grain outside", sparse, put32(gt, 0xffffff00), "the data of the disk's byte 0"},
		{"marker", stream, put32(128*sector, 99), "says that it is sector 99"},
		{"no length", stream, put32(128*sector+8, 0), "0 compressed bytes"},
		{"long", stream, put32(128*sector+8, 1<<30), "1073741824 compressed bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.damage(bytes.Clone(c.image))
			image, err := vmdk.Open(bytes.NewReader(p), int64(len(p)))
			if err == nil {
				_, err = image.Map()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "vmdk: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	// Damage inside of a grain is found when it is read.
	p := bytes.Clone(stream)
	p[128*sector+20]++
	image, err := vmdk.Open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.Map()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{100, 65536} {
		if _, err := m.ReadAt(make([]byte, n), 0); err == nil || !strings.Contains(err.Error(), "the grain at sector 128") {
			t.Errorf("a damaged grain: %v", err)
		}
	}
}

// fuzzed are the parts of an image of a small disk that mean something: those
// of a sparse one are the header, descriptor, directory and table; those of a
// stream the header, descriptor, a grain, its table, the directory and the
// footer.
var fuzzed = [][][2]int64{
	{{0, 80}, {512, 400}, {21 * 512, 4}, {22 * 512, 8}, {26 * 512, 4}, {27 * 512, 8}},
	{{0, 80}, {512, 400}, {128 * 512, 400}, {129 * 512, 16}, {130 * 512, 8}, {134 * 512, 16}, {135 * 512, 4}, {136 * 512, 16}, {137 * 512, 80}, {138 * 512, 16}},
}

var fuzzedSize = []int64{5 * 65536, 139 * 512}

func FuzzOpen(f *testing.F) {
	for kind, subformat := range subformats {
		var b diskmap.Builder
		b.Place(1000, content.Bytes("hello"))
		m, err := b.Map(128 << 10)
		if err != nil {
			f.Fatal(err)
		}
		path := write(f, m, options(subformat))
		seed := maps.Seed(f, path, fuzzed[kind]...)
		image, err := vmdk.Open(maps.Fuzzed(f, fuzzedSize[kind], seed, fuzzed[kind], nil), fuzzedSize[kind])
		if err != nil {
			f.Fatal(err)
		}
		got, err := image.Map()
		if err != nil {
			f.Fatal(err)
		}
		if subformat == vmdk.StreamOptimized { // the other's grain is not a part
			maps.Equal(f, got, m)
		}
		f.Add(kind, seed)
	}
	f.Fuzz(func(t *testing.T, kind int, p []byte) {
		kind &= 1
		size := fuzzedSize[kind]
		image, err := vmdk.Open(maps.Fuzzed(t, size, p, fuzzed[kind], nil), size)
		if err != nil {
			return
		}
		image.Fields()
		if m, err := image.Map(); err == nil {
			// A grain of at most 2 MiB takes a sector at least.
			maps.CheckDisk(t, m, image.Size(), size<<12)
		}
	})
}
