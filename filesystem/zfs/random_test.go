package zfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/zfs"
	"diskwright/filesystem/zfs/volume"
	"diskwright/finding"
	"diskwright/tree"
)

type props = map[string]string

// oneOf draws a value.
func oneOf[T any](t *rapid.T, what string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, what)
}

// drawStorage returns properties that decide how a file system stores.
func drawStorage(t *rapid.T) props {
	p := make(props)
	for _, s := range []struct {
		name   string
		values []string
	}{
		{"compression", []string{"", "off", "on", "lz4", "zle", "gzip-1", "gzip", "zstd", "zstd-1", "zstd-fast-10"}},
		{"checksum", []string{"", "on", "off", "fletcher2", "fletcher4", "sha256", "sha512"}},
		{"recordsize", []string{"", "512", "4K", "16K", "128K", "256K", "1M"}},
		{"copies", []string{"", "1", "2", "3"}},
		{"redundant_metadata", []string{"", "all", "most", "some", "none"}},
		{"casesensitivity", []string{"", "", "sensitive", "mixed"}},
	} {
		if v := oneOf(t, s.name, s.values...); v != "" {
			p[s.name] = v
		}
	}
	return p
}

// drawContent returns what a file holds: pieces of noise, text and holes.
func drawContent(t *rapid.T) content.Source {
	var b diskmap.Builder
	size := int64(0)
	for range rapid.IntRange(0, 5).Draw(t, "pieces") {
		n := int64(oneOf(t, "length", 1, 100, 511, 512, 4096, 5000, 131072, 131073, 300000))
		data := make([]byte, n)
		switch oneOf(t, "kind", "noise", "text", "zeros", "hole") {
		case "noise":
			x := rapid.Uint64().Draw(t, "seed")
			for i := range data {
				x = x*6364136223846793005 + 1442695040888963407
				data[i] = byte(x >> 56)
			}
		case "text":
			copy(data, bytes.Repeat(fmt.Appendf(nil, "line %d\n", rapid.Byte().Draw(t, "line")), int(n/6)+1))
		case "hole":
			data = nil
			n <<= oneOf(t, "hole", 0, 3, 14)
		}
		if data != nil {
			b.Place(size, content.Bytes(data))
		}
		size += n
	}
	m, err := b.Map(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawTree returns a directory with all kinds of things.
func drawTree(t *rapid.T, depth int) *tree.Inode {
	root := tree.NewDir(drawTime(t))
	var last *tree.Inode
	for i := range rapid.IntRange(0, 6).Draw(t, "entries") {
		name := fmt.Sprintf("%d-%s", i, rapid.StringMatching(`[a-zA-Z]{1,60}`).Draw(t, "name"))
		var child *tree.Inode
		switch kind := oneOf(t, "type", "file", "file", "dir", "link", "device", "fifo", "hard link", "many"); {
		case kind == "file", kind == "dir" && depth == 0:
			child = tree.NewFile(drawContent(t), drawTime(t))
			last = child
		case kind == "dir":
			child = drawTree(t, depth-1)
		case kind == "link":
			child = tree.NewSymlink(rapid.StringMatching(`[a-z/]{1,300}`).Draw(t, "target"), drawTime(t))
		case kind == "device":
			child = &tree.Inode{Mode: tree.TypeChar | 0o600, Major: rapid.Uint32Range(0, 4095).Draw(t, "major"), Minor: rapid.Uint32Range(0, 1<<20-1).Draw(t, "minor")}
		case kind == "fifo":
			child = &tree.Inode{Mode: tree.TypeFIFO | 0o644}
		case kind == "hard link" && last != nil:
			root.SetChild(name, last)
			continue
		default:
			child = tree.NewDir(drawTime(t))
			same := tree.NewFile(nil, drawTime(t))
			for j := range oneOf(t, "names", 30, 300, 2200) {
				child.SetChild(fmt.Sprint(j), same)
			}
		}
		child.UID, child.GID = rapid.Uint32().Draw(t, "uid"), rapid.Uint32().Draw(t, "gid")
		child.Mode = child.Mode&^0o7777 | rapid.Uint32Range(0, 0o7777).Draw(t, "mode")
		if n := oneOf(t, "attribute", -1, -1, -1, 0, 20, 3000); n >= 0 {
			child.Xattrs = []tree.Xattr{{Name: "user.a", Value: make([]byte, n)}, {Name: "user.b", Value: []byte("b")}}
		}
		root.SetChild(name, child)
	}
	return root
}

func drawTime(t *rapid.T) tree.Time {
	return tree.Time{Sec: rapid.Int64Range(-1<<31, 1<<34).Draw(t, "sec"), Nsec: rapid.Uint32Range(0, 999999999).Draw(t, "nsec")}
}

// Whatever a pool is like, and whatever is in it, nothing is wrong with it and
// everything is as it was.
func TestRandomPools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := drawTree(t, 2)
		opts := zfs.Options{
			Size: 512 << 20, Name: "tank", Seed: []byte("a seed"), Workers: 2,
			Features:       oneOf(t, "features", "minimal", "openzfs-2.1", "openzfs-2.2", "openzfs-2.3"),
			PoolProperties: props{"ashift": oneOf(t, "ashift", "9", "10", "12", "13")},
			Properties:     drawStorage(t),
		}
		roots := map[string]*tree.Inode{"tank": root}
		for i := range rapid.IntRange(0, 3).Draw(t, "datasets") {
			d := zfs.Dataset{Name: fmt.Sprint("d", i), Root: drawTree(t, 1), Properties: drawStorage(t)}
			roots["tank/"+d.Name] = d.Root
			opts.Datasets = append(opts.Datasets, d)
		}
		pool, err := zfs.New(t.Context(), root, opts)
		var full *zfs.NoSpaceError
		if errors.As(err, &full) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		m := pool.Map()
		var list finding.List
		if _, err := volume.Check(t.Context(), m, m.Size(), &list, nil); err != nil {
			t.Fatal(err)
		}
		if found, _ := list.Findings(); len(found) > 0 {
			t.Fatalf("%v %v: %v", opts.Properties, opts.Datasets, found)
		}
		v, err := volume.Open(m, m.Size())
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range roots {
			files, err := v.Dataset(name).Files()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := files.Tree(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			compare(t, name, got, want)
		}
	})
}

