package vpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/vpc"
	"diskwright/test/maps"
	"diskwright/test/oracle"

	"github.com/google/uuid"
)

var be = binary.BigEndian

const mib = 1 << 20

func options(subformat vpc.Subformat, forceSize bool) vpc.Options {
	return vpc.Options{Subformat: subformat, ForceSize: forceSize, Options: block.Options{
		Identify: func(role string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(role)) },
		Time:     time.Unix(946684800+848522952, 0),
	}}
}

var kinds = []struct {
	name    string
	options vpc.Options
	qemu    string // options of qemu-img for the same
}{
	{"dynamic", options(vpc.Dynamic, false), "subformat=dynamic"},
	{"force size", options(vpc.Dynamic, true), "subformat=dynamic,force_size=on"},
	{"fixed", options(vpc.Fixed, false), "subformat=fixed,force_size=on"},
}

func write(t testing.TB, m *diskmap.Map, o vpc.Options) string {
	t.Helper()
	return maps.Write(t, "disk.vhd", func(f *os.File) error { return vpc.Write(context.Background(), m, f, o) })
}

func open(t testing.TB, path string) *diskmap.Map {
	t.Helper()
	return maps.Disk(t, path, vpc.Open)
}

// TestQemuReads: qemu-img finds our images equal to our raw ones, and so do we.
func TestQemuReads(t *testing.T) {
	for _, kind := range kinds {
		for _, size := range append(maps.Sizes(), vpc.MaxSize-512, vpc.MaxSize) {
			if size > vpc.MaxSize {
				continue
			}
			for seed := range uint64(2) {
				// qemu-img reads all of a fixed disk.
				slow := size > 1<<40 && seed == 0 || size > 1<<30 && kind.options.Subformat == vpc.Fixed
				if slow && os.Getenv("DISKWRIGHT_LONG") == "" {
					continue
				}
				t.Run(fmt.Sprintf("%s, %d bytes, seed %d", kind.name, size, seed), func(t *testing.T) {
					m := maps.Random(t, seed, size)
					path := write(t, m, kind.options)
					want, err := vpc.DiskSize(size, kind.options)
					if err != nil {
						t.Fatal(err)
					}
					got := open(t, path)
					maps.EqualStart(t, got, m)
					if got.Size() != want {
						t.Errorf("a disk of %d bytes, DiskSize says %d", got.Size(), want)
					}
					output := oracle.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "vpc", maps.Raw(t, m), path)
					if mismatch := strings.Contains(output, "size mismatch"); mismatch != (want != size) {
						t.Errorf("disk of %d bytes as %d: %s", size, want, output)
					}
					var info map[string]any
					if err := json.Unmarshal(oracle.Output(t, "qemu-img", "info", "-f", "vpc", "--output", "json", path), &info); err != nil {
						t.Fatal(err)
					}
					if info["format"] != "vpc" || info["virtual-size"] != float64(want) || info["dirty-flag"] != false ||
						kind.options.Subformat == vpc.Dynamic && info["cluster-size"] != float64(2*mib) {
						t.Errorf("qemu-img info says %v", info)
					}
				})
			}
		}
	}
}

// TestReadsQemu: what qemu-img writes reads as what it was made from.
func TestReadsQemu(t *testing.T) {
	for _, o := range []string{"subformat=dynamic", "subformat=dynamic,force_size=on", "subformat=fixed", "subformat=fixed,force_size=on"} {
		for _, size := range []int64{mib, 64*mib + 512, 300 * mib} {
			t.Run(fmt.Sprintf("%s, %d bytes", o, size), func(t *testing.T) {
				m := maps.Random(t, 7, size)
				path := filepath.Join(t.TempDir(), "qemu.vhd")
				oracle.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", o, maps.Raw(t, m), path)
				got := open(t, path)
				maps.EqualStart(t, got, m)
				var info map[string]any
				if err := json.Unmarshal(oracle.Output(t, "qemu-img", "info", "-f", "vpc", "--output", "json", path), &info); err != nil {
					t.Fatal(err)
				}
				if float64(got.Size()) != info["virtual-size"] {
					t.Errorf("a disk of %d bytes, qemu-img says %v", got.Size(), info["virtual-size"])
				}
			})
		}
	}
}

