package vdi_test

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

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/vdi"
	"diskwright/test/maps"
	"diskwright/test/oracle"

	"github.com/google/uuid"
)

var le = binary.LittleEndian

const mib = 1 << 20

func options() vdi.Options {
	return vdi.Options{Options: block.Options{Identify: func(role string) uuid.UUID {
		return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(role))
	}}}
}

func write(t testing.TB, m *diskmap.Map, o vdi.Options) string {
	t.Helper()
	return maps.Write(t, "disk.vdi", func(f *os.File) error { return vdi.Write(context.Background(), m, f, o) })
}

func open(t testing.TB, path string) *diskmap.Map {
	t.Helper()
	return maps.Disk(t, path, vdi.Open)
}

// TestQemuReads: qemu-img finds our images sound and equal to our raw ones, and
// so do we.
func TestQemuReads(t *testing.T) {
	for _, size := range maps.Sizes() {
		for seed := range uint64(2) {
			if seed == 0 && size > 1<<40 && os.Getenv("DISKWRIGHT_LONG") == "" {
				continue
			}
			t.Run(fmt.Sprintf("%d bytes, seed %d", size, seed), func(t *testing.T) {
				m := maps.Random(t, seed, size)
				path := write(t, m, options())
				maps.Equal(t, open(t, path), m)

				oracle.Run(t, "qemu-img", "check", "-f", "vdi", path)
				oracle.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "vdi", maps.Raw(t, m), path)
				var info map[string]any
				if err := json.Unmarshal(oracle.Output(t, "qemu-img", "info", "--output", "json", path), &info); err != nil {
					t.Fatal(err)
				}
				if info["format"] != "vdi" || info["virtual-size"] != float64(size) || info["cluster-size"] != float64(mib) || info["dirty-flag"] != false {
					t.Errorf("qemu-img info says %v", info)
				}
			})
		}
	}
}

// TestReadsQemu: what qemu-img writes reads as what it was made from.
func TestReadsQemu(t *testing.T) {
	for _, static := range []string{"off", "on"} {
		for _, size := range []int64{mib, 64*mib + 512, 300 * mib} {
			t.Run(fmt.Sprintf("static %s, %d bytes", static, size), func(t *testing.T) {
				m := maps.Random(t, 7, size)
				path := filepath.Join(t.TempDir(), "qemu.vdi")
				oracle.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vdi", "-o", "static="+static, maps.Raw(t, m), path)
				maps.Equal(t, open(t, path), m)
			})
		}
	}
}

// TestGoldens compares the header with what qemu-img wrote, field by field.
func TestGoldens(t *testing.T) {
	for _, size := range []int64{600, 1024, 2049, 5120} {
		t.Run(fmt.Sprintf("%d MiB", size), func(t *testing.T) {
			golden, info := readGolden(t, fmt.Sprintf("testdata/qemuimg-10-%dM.json", size))
			m := goldenDisk(t, size*mib)
			path := write(t, m, options())
			p, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]any{
				"signature":       fmt.Sprintf("%#x", le.Uint32(p[64:])),
				"version":         fmt.Sprintf("0x%08x", le.Uint32(p[68:])),
				"headerSize":      float64(le.Uint32(p[72:])),
				"imageType":       float64(le.Uint32(p[76:])),
				"imageFlags":      float64(le.Uint32(p[80:])),
				"description":     string(bytes.TrimRight(p[84:340], "\x00")),
				"offsetBmap":      float64(le.Uint32(p[340:])),
				"cylinders":       float64(le.Uint32(p[348:])),
				"heads":           float64(le.Uint32(p[352:])),
				"sectors":         float64(le.Uint32(p[356:])),
				"sectorSize":      float64(le.Uint32(p[360:])),
				"unused1":         float64(le.Uint32(p[364:])),
				"diskSize":        float64(le.Uint64(p[368:])),
				"blockSize":       float64(le.Uint32(p[376:])),
				"blockExtra":      float64(le.Uint32(p[380:])),
				"blocksInImage":   float64(le.Uint32(p[384:])),
				"blocksAllocated": float64(le.Uint32(p[388:])),
				"uuidLink":        uuid.UUID(p[424:440]).String(),
				"uuidParent":      uuid.UUID(p[440:456]).String(),
				"unused2NonZero":  !block.IsZero(p[456:512]),
			}
			for key, want := range golden {
				switch key {
				case "text", "uuidImage", "uuidLastSnap": // our own
				case "offsetData", "fileBytes", "bmap": // data is aligned to 1 MiB here
				default:
					if got[key] != want {
						t.Errorf("%s is %v, want %v", key, got[key], want)
					}
				}
			}
			if data := le.Uint32(p[344:]); data != mib {
				t.Errorf("data is at %d, want %d", data, mib)
			}
			if n := mib + int(golden["blocksAllocated"].(float64))*mib; len(p) != n {
				t.Errorf("the file has %d bytes, want %d", len(p), n)
			}
			for _, entry := range golden["bmap"].(map[string]any)["firstAllocated"].([]any) {
				e := entry.([]any)
				if n := le.Uint32(p[512+4*int(e[0].(float64)):]); float64(n) != e[1] {
					t.Errorf("block %v of the disk is block %d, want %v", e[0], n, e[1])
				}
			}
			if id := options().ID("vdi-image"); p[392] != id[3] || p[396] != id[5] || p[398] != id[7] || !bytes.Equal(p[400:408], id[8:]) {
				t.Errorf("UUID %x, want %v, its first three fields little-endian", p[392:408], id)
			}
			maps.QemuInfo(t, "vdi", path, info)
		})
	}
}

