package qcow2

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/raw"
	"diskwright/test/oracle"
)

// TestPacker: clusters of all lengths, through several refcount blocks and L2
// tables. Only the tables are written: the file is a hole where data would be.
func TestPacker(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	const clusters = 120_000
	g, err := newGeometry(clusters*3*clusterSize, clusters)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := newPacker(f, g)
	r := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, clusterSize)
	end := int64(0)
	for i := range int64(clusters) {
		n := 1 + r.IntN(clusterSize-1)
		switch r.IntN(10) {
		case 0, 1, 2:
			n = clusterSize
		case 3:
			n = 1 + r.IntN(20) // many in one sector
		}
		at, err := p.place(block.Block{Index: 3 * i, Length: clusterSize, Data: data[:n]})
		if err != nil {
			t.Fatal(err)
		}
		end = max(end, at+int64(n))
	}
	if err := p.finish(Zlib); err != nil {
		t.Fatal(err)
	}
	if end < 3<<30 {
		t.Errorf("only %d bytes: not enough for the second refcount block", end)
	}
	if len(p.counts) > 4 {
		t.Errorf("%d refcount blocks were held to the end", len(p.counts))
	}
	m := mapOf(t, open(t, f.Name())) // finds overlaps
	if n := m.DataSize(); n != clusters*clusterSize {
		t.Errorf("%d bytes of data", n)
	}
	oracle.Run(t, "qemu-img", "check", "-f", "qcow2", f.Name())
}

// TestShared: as many compressed clusters in one of the file as a refcount can
// count, and more.
func TestShared(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	const clusters = 70_000
	g, err := newGeometry(clusters*clusterSize, clusters)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := newPacker(f, g)
	for i := range int64(clusters) {
		if _, err := p.place(block.Block{Index: i, Length: clusterSize, Data: []byte{0}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.finish(Zlib); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "qemu-img", "check", "-f", "qcow2", f.Name())
}

// TestLargeLayout: the same without compression, and 20 TiB of data, for which the
// refcount table has two clusters.
func TestLargeLayout(t *testing.T) {
	if raced {
		t.Skip("one goroutine")
	}
	for _, clusters := range []int64{100_000, 20 << 40 / clusterSize} {
		size := 2*clusters*clusterSize + 512
		m, err := new(diskmap.Builder).Map(size)
		if err != nil {
			t.Fatal(err)
		}
		l, err := newLayout(size, []block.Span{{First: 1, Count: clusters - 5}, {First: clusters + 7, Count: 5}})
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.file(m)
		if err != nil {
			t.Fatal(err)
		}
		if clusters > 1<<20 { // qemu-img would read gigabytes of tables
			if got, want := l.refcountClusters, int64(2); got != want || int64(len(l.refcount)) > got*entriesInTable {
				t.Errorf("%d clusters of refcount table, want %d", got, want)
			}
			continue
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := raw.WriteFile(context.Background(), file, f, raw.Options{}); err != nil {
			t.Fatal(err)
		}
		oracle.Run(t, "qemu-img", "check", "-f", "qcow2", f.Name())
		if n := mapOf(t, open(t, f.Name())).DataSize(); n != clusters*clusterSize {
			t.Errorf("%d bytes of data", n)
		}
	}
}
