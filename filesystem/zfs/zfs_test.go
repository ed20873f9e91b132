package zfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
	"diskwright/tree"
)

// Shifts and counts that zpool chose for devices of these sizes, but for the last,
// which follow from the rules.
func TestGeometry(t *testing.T) {
	for _, test := range []struct {
		size, metaslabs int64
		shift           int
	}{
		{4173824 * 512, 15, 27}, // zpool 2.1.11 on a disk of 2048 MiB
		{64 * mib, 3, 24},
		{9 * gib, 17, 29},
		{64 * gib, 127, 29},
		{110 * gib, 109, 30},
		{4 * tib, 255, 34},
	} {
		g := newGeometry(test.size)
		if g.metaslabShift != test.shift || g.metaslabs != test.metaslabs {
			t.Errorf("%d bytes: %d metaslabs of 1<<%d, want %d of 1<<%d", test.size, g.metaslabs, g.metaslabShift, test.metaslabs, test.shift)
		}
	}
	if g := newGeometry(4173824 * 512); g.data != 2132279296 {
		t.Errorf("asize %d", g.data)
	}
}

func TestSlop(t *testing.T) {
	for usable, want := range map[int64]int64{
		48 * mib: 24 * mib, 256 * mib: 128 * mib, gib: 128 * mib, 4 * gib: 128 * mib, 8 * gib: 256 * mib, 8 * tib: 128 * gib,
	} {
		g := geometry{metaslabs: usable / (16 * mib), metaslabShift: 24}
		if got := g.slop(); got != want {
			t.Errorf("of %d bytes %d stay free, want %d", usable, got, want)
		}
	}
}

// What is missing is what must be added.
func TestNoSpace(t *testing.T) {
	root := dir()
	root.SetChild("f", file(noise(100*mib)))
	_, err := New(t.Context(), root, testOptions(128*mib))
	var full *NoSpaceError
	if !errors.As(err, &full) || full.Missing <= 0 || full.Needed < 100*mib {
		t.Fatalf("%v", err)
	}
	want := fmt.Sprintf("%d bytes are missing", full.Missing)
	if !strings.Contains(err.Error(), want) {
		t.Errorf("%v: does not say %q", err, want)
	}
	// Half of the device stays free.
	opts := testOptions(128*mib + 2*full.Missing + 32*mib)
	if _, err := New(t.Context(), root, opts); err != nil {
		t.Error(err)
	}
}

