package zfs

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/test/oracle"
	"diskwright/tree"
)

// long says that there is time.
var long = os.Getenv("DISKWRIGHT_LONG") != ""

// zdb reads every block, checks every sum, and counts what is allocated; GRUB has a
// reader of its own. Most of the table is for DISKWRIGHT_LONG=1: zdb takes its time.
func TestZDB(t *testing.T) {
	root := everything(t)
	for i, change := range []struct {
		ashift string
		props  props
	}{
		{"9", props{"compression": "on", "checksum": "sha256"}},
		{"12", nil},
		{"13", props{"compression": "lz4", "recordsize": "16K"}},
		{"12", props{"compression": "lz4"}},
		{"9", nil},
		{"12", props{"recordsize": "512"}},
		{"9", props{"compression": "lz4", "recordsize": "4096"}},
	} {
		if i > 1 && !long {
			break
		}
		t.Run(fmt.Sprint("ashift ", change.ashift, " ", change.props), func(t *testing.T) {
			t.Parallel()
			opts := testOptions(gib)
			opts.PoolProperties["ashift"] = change.ashift
			maps.Copy(opts.Properties, change.props)
			image := write(t, plan(t, root, opts))
			check(t, image)
			for i, e := range root.Child("sizes").Entries {
				if i%6 == 0 || long {
					grub(t, image, "sizes/"+e.Name, contentOf(t, e.Inode))
				}
			}
			grub(t, image, "holes/unaligned", contentOf(t, root.Lookup("holes/unaligned")))
			grub(t, image, "many/entry-02499", contentOf(t, root.Lookup("links/a")))
			grub(t, image, "long/"+strings.Repeat("m", 255), contentOf(t, root.Lookup("long").Entries[0].Inode))
			inodes(t, image, root)
		})
	}
}

// grub has GRUB read a file.
func grub(t testing.TB, image, path string, want []byte) {
	t.Helper()
	if len(want) == 0 {
		return // GRUB complains
	}
	if got := oracle.Output(t, "grub-fstest", image, "cat", "(loop0)/@/"+path); !bytes.Equal(got, want) {
		t.Errorf("%s: GRUB reads %d bytes that differ from the %d of the file", path, len(got), len(want))
	}
}

var zdbObject = regexp.MustCompile(`(?m)^ +Object +lvl .*\n +(\d+) `)

// inodes compares what zdb shows of every object with the tree.
func inodes(t testing.TB, image string, root *tree.Inode) {
	t.Helper()
	out := zdb(t, image, "-ddddd", "tank/")
	objects := make(map[string]string)
	at := zdbObject.FindAllStringSubmatchIndex(out, -1)
	for i, m := range at {
		end := len(out)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		objects[out[m[2]:m[3]]] = out[m[0]:end]
	}
	for ordinal, inode := range tree.Number(root) {
		object, ok := objects[fmt.Sprint(objectOf(uint32(ordinal)))]
		if !ok {
			t.Errorf("no object for inode %d (%#o)", ordinal, inode.Mode)
			continue
		}
		for _, want := range inodeLines(inode) {
			if !strings.Contains(object, "\n\t"+want+"\n") {
				t.Errorf("%q is not in what zdb says:\n%s", want, clip(object))
			}
		}
	}
}

// inodeLines is what zdb must say of an inode.
func inodeLines(i *tree.Inode) []string {
	size := i.Size()
	if i.IsDir() {
		size = int64(len(i.Entries)) + 2
	}
	lines := []string{
		fmt.Sprintf("uid     %d", i.UID), fmt.Sprintf("gid     %d", i.GID),
		fmt.Sprintf("mode\t%o", i.Mode), fmt.Sprintf("size\t%d", size), fmt.Sprintf("links\t%d", i.Links),
		"mtime\t" + time.Unix(i.Mtime.Sec, 0).UTC().Format(time.ANSIC),
	}
	switch i.Type() {
	case tree.TypeSymlink:
		lines = append(lines, "target\t"+i.Target())
	case tree.TypeChar, tree.TypeBlock:
		lines = append(lines, fmt.Sprintf("rdev\t0x%016x", i.Major<<20|i.Minor))
	}
	if i.IsDir() {
		for _, e := range i.Entries {
			if strings.HasPrefix(e.Name, "entry-") {
				break
			}
			what := map[uint32]string{
				tree.TypeDir: "Directory", tree.TypeRegular: "Regular File", tree.TypeSymlink: "Symbolic Link",
				tree.TypeChar: "Character Device", tree.TypeBlock: "Block Device", tree.TypeFIFO: "FIFO", tree.TypeSocket: "Socket",
			}[e.Inode.Type()]
			if !strings.ContainsAny(e.Name, "\n") {
				lines = append(lines, fmt.Sprintf("\t%s = %d (type: %s)", e.Name, objectOf(e.Inode.Ordinal), what))
			}
		}
	}
	for _, x := range i.Xattrs {
		if n := len(x.Value); n > 0 && x.Value[0] != 0 && n < 1000 {
			lines = append(lines, fmt.Sprintf("\t%s = %s", x.Name, x.Value))
		}
	}
	return lines
}