// TestGeometrySamples: sizes and geometries are those of qemu-img.
func TestGeometrySamples(t *testing.T) {
	var samples struct {
		Rows [][]any `json:"rows"`
	}
	readJSON(t, "testdata/vpc-geometry-samples.json", &samples)
	if len(samples.Rows) < 40 {
		t.Fatalf("%d samples", len(samples.Rows))
	}
	for _, row := range samples.Rows {
		size := int64(row[0].(float64)) * mib
		got, err := vpc.DiskSize(size, vpc.Options{})
		if err != nil || float64(got) != row[3] {
			t.Errorf("%d bytes: a disk of %d, %v; want %v", size, got, err, row[3])
		}
		footer := lastSector(t, write(t, maps.Random(t, 0, size), vpc.Options{}))
		chs := fmt.Sprint([]any{be.Uint16(footer[56:]), footer[58], footer[59]})
		if want := fmt.Sprint(row[1]); chs != want {
			t.Errorf("%d bytes: geometry %s, want %s", size, chs, want)
		}
	}
}

// TestDiskSizeStays: a disk that was planned with the format's size keeps it.
func TestDiskSizeStays(t *testing.T) {
	for _, kind := range kinds {
		for size := int64(512); size < vpc.MaxSize; size += size/37 + 512 {
			once, err := vpc.DiskSize(size, kind.options)
			if err != nil {
				t.Fatal(err)
			}
			if once < size || once%512 != 0 || kind.options.Subformat == vpc.Fixed && once%mib != 0 {
				t.Errorf("%s: %d bytes become %d", kind.name, size, once)
			}
			if twice, err := vpc.DiskSize(once, kind.options); twice != once || err != nil {
				t.Errorf("%s: %d bytes become %d and then %d, %v", kind.name, size, once, twice, err)
			}
		}
	}
	for _, size := range []int64{-1, 0, vpc.MaxSize + 1, 4 << 40} {
		if _, err := vpc.DiskSize(size, vpc.Options{}); err == nil || !strings.HasPrefix(err.Error(), "vpc: ") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestGoldens compares footer, header and table with what qemu-img wrote, field
// by field.
func TestGoldens(t *testing.T) {
	for _, size := range []int64{600, 1024, 2049, 5120} {
		var golden struct {
			Formats map[string]struct {
				Header struct {
					FileBytes float64
					Footer    map[string]any
					DynHeader map[string]any
					BAT       struct{ FirstAllocated [][2]int64 }
				}
				InfoJSON    map[string]any
				VirtualSize int64
			}
		}
		readJSON(t, fmt.Sprintf("testdata/qemuimg-10-%dM.json", size), &golden)
		for name, o := range map[string]vpc.Options{"vpc": options(vpc.Dynamic, false), "vpc_force_size": options(vpc.Dynamic, true)} {
			t.Run(fmt.Sprintf("%s, %d MiB", name, size), func(t *testing.T) {
				want := golden.Formats[name]
				path := write(t, goldenDisk(t, size*mib), o)
				if n, err := vpc.DiskSize(size*mib, o); n != want.VirtualSize || err != nil {
					t.Errorf("a disk of %d bytes, %v; want %d", n, err, want.VirtualSize)
				}
				p, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if float64(len(p)) != want.Header.FileBytes {
					t.Errorf("the file has %d bytes, want %v", len(p), want.Header.FileBytes)
				}
				if !bytes.Equal(p[:512], p[len(p)-512:]) {
					t.Error("the footer's copy is another")
				}
				for key, got := range footerFields(p[len(p)-512:]) {
					// The time is when qemu-img ran.
					if w := want.Header.Footer[key]; key != "timestamp" && fmt.Sprint(got) != fmt.Sprint(w) {
						t.Errorf("footer: %s is %v, want %v", key, got, w)
					}
				}
				for key, got := range headerFields(p[512:1536]) {
					if w := want.Header.DynHeader[key]; fmt.Sprint(got) != fmt.Sprint(w) {
						t.Errorf("header: %s is %v, want %v", key, got, w)
					}
				}
				for _, e := range want.Header.BAT.FirstAllocated {
					if got := int64(be.Uint32(p[1536+4*e[0]:])); got != e[1] {
						t.Errorf("block %d is at sector %d, want %d", e[0], got, e[1])
					}
				}
				if id := o.ID("vpc-image"); !bytes.Equal(p[68:84], id[:]) {
					t.Errorf("UUID %x, want %v", p[68:84], id)
				}
				maps.QemuInfo(t, "vpc", path, want.InfoJSON)
			})
		}
	}
}

// footerFields are the offsets of the specification's "Hard Disk Footer Format".
func footerFields(p []byte) map[string]any {
	return map[string]any{
		"cookie":       string(p[0:8]),
		"features":     fmt.Sprintf("0x%08x", be.Uint32(p[8:])),
		"version":      fmt.Sprintf("0x%08x", be.Uint32(p[12:])),
		"dataOffset":   fmt.Sprintf("%#x", be.Uint64(p[16:])),
		"timestamp":    float64(be.Uint32(p[24:])),
		"creatorApp":   string(p[28:32]),
		"creatorVer":   fmt.Sprintf("%d.%d", be.Uint16(p[32:]), be.Uint16(p[34:])),
		"creatorOs":    string(p[36:40]),
		"originalSize": float64(be.Uint64(p[40:])),
		"currentSize":  float64(be.Uint64(p[48:])),
		"diskType":     float64(be.Uint32(p[60:])),
		"checksumOk":   sum(p, 64) == be.Uint32(p[64:]),
		"savedState":   float64(p[84]),
	}
}

// headerFields are those of its "Dynamic Disk Header Format".
func headerFields(p []byte) map[string]any {
	return map[string]any{
		"cookie":          string(p[0:8]),
		"dataOffset":      fmt.Sprintf("%#x", be.Uint64(p[8:])),
		"tableOffset":     float64(be.Uint64(p[16:])),
		"headerVersion":   fmt.Sprintf("0x%08x", be.Uint32(p[24:])),
		"maxTableEntries": float64(be.Uint32(p[28:])),
		"blockSize":       float64(be.Uint32(p[32:])),
		"checksumOk":      sum(p, 36) == be.Uint32(p[36:]),
		"parentUuidZero":  block.IsZero(p[40:1024]),
	}
}

// sum is the checksum of the specification, written once more.
func sum(p []byte, at int) uint32 {
	n := uint32(0)
	for i := range p {
		n += uint32(p[i])
	}
	for i := at; i < at+4; i++ {
		n -= uint32(p[i])
	}
	return ^n
}

// goldenDisk has data in the blocks of 2 MiB that the goldens' disks have: 0, 2,
// 50 and the last of the source.
func goldenDisk(t *testing.T, size int64) *diskmap.Map {
	var b diskmap.Builder
	for _, off := range []int64{0, 5 * mib, 100 * mib, size - mib} {
		b.Place(off, content.Bytes("x"))
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFixed: a fixed disk is the disk and a footer, whole MiB for Azure, and a
// stream of it is the same.
func TestFixed(t *testing.T) {
	o := options(vpc.Fixed, false)
	m := maps.Random(t, 5, 9*mib+512)
	p, err := os.ReadFile(write(t, m, o))
	if err != nil {
		t.Fatal(err)
	}
	if len(p) != 10*mib+512 {
		t.Fatalf("the file has %d bytes", len(p))
	}
	want := make([]byte, 10*mib)
	if err := content.ReadFull(m, want[:m.Size()], 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p[:10*mib], want) {
		t.Error("its beginning is not the disk")
	}
	for key, want := range map[string]any{
		"cookie": "conectix", "dataOffset": "0xffffffffffffffff", "originalSize": float64(10 * mib), "currentSize": float64(10 * mib),
		"diskType": float64(2), "checksumOk": true, "creatorApp": "qem2", "timestamp": float64(848522952),
	} {
		if got := footerFields(p[10*mib:])[key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	var stream bytes.Buffer
	if err := vpc.WriteStream(context.Background(), m, &stream, o); err != nil || !bytes.Equal(stream.Bytes(), p) {
		t.Errorf("the stream is another file, %v", err)
	}
}

// TestTime: times that the format does not have become the nearest.
func TestTime(t *testing.T) {
	for unix, want := range map[int64]uint32{0: 0, 315532800: 0, 946684801: 1, 1 << 40: 0xffff_ffff} {
		o := vpc.Options{Options: block.Options{Time: time.Unix(unix, 0)}}
		if got := be.Uint32(lastSector(t, write(t, maps.Random(t, 0, mib), o))[24:]); got != want {
			t.Errorf("time %d is %d, want %d", unix, got, want)
		}
	}
}

// TestMemory: 2040 GiB take little memory to write and to read.
func TestMemory(t *testing.T) {
	m := maps.Random(t, 1, vpc.MaxSize)
	maps.Allocates(t, 40*mib, func() {
		maps.Equal(t, open(t, write(t, m, options(vpc.Dynamic, true))), m)
	})
}

// TestWorkers: any number of workers writes the same file.
func TestWorkers(t *testing.T) {
	m := maps.Random(t, 3, 300*mib+512)
	maps.SameForWorkers(t, []int{1, 2, 7}, func(workers int) string {
		o := options(vpc.Dynamic, false)
		o.Workers = workers
		return write(t, m, o)
	})
}

// TestRefuses: what is not right is refused, and the message says what.
func TestRefuses(t *testing.T) {
	good, err := os.ReadFile(write(t, maps.Random(t, 1, 40*mib), options(vpc.Dynamic, true)))
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := os.ReadFile(write(t, maps.Random(t, 1, mib), options(vpc.Fixed, true)))
	if err != nil {
		t.Fatal(err)
	}
	// Changes of both footers, and of the header, with the right checksums.
	footers := func(change func(p []byte)) func([]byte) []byte {
		return func(p []byte) []byte {
			for _, f := range [][]byte{p[:512], p[len(p)-512:]} {
				change(f)
				be.PutUint32(f[64:], sum(f, 64))
			}
			return p
		}
	}
	header := func(change func(p []byte)) func([]byte) []byte {
		return func(p []byte) []byte {
			change(p[512:1536])
			be.PutUint32(p[512+36:], sum(p[512:1536], 36))
			return p
		}
	}
	entry := func(n int, v uint32) func([]byte) []byte {
		return func(p []byte) []byte { be.PutUint32(p[1536+4*n:], v); return p }
	}
	for _, c := range []struct {
		name   string
		image  []byte
		damage func(p []byte) []byte
		want   string
	}{
		{"empty", good, func(p []byte) []byte { return nil }, "no footer"},
		{"another file", good, func(p []byte) []byte { return make([]byte, 4096) }, "no footer"},
		{"footer cut", good, func(p []byte) []byte { return p[:len(p)-512] }, "truncated"},
		{"data cut", good, func(p []byte) []byte { return append(p[:4*mib], good[len(good)-512:]...) }, "truncated"},
		{"fixed cut", fixed, func(p []byte) []byte { return p[512:] }, "truncated"},
		{"both footers damaged", good, func(p []byte) []byte { p[100], p[len(p)-100] = 1, 1; return p }, "checksum"},
		{"type", good, footers(func(p []byte) { be.PutUint32(p[60:], 9) }), "disk type 9"},
		{"size", good, footers(func(p []byte) { be.PutUint64(p[48:], 1<<60) }), "a disk of"},
		{"size 100", good, footers(func(p []byte) { be.PutUint64(p[48:], 100) }), "a disk of 100 bytes"},
		{"header outside", good, footers(func(p []byte) { be.PutUint64(p[16:], 1<<63) }), "truncated"},
		{"differencing", good, footers(func(p []byte) { be.PutUint32(p[60:], 4) }), "differencing"},
		{"parent", good, header(func(p []byte) { p[40] = 1; copy(p[64:], "\x00p\x00a") }), `"pa"`},
		{"header cookie", good, header(func(p []byte) { p[0] = 'C' }), "not there"},
		{"header checksum", good, func(p []byte) []byte { p[600]++; return p }, "header's checksum"},
		{"block size", good, header(func(p []byte) { be.PutUint32(p[32:], 3*mib) }), "blocks of 3145728"},
		{"few blocks", good, header(func(p []byte) { be.PutUint32(p[28:], 3) }), "in 3 blocks"},
		{"table outside", good, header(func(p []byte) { be.PutUint64(p[16:], 1<<62) }), "truncated"},
		{"block in table", good, entry(0, 3), "same bytes"},
		{"block twice", good, func(p []byte) []byte {
			copy(p[1536:1540], p[1540:1544])
			be.PutUint32(p[1540:], 4)
			be.PutUint32(p[1536:], 4)
			return p
		}, "same bytes"},
		{"block outside", good, entry(0, 0xfffffff0), "truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.damage(bytes.Clone(c.image))
			image, err := vpc.Open(bytes.NewReader(p), int64(len(p)))
			if err == nil {
				_, err = image.Map()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "vpc: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.want == "truncated" && !errors.Is(err, block.ErrTruncated) {
				t.Errorf("%v is not ErrTruncated", err)
			}
		})
	}
	// A damaged footer alone is what its copy is for.
	p := bytes.Clone(good)
	p[len(p)-100]++
	image, err := vpc.Open(bytes.NewReader(p), int64(len(p)))
	if err != nil || image.Size() != 40*mib {
		t.Errorf("with a damaged footer: %v", err)
	}
}

// fuzzed is what means something of an image of 5 MiB: the beginnings of the
// footer's copy, the header and the table, and of the footer. Checksums are
// corrected.
const fuzzedSize = 5*mib + 512

var fuzzed = [][2]int64{{0, 96}, {512, 80}, {1536, 16}, {fuzzedSize - 512, 96}}

func FuzzOpen(f *testing.F) {
	read := func(t testing.TB, p []byte) error {
		file := maps.Fuzzed(t, fuzzedSize, p, fuzzed, func(at int64, part []byte) []byte {
			switch at {
			case 512:
				part = append(part, make([]byte, 1024-len(part))...)
				be.PutUint32(part[36:], sum(part, 36))
			case 0, fuzzedSize - 512:
				part = append(part, make([]byte, 512-len(part))...)
				be.PutUint32(part[64:], sum(part, 64))
			}
			return part
		})
		image, err := vpc.Open(file, fuzzedSize)
		if err != nil {
			return err
		}
		image.Fields()
		m, err := image.Map()
		if err == nil {
			maps.CheckDisk(t, m, image.Size(), fuzzedSize)
		}
		return err
	}
	for _, kind := range kinds {
		for _, seed := range []uint64{0, 1} {
			path := write(f, maps.Random(f, seed, 2*mib), kind.options)
			_, size := maps.Open(f, path)
			p := maps.Seed(f, path, fuzzed[0], fuzzed[1], fuzzed[2], [2]int64{size - 512, 96})
			if err := read(f, p); err != nil {
				f.Fatal(err)
			}
			f.Add(p)
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) { _ = read(t, p) })
}

func lastSector(t *testing.T, path string) []byte {
	t.Helper()
	f, size := maps.Open(t, path)
	p := make([]byte, 512)
	if _, err := f.ReadAt(p, size-512); err != nil {
		t.Fatal(err)
	}
	return p
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	p, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(p, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
