//go:build linux

package test

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/filesystem/zfs"
	"diskwright/format/raw"
	"diskwright/partition"
	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/test/zfsrig"
	"diskwright/tree"

	"github.com/google/uuid"
)

// poolCase is a pool for real OpenZFS to judge.
type poolCase struct {
	name string
	long bool

	size       int64
	features   string
	pool       map[string]string // as of zpool create -o
	properties map[string]string // as of zpool create -O
	datasets   []datasetCase     // below the pool's own, which holds the nasty tree
	wholeDisk  bool

	versions []zfsrig.Version // that can import it; none are all

	// silent are the versions in which zpool status and zpool upgrade have
	// nothing to say of features.
	silent []zfsrig.Version
}

// datasetCase is a file system with compressible files in it.
type datasetCase struct {
	name       string
	properties map[string]string
}

type properties = map[string]string

// poolCases are what pools are made of, each with something of its own.
var poolCases = []poolCase{
	{name: "minimal, lz4", size: 2 << 30, properties: properties{"compression": "lz4"}},
	{name: "OpenZFS 2.1", size: 2 << 30, features: "openzfs-2.1", properties: properties{"compression": "on", "acltype": "posixacl", "xattr": "sa"},
		silent: []zfsrig.Version{zfsrig.V21}, wholeDisk: true, pool: properties{"autoexpand": "on"},
		datasets: []datasetCase{{"local/nix", properties{"atime": "off"}}, {"system/root", nil}, {"system/var", properties{"recordsize": "16K"}}}},

	{name: "minimal, not compressed, ashift 9", long: true, size: 2 << 30, pool: properties{"ashift": "9"},
		properties: properties{"compression": "off", "checksum": "sha256"}},
	{name: "64 GiB, ashift 13", long: true, size: 64 << 30, pool: properties{"ashift": "13"}, properties: properties{"compression": "lz4"}},
	{name: "OpenZFS 2.1 by compatibility, zstd, records of 1 MiB", long: true, size: 2 << 30, features: "openzfs-2.1-linux",
		pool: properties{"compatibility": "openzfs-2.1-linux"}, properties: properties{"compression": "zstd-6", "recordsize": "1M"},
		silent: []zfsrig.Version{zfsrig.V21}, datasets: []datasetCase{{"gzip", properties{"compression": "gzip-9", "recordsize": "512"}}, {"zle", properties{"compression": "zle"}}}},
	{name: "two copies", long: true, size: 3 << 30, features: "openzfs-2.1", properties: properties{"copies": "2", "compression": "lz4"},
		silent: []zfsrig.Version{zfsrig.V21}, datasets: []datasetCase{{"three", properties{"copies": "3", "checksum": "sha512"}}}},
	{name: "OpenZFS 2.3", long: true, size: 2 << 30, features: "openzfs-2.3", silent: []zfsrig.Version{zfsrig.V23},
		versions: []zfsrig.Version{zfsrig.V23}, datasets: []datasetCase{{"several", properties{"recordsize": "256K", "redundant_metadata": "most"}}}},
	{name: "4 TiB", long: true, size: 4 << 40, features: "openzfs-2.1", wholeDisk: true},
}

// What judges a pool in the rig's guests.
//
//go:embed zfsrig/judge
var judge string

// Real OpenZFS, of two versions, reads from a pool what was put into it, finds no
// errors, and uses it as its own; and zdb finds every block allocated once, before
// and after.
func TestZFSRig(t *testing.T) {
	oracle.NeedRoot(t)
	rig := zfsrig.Need(t)
	for _, c := range poolCases {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				long(t)
			}
			sources := c.sources(t)
			image := c.write(t, sources)
			versions := c.versions
			if versions == nil {
				versions = zfsrig.Versions
			}
			for _, version := range versions {
				t.Run("zdb of "+version.String(), func(t *testing.T) { c.check(t, rig, version, image, 0) })
				t.Run(version.String(), func(t *testing.T) { c.judge(t, rig, version, image, sources) })
			}
		})
	}
}

// sources returns the directories of the host that the file systems hold, by the
// names of datasets.
func (c *poolCase) sources(t testing.TB) map[string]string {
	t.Helper()
	dirs := map[string]string{"tank": nastyTree(t, nasty.Options{})}
	for i, d := range c.datasets {
		dir := scratch.Dir(t)
		write(t, dir, compressible(i))
		dirs["tank/"+d.name] = dir
	}
	return dirs
}

