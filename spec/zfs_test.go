package spec

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"diskwright/partition"

	"github.com/google/go-cmp/cmp"
)

// zfsSpec reads a specification of the builder zfs, with a root and a dataset for it
// unless text has others, and returns all that is wrong with it.
func zfsSpec(t *testing.T, text string) (*Spec, []string) {
	t.Helper()
	for _, line := range []string{"builder: zfs", "root: tree", "datasets: {tank/root: {mount: /}}"} {
		if name, _, _ := strings.Cut(line, ":"); !strings.Contains(text, name+":") {
			text = line + "\n" + text
		}
	}
	s, err := Read(strings.NewReader(text), "a.yaml", "")
	return s, problems(Join(err, s.Validate()))
}

func TestZFSDefaults(t *testing.T) {
	s, wrong := zfsSpec(t, "")
	if wrong != nil {
		t.Fatal(wrong)
	}
	bootSize, rootSize := s.PoolSizes()
	if bootSize != 1024<<20 || rootSize != 2048<<20 || s.RootPoolName != "tank" || s.CopiesChannel() {
		t.Errorf("%d, %d, %+v", bootSize, rootSize, s)
	}
	if got := fmt.Sprintln(s.Roles(), s.Filename(RoleBoot), s.Filename(RoleRoot), s.NeedsDirectory()); got != "[boot root] nixos.boot.img nixos.root.img disks\n" {
		t.Error(got)
	}
	s.Disks, s.Format, s.BaseName = 1, "qcow2-compressed", "x"
	if got := fmt.Sprintln(s.Roles(), s.Filename(RoleRoot), s.NeedsDirectory()); got != "[root] x.root.qcow2 \n" {
		t.Error(got)
	}
}

func TestReadZFS(t *testing.T) {
	const text = `{
	"builder": "zfs", "disks": 1, "bootSize": 512, "rootSize": "4096", "rootPoolName": "pool", "features": "openzfs-2.1", "system": "/nix/store/x",
	"channel": "/nix/store/y", "includeChannel": true,
	"rootPoolProperties": {"ashift": 12, "autoexpand": "on"}, "rootPoolFilesystemProperties": {"mountpoint": "legacy"},
	"datasets": {
		"pool/system/root": {"mount": "/"},
		"pool/nix": {"mount": "/nix", "properties": {"atime": "off", "recordsize": 4096}},
		"pool/spare": {"mount": null, "properties": {"mountpoint": "none"}},
		"pool": {"mount": "/pool", "properties": null}
	}}`
	s, err := Read(strings.NewReader(text), "a.json", "")
	if err = Join(err, s.Validate()); err != nil {
		t.Fatal(err)
	}
	want := map[string]Dataset{
		"pool/system/root": {Mount: "/"},
		"pool/nix":         {Mount: "/nix", Properties: map[string]string{"atime": "off", "recordsize": "4096"}},
		"pool/spare":       {Properties: map[string]string{"mountpoint": "none"}},
		"pool":             {Mount: "/pool"},
	}
	if diff := cmp.Diff(want, s.Datasets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"ashift": "12", "autoexpand": "on"}, s.RootPoolProperties); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"pool", "pool/nix", "pool/spare", "pool/system/root"}, s.DatasetNames()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"/": "pool/system/root", "/nix": "pool/nix", "/pool": "pool"}, s.Mounts()); diff != "" {
		t.Error(diff)
	}
	if r := s.PoolDisk(RoleRoot); r.Layout != partition.ZFSSingle || r.BootSize != 512<<20 || r.DiskSize != (512+4096)<<20 || !s.CopiesChannel() {
		t.Errorf("%+v", r)
	}
	if o := s.PoolOptions(1 << 30); o.Name != "pool" || len(o.Datasets) != 3 || o.Datasets[0].Name != "nix" || o.Features != "openzfs-2.1" {
		t.Errorf("%+v", o)
	}

	flags := New()
	for name, values := range map[string][]string{
		"root": {"tree"}, "builder": {"zfs"}, "disks": {"1"}, "bootSize": {"512"}, "rootSize": {"4096"}, "rootPoolName": {"pool"},
		"rootPoolProperties": {"ashift=12", "autoexpand=on"}, "rootPoolFilesystemProperties": {`{"mountpoint": "legacy"}`},
		"datasets": {"pool/system/root,mount=/", "pool/nix,mount=/nix,atime=off,recordsize=4096", "pool/spare,mountpoint=none", "pool,mount=/pool"},
	} {
		if err := flags.SetFlag(*lookup(name), values); err != nil {
			t.Error(err)
		}
	}
	if err := flags.Validate(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"disks", "bootSize", "rootSize", "rootPoolProperties", "rootPoolFilesystemProperties"} {
		if !lookup(name).equal(s, flags) {
			t.Errorf("%s differs: %v", name, lookup(name).field(flags))
		}
	}
	text1, _ := json.Marshal(s.PoolOptions(0))
	text2, _ := json.Marshal(flags.PoolOptions(0))
	if strings.ReplaceAll(string(text1), "openzfs-2.1", "minimal") != strings.ReplaceAll(string(text2), `"Properties":{}`, `"Properties":null`) {
		t.Errorf("%s\n%s", text1, text2)
	}
}

