package du

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"diskwright/inspect"
	"diskwright/nixstore"
	"diskwright/test/oracle"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

const storeHash = "0c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0"

// sample is a directory with all that matters for sizes.
func sample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat(name[len(name)-1:], size)), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("usr/bin/tool", 300_000, 0o755)
	write("usr/lib/libtool.so.1", 200_000, 0o644)
	write("usr/share/doc/tool/manual", 50_000, 0o644)
	write("usr/share/tiny", 1, 0o644)
	write("etc/tool.conf", 3000, 0o644)
	write("usr/share/bad\xffname", 10_000, 0o644)
	write("usr/share/<img src=x onerror=\"document.title='hacked'\">", 70_000, 0o644)
	write("usr/share/<!--<script>\u202eexe", 60_000, 0o644)
	for _, n := range []string{"0", "1", "2"} {
		write("nix/store/"+storeHash+n+"-part-"+n+"/share/twin", 100_000, 0o444)
	}
	write("nix/store/"+storeHash+"0-part-0/bin/0", 30_000, 0o555)
	for from, to := range map[string]string{"usr/bin/tool": "usr/bin/again", "etc/tool.conf": "usr/hard"} {
		if err := os.Link(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(strings.Repeat("long/", 40), filepath.Join(dir, "usr/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "usr/share/tiny"), 10<<20); err != nil { // a hole
		t.Fatal(err)
	}
	return dir
}

func ext4Image(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 32<<20); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "root", "-d", dir, path)
	return path
}

func measure(t *testing.T, path string, opts Options) *Usage {
	t.Helper()
	img, err := inspect.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	u, err := Image(context.Background(), img, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, fs := range u.FileSystems {
		if fs.Files+fs.Metadata+fs.Free != fs.Size || len(fs.Problems) > 0 {
			t.Errorf("%d files, %d metadata, %d free are not %d; %q", fs.Files, fs.Metadata, fs.Free, fs.Size, fs.Problems)
		}
		rest := fs.Metadata
		for _, a := range fs.Areas {
			rest -= a.Size
		}
		kinds := fs.Files
		for _, k := range fs.Kinds {
			kinds -= k.Size
		}
		if rest != 0 || kinds != 0 {
			t.Errorf("areas leave %d of the metadata, and kinds %d of the files", rest, kinds)
		}
	}
	rest := u.DiskSize
	for _, p := range u.Parts {
		rest -= p.Size
	}
	if rest != 0 {
		t.Errorf("parts leave %d of the disk: %+v", rest, u.Parts)
	}
	return u
}

// TestDu compares the sizes of directories with those that du says of the mounted
// file system.
func TestDu(t *testing.T) {
	oracle.NeedRoot(t)
	path := ext4Image(t, sample(t))
	u := measure(t, path, Options{NoDuplicates: true})
	got := make(map[string]int64)
	for _, d := range u.FileSystems[0].Root.Directories(100, 0) {
		got[d.Path] = d.Size
	}
	mounted := oracle.Mount(t, path, "ext4", "ro,noload", 0, 32<<20)
	want := make(map[string]int64)
	for line := range strings.Lines(oracle.Run(t, "du", "-B1", mounted)) {
		size, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			t.Fatal(line)
		}
		want["/"+strings.TrimPrefix(strings.TrimPrefix(name, mounted), "/")] = n
	}
	// Of a file with several names du counts the one it meets first, which may be
	// in another directory.
	for _, name := range []string{"/etc", "/usr"} {
		delete(got, name)
		delete(want, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-du +ours):\n%s", diff)
	}
}

