package volume

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/filesystem/zfs"
	"diskwright/filesystem/zfs/ondisk"
	"diskwright/finding"
	"diskwright/tree"
)

// long says that there is time.
var long = os.Getenv("DISKWRIGHT_LONG") != ""

// testPool returns the bytes of a small pool with some of everything.
func testPool(t testing.TB, change func(*zfs.Options)) []byte {
	t.Helper()
	root := tree.NewDir(tree.Time{})
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{0, 1, 100, 513, 5000, 131072, 140000} {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		root.SetChild(fmt.Sprintf("noise-%d", size), tree.NewFile(content.Bytes(p), tree.Time{}))
		root.SetChild(fmt.Sprintf("text-%d", size), tree.NewFile(content.Bytes(bytes.Repeat([]byte("text\n"), size/5)), tree.Time{}))
	}
	many := tree.NewDir(tree.Time{})
	for i := range 2100 {
		many.SetChild(fmt.Sprintf("entry-%d", i), root.Child("text-1"))
	}
	root.SetChild("many", many)
	link := tree.NewSymlink(strings.Repeat("t", 300), tree.Time{})
	root.SetChild("link", link)
	attrs := tree.NewFile(nil, tree.Time{})
	attrs.Xattrs = []tree.Xattr{{Name: "user.a", Value: make([]byte, 500)}}
	root.SetChild("attrs", attrs)
	opts := zfs.Options{Size: 64 << 20, Name: "tank", Seed: []byte("seed"), Epoch: 1e9}
	opts.Datasets = []zfs.Dataset{{Name: "a/b"}}
	change(&opts)
	p, err := zfs.New(t.Context(), root, opts)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := io.ReadAll(io.NewSectionReader(p.Map(), 0, p.Map().Size()))
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// variants are pools as different options make them.
var variants = map[string]func(*zfs.Options){
	"plain":    func(o *zfs.Options) { o.Properties = map[string]string{"compression": "off"} },
	"minimal":  func(*zfs.Options) {},
	"features": func(o *zfs.Options) { o.Features = "openzfs-2.3" },
	"copies": func(o *zfs.Options) {
		o.PoolProperties = map[string]string{"ashift": "9"}
		o.Properties = map[string]string{"copies": "2", "checksum": "sha256", "compression": "gzip"}
		o.Features = "openzfs-2.1"
	},
}

// findings runs a check, which must end soon.
func findings(t testing.TB, disk []byte, trusting bool) (list []finding.Finding, skipped []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var l finding.List
	skipped, err := check(ctx, bytes.NewReader(disk), int64(len(disk)), trusting, &l, nil)
	if err != nil {
		l.Add("error", "", "%v", err)
	}
	list, _ = l.Findings()
	return list, skipped
}

// Nothing is wrong with pools of package zfs.
func TestCheck(t *testing.T) {
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if list, skipped := findings(t, testPool(t, change), false); len(list)+len(skipped) > 0 {
				t.Errorf("%v\n%v", list, skipped)
			}
		})
	}
}

// allocated returns where bytes of the device are in use: blocks up to the ends of
// their units, label lists and uberblocks.
func allocated(t testing.TB, disk []byte) (ranges [][2]int) {
	t.Helper()
	p, err := Open(bytes.NewReader(disk), int64(len(disk)))
	if err != nil {
		t.Fatal(err)
	}
	m := &spaceMaps{checker: &checker{Pool: p, ctx: t.Context(), list: new(finding.List)}, units: newUnits()}
	if err := m.read(); err != nil {
		t.Fatal(err)
	}
	for number, c := range m.units.chunks {
		for i := range uint64(chunkUnits) {
			if c[i/64]>>(i%64)&1 != 0 {
				at := ondisk.DataOffset + int(number*chunkUnits+i)<<p.Ashift
				ranges = append(ranges, [2]int{at, at + 1<<p.Ashift})
			}
		}
	}
	for i := range ondisk.Labels {
		at := int(ondisk.LabelOffset(int64(len(disk)), i))
		ranges = append(ranges, [2]int{at + 8<<10, at + 128<<10}) // boot environment, list
	}
	return ranges
}