func digest(t *testing.T, root *tree.Inode, opts Options) [32]byte {
	t.Helper()
	sum, err := plan(t, root, opts).Map().SHA256(t.Context(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// The bits depend on tree and options only: not on workers, nor on how the map is
// read.
func TestDeterminism(t *testing.T) {
	root := everything(t)
	opts := testOptions(256 * mib)
	opts.Properties["compression"] = "lz4"
	opts.Workers = 1
	want := digest(t, root, opts)
	opts.Workers = 7
	if digest(t, root, opts) != want {
		t.Error("the number of workers makes a difference")
	}
	m := plan(t, root, opts).Map()
	whole := make([]byte, 12*mib)
	if err := content.ReadFull(m, whole, 4*mib); err != nil {
		t.Fatal(err)
	}
	for off, size := int64(0), int64(1); off < int64(len(whole)); size = size*7%99991 + 1 {
		p := bytes.Repeat([]byte{0xaa}, int(min(size, int64(len(whole))-off)))
		if err := content.ReadFull(m, p, 4*mib+off); err != nil || !bytes.Equal(p, whole[off:off+int64(len(p))]) {
			t.Fatalf("%d bytes at %d differ: %v", len(p), off, err)
		}
		off += int64(len(p))
	}
	opts.Seed = []byte("another")
	if digest(t, root, opts) == want {
		t.Error("the seed makes no difference")
	}
}

func TestRefusals(t *testing.T) {
	one := func(name string, i *tree.Inode) *tree.Inode {
		root := dir()
		sub := dir()
		sub.SetChild(name, i)
		root.SetChild("d", sub)
		return root
	}
	attr := file(nil)
	attr.Xattrs = []tree.Xattr{{Name: "user.x", Value: make([]byte, ondisk.MaxXattrValue+1)}}
	attrs := file(nil)
	for i := range 3 {
		attrs.Xattrs = append(attrs.Xattrs, tree.Xattr{Name: fmt.Sprintf("user.%d", i), Value: make([]byte, 30000)})
	}
	for want, root := range map[string]*tree.Inode{
		`"/d/link": the target of the symbolic link has 4096 bytes`: one("link", tree.NewSymlink(strings.Repeat("x", 4096), testTime)),
		`"/d/null": device 4096:0 has a number above 4095:1048575`:  one("null", special(tree.TypeChar, 4096, 0)),
		`"/d/f": the extended attribute "user.x" has 32769 bytes`:   one("f", attr),
		`"/d/f": the extended attributes take 90`:                   one("f", attrs),
		`"/d/f": unreadable`:                                           one("f", file(unreadable{})),
		`the root of the tree is not a directory`:                      file(nil),
		"\"/d\": the name \"" + strings.Repeat("n", 256) + "\" has mo": one(strings.Repeat("n", 256), dir()),
	} {
		if _, err := New(t.Context(), root, testOptions(256*mib)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for want, change := range map[string]func(*Options){
		"no name":                       func(o *Options) { o.Name = "" },
		`"mirror", which`:               func(o *Options) { o.Name = "mirror1" },
		`is not a letter`:               func(o *Options) { o.Name = "a/b" },
		`"log" means`:                   func(o *Options) { o.Name = "log" },
		"more than 239 bytes":           func(o *Options) { o.Name = strings.Repeat("a", 240) },
		"not 67108863":                  func(o *Options) { o.Size = 64*mib - 1 },
		`ashift="14"`:                   func(o *Options) { o.PoolProperties["ashift"] = "14" },
		`recordsize="3000"`:             func(o *Options) { o.Properties["recordsize"] = "3000" },
		`mountpoint="nowhere"`:          func(o *Options) { o.Properties["mountpoint"] = "nowhere" },
		`device, "vda"`:                 func(o *Options) { o.DevicePath = "vda" },
		`two datasets "a/b"`:            func(o *Options) { o.Datasets = []Dataset{{Name: "a/b"}, {Name: "c"}, {Name: "a/b"}} },
		`name "a//b" is not`:            func(o *Options) { o.Datasets = []Dataset{{Name: "a//b"}} },
		`name "../b" is not`:            func(o *Options) { o.Datasets = []Dataset{{Name: "../b"}} },
		"more than 255 bytes":           func(o *Options) { o.Datasets = []Dataset{{Name: strings.Repeat("a", 251)}} },
		`dataset "a": property mountpo`: func(o *Options) { o.Datasets = []Dataset{{Name: "a", Properties: props{"mountpoint": "var"}}} },
		`of dataset "a" is no`:          func(o *Options) { o.Datasets = []Dataset{{Name: "a", Root: file(nil)}} },
	} {
		opts := testOptions(256 * mib)
		change(&opts)
		if _, err := New(t.Context(), dir(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

type unreadable struct{}

func (unreadable) Size() int64                       { return 5000 }
func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errors.New("unreadable") }

// Whoever gives up does not wait, and nothing goes on in the background.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	root := dir()
	root.SetChild("a", file(noise(10*mib)))
	root.SetChild("b", file(cancelling{cancel, noise(10 * mib)}))
	if _, err := New(ctx, root, testOptions(256*mib)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Nor does one of a tree without any content go on.
func TestCancelNames(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root := dir()
	for i := range 10 {
		root.SetChild(fmt.Sprint(i), dir())
	}
	if _, err := New(ctx, root, testOptions(256*mib)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type cancelling struct {
	cancel context.CancelFunc
	content.Source
}

func (c cancelling) ReadAt(p []byte, off int64) (int, error) {
	c.cancel()
	return c.Source.ReadAt(p, off)
}

// The bits of a pool do not change from one version to the next by accident: above
// all not with what compresses.
func TestGolden(t *testing.T) {
	root := dir()
	root.SetChild("text", file(text(3*mib)))
	root.SetChild("noise", file(noise(200000)))
	root.SetChild("link", tree.NewSymlink("text", testTime))
	opts := testOptions(64 * mib)
	opts.Properties["compression"] = "lz4"
	opts.Datasets = []Dataset{{Name: "home"}}
	const want = "a258d6308f4adcffc1b0ce39d716bbd38f0531c6be2db4c85d7dffb61fa329c9"
	if got := fmt.Sprintf("%x", digest(t, root, opts)); got != want {
		t.Errorf("SHA-256 of the image: %s, want %s", got, want)
	}
}

// A file whose content compresses to another size when it is read once more cannot
// be written.
func TestChanged(t *testing.T) {
	root := dir()
	f := &changing{Source: text(100000)}
	root.SetChild("f", file(f))
	opts := testOptions(256 * mib)
	opts.Properties["compression"] = "lz4"
	p := plan(t, root, opts)
	f.Source = noise(100000)
	if _, err := p.Map().SHA256(t.Context(), 1, nil); !errors.Is(err, content.ErrChanged) {
		t.Error(err)
	}
}

type changing struct{ content.Source }

// A file of the largest size has all levels of indirect blocks, of which most are
// holes.
func TestLevels(t *testing.T) {
	s := &objset{pool: &pool{}}
	for _, test := range []struct {
		blocks   int64
		pointers int
		min      int
		levels   int
	}{
		{0, 1, 1, 1}, {1, 1, 1, 1}, {2, 1, 1, 2}, {3, 3, 1, 1}, {4, 3, 1, 2}, {1024, 1, 1, 2}, {1025, 1, 1, 3}, {3072, 3, 1, 2}, {3073, 3, 1, 3},
		{1 << 46, 1, 1, 6}, {1<<63 - 1, 1, 1, 8}, {1, 3, 6, 6},
	} {
		if got := s.newTree(0, test.blocks, test.pointers, test.min).levels; got != test.levels {
			t.Errorf("%+v: %d levels", test, got)
		}
	}
}
