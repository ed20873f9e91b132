package zfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
	"diskwright/test/oracle"
	"diskwright/tree"
)

// various is a small tree of which every kind of block is written.
func various(t testing.TB) *tree.Inode {
	t.Helper()
	root := dir()
	for _, n := range []int64{1, 700, 5000, 131072, 131073, 1048576, 3*mib + 5} {
		root.SetChild(fmt.Sprintf("noise-%d", n), file(noise(n)))
		root.SetChild(fmt.Sprintf("text-%d", n), file(text(n)))
	}
	root.SetChild("sparse", file(sparse(t, 700*mib, 0, 300*mib, 699*mib)))
	// Compresses in places only, so that runs of both kinds follow each other.
	mixed := &content.Generated{Length: 2 * mib, Fill: func(p []byte, off int64) error {
		for i := range p {
			at := off + int64(i)
			if at>>17&1 == 0 {
				x := uint64(at) * 0x9e3779b97f4a7c15
				p[i] = byte((x ^ x>>29) * 0xbf58476d1ce4e5b9 >> 56)
			} else {
				p[i] = byte(at >> 9)
			}
		}
		return nil
	}}
	root.SetChild("mixed", file(mixed))
	many := dir()
	for i := range 300 {
		many.SetChild(fmt.Sprintf("a-name-that-is-longer-than-what-a-micro-zap-holds-%04d", i), root.Child("text-700"))
	}
	root.SetChild("many", many)
	return root
}

// storages is what decides how blocks lie in a pool: a file system for each.
var storages = []struct {
	name  string
	props props
}{
	{"lz4", props{"compression": "lz4"}},
	{"zle", props{"compression": "zle", "recordsize": "8K"}},
	{"gzip", props{"compression": "gzip", "copies": "2"}},
	{"gzip1", props{"compression": "gzip-1", "recordsize": "1M", "redundant_metadata": "most"}},
	{"zstd", props{"compression": "zstd", "checksum": "sha256"}},
	{"zstd19", props{"compression": "zstd-19", "recordsize": "512K", "copies": "3", "redundant_metadata": "none"}},
	{"zstdfast", props{"compression": "zstd-fast-1000", "recordsize": "1M", "redundant_metadata": "some"}},
	{"sha512", props{"checksum": "sha512", "recordsize": "512"}},
	{"nosum", props{"checksum": "off", "compression": "off"}},
	{"fletcher2", props{"checksum": "fletcher2", "copies": "3"}},
	{"nocase", props{"casesensitivity": "insensitive", "normalization": "formD"}},
	{"mixedcase", props{"casesensitivity": "mixed", "utf8only": "on", "dnodesize": "auto"}},
}

// Pools in which file systems store in all ways there are: zdb finds every block and
// no other, and reads what was written.
func TestStorages(t *testing.T) {
	for i, test := range []struct{ features, ashift string }{
		{"openzfs-2.1", "12"}, // of the zdb that distributions have
		{"minimal", "9"},
		{"zol-0.8 and zstd", "13"},
	} {
		if i > 0 && !long {
			break
		}
		t.Run(test.features+" ashift "+test.ashift, func(t *testing.T) {
			t.Parallel()
			root := various(t)
			opts := testOptions(2 * gib)
			opts.Features, _, _ = strings.Cut(test.features, " ")
			if opts.Features == "zol-0.8" {
				opts.PoolProperties["feature@zstd_compress"] = "enabled"
			}
			opts.PoolProperties["ashift"] = test.ashift
			for _, s := range storages {
				opts.Datasets = append(opts.Datasets, Dataset{Name: s.name, Root: various(t), Properties: s.props})
			}
			opts.Datasets = append(opts.Datasets, Dataset{Name: "zstd/inherits", Root: various(t)}, Dataset{Name: "zstd/nothing"})
			image := write(t, plan(t, dir(), opts))
			check(t, image)
			read := reader(t, image, opts)
			last := root.Child("many").Entries[299].Name
			read("nocase", "many/"+last, contentOf(t, root.Child("text-700")))
			for i, d := range opts.Datasets[:len(opts.Datasets)-1] {
				for _, e := range root.Entries {
					if e.Inode.IsRegular() && e.Name != "sparse" && (long || i > 0 && e.Name == "mixed") {
						read(d.Name, e.Name, contentOf(t, e.Inode))
					}
				}
			}
		})
	}
}

// GRUB has decoders of its own, of all but zstd, and looks at sums of most kinds.
func TestGRUB(t *testing.T) {
	opts := testOptions(gib)
	root := various(t)
	for _, s := range storages {
		switch s.name {
		case "zstd", "zstd19", "zstdfast", "sha512": // needs features that GRUB does not know
		case "nocase", "mixedcase": // GRUB does not know how names are folded
		default:
			opts.Datasets = append(opts.Datasets, Dataset{Name: s.name, Root: various(t), Properties: s.props})
		}
	}
	image := write(t, plan(t, dir(), opts))
	for _, d := range opts.Datasets {
		for i, e := range root.Entries {
			if !e.Inode.IsRegular() || e.Name == "sparse" || !long && i%3 != 0 {
				continue
			}
			want := contentOf(t, e.Inode)
			if got := oracle.Output(t, "grub-fstest", image, "cat", "(loop0)/"+d.Name+"@/"+e.Name); !bytes.Equal(got, want) {
				t.Errorf("%s/%s: GRUB reads %d bytes that differ from the %d of the file", d.Name, e.Name, len(got), len(want))
			}
		}
	}
}

