package nixstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"diskwright/diskmap"
	"diskwright/tree"
)

// dump writes everything that a tree says but contents.
func dump(i *tree.Inode) string {
	var b strings.Builder
	seen := make(map[*tree.Inode]string)
	var walk func(path string, i *tree.Inode)
	walk = func(path string, i *tree.Inode) {
		fmt.Fprintf(&b, "%q %o %d:%d %v", path, i.Mode, i.UID, i.GID, i.Mtime)
		if first, again := seen[i]; again {
			fmt.Fprintf(&b, " = %q", first)
		}
		seen[i] = path
		if i.IsSymlink() {
			fmt.Fprintf(&b, " -> %q", i.Target())
		} else {
			fmt.Fprintf(&b, " %d", i.Size())
		}
		if len(i.Xattrs) > 0 {
			fmt.Fprintf(&b, " %v", i.Xattrs)
		}
		if _, ok := i.Content.(*diskmap.Map); ok {
			b.WriteString(" holes")
		}
		b.WriteString("\n")
		for _, e := range i.Entries {
			walk(path+"/"+e.Name, e.Inode)
		}
	}
	walk("", i)
	return b.String()
}

// sampleClosure returns a closure with paths of these names, without
// references.
func sampleClosure(t testing.TB, names ...string) Closure {
	t.Helper()
	var infos []PathInfo
	for _, name := range names {
		infos = append(infos, PathInfo{Path: samplePath(name), NarSize: 1})
	}
	c, err := NewClosure(infos)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The host's modes, owners, times, links and holes are not seen.
func TestTreeIsCanonical(t *testing.T) {
	dir := t.TempDir()
	host := func(name string) string { return filepath.Join(dir, samplePath(name).Base()) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(host("d"), "sub"), 0o711))
	writeFile(t, filepath.Join(host("d"), "plain"), "x")
	must(os.Link(filepath.Join(host("d"), "plain"), filepath.Join(host("d"), "again")))
	must(os.Link(filepath.Join(host("d"), "plain"), host("f"))) // as an optimised store has it
	must(os.Symlink("plain", filepath.Join(host("d"), "sub", "link")))
	must(os.WriteFile(filepath.Join(host("d"), "tool"), []byte("#!"), 0o644))
	must(os.Chmod(filepath.Join(host("d"), "tool"), 0o4711))
	must(os.WriteFile(filepath.Join(host("d"), "others"), []byte("not executable: x is not the owner's"), 0o655))
	writeFile(t, filepath.Join(host("d"), "sparse"), "x")
	must(os.Truncate(filepath.Join(host("d"), "sparse"), 1<<20))
	writeFile(t, filepath.Join(host("d"), "hack~nix~case~hack~1"), "")
	must(os.WriteFile(host("x"), nil, 0o700))
	must(os.Symlink("/nowhere", host("l")))
	writeFile(t, filepath.Join(dir, "unrelated"), "")

	store, err := Tree(ctx, sampleClosure(t, "d", "f", "l", "x"), dir, TreeOptions{KeepCaseHack: true})
	must(err)
	const want = `"" 40555 0:0 {1 0} 0
"/H-d" 40555 0:0 {1 0} 0
"/H-d/again" 100444 0:0 {1 0} 1
"/H-d/hack~nix~case~hack~1" 100444 0:0 {1 0} 0
"/H-d/others" 100444 0:0 {1 0} 36
"/H-d/plain" 100444 0:0 {1 0} 1
"/H-d/sparse" 100444 0:0 {1 0} 1048576
"/H-d/sub" 40555 0:0 {1 0} 0
"/H-d/sub/link" 120777 0:0 {1 0} -> "plain"
"/H-d/tool" 100555 0:0 {1 0} 2
"/H-f" 100444 0:0 {1 0} 1
"/H-l" 120777 0:0 {1 0} -> "/nowhere"
"/H-x" 100555 0:0 {1 0} 0
`
	if got := strings.ReplaceAll(dump(store), sampleHash, "H"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTreeRefuses(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, samplePath("d").Base(), "sub")
	if err := os.MkdirAll(in, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, fifo := range []string{filepath.Join(in, "pipe"), filepath.Join(dir, samplePath("p").Base())} {
		if err := syscall.Mkfifo(fifo, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Tree(ctx, sampleClosure(t, "d", "missing", "p"), dir, TreeOptions{})
	if err == nil {
		t.Fatal("no error")
	}
	for n, want := range []string{
		fmt.Sprintf("%q is neither a regular file, a directory nor a symbolic link", filepath.Join(in, "pipe")),
		fmt.Sprintf("%q is registered, but missing from %q", samplePath("missing"), dir),
		fmt.Sprintf("%q is neither a regular file", filepath.Join(dir, samplePath("p").Base())),
	} {
		if line := strings.Split(err.Error(), "\n")[n]; !strings.Contains(line, want) {
			t.Errorf("%s\nwant %s", line, want)
		}
	}
}

func TestCaseHack(t *testing.T) {
	o := objects{undoCaseHack: true}
	dir := t.TempDir()
	for _, name := range []string{"Makefile", "makefile~nix~case~hack~1", "a~nix~case~hack~12"} {
		writeFile(t, filepath.Join(dir, name), name)
	}
	i, err := o.read(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range i.Entries {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, " "); got != "Makefile a makefile" {
		t.Errorf("names %q", got)
	}
	writeFile(t, filepath.Join(dir, "makefile~nix~case~hack~2"), "")
	if _, err := o.read(ctx, dir); err == nil || !strings.Contains(err.Error(), `several files called "makefile"`) {
		t.Errorf("%v", err)
	}
}

func TestVerify(t *testing.T) {
	n, top := sampleNix(t)
	c := n.closure(top)
	store, err := Tree(ctx, c, n.store().Dir, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(ctx, c, store, VerifyOptions{}); err != nil {
		t.Fatal(err)
	}

	// A wrong registration, a changed mode, a changed byte.
	c[0].NarHash[0] ^= 1
	file := n.store().Host(find(t, c, "file"))
	if err := os.Chmod(file, 0o444); err != nil {
		t.Fatal(err)
	}
	manual := filepath.Join(n.store().Host(top), "manual")
	if err := os.Chmod(manual, 0o644); err != nil {
		t.Fatal(err)
	}
	writeFile(t, manual, "other")
	if store, err = Tree(ctx, c, n.store().Dir, TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	err = Verify(ctx, c, store, VerifyOptions{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{string(c[0].Path), string(top), string(find(t, c, "file")), c.Find(top).NarHash.String()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	if bad := strings.Count(err.Error(), "is not what is registered"); bad != 3 {
		t.Errorf("%d problems, want 3:\n%v", bad, err)
	}
}

// find returns the path of the closure that has a name.
func find(t testing.TB, c Closure, name string) Path {
	t.Helper()
	for n := range c {
		if c[n].Path.Name() == name {
			return c[n].Path
		}
	}
	t.Fatalf("no path called %q", name)
	return ""
}

func TestLookup(t *testing.T) {
	store := tree.NewDir(Mtime)
	a, b := tree.NewDir(Mtime), tree.NewDir(Mtime)
	file := tree.NewFile(nil, Mtime)
	store.SetChild("a", a)
	store.SetChild("b", b)
	store.SetChild("top", tree.NewSymlink("a/../b", Mtime))
	a.SetChild("file", file)
	b.SetChild("abs", tree.NewSymlink("/nix/store/a/", Mtime))
	b.SetChild("rel", tree.NewSymlink("../b/./abs/file", Mtime))
	b.SetChild("loop", tree.NewSymlink("loop", Mtime))
	b.SetChild("out", tree.NewSymlink("/etc/passwd", Mtime))
	b.SetChild("up", tree.NewSymlink("../../etc", Mtime))
	for path, want := range map[string]*tree.Inode{
		"/nix/store/a": a, "/nix/store/top/rel": file, "/nix/store/b/abs/file": file, "/nix/store//a/.": a, "/nix/store/b/abs": a,
	} {
		if got, err := Lookup(store, path); got != want || err != nil {
			t.Errorf("%q: %v, %v", path, got, err)
		}
	}
	for path, want := range map[string]string{
		"/nix/store/c": "file does not exist", "/nix/store/a/file/x": "not a directory", "/nix/store/b/loop": "symbolic links",
		"/nix/store/b/out": `"/etc/passwd", which is not in /nix/store`, "/nix/store/b/up": "leads out", "a": "not in",
	} {
		if _, err := Lookup(store, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	root := t.TempDir()
	s := At(root)
	want := samplePath("system")
	for _, d := range []string{s.Dir, filepath.Join(root, "profiles"), filepath.Join(root, "other")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, s.Host(want), "")
	link := func(target, name string) string {
		path := filepath.Join(root, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link(string(want), "profiles/system-1-link")
	good := []string{
		string(want), s.Host(want), string(want) + "/",
		link(string(want), "result"), link("result", "result2"), link("system-1-link", "profiles/system"),
		link(s.Host(want), "physical"), link(s.Dir, "dir") + "/" + want.Base(),
		filepath.Join(link("profiles", "p"), "system"),
	}
	for _, arg := range good {
		if got, err := s.Resolve(arg); got != want || err != nil {
			t.Errorf("%q: %q, %v", arg, got, err)
		}
	}
	link("loop", "loop")
	for arg, problem := range map[string]string{
		"": "not in the store", root: "not in the store", "/nix/store/x": "not a store path", filepath.Join(root, "loop"): "loop",
		filepath.Join(root, "nothing"): "no such file", string(want) + "/bin/sh": `leads to "bin/sh" inside of`,
	} {
		if got, err := s.Resolve(arg); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %q, %v; want %q", arg, got, err, problem)
		}
	}
}

func TestAt(t *testing.T) {
	for root, dir := range map[string]string{
		"": "/nix/store", "/": "/nix/store", "/nix/store": "/nix/store", "/nix/store/": "/nix/store",
		"/mnt": "/mnt/nix/store", "/mnt/nix/store": "/mnt/nix/store", "rel": "rel/nix/store", "rel/nix/store": "rel/nix/store",
		".": "nix/store", "..": "../nix/store",
	} {
		if got := At(root).Dir; got != dir {
			t.Errorf("At(%q).Dir = %q, want %q", root, got, dir)
		}
	}
}