// One bit that is changed, anywhere where something is allocated, is found.
func TestCheckFindsEveryBit(t *testing.T) {
	count := 40
	if long {
		count = 500
	}
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := testPool(t, change)
			ranges := allocated(t, disk)
			r := rand.New(rand.NewPCG(5, 6))
			for range count {
				where := ranges[r.IntN(len(ranges))]
				at, bit := where[0]+r.IntN(where[1]-where[0]), byte(1)<<r.IntN(8)
				disk[at] ^= bit
				if list, _ := findings(t, disk, false); len(list) == 0 {
					t.Errorf("bit %#x of byte %d, of the unit at %d: nothing is found", bit, at, where[0])
				}
				disk[at] ^= bit
			}
		})
	}
}

// Uberblocks that differ, and space that is lost or taken twice, are told by name.
func TestCheckKinds(t *testing.T) {
	disk := testPool(t, variants["minimal"])
	expect := func(what, kind string) {
		t.Helper()
		list, _ := findings(t, disk, false)
		for _, f := range list {
			if f.Kind == kind {
				return
			}
		}
		t.Errorf("%s: %v, want one of the kind %q", what, list, kind)
	}
	saved := bytes.Clone(disk[:ondisk.LabelSize])
	clear(disk[128<<10 : 256<<10])
	expect("no uberblocks in label 0", findUberblock)
	copy(disk, saved)
	clear(disk[16<<10 : 128<<10])
	expect("no list in label 0", findLabel)
	copy(disk, saved)

	p, _, err := open(bytes.NewReader(disk), int64(len(disk)), false)
	if err != nil {
		t.Fatal(err)
	}
	for kind, change := range map[string]func(*checker){
		findLeak:    func(c *checker) { c.used.remove(0, 3) },
		findSpace:   func(c *checker) { c.used.add(uint64(c.Size>>c.Ashift)-5, 2) },
		findFeature: func(c *checker) { c.uses["org.open-zfs:large_blocks"] = true },
	} {
		var list finding.List
		c := newChecker(t.Context(), p, &list, nil)
		if err := c.walkAll(); err != nil {
			t.Fatal(err)
		}
		change(c)
		c.features()
		if err := c.space(); err != nil {
			t.Fatal(err)
		}
		if kept, _ := list.Findings(); len(kept) != 1 || kept[0].Kind != kind {
			t.Errorf("%v, want one of the kind %q", kept, kind)
		}
	}
	// What is met twice: by a second walk of everything.
	var list finding.List
	c := newChecker(t.Context(), p, &list, nil)
	for range 2 {
		if err := c.walkAll(); err != nil {
			t.Fatal(err)
		}
	}
	if kept, _ := list.Findings(); len(kept) == 0 || kept[0].Kind != findShared {
		t.Errorf("%v, want one of the kind %q", kept, findShared)
	}
}

// hostile reads a disk whose checksums are believed, which may be anything.
func hostile(t testing.TB, disk []byte) {
	t.Helper()
	findings(t, disk, true)
	p, _, err := open(bytes.NewReader(disk), int64(len(disk)), true)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	files, err := p.Files(nil)
	if err != nil {
		return
	}
	for _, path := range []string{"/tank/many/entry-7", "/tank/link", "/tank"} {
		_, _ = files.Lookup(path, true)
	}
	root, err := files.Tree(ctx)
	if ctx.Err() != nil {
		t.Error("reading takes for ever")
	}
	if err != nil {
		return
	}
	var some [1000]byte
	for _, i := range tree.Number(root) {
		if i.IsRegular() && i.Size() > 0 {
			_, _ = i.Content.ReadAt(some[:], 0)
			_, _ = i.Content.ReadAt(some[:], max(i.Size()-900, 0))
		}
	}
}

// mutate puts a number at a place of a disk, at a multiple of its size.
func mutate(disk []byte, ranges [][2]int, where, at uint32, size uint8, value uint64) (undo func()) {
	place := ranges[int(where)%len(ranges)]
	n := 1 << (size % 4)
	from := place[0] + int(at)%(place[1]-place[0])/n*n
	saved := bytes.Clone(disk[from : from+n])
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], value)
	copy(disk[from:from+n], p[:])
	return func() { copy(disk[from:], saved) }
}

