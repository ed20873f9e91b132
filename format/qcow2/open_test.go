package qcow2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"
)

// TestReadQEMU: whatever qemu-img makes is read as qemu-img reads it.
func TestReadQEMU(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	oracle.Need(t, "qemu-img")
	m := mixedMap(t, 5<<20+512)
	reference := writeRaw(t, m)
	for _, options := range []string{
		"", "-c", "-W", "-c -W",
		"-o compat=0.10", "-c -o compat=0.10", "-o compat=v3,lazy_refcounts=on",
		"-o cluster_size=512", "-c -o cluster_size=512", "-o cluster_size=4k", "-c -o cluster_size=4k",
		"-o cluster_size=2M", "-c -o cluster_size=2M",
		"-o refcount_bits=1", "-o refcount_bits=64",
		"-o preallocation=metadata", "-o preallocation=falloc", "-o preallocation=full",
		"-c -o compression_type=zstd", "-c -o compression_type=zstd,cluster_size=2M", "-c -o compression_type=zstd,cluster_size=512",
		"-o extended_l2=on", "-o extended_l2=on,cluster_size=128k", "-o extended_l2=on,cluster_size=16k", "-o extended_l2=on,preallocation=metadata",
		"-S 0", "-S 1M",
	} {
		t.Run(options, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			args := append([]string{"convert", "-f", "raw", "-O", "qcow2"}, strings.Fields(options)...)
			oracle.Run(t, "qemu-img", append(args, reference, image)...)
			same(t, m, mapOf(t, open(t, image)))
		})
	}
}

// TestReadUsed: images that a machine wrote to.
func TestReadUsed(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	oracle.Need(t, "qemu-io")
	m := mixedMap(t, 5<<20+512)
	reference := writeRaw(t, m)
	dir := t.TempDir()
	for _, options := range []string{"compat=1.1", "compat=0.10", "extended_l2=on", "lazy_refcounts=on", "cluster_size=4k"} {
		t.Run(options, func(t *testing.T) {
			image := filepath.Join(dir, options)
			oracle.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", options, reference, image)
			oracle.Run(t, "qemu-img", "snapshot", "-c", "before", image)
			oracle.Run(t, "qemu-io", "-f", "qcow2", "-c", "write -P 0x11 100k 300k", "-c", "write -z 600k 200k",
				"-c", "discard 1M 128k", "-c", "write -P 0x22 3000k 5k", "-c", "write -z -u 1400k 64k", image)
			if !strings.Contains(options, "0.10") {
				oracle.Run(t, "qemu-img", "resize", "-f", "qcow2", image, "700M") // also of the L1 table
			}
			theirs := filepath.Join(dir, "raw")
			oracle.Run(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, theirs)
			img := open(t, image)
			if img.snapshots != 1 {
				t.Errorf("%d snapshots", img.snapshots)
			}
			same(t, fileMap(t, theirs), mapOf(t, img))
		})
	}
}

func fileMap(t testing.TB, path string) *diskmap.Map {
	t.Helper()
	src, err := content.StatHostFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b diskmap.Builder
	b.Place(0, src)
	m, err := b.Map(src.Size())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRefuseQEMU: what is not all in the file is refused, by name.
func TestRefuseQEMU(t *testing.T) {
	oracle.Need(t, "qemu-img")
	dir := t.TempDir()
	base := filepath.Join(dir, "base.img")
	if err := os.WriteFile(base, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"-b " + base + " -F raw", "qcow2: it holds only the differences to its backing file \"" + base + "\""},
		{"-o data_file=" + dir + "/data 1M", "qcow2: its data is in another file, \"" + dir + "/data\""},
		{"-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=200 --object secret,id=s,data=x 1M", "qcow2: it is encrypted with LUKS"},
	} {
		image := filepath.Join(dir, "image")
		args := append([]string{"create", "-q", "-f", "qcow2"}, strings.Fields(c.args)...)
		// The size comes behind the name.
		if last := args[len(args)-1]; last == "1M" {
			args = append(args[:len(args)-1], image, last)
		} else {
			args = append(args, image)
		}
		// To find out how many iterations LUKS is to have, qemu-img measures the time
		// of some, and gives up where others keep it from the processor.
		for range 20 {
			if output, status := oracle.Exit(t, "qemu-img", args...); status == 0 {
				break
			} else if !strings.Contains(output, "Unable to get accurate CPU usage") {
				t.Fatalf("qemu-img %v: %s", args, output)
			}
		}
		p, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(bytes.NewReader(p), int64(len(p))); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.args, err, c.want)
		}
	}
}