// Devices from the smallest on, of one to many metaslabs; the data of the larger
// ones fills several.
func TestSizes(t *testing.T) {
	for i, test := range []struct {
		size   int64
		ashift int
		data   int64
	}{
		{300*mib + 4096, 9, 40 * mib}, // in four metaslabs of 16 MiB
		{4 * tib, 12, mib},
		{64 * mib, 12, 10 * mib},
		{64*mib + 123456, 13, 0},
		{64 * gib, 12, mib},
		{MaxSize, 9, 0},
	} {
		if i > 1 && !long {
			break
		}
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			t.Parallel()
			root := dir()
			root.SetChild("noise", file(noise(test.data)))
			root.SetChild("text", file(text(test.data/2)))
			opts := testOptions(test.size)
			opts.PoolProperties["ashift"] = fmt.Sprint(test.ashift)
			p := plan(t, root, opts)
			if p.Map().Size() != test.size {
				t.Errorf("a map of %d bytes", p.Map().Size())
			}
			check(t, write(t, p))
		})
	}
}

// Datasets that a NixOS system has, one of them with nothing in it; parents are made.
func TestDatasets(t *testing.T) {
	tree1, tree2 := dir(), dir()
	tree1.SetChild("hostname", file(content.Bytes("tank-test\n")))
	tree2.SetChild("f", file(noise(5*mib)))
	opts := testOptions(gib)
	opts.Properties["compression"] = "lz4"
	opts.Datasets = []Dataset{
		{Name: "system/root", Root: tree1},
		{Name: "system/var", Properties: props{"mountpoint": "/var"}},
		{Name: "local/nix", Root: tree2},
		{Name: "system-2"},
		{Name: "system", Properties: props{"mountpoint": "none"}},
	}
	p := plan(t, dir(), opts)
	image := write(t, p)
	check(t, image)
	for path, want := range map[string][]byte{
		"system/root@/hostname": []byte("tank-test\n"),
		"local/nix@/f":          contentOf(t, tree2.Child("f")),
	} {
		if got := oracle.Output(t, "grub-fstest", image, "cat", "(loop0)/"+path); !bytes.Equal(got, want) {
			t.Errorf("%s: GRUB reads %d bytes that differ from the %d of the file", path, len(got), len(want))
		}
	}
	list := zdb(t, image, "-d", "tank")
	var used int64
	for _, name := range []string{"tank", "tank/local", "tank/local/nix", "tank/system", "tank/system-2", "tank/system/root", "tank/system/var"} {
		if !strings.Contains(list, "Dataset "+name+" [ZPL]") {
			t.Errorf("no dataset %s:\n%s", name, list)
		}
	}
	// What the directory of the pool says is used is what is allocated.
	for _, match := range regexp.MustCompile(`(?m)^\t\tused_bytes = (\d+)$`).FindAllStringSubmatch(zdb(t, image, "-P", "-dddd", "tank"), -1) {
		n, _ := strconv.ParseInt(match[1], 10, 64)
		used = max(used, n)
	}
	if used != p.Stats().Allocated {
		t.Errorf("%d bytes used, %d allocated", used, p.Stats().Allocated)
	}
}

// A directory with more names than the table of a fat ZAP of 16 KiB blocks has room
// for, which OpenZFS lists.
func TestManyNames(t *testing.T) {
	if !long {
		t.Skip("takes a minute; DISKWRIGHT_LONG=1 runs it")
	}
	root := dir()
	f := file(content.Bytes("x"))
	const count = 200000
	for i := range count {
		root.Entries = append(root.Entries, tree.Entry{Name: fmt.Sprintf("a name of forty bytes, which is %08d", i), Inode: f})
	}
	opts := testOptions(gib)
	opts.Properties["compression"] = "lz4"
	image := write(t, plan(t, root, opts))
	check(t, image)
	if n := strings.Count(zdb(t, image, "-dddd", "tank/", "34"), "a name of forty bytes"); n != count {
		t.Errorf("zdb lists %d names, want %d", n, count)
	}
}