// metadata returns the ranges of a disk that are not in files: with what is in
// these, little would be metadata.
func metadata(t testing.TB, disk []byte) (ranges [][2]int) {
	t.Helper()
	for _, r := range allocated(t, disk) {
		p := disk[r[0]:r[1]]
		distinct := make(map[byte]bool)
		for _, b := range p {
			distinct[b] = true
		}
		if len(distinct) < 200 && len(distinct) > 1 && r[0] >= ondisk.DataOffset && r[0] < len(disk)-2*ondisk.LabelSize {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// Whatever is in metadata, reading it ends, without a panic.
func TestHostile(t *testing.T) {
	count := 300
	if long {
		count = 3000
	}
	disk := testPool(t, variants["plain"])
	ranges := metadata(t, disk)
	r := rand.New(rand.NewPCG(7, 8))
	values := []uint64{0, 1, 1<<64 - 1, 1 << 63, 0xffff, 0x7fffffff, 1 << 40}
	for range count {
		var undo []func()
		for range r.IntN(3) + 1 {
			value := r.Uint64() >> r.IntN(64)
			if r.IntN(2) == 0 {
				value = values[r.IntN(len(values))]
			}
			undo = append(undo, mutate(disk, ranges, r.Uint32(), r.Uint32(), uint8(r.Uint32()), value))
		}
		hostile(t, disk)
		for i := range undo {
			undo[len(undo)-1-i]()
		}
	}
}

func FuzzPool(f *testing.F) {
	disk := testPool(f, variants["plain"])
	ranges := metadata(f, disk)
	f.Add(uint32(1), uint32(100), uint8(3), uint64(1<<40), uint32(2), uint32(16), uint8(0), uint64(0))
	f.Add(uint32(40), uint32(64), uint8(3), uint64(1), uint32(41), uint32(72), uint8(3), uint64(1))
	f.Fuzz(func(t *testing.T, where1, at1 uint32, size1 uint8, value1 uint64, where2, at2 uint32, size2 uint8, value2 uint64) {
		undo1 := mutate(disk, ranges, where1, at1, size1, value1)
		undo2 := mutate(disk, ranges, where2, at2, size2, value2)
		defer undo1()
		defer undo2()
		hostile(t, disk)
	})
}

// Names that do not fit links are told.
func TestCheckFiles(t *testing.T) {
	disk := testPool(t, variants["minimal"])
	p, err := Open(bytes.NewReader(disk), int64(len(disk)))
	if err != nil {
		t.Fatal(err)
	}
	fs, err := p.Dataset("tank").FileSystem()
	if err != nil {
		t.Fatal(err)
	}
	find := func(f *filesCheck, typ uint32) *fileState {
		for number, s := range f.known {
			if s.mode&tree.TypeMask == typ && number != fs.root {
				return s
			}
		}
		t.Fatalf("no file of type %#o", typ)
		return nil
	}
	for kind, change := range map[string]func(*filesCheck){
		"":             func(*filesCheck) {},
		findLinks:      func(f *filesCheck) { find(f, tree.TypeRegular).links++ },
		findUnattached: func(f *filesCheck) { find(f, tree.TypeSymlink).names = 0 },
		findDirectory:  func(f *filesCheck) { find(f, tree.TypeDir).names++ },
	} {
		var list finding.List
		f := &filesCheck{checker: newChecker(t.Context(), p, &list, nil), fs: fs, name: "tank", known: make(map[uint64]*fileState)}
		if err := f.check(); err != nil || list.Total() > 0 {
			t.Fatalf("%v, %d findings", err, list.Total())
		}
		change(f)
		if err := f.links(); err != nil {
			t.Fatal(err)
		}
		if kept, _ := list.Findings(); kind == "" && len(kept) > 0 || kind != "" && (len(kept) != 1 || kept[0].Kind != kind) {
			t.Errorf("%v, want one of the kind %q", kept, kind)
		}
	}
}