// small is an image in which tests break something.
func small(t testing.TB, c Compression) []byte {
	t.Helper()
	p, err := os.ReadFile(write(t, mixedMap(t, 5<<20), Options{Compression: c}))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHostile: each error says what is wrong.
func TestHostile(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	const l2 = 4 * clusterSize
	for _, c := range []struct {
		name    string
		c       Compression
		corrupt func(p []byte) []byte
		want    string
	}{
		{"empty", None, func(p []byte) []byte { return nil }, "truncated"},
		{"72 bytes of version 3", None, func(p []byte) []byte { return p[:72] }, "truncated"},
		{"magic", None, func(p []byte) []byte { p[0] = 'q'; return p }, "magic number"},
		{"version 1", None, func(p []byte) []byte { put32(p[4:], 1); return p }, "qcow"},
		{"version 4", None, func(p []byte) []byte { put32(p[4:], 4); return p }, "version 4"},
		{"cluster bits", None, func(p []byte) []byte { put32(p[offClusterBits:], 22); return p }, "clusters of 1 << 22"},
		{"size", None, func(p []byte) []byte { put64(p[offSize:], 1<<63); return p }, "more than 1 EiB"},
		{"size without L1", None, func(p []byte) []byte { put64(p[offSize:], 1<<40); return p }, "which needs 2048"},
		{"L1 too large", None, func(p []byte) []byte { put32(p[offL1Size:], 1<<31); return p }, "4194304 is the most"},
		{"L1 truncated", None, func(p []byte) []byte { return p[:3*clusterSize] }, "L1 table"},
		{"L1 outside", None, func(p []byte) []byte { put64(p[offL1Offset:], 1<<62); return p }, "L1 table"},
		{"L1 odd", None, func(p []byte) []byte { p[offL1Offset+7] = 1; return p }, "where no cluster begins"},
		{"feature", None, func(p []byte) []byte { p[offIncompatible+6] = 1; return p }, "bit 8"},
		{"feature with a name", None, func(p []byte) []byte {
			p[offIncompatible+7] = 0x20
			p[headerLength+8+1] = 5
			return p
		}, `"dirty bit" (bit 5)`},
		{"refcount order", None, func(p []byte) []byte { put32(p[offRefcountOrder:], 7); return p }, "refcounts of 1 << 7"},
		{"header length", None, func(p []byte) []byte { put32(p[offHeaderLength:], 1<<30); return p }, "a header of"},
		{"extension", None, func(p []byte) []byte { put32(p[headerLength+4:], 1<<31); return p }, "header extension"},
		{"compression", Zstd, func(p []byte) []byte { p[offCompression] = 9; return p }, "unknown way"},
		{"backing name", None, func(p []byte) []byte { put64(p[offBackingOffset:], 1<<40); put32(p[offBackingSize:], 9); return p }, "name of the backing file"},
		{"long backing name", None, func(p []byte) []byte { put64(p[offBackingOffset:], 600); put32(p[offBackingSize:], 1<<30); return p }, "1023 is the most"},
		{"L2 outside", None, func(p []byte) []byte { put64(p[3*clusterSize:], 1<<50); return p }, "is not inside of the file"},
		{"L2 is L1", None, func(p []byte) []byte { put64(p[3*clusterSize:], 3*clusterSize); return p }, "the L2 table of the disk's byte 0 at 196608 overlaps"},
		{"L2 is the header", None, func(p []byte) []byte { put64(p[3*clusterSize:], 1<<9); return p }, "where no cluster begins"},
		{"cluster twice", None, func(p []byte) []byte { copy(p[l2+8:l2+16], p[l2:]); return p }, "overlaps something else"},
		{"cluster outside", None, func(p []byte) []byte { put64(p[l2+8:], 1<<40); return p }, "truncated"},
		{"cluster odd", None, func(p []byte) []byte { put64(p[l2+8:], 7*clusterSize+512); return p }, "the L2 entry"},
		{"cluster truncated", None, func(p []byte) []byte { return p[:len(p)-2*clusterSize] }, "truncated"},
		{"compressed outside", Zlib, func(p []byte) []byte { put64(p[l2+8:], flagCompressed|1<<40); return p }, "truncated"},
		{"compressed in L2", Zlib, func(p []byte) []byte { put64(p[l2+8:], flagCompressed|l2); return p }, "overlaps"},
		{"compressed twice", Zlib, func(p []byte) []byte { copy(p[l2+8*2:l2+8*3], p[l2+8:]); return p }, "overlaps"},
	} {
		p := c.corrupt(small(t, c.c))
		img, err := Open(bytes.NewReader(p), int64(len(p)))
		if err == nil {
			_, err = img.Map()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "qcow2: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestDamagedStream: compressed data that is not.
func TestDamagedStream(t *testing.T) {
	for _, c := range []Compression{Zlib, Zstd} {
		p := small(t, c)
		img, err := Open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		e, err := img.lookup(clusterSize)
		if err != nil || e.kind != compressed {
			t.Fatal(e, err)
		}
		for i := range 100 {
			p[e.offset+int64(i)] ^= 0x55
		}
		err = img.read(make([]byte, 10), clusterSize)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the disk's byte 65536: the compressed cluster at %d is damaged", e.offset)) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

// TestTruncated: an image that ends anywhere is an error or the same disk.
func TestTruncated(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	for _, c := range compressions {
		p := small(t, c)
		want := mapOf(t, must(Open(bytes.NewReader(p), int64(len(p)))))
		for n := 0; n < len(p); n += 30011 {
			img, err := Open(bytes.NewReader(p[:n]), int64(n))
			if err != nil {
				continue
			}
			m, err := img.Map()
			if err != nil {
				continue
			}
			a, b := make([]byte, m.Size()), make([]byte, m.Size())
			if _, err := m.ReadAt(a, 0); err != nil {
				continue
			}
			if _, err := want.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a, b) {
				t.Errorf("%q: the first %d of %d bytes are another disk", c, n, len(p))
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRunsAreBounded(t *testing.T) {
	r := runs{max: 10}
	for i := range int64(1000) {
		r.add(i*100_000, 1000)
	}
	if len(r.list) > 10 {
		t.Errorf("%d runs", len(r.list))
	}
	for i := range int64(1000) {
		found := false
		for _, run := range r.list {
			found = found || run.from <= i*100_000 && run.to >= i*100_000+1000
		}
		if !found {
			t.Errorf("run %d is lost", i)
		}
	}
}

func TestSpace(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	s := newSpace(1<<40, 512)
	for i := range int64(1 << 15) { // 1 GiB
		if err := s.claim((1<<15-1-i)<<15, 1<<15, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.pages) != 0 || len(s.full) != 64 {
		t.Errorf("%d pages in part, %d full", len(s.pages), len(s.full))
	}
	if s.claim(1<<30-1, 1, "x") == nil || s.claimed(1<<30, 1<<20) || !s.claimed(1<<30-1, 2) || s.claim(1<<40-1, 2, "x") == nil || s.claim(1<<30, 512, "x") != nil {
		t.Error("wrong answers")
	}
}

// FuzzOpen: no image makes the reader panic, hang or take memory without limit.
func FuzzOpen(f *testing.F) {
	for _, c := range compressions {
		f.Add(tiny(f, c))
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
		buffer, left := make([]byte, 1<<16), 4<<20
		for e := range m.Extents(0, m.Size()) {
			for at := e.Offset; at < e.End() && left > 0; at += int64(len(buffer)) {
				n := min(int64(len(buffer)), e.End()-at)
				_, _ = m.ReadAt(buffer[:n], at)
				left -= int(n)
			}
		}
	})
}

// tiny is an image in clusters of 512 bytes, so that the fuzzer finds its parts.
func tiny(t testing.TB, c Compression) []byte {
	t.Helper()
	p := make([]byte, 7*512)
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	copy(p, magic)
	put32(p[offVersion:], 3)
	put32(p[offClusterBits:], 9)
	put64(p[offSize:], 3*512)
	put32(p[offL1Size:], 1)
	put64(p[offL1Offset:], 3*512)
	put64(p[offRefcountOffset:], 512)
	put32(p[offRefcountLength:], 1)
	put32(p[offRefcountOrder:], 4)
	put32(p[offHeaderLength:], headerLength)
	put64(p[512:], 2*512)
	put64(p[3*512:], 4*512|flagCopied)
	put64(p[4*512:], 5*512|flagCopied)
	copy(p[5*512:], text(1, 512))
	if c == None {
		return p
	}
	if c == Zstd {
		put64(p[offIncompatible:], featureCompression)
		p[offCompression] = 1
	}
	stream, err := must(newEncoder(Options{Compression: c})).encode(nil, text(2, 512))
	if err != nil {
		t.Fatal(err)
	}
	put64(p[4*512+8:], flagCompressed|6*512|uint64((len(stream)-1)/512)<<(62-1))
	return append(p[:6*512], stream...)
}