// TestKinds tells what some files are for.
func TestKinds(t *testing.T) {
	for path, want := range map[string]Kind{
		"usr/bin/ls": Programs, "usr/lib/libc.so.6": Libraries, "usr/lib/libc.so": Libraries, "boot/vmlinuz-6.1": Kernel,
		"lib/modules/6.1/kernel/fs/ext4.ko.xz": Kernel, "lib/modules/6.1/modules.dep": Kernel, "lib/firmware/iwl.ucode": Firmware,
		"usr/share/man/man1/ls.1.gz": Documentation, "usr/share/doc/x/copyright": Documentation, "usr/share/locale/de/x.mo": Locales,
		"usr/lib/locale/locale-archive": Locales, "usr/share/x.png": Media, "usr/share/doc/x/y.png": Media, "root/x.tar.gz": Archives, "etc/passwd": Text,
		"var/x": Other, "usr/lib/python3/site-packages/x.py": Code, "EFI/BOOT/BOOTX64.EFI": Kernel, "var/db.sqlite": Databases, "x/y.7": Other,
	} {
		mode := tree.TypeRegular | 0o644
		if want == Programs {
			mode |= 0o111
		}
		names := strings.Split(path, "/")
		var where Kind
		parent := ""
		for _, name := range names[:len(names)-1] {
			if below := placeOf(parent, name); below != "" {
				where = below
			}
			parent = name
		}
		if got := kindOf(names[len(names)-1], &tree.Inode{Mode: mode}, where, true); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestDuplicates compares with what optimisation says that it saves.
func TestDuplicates(t *testing.T) {
	path := ext4Image(t, sample(t))
	u := measure(t, path, Options{})
	d := u.FileSystems[0].Duplicates
	img, err := inspect.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	files, err := img.Files(0)
	if err != nil {
		t.Fatal(err)
	}
	root, err := files.Tree(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	saved, err := nixstore.Optimise(context.Background(), root.Lookup(nixstore.StoreDir), nixstore.OptimiseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Below != nixstore.StoreDir || d.Files != saved.Files || d.Length != saved.Bytes || d.Files != 2 {
		t.Errorf("%+v; optimisation saves %+v", d, saved)
	}
	name := func(n int) inspect.Name {
		return inspect.Name{Path: fmt.Sprintf("%s/%s%d-part-%d/share/twin", nixstore.StoreDir, storeHash, n, n)}
	}
	want := []Duplicate{{Length: 100_000, Files: 2, Size: 2 * 25 * 4096, Names: []inspect.Name{name(0), name(1), name(2)}}}
	if diff := cmp.Diff(want, d.Groups); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := u.FileSystems[0].Store
	if s == nil || s.Registered || len(s.Paths) != 3 || s.Paths[0].Path != nixstore.StoreDir+"/"+storeHash+"0-part-0" {
		t.Errorf("%+v", s)
	}
}

// TestFAT counts clusters.
func TestFAT(t *testing.T) {
	path := filepath.Join(t.TempDir(), "esp.img")
	if err := os.WriteFile(path, make([]byte, 4<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mkfs.vfat", "-F", "12", "-s", "4", path)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 2049), 0o666); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mmd", "-i", path, "::EFI")
	oracle.Run(t, "mcopy", "-i", path, file, "::EFI/BOOTX64.EFI")
	fs := measure(t, path, Options{}).FileSystems[0]
	if fs.Files != 4096 || fs.Root.Files != 3 || fs.Root.Length != 2049 || fs.Kinds[0].Kind != Kernel {
		t.Errorf("%+v", fs)
	}
}

// TestClosures reads the database of a store in the image.
func TestClosures(t *testing.T) {
	dir := sample(t)
	path := func(n int) nixstore.Path {
		return nixstore.Path(fmt.Sprintf("%s/%s%d-part-%d", nixstore.StoreDir, storeHash, n, n))
	}
	c, err := nixstore.NewClosure([]nixstore.PathInfo{
		{Path: path(0), NarSize: 1, References: []nixstore.Path{path(0), path(1)}},
		{Path: path(1), NarSize: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := nixstore.Database(context.Background(), c, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(databasePath)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, databasePath), db, 0o644); err != nil {
		t.Fatal(err)
	}
	s := measure(t, ext4Image(t, dir), Options{}).FileSystems[0].Store
	if s == nil || !s.Registered || len(s.Paths) != 3 {
		t.Fatalf("%+v", s)
	}
	sizes := make(map[nixstore.Path]int64)
	for _, p := range s.Paths {
		sizes[nixstore.Path(p.Path)] = p.Size
	}
	for _, p := range s.Paths {
		want := p
		switch nixstore.Path(p.Path) {
		case path(0):
			want.Valid, want.NarSize, want.ClosureSize, want.ClosurePaths, want.Referrers = true, 1, sizes[path(0)]+sizes[path(1)], 2, 0
		case path(1):
			want.Valid, want.NarSize, want.ClosureSize, want.ClosurePaths, want.Referrers = true, 2, p.Size, 1, 1
		case path(2):
			want.Valid, want.ClosurePaths = false, 0
		}
		if p != want {
			t.Errorf("%+v, want %+v", p, want)
		}
	}
}