// compressible returns files of text, of sizes around those of blocks, and one of
// several blocks of indirect ones. No two datasets have the same.
func compressible(seed int) map[string]string {
	files := map[string]string{"empty/": ""}
	for _, n := range []int{0, 1, 111, 112, 113, 511, 512, 513, 4095, 4096, 4097, 16384, 131071, 131072, 131073, 1 << 20, 1<<20 + 1, 20 << 20} {
		line := fmt.Sprintf("dataset %d, the quick brown fox jumps over the lazy dog\n", seed)
		files[fmt.Sprintf("text/%d", n)] = strings.Repeat(line, n/len(line)+1)[:n]
	}
	for i := range 2500 {
		files[fmt.Sprintf("many/entry-%05d", i)] = fmt.Sprint(i)
	}
	return files
}

// options returns the pool's.
func (c *poolCase) options(t testing.TB, sources map[string]string) (root *tree.Inode, opts zfs.Options) {
	t.Helper()
	load := func(dataset string) *tree.Inode {
		root, err := tree.FromDir(t.Context(), sources[dataset], tree.DirOptions{KeepOwners: true})
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	opts = zfs.Options{Size: c.size, Name: "tank", Seed: []byte(c.name), Epoch: 315532800,
		Features: c.features, PoolProperties: c.pool, Properties: properties{"mountpoint": "legacy"}}
	for name, value := range c.properties {
		opts.Properties[name] = value
	}
	for _, d := range c.datasets {
		opts.Datasets = append(opts.Datasets, zfs.Dataset{Name: d.name, Root: load("tank/" + d.name), Properties: d.properties})
	}
	return load("tank"), opts
}

// write writes the pool to a file that is alone in a directory, as zdb wants it.
func (c *poolCase) write(t testing.TB, sources map[string]string) (image string) {
	t.Helper()
	root, opts := c.options(t, sources)
	var table *partition.Table
	if c.wholeDisk {
		var err error
		table, err = partition.PlanZFS(partition.ZFSRequest{Layout: partition.ZFSRoot, DiskSize: c.size, Identify: func(role string) uuid.UUID {
			return uuid.NewSHA1(uuid.NameSpaceURL, []byte(role))
		}})
		if err != nil {
			t.Fatal(err)
		}
		opts.Size, opts.WholeDisk = table.Size(table.Partitions[0]), true
	}
	p, err := zfs.New(t.Context(), root, opts)
	if err != nil {
		t.Fatal(err)
	}
	disk := p.Map()
	if c.wholeDisk {
		if disk, err = table.Map(map[int]content.Source{1: disk}); err != nil {
			t.Fatal(err)
		}
	}
	image = filepath.Join(scratch.Dir(t), "vdev")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := raw.WriteFile(t.Context(), disk, f, raw.Options{}); err != nil {
		t.Fatal(err)
	}
	return image
}

// growth is how much larger the disk of a guest is than the pool's image.
const growth = 2 << 30

// judge asks one version.
func (c *poolCase) judge(t *testing.T, rig *zfsrig.Rig, version zfsrig.Version, image string, sources map[string]string) {
	copied := filepath.Join(scratch.Dir(t), "vdev")
	oracle.Run(t, "cp", "--sparse=always", image, copied)
	oracle.Run(t, "truncate", "-s", fmt.Sprintf("+%d", growth), copied)

	names, silent := "tank", ""
	for _, d := range c.datasets {
		names += " tank/" + d.name
	}
	switch {
	case slices.Contains(c.silent, version):
		silent = "status upgrade"
	case c.pool["compatibility"] != "":
		silent = "status" // zpool upgrade lists what could be enabled all the same
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	result := rig.Run(t, zfsrig.Guest{
		Version: version, Disks: []string{copied}, Files: map[string]string{"manifest": self},
		Script: fmt.Sprintf("POOL=tank DATASETS='%s' SILENT='%s'\n%s", names, silent, judge),
	})
	checkVerdict(t, result)
	for dataset, dir := range sources {
		got, err := manifest.Load(filepath.Join(result.Out, strings.ReplaceAll(dataset, "/", "_")+".manifest"))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := manifest.Diff(read(t, dir), got); diff != "" {
			t.Errorf("%s is another tree:\n%s", dataset, diff)
		}
	}
	// OpenZFS itself leaks a block when it writes to a pool of no features, and
	// so it does in one that it has made (zpool create -d).
	leak := int64(0)
	if c.features == "" {
		leak = 64 << 10
	}
	c.check(t, rig, version, copied, leak, movedUberblocks)
}

// movedUberblocks are old ones that OpenZFS may damage when a device grows: it copies
// all to where the last two labels are then by way of one buffer, and does not wait
// for one to be written before it reads the next (vdev_copy_uberblocks).
var movedUberblocks = regexp.MustCompile(`label [23]: \d+ slots have uberblocks that are damaged`)

// checkVerdict looks at the lines that a guest's script leaves.
func checkVerdict(t testing.TB, r *zfsrig.Result) {
	t.Helper()
	lines, err := os.ReadFile(filepath.Join(r.Out, "results"))
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Log)
	}
	failed := r.Status != "0"
	for line := range strings.Lines(string(lines)) {
		if !strings.HasPrefix(line, "ok ") {
			failed = true
			t.Errorf("%s", line)
		}
	}
	if failed {
		t.Errorf("exit status %s of:\n%s", r.Status, r.Log)
	}
}

