package inspect

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/zfs"
	"diskwright/partition"
	"diskwright/tree"
)

// system is the file systems of a NixOS system in a pool, all with the mountpoint
// legacy: where they are mounted is in a file of the store.
func system(t *testing.T) *diskmap.Map {
	t.Helper()
	root, nix, home := tree.NewDir(tree.Time{}), tree.NewDir(tree.Time{}), tree.NewDir(tree.Time{})
	set := func(dir *tree.Inode, path string, i *tree.Inode) {
		names := strings.Split(path, "/")
		for _, name := range names[:len(names)-1] {
			if dir.Child(name) == nil {
				dir.SetChild(name, tree.NewDir(tree.Time{}))
			}
			dir = dir.Child(name)
		}
		dir.SetChild(names[len(names)-1], i)
	}
	file := func(text string) *tree.Inode { return tree.NewFile(content.Bytes(text), tree.Time{}) }
	link := func(target string) *tree.Inode { return tree.NewSymlink(target, tree.Time{}) }
	set(root, "etc/hostname", file("tank-test\n"))
	set(home, "alice/note", file("hello\n"))
	set(nix, "store/s-system/etc", link("/nix/store/e-etc/etc"))
	set(nix, "store/e-etc/etc/fstab", link("/nix/store/f-fstab"))
	set(nix, "store/f-fstab", file("# comment\ntank/system/root / zfs defaults 0 0\n/dev/vda1 /boot vfat x\n"+
		"tank/local/nix /nix zfs x-initrd.mount 0 0\ntank/user/home /ho\\040me zfs defaults\nother/pool /x zfs\n"))
	set(nix, "var/nix/profiles/system", link("system-1-link"))
	set(nix, "var/nix/profiles/system-1-link", link("/nix/store/s-system"))
	p, err := zfs.New(t.Context(), tree.NewDir(tree.Time{}), zfs.Options{
		Size: 64 << 20, Name: "tank", Epoch: 1e9,
		Properties: map[string]string{"mountpoint": "legacy", "compression": "on"},
		Datasets: []zfs.Dataset{
			{Name: "system/root", Root: root}, {Name: "local/nix", Root: nix}, {Name: "user/home", Root: home},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.Map()
}

// A pool is found in a partition and on a bare disk, and its file systems are
// joined as the system in it mounts them.
func TestZFS(t *testing.T) {
	pool := system(t)
	for number, img := range map[int]*Image{0: open(t, pool), 2: open(t, disk(t, plan(t, partition.EFI, 300), map[int]content.Source{2: pool}))} {
		fs := img.FileSystem(number)
		if fs == nil || fs.Type != "zfs" || !fs.Detailed || fs.Label != "tank" || fs.State != "exported" || fs.Pool == nil || len(fs.Problems) > 0 {
			t.Fatalf("%+v", fs)
		}
		if fs.Size != 48<<20 || fs.Used == 0 || fs.Free != fs.Size-fs.Used || !slices.Equal(fs.Features, []string{"lz4_compress"}) {
			t.Errorf("%+v", fs)
		}
		var mounted []string
		for _, d := range fs.Pool.Datasets {
			mounted = append(mounted, d.Name+" "+d.Mounted)
			if d.Properties["compression"] != "on" || d.Used == 0 || d.Kind != "filesystem" {
				t.Errorf("%+v", d)
			}
		}
		want := []string{
			"tank ", "tank/local ", "tank/local/nix /nix", "tank/system ",
			"tank/system/root /", "tank/user ", "tank/user/home /ho me",
		}
		if !slices.Equal(mounted, want) {
			t.Errorf("mounted %q, want %q", mounted, want)
		}
		if _, err := json.Marshal(img); err != nil {
			t.Error(err)
		}
	}
}

func TestZFSFiles(t *testing.T) {
	img := open(t, disk(t, plan(t, partition.EFI, 300), map[int]content.Source{2: system(t)}))
	for _, test := range []struct{ selector, path string }{
		{"", "/etc/hostname"}, {"2", "/nix/var/nix/profiles/system/etc/fstab"}, {"tank", "/ho me/alice/note"},
		{"tank/user/home", "/alice/note"}, {"tank/", "/"},
	} {
		files, err := img.Choose(test.selector)
		if err != nil {
			t.Errorf("%q: %v", test.selector, err)
			continue
		}
		if _, err := files.Lookup(test.path, true); err != nil {
			t.Errorf("%q: %v", test.selector, err)
		}
		root, err := files.Tree(t.Context())
		if err != nil || test.selector == "tank/" && len(root.Entries) > 0 {
			t.Errorf("%q: %v, %d names", test.selector, err, len(root.Entries))
		}
	}
	files, err := img.Choose("tank/user/home")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.Lookup("/etc", true); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, selector := range []string{"tank/nowhere", "tank@x", "rpool/home"} {
		if _, err := img.Choose(selector); err == nil || !strings.Contains(err.Error(), selector) {
			t.Errorf("%q: %v", selector, err)
		}
	}
}