// reader has zdb read files of a pool, which it does only if a cache file and its
// labels say that it is imported.
func reader(t testing.TB, image string, opts Options) func(dataset, path string, want []byte) {
	t.Helper()
	p := &pool{opts: opts}
	markImported(t, image, newGeometry(opts.Size).device)
	ashift, err := strconv.ParseUint(opts.PoolProperties["ashift"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	config := ondisk.NVList{
		{Name: "version", Value: uint64(ondisk.PoolVersion)},
		{Name: "name", Value: opts.Name},
		{Name: "state", Value: uint64(0)},
		{Name: "pool_guid", Value: p.poolGUID()},
		{Name: "vdev_tree", Value: ondisk.NVList{
			{Name: "type", Value: "root"},
			{Name: "id", Value: uint64(0)},
			{Name: "guid", Value: p.poolGUID()},
			{Name: "children", Value: []ondisk.NVList{{
				{Name: "type", Value: "disk"},
				{Name: "id", Value: uint64(0)},
				{Name: "guid", Value: p.deviceGUID()},
				{Name: "path", Value: image},
				{Name: "ashift", Value: ashift},
			}}},
		}},
	}
	cache := filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(cache, ondisk.NVList{{Name: opts.Name, Value: config}}.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(dataset, path string, want []byte) {
		t.Helper()
		to := filepath.Join(t.TempDir(), "file")
		out := oracle.Run(t, "zdb", "-U", cache, "-r", opts.Name+"/"+dataset, path, to)
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s/%s: zdb reads %d bytes that differ from the %d of the file: %v\n%s", dataset, path, len(got), len(want), err, clip(out))
		}
	}
}

// markImported changes the state in the labels of a pool.
func markImported(t testing.TB, image string, size int64) {
	t.Helper()
	const listAt, listSize = 16 << 10, 112 << 10
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range ondisk.Labels {
		at := ondisk.LabelOffset(size, i) + listAt
		list := make([]byte, listSize)
		if _, err := f.ReadAt(list, at); err != nil {
			t.Fatal(err)
		}
		name := []byte("\x00\x00\x00\x05state\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x01")
		value := bytes.Index(list, name) + len(name)
		clear(list[value : value+8])
		ondisk.Seal(list, at)
		if _, err := f.WriteAt(list, at); err != nil {
			t.Fatal(err)
		}
	}
}

// Blocks have the copies that properties ask for, each in a metaslab of its own.
func TestCopies(t *testing.T) {
	root := dir()
	root.SetChild("f", file(text(300000)))
	opts := testOptions(512 * mib)
	opts.Properties["compression"] = "lz4"
	opts.Datasets = []Dataset{
		{Name: "one", Root: root},
		{Name: "three", Root: various(t), Properties: props{"copies": "3"}},
		{Name: "none", Root: various(t), Properties: props{"copies": "2", "redundant_metadata": "none"}},
	}
	image := write(t, plan(t, dir(), opts))
	for name, want := range map[string]struct{ data, meta int }{"one": {1, 2}, "three": {3, 3}, "none": {2, 2}} {
		out := zdb(t, image, "-ddddddbbbb", "tank/"+name, "37")
		blocks := regexp.MustCompile(`(?m)^ +[0-9a-f]+ +L(\d) +((?:[0-9a-f]+:[0-9a-f]+:[0-9a-f]+ )+)`).FindAllStringSubmatch(out, -1)
		if len(blocks) < 2 {
			t.Errorf("%s: no blocks:\n%s", name, clip(out))
		}
		for _, b := range blocks {
			copies := want.data
			if b[1] != "0" {
				copies = want.meta
			}
			if got := strings.Fields(b[2]); len(got) != copies {
				t.Errorf("%s: a block of level %s has %d copies, want %d", name, b[1], len(got), copies)
			}
		}
	}
}

// What cannot be named in a file system is refused.
func TestNaming(t *testing.T) {
	one := func(names ...string) *tree.Inode {
		root := dir()
		for _, n := range names {
			root.SetChild(n, dir())
		}
		return root
	}
	for _, test := range []struct {
		props props
		root  *tree.Inode
		want  string
	}{
		{props{"casesensitivity": "insensitive"}, one("readme", "README"), `"README" and "readme" differ in case only`},
		{props{"casesensitivity": "mixed"}, one("readme", "README"), ""},
		{props{"casesensitivity": "insensitive"}, one("\u00e9"), `is not ASCII`},
		{props{"normalization": "formC"}, one("\u00e9"), `is not ASCII`},
		{props{"utf8only": "on"}, one("\u00e9"), ""},
		{props{"utf8only": "on"}, one("\xff"), `the name "\xff" is not UTF-8`},
		{props{"utf8only": "off"}, one("\xff"), ""},
	} {
		opts := testOptions(256 * mib)
		opts.Datasets = []Dataset{{Name: "a", Properties: test.props}, {Name: "a/inherits", Root: test.root}}
		_, err := New(t.Context(), dir(), opts)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: %v, want %s", test.props, err, test.want)
		}
	}
}

// What was found wrong in the second pass names the file.
func TestChangedIsNamed(t *testing.T) {
	root, sub := dir(), dir()
	f := &changing{Source: text(400000)}
	sub.SetChild("f", file(f))
	root.SetChild("d", sub)
	opts := testOptions(256 * mib)
	opts.Properties["compression"] = "gzip"
	p := plan(t, root, opts)
	f.Source = noise(400000)
	_, err := p.Map().SHA256(t.Context(), 1, nil)
	if !errors.Is(err, content.ErrChanged) || !strings.Contains(err.Error(), `"/d/f": block 0`) {
		t.Error(err)
	}
}