var (
	zdbLeak    = regexp.MustCompile(`\(leaked (\d+)\)`)
	zdbTrouble = regexp.MustCompile(`(?im)^.*(error|mismatch|invalid|expected|overlap|not correct|assert).*$`)
	zdbGood    = regexp.MustCompile(`(?m)^.*(errors?: *0|verify nothing leaked).*$`)
)

// check has zdb look at a pool, which may leak some bytes, and if not, ours, which
// tolerates some findings.
func (c *poolCase) check(t testing.TB, rig *zfsrig.Rig, version zfsrig.Version, image string, leak int64, tolerated ...*regexp.Regexp) {
	t.Helper()
	if leak == 0 {
		verified(t, image, false, tolerated...)
	}
	if c.wholeDisk {
		if out := oracle.Run(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
			t.Errorf("sgdisk -v:\n%s", out)
		}
		// zdb knows no partitions.
		p := sfdisk(t, image).PartitionTable.Partitions[0]
		image = cut(t, image, p.Start*512, p.Size*512)
	}
	zdb := func(args ...string) string {
		t.Helper()
		out, status := rig.ZDB(t, version, args...)
		out = strings.NewReplacer("\b", "\n", "\r", "\n").Replace(out)
		if status != 0 && (status != 2 || leak == 0) { // 2 goes with a leak
			t.Errorf("zdb %q: exit status %d:\n%s", args, status, clipped(out))
		}
		return out
	}
	if out := zdb("-l", image); !strings.Contains(out, "labels = 0 1 2 3") {
		t.Errorf("zdb -l:\n%s", out)
	}
	pool := func(args ...string) string {
		t.Helper()
		return zdb(append([]string{"-e", "-p", filepath.Dir(image)}, append(args, "tank")...)...)
	}
	out := pool("-bcc")
	if trouble := zdbTrouble.FindString(zdbGood.ReplaceAllString(out, "")); trouble != "" {
		t.Errorf("zdb -bcc says %q:\n%s", trouble, clipped(out))
	}
	if !strings.Contains(out, "No leaks (block sum matches space maps exactly)") {
		var leaked int64
		if m := zdbLeak.FindStringSubmatch(out); m != nil {
			fmt.Sscan(m[1], &leaked)
		}
		if leaked == 0 || leaked > leak {
			t.Errorf("zdb -bcc: leaks %d bytes, want at most %d:\n%s", leaked, leak, clipped(out))
		}
	}
	pool("-y")
	pool("-dddd")
}

// cut returns a file that holds a part of another one, holes and all, alone in a
// directory.
func cut(t testing.TB, image string, offset, size int64) string {
	t.Helper()
	from, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(scratch.Dir(t), "vdev"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for at := offset; at < offset+size; {
		data, end, err := content.NextData(from.Fd(), at, offset+size)
		if err != nil {
			t.Fatal(err)
		}
		if end > data {
			if _, err := io.Copy(io.NewOffsetWriter(to, data-offset), io.NewSectionReader(from, data, end-data)); err != nil {
				t.Fatal(err)
			}
		}
		at = max(data, end)
	}
	if err := to.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return to.Name()
}

// clipped returns the beginning of a long text.
func clipped(s string) string {
	if len(s) > 8000 {
		return s[:8000] + "..."
	}
	return s
}
