package vhdx_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/vhdx"
	"diskwright/test/maps"
	"diskwright/test/oracle"

	"github.com/google/uuid"
)

var le = binary.LittleEndian

const (
	kib = 1 << 10
	mib = 1 << 20
)

func options() vhdx.Options {
	return vhdx.Options{Options: block.Options{Identify: func(role string) uuid.UUID {
		return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(role))
	}}}
}

func write(t testing.TB, m *diskmap.Map, o vhdx.Options) string {
	t.Helper()
	return maps.Write(t, "disk.vhdx", func(f *os.File) error { return vhdx.Write(context.Background(), m, f, o) })
}

func open(t testing.TB, path string) *diskmap.Map {
	t.Helper()
	return maps.Disk(t, path, vhdx.Open)
}

// TestQemuReads: qemu-img finds our images sound and equal to our raw ones, and
// so do we.
func TestQemuReads(t *testing.T) {
	// The sector bitmap's entry comes behind 4096 blocks.
	for _, size := range append(maps.Sizes(), 4<<30-512, 4<<30, 4<<30+512, 8<<30+mib) {
		for seed := range uint64(2) {
			if seed == 0 && size > 1<<40 && os.Getenv("DISKWRIGHT_LONG") == "" {
				continue
			}
			t.Run(fmt.Sprintf("%d bytes, seed %d", size, seed), func(t *testing.T) {
				m := maps.Random(t, seed, size)
				path := write(t, m, options())
				maps.Equal(t, open(t, path), m)

				oracle.Run(t, "qemu-img", "check", "-f", "vhdx", path)
				maps.QemuEqual(t, "vhdx", path, m, 700*mib, 4<<30)
				var info map[string]any
				if err := json.Unmarshal(oracle.Output(t, "qemu-img", "info", "--output", "json", path), &info); err != nil {
					t.Fatal(err)
				}
				if info["format"] != "vhdx" || info["virtual-size"] != float64(size) || info["cluster-size"] != float64(mib) || info["dirty-flag"] != false {
					t.Errorf("qemu-img info says %v", info)
				}
			})
		}
	}
}

// TestReadsQemu: what qemu-img writes reads as what it was made from.
func TestReadsQemu(t *testing.T) {
	for _, o := range []string{"subformat=dynamic", "subformat=fixed", "subformat=dynamic,block_size=1M", "subformat=dynamic,block_size=64M,log_size=4M"} {
		for _, size := range []int64{mib, 64*mib + 512, 300 * mib} {
			t.Run(fmt.Sprintf("%s, %d bytes", o, size), func(t *testing.T) {
				m := maps.Random(t, 7, size)
				path := filepath.Join(t.TempDir(), "qemu.vhdx")
				oracle.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", o, maps.Raw(t, m), path)
				maps.Equal(t, open(t, path), m)
			})
		}
	}
}

// id reads a GUID as Windows stores it.
func id(p []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(p), le.Uint16(p[4:]), le.Uint16(p[6:]), p[8:10], p[10:16])
}

func crc(p []byte) uint32 {
	p = bytes.Clone(p)
	clear(p[4:8])
	return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli))
}