// compare compares trees.
func compare(t *rapid.T, path string, got, want *tree.Inode) {
	for _, x := range []struct{ what, got, want any }{
		{"mode", got.Mode, want.Mode}, {"owner", got.UID, want.UID}, {"group", got.GID, want.GID},
		{"time", got.Mtime, want.Mtime}, {"major", got.Major, want.Major}, {"minor", got.Minor, want.Minor},
		{"size", got.Size(), want.Size()}, {"entries", len(got.Entries), len(want.Entries)},
	} {
		if x.got != x.want {
			t.Fatalf("%s: %s %v, want %v", path, x.what, x.got, x.want)
		}
	}
	if len(got.Xattrs)+len(want.Xattrs) > 0 && !reflect.DeepEqual(got.Xattrs, want.Xattrs) {
		t.Fatalf("%s: attributes %v, want %v", path, got.Xattrs, want.Xattrs)
	}
	if want.Content != nil {
		compareContent(t, path, got.Content, want.Content)
	}
	for i, e := range want.Entries {
		if got.Entries[i].Name != e.Name {
			t.Fatalf("%s: entry %q, want %q", path, got.Entries[i].Name, e.Name)
		}
		compare(t, path+"/"+e.Name, got.Entries[i].Inode, e.Inode)
	}
}

// compareContent compares what is around the data that was written; holes are long.
func compareContent(t *rapid.T, path string, got, want content.Source) {
	for e := range diskmap.ExtentsOf(want) {
		from, to := max(e.Offset-1000, 0), min(e.End()+1000, want.Size())
		a, b := make([]byte, to-from), make([]byte, to-from)
		_, err := got.ReadAt(a, from)
		_, wrong := want.ReadAt(b, from)
		if err != nil && err != io.EOF || wrong != nil && wrong != io.EOF {
			t.Fatalf("%s: %v, %v", path, err, wrong)
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("%s: bytes %d to %d differ", path, from, to)
		}
	}
}