// goldenDisk has one byte in each of the blocks of 64 KiB that the goldens'
// disks have data in: 0, 80, 1600 and the last.
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

func readGolden(t *testing.T, path string) (header, info map[string]any) {
	t.Helper()
	var golden struct {
		Formats struct {
			VDI struct {
				Header   map[string]any `json:"header"`
				InfoJSON map[string]any `json:"infoJson"`
			} `json:"vdi"`
		} `json:"formats"`
	}
	p, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(p, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	return golden.Formats.VDI.Header, golden.Formats.VDI.InfoJSON
}

// TestIdentifiers: VirtualBox refuses images without them.
func TestIdentifiers(t *testing.T) {
	f, size := maps.Open(t, write(t, maps.Random(t, 0, mib), vdi.Options{}))
	image, err := vdi.Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range image.Fields() {
		if strings.Contains(strings.ToLower(field.Name), "uuid") && field.Value == uuid.Nil.String() {
			t.Errorf("%s is zero", field.Name)
		}
	}
}

// TestMemory: 4 TiB take little memory to write and to read.
func TestMemory(t *testing.T) {
	m := maps.Random(t, 1, 4<<40)
	maps.Allocates(t, 40*mib, func() {
		maps.Equal(t, open(t, write(t, m, options())), m)
	})
}

// TestWorkers: any number of workers writes the same file.
func TestWorkers(t *testing.T) {
	m := maps.Random(t, 3, 300*mib+512)
	maps.SameForWorkers(t, []int{1, 2, 7}, func(workers int) string {
		o := options()
		o.Workers = workers
		return write(t, m, o)
	})
}

// TestRefuses: what is not right is refused, and the message says what.
func TestRefuses(t *testing.T) {
	path := write(t, maps.Random(t, 1, 20*mib), options())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(off int, v uint32) func([]byte) []byte {
		return func(p []byte) []byte { le.PutUint32(p[off:], v); return p }
	}
	for _, c := range []struct {
		name   string
		damage func(p []byte) []byte
		want   string
	}{
		{"empty", func(p []byte) []byte { return nil }, "truncated"},
		{"header cut", func(p []byte) []byte { return p[:511] }, "truncated"},
		{"map cut", func(p []byte) []byte { return p[:520] }, "block map: "},
		{"data cut", func(p []byte) []byte { return p[:len(p)-mib-1] }, "the data of the disk's byte"},
		{"signature", put(64, 1), "signature"},
		{"version", put(68, 0x20000), "version 2.0"},
		{"header size", put(72, 10), "header has 10 bytes"},
		{"differencing", put(76, 4), "differencing"},
		{"type", put(76, 9), "image type 9"},
		{"parent", put(424, 9), "parent"},
		{"sectors", put(360, 4096), "sectors of 4096"},
		{"block size", put(376, 3*mib), "blocks of 3145728"},
		{"block size 0", put(376, 0), "blocks of 0"},
		{"block extra", put(380, 512), "512 bytes in front"},
		{"few blocks", put(384, 3), "in 3 blocks"},
		{"huge", put(372, 1<<30), "is more than"},
		{"map in header", put(340, 0), "in the header"},
		{"data in map", put(344, 512), "same bytes"},
		{"overlap", func(p []byte) []byte {
			copy(p[512:516], p[516:520])
			le.PutUint32(p[516:], 0)
			le.PutUint32(p[512:], 0)
			return p
		}, "same bytes"},
		{"outside", put(512, 0xffff), "the data of the disk's byte 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.damage(bytes.Clone(good))
			image, err := vdi.Open(bytes.NewReader(p), int64(len(p)))
			if err == nil {
				_, err = image.Map()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "vdi: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := vdi.Open(bytes.NewReader(good[:100]), 100); !errors.Is(err, block.ErrTruncated) {
		t.Errorf("a truncated header: %v", err)
	}
	if err := vdi.Write(context.Background(), maps.Random(t, 0, vdi.MaxSize+512), nil, options()); err == nil || !strings.Contains(err.Error(), "is more than") {
		t.Errorf("a disk that is too large: %v", err)
	}
}

// fuzzed is what means something of an image: the header, less its text, and the
// block map.
var fuzzed = [][2]int64{{64, 20}, {340, 116}, {512, 12}}

func FuzzOpen(f *testing.F) {
	const size = 5 * mib
	read := func(t testing.TB, p []byte) error {
		image, err := vdi.Open(maps.Fuzzed(t, size, p, fuzzed, nil), size)
		if err != nil {
			return err
		}
		image.Fields()
		m, err := image.Map()
		if err == nil {
			maps.CheckDisk(t, m, image.Size(), size)
		}
		return err
	}
	for _, seed := range []uint64{0, 1} {
		p := maps.Seed(f, write(f, maps.Random(f, seed, 3*mib), options()), fuzzed...)
		if err := read(f, p); err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) { _ = read(t, p) })
}