func TestZFSProblems(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		// Parameters of the other builder.
		{"partitionTableType: efi\ndiskSize: auto\nlabel: x\nrootGPUID: 00000000-0000-0000-0000-000000000001\n", []string{
			`a.yaml:4:21: partitionTableType: is a parameter of the builder disk, and the builder is zfs`,
			`a.yaml:5:11: diskSize: is a parameter of the builder disk, and the builder is zfs`,
			`a.yaml:6:8: label: is a parameter of the builder disk, and the builder is zfs`,
			`a.yaml:7:12: rootGPUID: is a parameter of the builder disk, and the builder is zfs`}},
		{"builder: disk\nrootSize: 2048\ndatasets: {}\nfeatures: minimal\nbootSize: 512\n", []string{
			`a.yaml:3:11: rootSize: is a parameter of the builder zfs, and the builder is disk`,
			`a.yaml:4:11: datasets: is a parameter of the builder zfs, and the builder is disk`,
			`a.yaml:5:11: features: is a parameter of the builder zfs, and the builder is disk`,
			`a.yaml:6:11: bootSize: must be a size such as "512M", in quotes, not the number 512`}},
		{"builder: zsf\n", []string{
			`a.yaml:3:10: builder: "zsf" is unknown; it must be disk or zfs; did you mean "zfs"?`}},
		{"installMethod: vm\n", []string{
			`a.yaml:4:16: installMethod: the builder zfs has only "native": there is no virtual machine that knows ZFS`}},
		{"includeChannel: true\nsystem: x\n", []string{
			`a.yaml:4:17: includeChannel: there is no channel to copy; give its store path as channel, or false`}},

		// Sizes.
		{"disks: 3\nbootSize: 1G\nrootSize: 0\n", []string{
			`a.yaml:4:8: disks: 3 is out of range; it must be 1 or 2`,
			`a.yaml:5:11: bootSize: "1G" is not a whole number: the builder zfs takes it in MiB`,
			`a.yaml:6:11: rootSize: 0 MiB are out of range; it must be from 1 to 1099511627776`}},
		{"bootSize: 3\nrootSize: 73\n", []string{
			`a.yaml:4:11: bootSize: 3145728 bytes (3 MiB) are too few: the FAT begins at 2 MiB and ends at 1 MiB before the end of the disk; give at least 4194304 bytes (4 MiB)`,
			`a.yaml:5:11: rootSize: 76546048 bytes (73 MiB) are too few: a pool has at least 64 MiB, and the partition table and ZFS's reserved partition 10 MiB; give at least 77594624 bytes (74 MiB)`}},
		{"bootSize: 4\nrootSize: 74\n", nil},
		{"disks: 1\nbootSize: 3\nrootSize: 65\n", nil},
		{"disks: 1\nbootSize: 2\n", []string{
			`a.yaml:5:11: bootSize: 2097152 bytes (2 MiB) are too few: it is where the FAT ends, which begins at 2 MiB; give at least 3145728 bytes (3 MiB)`}},

		// The pool.
		{"rootPoolName: mirror1\ndatasets: {mirror1/a: {mount: /}}\n", []string{
			`a.yaml:3:15: rootPoolName: the pool's name "mirror1" begins with "mirror", which means a kind of device`}},
		{"rootPoolProperties: {autoexpnd: on, ashift: 20}\n", []string{
			`a.yaml:4:33: rootPoolProperties.autoexpnd: pool property "autoexpnd" is not known; did you mean "autoexpand"?`,
			`a.yaml:4:45: rootPoolProperties.ashift: pool property ashift="20": not a number from 9 to 13`}},
		{"rootPoolFilesystemProperties: {mountpoint: legacy, atime: false, compression: best}\n", []string{
			`a.yaml:4:59: rootPoolFilesystemProperties.atime: must be a string or a whole number, not the boolean false; ZFS says "on" and "off"`,
			`a.yaml:4:79: rootPoolFilesystemProperties.compression: property compression="best": not one of on, off, lz4, `}},
		{"features: openzfs-3\n", []string{
			`a.yaml:4:11: features: "openzfs-3" is none of `}},
		{"features: legacy\n", []string{
			`a.yaml:3:10: property compression: feature "lz4_compress": the pool does not have this feature; `}},
		{"rootPoolProperties: {bootfs: tank/x}\ndatasets: {tank/a: {mount: /}, tank/b c/%: {}}\n", []string{
			`a.yaml:2:10: the dataset's name "b c/%" is not letters`}},

		// Datasets.
		{"datasets: {}\n", []string{`a.yaml:3:11: datasets: no dataset is mounted at "/"; one must be`}},
		{"datasets: {tank/a: {mount: /, mnt: /}, tank/b: /b}\n", []string{
			`a.yaml:3:31: datasets.tank/a: unknown key "mnt"`,
			`a.yaml:3:48: datasets.tank/b: must be a mapping with mount and properties, not the string "/b"`}},
		{"datasets: {tank/a: {mount: /}, data/b: {mount: /b}}\n", []string{
			`a.yaml:3:40: datasets.data/b: "data/b" is not in the pool "tank" (rootPoolName); its name must begin with "tank/"`}},
		{"datasets: {tank/a: {mount: /}, tankb: {}}\n", []string{
			`a.yaml:3:39: datasets.tankb: "tankb" is not in the pool "tank" (rootPoolName); its name must begin with "tank/"`}},
		{"datasets: {tank/a: {mount: /}, tank/b: {mount: /b}, tank/c: {mount: /b}}\n", []string{
			`a.yaml:3:69: datasets.tank/c.mount: "tank/c" is mounted at "/b", and so is "tank/b"`}},
		{"datasets: {tank/a: {mount: /}, tank/b: {mount: b}, tank/c: {mount: /boot/efi}}\n", []string{
			`a.yaml:3:48: datasets.tank/b.mount: "b" is not an absolute path without ".", ".." and needless slashes`,
			`a.yaml:3:68: datasets.tank/c.mount: "/boot/efi" lies in the FAT that is mounted at "/boot"`}},
		{"datasets: {tank/a: {mount: /, properties: {mountpoint: /mnt}}}\n", []string{
			`a.yaml:3:56: datasets.tank/a.properties.mountpoint: "tank/a" is mounted at "/", and must have the mountpoint "legacy", not "/mnt"`}},
		{"datasets: {tank/a: {mount: /}, tank/b: {properties: {mountpoint: none}}, tank/b/c/d: {mount: /d}}\n", []string{
			`a.yaml:3:94: datasets.tank/b/c/d.mount: "tank/b/c/d" is mounted, and must have the mountpoint "legacy", but has "none" of tank/b`}},
		{"rootPoolFilesystemProperties: {compression: lz4}\n", []string{
			`datasets.tank/root.mount: "tank/root" is mounted, and must have the mountpoint "legacy", which is neither a property of it nor of rootPoolFilesystemProperties`}},
		{"datasets: {tank/a: {mount: /, properties: {canmount: off, recordsize: 5000}}}\n", []string{
			`"tank/a" is mounted, and cannot have canmount=off`,
			`a.yaml:3:71: datasets.tank/a.properties.recordsize: property recordsize="5000": not a power of two`}},
		{"datasets: {tank: {mount: /, properties: {atime: on}}}\n", []string{
			`a.yaml:3:41: datasets.tank.properties: "tank" is the pool's own file system; give its properties as rootPoolFilesystemProperties`}},
		{"datasets: {tank/ä: {mount: /}}\n", []string{`the dataset's name "ä" is not letters`}},
	} {
		_, got := zfsSpec(t, test.text)
		ok := len(got) == len(test.want)
		for i := range min(len(got), len(test.want)) {
			ok = ok && strings.Contains(got[i], test.want[i])
		}
		if !ok {
			t.Errorf("%s: (-want +got)\n%s", test.text, cmp.Diff(test.want, got))
		}
	}
}

func TestZFSFlagProblems(t *testing.T) {
	for _, test := range []struct{ parameter, value, want string }{
		{"datasets", "tank/root,mount", `--datasets: "tank/root,mount": "mount" is not NAME=VALUE; it must be NAME,mount=PATH,PROPERTY=VALUE, without what is not needed`},
		{"rootPoolProperties", "ashift", `--root-pool-properties: "ashift" is not NAME=VALUE`},
		{"rootPoolProperties", "{", `--root-pool-properties: "{" is not JSON`},
		{"rootSize", "2G", `--root-size: must be a whole number of MiB, not "2G"`},
	} {
		err := New().SetFlag(*lookup(test.parameter), []string{test.value})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, not %s", test.value, err, test.want)
		}
	}
}
