package tree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
)

// write makes a file, and the directories above it.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// must fails the test if a step of its preparation failed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// walked returns the tree at path.
func walked(t testing.TB, path string, opts DirOptions) *Inode {
	t.Helper()
	root, err := FromDir(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func text(t testing.TB, i *Inode) string {
	t.Helper()
	p := make([]byte, i.Size())
	if len(p) > 0 {
		must(t, content.ReadFull(i.Content, p, 0))
	}
	return string(p)
}

func TestFromDir(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/etc/hosts", "localhost")
	write(t, dir+"/empty", "")
	must(t, os.Symlink("etc/hosts", dir+"/link"))
	must(t, os.Symlink(dir, t.TempDir()+"/there"))

	root := walked(t, dir, DirOptions{})
	if got := text(t, root.Lookup("/etc/hosts")); got != "localhost" {
		t.Errorf("etc/hosts holds %q", got)
	}
	if i := root.Child("empty"); i.Content != nil || !i.IsRegular() {
		t.Errorf("an empty file has content %v, mode %o", i.Content, i.Mode)
	}
	if got := root.Child("link").Target(); got != "etc/hosts" {
		t.Errorf("link leads to %q", got)
	}
	if n := len(Number(root)); n != 5 {
		t.Errorf("%d inodes", n)
	}
}

func TestFromDirFollowsItsArgument(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/real/file", "x")
	must(t, os.Symlink("real", dir+"/link"))
	if root := walked(t, dir+"/link", DirOptions{}); root.Child("file") == nil {
		t.Error("the directory behind a link was not walked")
	}
}

func TestFromDirRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	for _, c := range []struct{ path, want string }{
		{dir + "/file", "is not a directory"},
		{dir + "/none", "no such file"},
		{"", "no such file"},
	} {
		_, err := FromDir(t.Context(), c.path, DirOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got error %v, want %q", c.path, err, c.want)
		}
	}
	if _, err := FromDir(t.Context(), dir+"/none", DirOptions{}); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, content.ErrChanged) {
		t.Errorf("a directory that never was: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FromDir(ctx, dir, DirOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestFromDirVanished removes files under a walk's hands, between the listing
// of their directory and the look at them.
func TestFromDirVanished(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c/d", "e/f"} {
		write(t, filepath.Join(dir, name), "x")
	}
	w := newWalk(t.Context(), DirOptions{Workers: 1})
	h, err := openDir(dir, false)
	must(t, err)
	defer h.close()
	must(t, os.Remove(dir+"/a"))
	must(t, os.RemoveAll(dir+"/c"))
	here := &place{dir: content.NewDir(dir), path: dir}
	entries := make([]Entry, 0)
	for _, name := range []string{"a", "b", "c", "e"} {
		entries = append(entries, Entry{name, &Inode{}})
	}
	subdirs := w.readEntries(here, h, entries, 0)
	must(t, os.RemoveAll(dir+"/e"))
	for _, sub := range subdirs {
		name := entries[sub.entry].Name
		dir := here.dir.Sub(name)
		next := &place{up: here, dir: &dir, path: here.child(name), identity: sub.identity}
		w.walkDir(next, entries[sub.entry].Inode)
	}
	err = w.finish(nil)
	if !errors.Is(err, content.ErrChanged) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"a", "c", "e"} {
		if !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
}

func TestMatchStars(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"user.*", "user.a", true},
		{"user.*", "user.", true},
		{"user.*", "users", false},
		{"*", "security.selinux", true},
		{"*", "", true},
		{"security.selinux", "security.selinux", true},
		{"security.selinux", "security.selinux2", false},
		{"none", "user.none", false},
		{"a*b*c", "axxbxxc", true},
		{"a*b*c", "abcb", false},
		{"a**c", "ac", true},
		{"", "", true},
		{"", "a", false},
	} {
		if got := matchStars(c.pattern, []byte(c.name)); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}
