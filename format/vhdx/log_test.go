package vhdx_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/vhdx"
	"diskwright/test/maps"
	"diskwright/test/oracle"
)

// logID is the GUID of log entries here.
var logID = []byte("0123456789abcdef")

// change is what a log entry does: a sector of the file, or zeros.
type change struct {
	offset int64
	data   []byte // 4 KiB, or nil for zeros
	zeros  int64
}

// entry is a log entry as section 2.3.1 describes it.
func entry(sequence uint64, tail, fileSize int, changes ...change) []byte {
	p := make([]byte, 4*kib)
	copy(p, "loge")
	le.PutUint32(p[12:], uint32(tail))
	le.PutUint64(p[16:], sequence)
	le.PutUint32(p[24:], uint32(len(changes)))
	copy(p[32:], logID)
	le.PutUint64(p[48:], uint64(fileSize))
	le.PutUint64(p[56:], uint64(fileSize))
	for i, c := range changes {
		d := p[64+32*i:]
		le.PutUint64(d[16:], uint64(c.offset))
		le.PutUint64(d[24:], sequence)
		if c.data == nil {
			copy(d, "zero")
			le.PutUint64(d[8:], uint64(c.zeros))
			continue
		}
		copy(d, "desc")
		copy(d[4:8], c.data[4092:])
		copy(d[8:16], c.data[:8])
		sector := bytes.Clone(c.data)
		copy(sector, "data")
		le.PutUint32(sector[4:], uint32(sequence>>32))
		le.PutUint32(sector[4092:], uint32(sequence))
		p = append(p, sector...)
	}
	le.PutUint32(p[8:], uint32(len(p)))
	le.PutUint32(p[4:], crc(p))
	return p
}

// dirty puts the log's GUID into the headers, and entries into the log, each at
// its place, around the ring.
func dirty(p []byte, entries map[int][]byte) []byte {
	p = bytes.Clone(p)
	for _, off := range []int{64 * kib, 128 * kib} {
		h := p[off : off+4*kib]
		copy(h[48:64], logID)
		le.PutUint32(h[4:], crc(h))
	}
	for at, e := range entries {
		n := copy(p[mib+at:2*mib], e)
		copy(p[mib:2*mib], e[n:])
	}
	return p
}

// images are an image, and variants of the first sector of its BAT: with two
// entries exchanged, and with one block gone.
func images(t *testing.T) (image, exchanged, gone []byte) {
	t.Helper()
	var b diskmap.Builder
	for i := range int64(8) {
		b.Place(i*3*mib+5, content.Bytes(bytes.Repeat([]byte{byte('a' + i)}, 1000)))
	}
	m, err := b.Map(30 * mib)
	if err != nil {
		t.Fatal(err)
	}
	image, err = os.ReadFile(write(t, m, options()))
	if err != nil {
		t.Fatal(err)
	}
	bat := image[3*mib : 3*mib+4*kib]
	exchanged = bytes.Clone(bat)
	copy(exchanged[0:8], bat[24:32])
	copy(exchanged[24:32], bat[0:8])
	gone = bytes.Clone(exchanged)
	le.PutUint64(gone[6*8:], 2)
	return image, exchanged, gone
}

// TestLog: what is in the log counts, as QEMU has it, which replays it into the
// file.
func TestLog(t *testing.T) {
	image, exchanged, gone := images(t)
	const bat = 3 * mib
	size := len(image)
	old := entry(3, 0, size, change{offset: bat, data: make([]byte, 4*kib)})
	for _, c := range []struct {
		name    string
		entries map[int][]byte
	}{
		{"one entry", map[int][]byte{0: entry(7, 0, size, change{offset: bat, data: exchanged})}},
		{"two entries, the later counts", map[int][]byte{
			0:       entry(7, 0, size, change{offset: bat, data: exchanged}),
			8 * kib: entry(8, 0, size, change{offset: bat, data: gone}),
		}},
		{"an entry before the tail is done", map[int][]byte{
			0:       entry(7, 0, size, change{offset: bat, data: make([]byte, 4*kib)}),
			8 * kib: entry(8, 8*kib, size, change{offset: bat, data: gone}),
		}},
		{"an older sequence in front", map[int][]byte{0: old, 64 * kib: entry(9, 64*kib, size, change{offset: bat, data: exchanged})}},
		{"an older sequence behind", map[int][]byte{64 * kib: old, 0: entry(9, 0, size, change{offset: bat, data: exchanged})}},
		{"around the ring", map[int][]byte{mib - 4*kib: entry(9, mib-4*kib, size, change{offset: bat, data: exchanged}),
			4 * kib: entry(10, mib-4*kib, size, change{offset: bat, data: gone})}},
		{"zeros", map[int][]byte{0: entry(1<<32+5, 0, size, change{offset: bat + 4*kib, zeros: 64 * kib}, change{offset: bat, data: gone})}},
		{"nothing", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := dirty(image, c.entries)
			ours, err := vhdx.Open(bytes.NewReader(p), int64(len(p)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ours.Map()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "disk.vhdx")
			if err := os.WriteFile(path, p, 0o600); err != nil {
				t.Fatal(err)
			}
			oracle.Run(t, "qemu-img", "check", "-r", "all", "-f", "vhdx", path)
			replayed, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.entries != nil && bytes.Equal(replayed[bat:bat+4*kib], image[bat:bat+4*kib]) {
				t.Error("QEMU replays nothing")
			}
			maps.Equal(t, got, open(t, path))
		})
	}
}