// TestFields compares an image with the specification, field by field.
func TestFields(t *testing.T) {
	const size = 4<<30 + 2*mib // two blocks behind the first sector bitmap
	var b diskmap.Builder
	for _, off := range []int64{5 * mib, 4<<30 - mib, 4 << 30} {
		b.Place(off, content.Bytes("x"))
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(write(t, m, options()))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	role := func(r string) string { return options().ID(r).String() }

	// 2.2.1 file type identifier
	check("signature", string(p[:8]), "vhdxfile")
	check("creator", string(p[8:30]), "D\x00i\x00s\x00k\x00w\x00r\x00i\x00g\x00h\x00t\x00\x00\x00")
	check("the rest of 64 KiB", block.IsZero(p[28:64*kib]), true)

	// 2.2.2 headers
	for i, h := range [][]byte{p[64*kib : 68*kib], p[128*kib : 132*kib]} {
		check("header signature", string(h[:4]), "head")
		check("header checksum", le.Uint32(h[4:]), crc(h))
		check("sequence number", le.Uint64(h[8:]), i+1)
		check("file write GUID", id(h[16:]), role("vhdx-file-write"))
		check("data write GUID", id(h[32:]), role("vhdx-data-write"))
		check("log GUID", id(h[48:]), uuid.Nil)
		check("log version", le.Uint16(h[64:]), 0)
		check("version", le.Uint16(h[66:]), 1)
		check("log length", le.Uint32(h[68:]), mib)
		check("log offset", le.Uint64(h[72:]), mib)
		check("header's reserved bytes", block.IsZero(h[80:]), true)
	}

	// 2.2.3 region tables
	table := p[192*kib : 256*kib]
	check("the second region table", bytes.Equal(table, p[256*kib:320*kib]), true)
	check("region signature", string(table[:4]), "regi")
	check("region checksum", le.Uint32(table[4:]), crc(table))
	check("regions", le.Uint32(table[8:]), 2)
	for i, want := range []string{
		"2dc27766-f623-4200-9d64-115e9bfd4a08 3145728 1048576 1", // BAT
		"8b7ca206-4790-4b9a-b8fe-575f050f886e 2097152 1048576 1", // metadata
	} {
		e := table[16+32*i:]
		check("region", fmt.Sprint(id(e), " ", le.Uint64(e[16:]), " ", le.Uint32(e[24:]), " ", le.Uint32(e[28:])), want)
	}
	check("the rest of the header section, and the log", block.IsZero(p[320*kib:2*mib]), true)

	// 2.6 metadata
	meta := p[2*mib : 3*mib]
	check("metadata signature", string(meta[:8]), "metadata")
	check("items", le.Uint16(meta[10:]), 5)
	check("metadata's reserved bytes", block.IsZero(meta[12:32]), true)
	for i, want := range []struct {
		id     string
		length int
		flags  int
		value  string
	}{
		{"caa16737-fa36-4d43-b3b6-33f0aa44e76b", 8, 4, "0000100000000000"}, // file parameters
		{"2fa54224-cd1b-4876-b211-5dbed83bf4b8", 8, 6, "0000200001000000"}, // virtual disk size
		{"beca12ab-b2e6-4523-93ef-c309e000c746", 16, 6, ""},                // virtual disk ID
		{"8141bf1d-a96f-4709-ba47-f233a8faab5f", 4, 6, "00020000"},         // logical sector size
		{"cda348c7-445d-4471-9cc9-e9885251c556", 4, 6, "00100000"},         // physical sector size
	} {
		e := meta[32+32*i:]
		off, length := int(le.Uint32(e[16:])), int(le.Uint32(e[20:]))
		check("item", id(e), want.id)
		check("item's length", length, want.length)
		check("item's flags", le.Uint32(e[24:]), want.flags)
		if off < 64*kib {
			t.Errorf("item %s at %d", want.id, off)
		}
		if value := fmt.Sprintf("%x", meta[off:off+length]); want.value != "" {
			check("item "+want.id, value, want.value)
		} else {
			check("virtual disk ID", id(meta[off:]), role("vhdx-virtual-disk"))
		}
	}

	// 2.5 BAT
	bat := p[3*mib : 4*mib]
	for i := range int64(len(bat) / 8) {
		want := uint64(2) // zero
		switch {
		case i == 5:
			want = 4*mib | 6
		case i == 4095:
			want = 5*mib | 6
		case i == 4096: // sector bitmap of the first chunk
			want = 0
		case i == 4097:
			want = 6*mib | 6
		case i > 4098: // behind the last block
			want = 0
		}
		if got := le.Uint64(bat[8*i:]); got != want {
			t.Errorf("BAT entry %d is %#x, want %#x", i, got, want)
		}
	}
	check("length of the file", len(p), 7*mib)
}

// TestLargeBlocks: a disk beyond 4 TiB has larger blocks, not a larger table.
func TestLargeBlocks(t *testing.T) {
	for size, want := range map[int64]int64{4 << 40: mib, 4<<40 + 512: 2 * mib, 64 << 40: 16 * mib} {
		path := write(t, maps.Random(t, 1, size), options())
		f, n := maps.Open(t, path)
		image, err := vhdx.Open(f, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range image.Fields() {
			if field.Name == "blockSize" && field.Value != want {
				t.Errorf("%d bytes: blocks of %v, want %d", size, field.Value, want)
			}
			if field.Name == "batLength" && field.Value.(int64) > 33*mib {
				t.Errorf("%d bytes: a BAT of %v", size, field.Value)
			}
		}
		maps.Equal(t, open(t, path), maps.Random(t, 1, size))
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
	good, err := os.ReadFile(write(t, maps.Random(t, 1, 20*mib), options()))
	if err != nil {
		t.Fatal(err)
	}
	sum := func(p []byte) { le.PutUint32(p[4:], crc(p)) }
	headers := func(change func(p []byte)) func([]byte) []byte {
		return func(p []byte) []byte {
			for _, off := range []int{64 * kib, 128 * kib} {
				change(p[off : off+4*kib])
				sum(p[off : off+4*kib])
			}
			return p
		}
	}
	regions := func(change func(p []byte)) func([]byte) []byte {
		return func(p []byte) []byte {
			for _, off := range []int{192 * kib, 256 * kib} {
				change(p[off : off+64*kib])
				sum(p[off : off+64*kib])
			}
			return p
		}
	}
	put32 := func(off int, v uint32) func([]byte) []byte {
		return func(p []byte) []byte { le.PutUint32(p[off:], v); return p }
	}
	entry := func(n int, v uint64) func([]byte) []byte {
		return func(p []byte) []byte { le.PutUint64(p[3*mib+8*n:], v); return p }
	}
	const meta, items = 2 * mib, 2*mib + 64*kib
	for _, c := range []struct {
		name   string
		damage func(p []byte) []byte
		want   string
	}{
		{"empty", func(p []byte) []byte { return nil }, "truncated"},
		{"headers cut", func(p []byte) []byte { return p[:100*kib] }, "header: "},
		{"regions cut", func(p []byte) []byte { return p[:200*kib] }, "region table: "},
		{"metadata cut", func(p []byte) []byte { return p[:2*mib] }, "metadata table: "},
		{"BAT cut", func(p []byte) []byte { return p[:3*mib] }, "region 2dc27766-f623-4200-9d64-115e9bfd4a08: "},
		{"data cut", func(p []byte) []byte { return p[:len(p)-mib-1] }, "the data of the disk's byte"},
		{"signature", func(p []byte) []byte { p[0] = 'V'; return p }, "signature"},
		{"both headers", func(p []byte) []byte { p[64*kib+10]++; p[128*kib+10]++; return p }, "neither of its headers"},
		{"equal sequence", func(p []byte) []byte {
			le.PutUint64(p[64*kib+8:], 2)
			p[64*kib+16]++
			sum(p[64*kib : 68*kib])
			return p
		}, "differ"},
		{"version", headers(func(p []byte) { p[66] = 2 }), "neither of its headers"},
		{"log version", headers(func(p []byte) { p[48], p[64] = 1, 1 }), "a log of version 1"},
		{"large log", headers(func(p []byte) { p[48] = 1; le.PutUint32(p[68:], 65*mib) }), "a log of 68157440 bytes"},
		{"log outside", headers(func(p []byte) { le.PutUint64(p[72:], 1<<40) }), "log: "},
		{"log on metadata", headers(func(p []byte) { le.PutUint64(p[72:], 2*mib) }), "same bytes"},
		{"both region tables", func(p []byte) []byte { p[200*kib]++; p[260*kib]++; return p }, "neither of its region tables"},
		{"many regions", regions(func(p []byte) { le.PutUint32(p[8:], 2048) }), "2048 regions"},
		{"no regions", regions(func(p []byte) { le.PutUint32(p[8:], 0) }), "no BAT"},
		{"unknown region", regions(func(p []byte) { p[16]++ }), "without understanding its region"},
		{"twice", regions(func(p []byte) { copy(p[48:64], p[16:32]) }), "two regions"},
		{"region offset", regions(func(p []byte) { le.PutUint64(p[32:], 512) }), "at 512"},
		{"region overlap", regions(func(p []byte) { le.PutUint64(p[32:], mib) }), "same bytes"},
		{"metadata signature", put32(meta, 0), "metadata table is not there"},
		{"many items", put32(meta+8, 0xffff0000), "65535 items"},
		{"few items", put32(meta+8, 4<<16), "no physical sector size"},
		{"unknown item", put32(meta+32, 1), "without understanding its metadata item"},
		{"item length", put32(meta+32+20, 4), "file parameters has 4 bytes"},
		{"item outside", put32(meta+32+16, mib), "file parameters has 8 bytes at 1048576"},
		{"item in table", put32(meta+32+16, 32), "file parameters has 8 bytes at 32"},
		{"item twice", func(p []byte) []byte { copy(p[meta+96:meta+128], p[meta+32:meta+64]); return p }, "two of the file parameters"},
		{"parent", put32(items+4, 2), "differencing"},
		{"block size", put32(items, 3*mib), "blocks of 3145728"},
		{"block size 0", put32(items, 0), "blocks of 0"},
		{"huge", put32(items+12, 1<<20), "a disk of"},
		{"half a sector", put32(items+8, 100), "a disk of 100 bytes"},
		{"sectors", put32(items+32, 1024), "logical sectors of 1024"},
		{"small BAT", put32(items+12, 1000), "entries in its BAT"},
		{"state", entry(1, 4), "the state 4"},
		{"partial", entry(1, 7|9*mib), "the state 7"},
		{"block in BAT", entry(0, 6|3*mib), "same bytes"},
		{"block in header", entry(0, 6), "same bytes"},
		{"twice the same", func(p []byte) []byte { return entry(19, le.Uint64(p[3*mib:]))(p) }, "same bytes"},
		{"outside", entry(0, 6|1<<50), "the data of the disk's byte 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.damage(bytes.Clone(good))
			image, err := vhdx.Open(bytes.NewReader(p), int64(len(p)))
			if err == nil {
				_, err = image.Map()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "vhdx: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	// One header and one region table are enough.
	p := bytes.Clone(good)
	p[64*kib+10]++
	p[200*kib]++
	if _, err := vhdx.Open(bytes.NewReader(p), int64(len(p))); err != nil {
		t.Errorf("with one header and one region table: %v", err)
	}
	if _, err := vhdx.Open(bytes.NewReader(good[:100]), 100); !errors.Is(err, block.ErrTruncated) {
		t.Errorf("a truncated file: %v", err)
	}
	for _, size := range []int64{0, vhdx.MaxSize + 512} {
		if err := vhdx.Write(context.Background(), maps.Random(t, 0, size), nil, options()); err == nil || !strings.Contains(err.Error(), "cannot be in an image") {
			t.Errorf("a disk of %d bytes: %v", size, err)
		}
	}
}

// fuzzed is what means something of an image: the beginnings of its first
// header, region table, metadata table and items, and BAT. Checksums are
// corrected.
var fuzzed = [][2]int64{{0, 64}, {64 * kib, 80}, {192 * kib, 96}, {2 * mib, 192}, {2*mib + 64*kib, 40}, {3 * mib, 64}}

func FuzzOpen(f *testing.F) {
	const size = 9 * mib
	read := func(t testing.TB, p []byte) error {
		file := maps.Fuzzed(t, size, p, fuzzed, func(at int64, part []byte) []byte {
			if n := map[int64]int{64 * kib: 4 * kib, 192 * kib: 64 * kib}[at]; n > 0 {
				part = append(part, make([]byte, n-len(part))...)
				le.PutUint32(part[4:], crc(part))
			}
			return part
		})
		image, err := vhdx.Open(file, size)
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
		p := maps.Seed(f, write(f, maps.Random(f, seed, 4*mib), options()), fuzzed...)
		if err := read(f, p); err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) { _ = read(t, p) })
}
