package qcow2

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"diskwright/finding"
	"diskwright/test/oracle"
)

// found returns what is wrong with an image, and whether it can be opened.
func found(t testing.TB, image []byte) (list *finding.List, ok bool) {
	t.Helper()
	list = new(finding.List)
	img, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return list, false
	}
	if err := img.Check(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	if _, err := img.Map(); err != nil {
		return list, false
	}
	return list, true
}

// qemuImages are images of all kinds.
func qemuImages(t testing.TB) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	images := make(map[string][]byte)
	read := func(name, path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		images[name] = b
	}
	m := mixedMap(t, 3<<20)
	for _, c := range []Compression{None, Zlib, Zstd} {
		read("own "+string(c), write(t, m, Options{Compression: c}))
	}
	raw := writeRaw(t, m)
	for name, options := range map[string]string{
		"version 2": "compat=0.10", "small clusters": "cluster_size=512", "1 bit": "refcount_bits=1", "64 bits": "refcount_bits=64",
		"subclusters": "extended_l2=on,cluster_size=16384", "lazy": "lazy_refcounts=on",
	} {
		path := filepath.Join(dir, "image")
		oracle.Run(t, "qemu-img", "convert", "-O", "qcow2", "-o", options, raw, path)
		read(name, path)
	}
	path := filepath.Join(dir, "snapshot")
	oracle.Run(t, "qemu-img", "convert", "-O", "qcow2", raw, path)
	oracle.Run(t, "qemu-img", "snapshot", "-c", "one", path)
	oracle.Run(t, "qemu-img", "snapshot", "-c", "two", path)
	read("snapshots", path)
	return images
}

// TestCheckClean: nothing is wrong with what we and QEMU write.
func TestCheckClean(t *testing.T) {
	for name, image := range qemuImages(t) {
		list, ok := found(t, image)
		kept, _ := list.Findings()
		if !ok || len(kept) > 0 {
			t.Errorf("%s: %v, %v", name, ok, kept)
		}
	}
}

// TestCheckMutations: what qemu-img finds wrong with an image of which a byte of
// its tables was changed, Check does, or the image is refused.
func TestCheckMutations(t *testing.T) {
	count := 60
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		count = 1000
	}
	for name, original := range qemuImages(t) {
		if name == "1 bit" && testing.Short() {
			continue
		}
		t.Run(name, func(t *testing.T) { compareMutations(t, original, count) })
	}
}

func compareMutations(t *testing.T, original []byte, count int) {
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, original, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := Open(bytes.NewReader(original), int64(len(original)))
	if err != nil {
		t.Fatal(err)
	}
	l2 := int64(img.l1[0] & offsetMask)
	block := int64(be64(original[img.refcountTable:]))
	places := []struct {
		name       string
		at, length int64
	}{
		{"header", 4, 108}, {"L1 table", img.l1Offset, 16}, {"L2 table", l2, 400},
		{"refcount table", img.refcountTable, 16}, {"refcount block", block, 200},
	}
	rng := rand.New(rand.NewPCG(6, uint64(len(original))))
	image := bytes.Clone(original)
	reported := 0
	for i := range count {
		p := places[i%len(places)]
		at := p.at + rng.Int64N(p.length)
		if p.name == "header" && at >= 72 && img.version == 2 {
			continue
		}
		if rng.IntN(2) == 0 {
			image[at] ^= 1 << rng.IntN(8)
		} else {
			image[at] = []byte{0, 0xff, 0x80, 1, 2}[rng.IntN(5)]
		}
		if _, err := f.WriteAt(image[at:at+1], at); err != nil {
			t.Fatal(err)
		}
		output, status := oracle.Exit(t, "qemu-img", "check", path)
		if _, err := f.WriteAt(original[at:at+1], at); err != nil {
			t.Fatal(err)
		}
		list, ok := found(t, image)
		if status != 0 {
			reported++
			if ok && list.Total() == 0 {
				t.Errorf("%s, byte %d, %#x to %#x: only qemu-img says (%d):\n%s", p.name, at-p.at, original[at], image[at], status, output)
			}
		}
		image[at] = original[at]
	}
	t.Logf("%d of %d mutations reported by qemu-img", reported, count)
}

func be64(p []byte) (n uint64) {
	for _, b := range p[:8] {
		n = n<<8 | uint64(b)
	}
	return n
}

// FuzzCheck checks images in which some bytes were replaced.
func FuzzCheck(f *testing.F) {
	original := tiny(f, None)
	f.Add(uint32(40), []byte{0, 0, 0, 0, 0, 1})
	f.Add(uint32(65536), []byte{0, 0, 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, at uint32, data []byte) {
		image := bytes.Clone(original)
		copy(image[int(at)%len(image):], data)
		found(t, image)
	})
}