// TestLogRefuses: a log that cannot be replayed is not ignored, and what is no
// entry is.
func TestLogRefuses(t *testing.T) {
	image, exchanged, _ := images(t)
	size := len(image)
	const bat = 3 * mib
	good := entry(7, 0, size, change{offset: bat, data: exchanged})
	fix := func(change func(p []byte)) []byte {
		p := bytes.Clone(good)
		change(p)
		le.PutUint32(p[4:], crc(p))
		return p
	}
	for _, c := range []struct {
		name, want string
		entry      []byte
	}{
		{"the file was longer", "truncated", entry(7, 0, size+1, change{offset: bat, data: exchanged})},
		{"offset", "descriptor 0", fix(func(p []byte) { p[64+16]++ })},
		{"sequence", "descriptor 0", fix(func(p []byte) { p[64+24]++ })},
		{"kind", "unknown kind", fix(func(p []byte) { p[64]++ })},
		{"data", "data of the log's entry 7", fix(func(p []byte) { p[4*kib]++ })},
		{"no data", "less data", fix(func(p []byte) { p[24] = 2; copy(p[96:128], p[64:96]) })},
		{"zeros", "zero", entry(7, 0, size, change{offset: 0, zeros: 1 << 50})},
		{"length", "", fix(func(p []byte) { le.PutUint32(p[8:], 3) })},
		{"descriptors", "", fix(func(p []byte) { le.PutUint32(p[24:], 1<<30) })},
		{"checksum", "", append(bytes.Clone(good[:100]), bytes.Repeat([]byte{1}, 8*kib-100)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := dirty(image, map[int][]byte{0: c.entry})
			_, err := vhdx.Open(bytes.NewReader(p), int64(len(p)))
			if c.want == "" {
				if err != nil {
					t.Errorf("what is no entry: %v", err)
				}
			} else if err == nil || !strings.HasPrefix(err.Error(), "vhdx: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestLogBudget: entries that lie on top of each other do not take forever.
func TestLogBudget(t *testing.T) {
	image, _, _ := images(t)
	// Every sector is the beginning of an entry that has a quarter of the log.
	p := dirty(image, nil)
	for at := mib; at < 2*mib; at += 4 * kib {
		e := entry(1, 0, len(p))
		le.PutUint32(e[8:], mib/4)
		copy(p[at:], e[:64])
	}
	if _, err := vhdx.Open(bytes.NewReader(p), int64(len(p))); err == nil || !strings.Contains(err.Error(), "too many entries") {
		t.Errorf("got %v", err)
	}
}

// FuzzLog changes the header and descriptors of two entries, and corrects their
// checksums.
func FuzzLog(f *testing.F) {
	const size, bat, head = 9 * mib, 3 * mib, 160
	good, err := os.ReadFile(write(f, maps.Random(f, 1, 4*mib), options()))
	if err != nil {
		f.Fatal(err)
	}
	sector := good[bat : bat+4*kib]
	header := dirty(good, nil)[64*kib : 68*kib]
	f.Add(append(entry(7, 0, size, change{offset: bat, data: sector})[:head], entry(8, 0, size, change{offset: bat, data: sector})[:head]...))
	f.Add(append(entry(7, mib-4*kib, size, change{offset: bat, zeros: 4 * kib})[:head], entry(6, 0, size)[:head]...))
	f.Fuzz(func(t *testing.T, changes []byte) {
		var b diskmap.Builder
		place := func(at int, p []byte) { b.Place(int64(at), content.Bytes(p)) }
		place(0, good[:64*kib])
		place(64*kib, header)
		place(192*kib, good[192*kib:256*kib])
		for at := mib; at < mib+16*kib; at += 8 * kib {
			e := entry(uint64(7+(at-mib)/(8*kib)), 0, size, change{offset: bat, data: sector})
			n := copy(e[:head], changes)
			changes = changes[n:]
			if length := le.Uint32(e[8:]); length >= 8 && length <= 8*kib {
				le.PutUint32(e[4:], crc(e[:length]))
			}
			place(at, e)
		}
		place(2*mib, good[2*mib:3*mib])
		place(bat, sector)
		file, err := b.Map(size)
		if err != nil {
			t.Fatal(err)
		}
		image, err := vhdx.Open(file, size)
		if err != nil {
			return
		}
		if m, err := image.Map(); err == nil {
			maps.CheckDisk(t, m, image.Size(), size)
		}
	})
}
