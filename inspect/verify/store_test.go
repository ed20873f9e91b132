package verify

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/filesystem/ext4"
	"diskwright/nixstore"
	"diskwright/tree"
)

const (
	helloPath = nixstore.Path("/nix/store/0c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b-hello")
	worldPath = nixstore.Path("/nix/store/1c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b-world")
)

// systemImage writes an ext4 with a small Nix store, after change has been made
// to its tree.
func systemImage(t *testing.T, change func(root *tree.Inode)) string {
	t.Helper()
	ctx := context.Background()
	mtime := tree.Time{Sec: 1}
	store := tree.NewDir(mtime)
	hello := tree.NewDir(mtime)
	hello.SetChild("kernel", tree.NewFile(content.Bytes("a kernel of some kind"), mtime))
	store.SetChild(helloPath.Base(), hello)
	store.SetChild(worldPath.Base(), tree.NewFile(content.Bytes(helloPath), mtime))
	var infos []nixstore.PathInfo
	for path, references := range map[nixstore.Path][]nixstore.Path{helloPath: nil, worldPath: {helloPath}} {
		hash, size, err := nixstore.HashTree(ctx, store.Child(path.Base()))
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, nixstore.PathInfo{Path: path, NarHash: hash, NarSize: size, References: references})
	}
	closure, err := nixstore.NewClosure(infos)
	if err != nil {
		t.Fatal(err)
	}
	database, err := nixstore.Database(ctx, closure, store, 1)
	if err != nil {
		t.Fatal(err)
	}
	root := tree.NewDir(mtime)
	at := func(path string, i *tree.Inode) {
		dir := root
		names := strings.Split(path, "/")
		for _, name := range names[:len(names)-1] {
			if dir.Child(name) == nil {
				dir.SetChild(name, tree.NewDir(mtime))
			}
			dir = dir.Child(name)
		}
		dir.SetChild(names[len(names)-1], i)
	}
	at("nix/store", store)
	at(databasePath, tree.NewFile(content.Bytes(database), mtime))
	at("nix/var/nix/profiles/system", tree.NewSymlink("system-1-link", mtime))
	at("nix/var/nix/profiles/system-1-link", tree.NewSymlink(string(helloPath), mtime))
	at("boot/loader/entries/a.conf", tree.NewFile(content.Bytes("title x\nlinux "+string(helloPath)+"/kernel\n"), mtime))
	change(root)
	opts := ext4.Options{Kind: ext4.Ext4, Size: 16 << 20, UUID: [16]byte{1}, HashSeed: [16]byte{2}, JournalUUID: [16]byte{3}, ChecksumSeed: 4}
	fs, err := ext4.New(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	m := fs.Map()
	image := make([]byte, m.Size())
	if err := content.ReadFull(m, image, 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, image, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSystem damages one thing at a time of a store, its profiles and boot
// entries.
func TestSystem(t *testing.T) {
	file := func(text string) *tree.Inode { return tree.NewFile(content.Bytes(text), tree.Time{Sec: 1}) }
	for name, c := range map[string]struct {
		change     func(root *tree.Inode)
		area, want string // of the only finding
	}{
		"nothing": {func(*tree.Inode) {}, "", ""},
		"a file": {func(root *tree.Inode) {
			root.Lookup("nix/store/"+helloPath.Base()).SetChild("kernel", file("a kernel of same size"))
		}, "store", "is not what is registered"},
		"a path that is missing": {func(root *tree.Inode) { root.Lookup("nix/store").RemoveChild(worldPath.Base()) },
			"store", "file does not exist"},
		"a path too many": {func(root *tree.Inode) {
			root.Lookup("nix/store").SetChild("2c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b-more", file("x"))
		}, "store", "is in the store, and not registered"},
		"the database": {func(root *tree.Inode) {
			database := root.Lookup(databasePath)
			p := make([]byte, database.Size())
			if err := content.ReadFull(database.Content, p, 0); err != nil {
				t.Fatal(err)
			}
			p = bytes.Replace(p, []byte("CREATE TABLE"), []byte("CREATE TABEL"), 1)
			root.Lookup("nix/var/nix/db").SetChild("db.sqlite", file(string(p)))
		}, "store", "database"},
		"a profile": {func(root *tree.Inode) {
			root.Lookup("nix/var/nix/profiles").SetChild("other", tree.NewSymlink("/nix/store/nowhere", tree.Time{}))
		}, "profiles", `leads to "/nix/store/nowhere", which is not there`},
		"a boot entry": {func(root *tree.Inode) {
			root.Lookup("boot/loader/entries").SetChild("b.conf", file("linux /k\ninitrd /boot/loader/entries/a.conf\n"))
		}, "boot", `names "/k", which is not there`},
	} {
		r := verified(t, systemImage(t, c.change))
		switch {
		case c.area == "" && !r.OK, c.area != "" && (len(r.Findings) != 1 || r.Findings[0].Area != c.area || !strings.Contains(r.Findings[0].String(), c.want)):
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

// TestDamagedRoot: what of a damaged file system can be read is looked at.
func TestDamagedRoot(t *testing.T) {
	path := systemImage(t, func(*tree.Inode) {})
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(image, []byte("a kernel of some kind"))
	image[at] = 'A'
	if err := os.WriteFile(path, image, 0o666); err != nil {
		t.Fatal(err)
	}
	r := verified(t, path)
	if r.OK || len(r.Findings) != 1 || r.Findings[0].Area != "store" {
		t.Errorf("%+v", r)
	}
	quick, err := File(context.Background(), path, Options{NoNAR: true})
	if err != nil || !quick.OK || len(quick.Skipped) != 1 {
		t.Errorf("%v, %+v", err, quick)
	}
}
