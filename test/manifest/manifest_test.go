//go:build linux

package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/nasty"
	"diskwright/test/scratch"
)

// The same nasty tree, made in two orders.
func TestRead(t *testing.T) {
	a, b := scratch.Dir(t), scratch.Dir(t)
	if err := nasty.Make(a, nasty.Options{Beyond: true}); err != nil {
		t.Fatal(err)
	}
	if err := nasty.Make(b, nasty.Options{Beyond: true, Order: 7}); err != nil {
		t.Fatal(err)
	}
	want, got := read(t, a), read(t, b)
	if diff := Diff(want, got); diff != "" {
		t.Error(diff)
	}
	file := filepath.Join(t.TempDir(), "saved")
	if err := got.Save(file); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := Diff(got, loaded); diff != "" {
		t.Errorf("saved and loaded:\n%s", diff)
	}
	if n := len(want); n < 5000 {
		t.Errorf("%d files only", n)
	}
	if f := want.Find("links/b/link-b-00001"); f == nil || f.Same != "links/a/link-a-00000" || f.Links != 601 {
		t.Errorf("hard link: %+v", f)
	}
}

// Every kind of difference is seen and said.
func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"mode":    {func(dir string) error { return os.Chmod(filepath.Join(dir, "file"), 0o600) }, `mode        "file": want 100644, got 100600`},
		"time":    {func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), []byte("12345678"), 0) }, `mtime       "file"`},
		"content": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), []byte("12345679"), 0) }, `content     "file"`},
		"size":    {func(dir string) error { return os.Truncate(filepath.Join(dir, "file"), 9) }, `size        "file": want 8, got 9`},
		"missing": {func(dir string) error { return os.Remove(filepath.Join(dir, "file")) }, `missing     "file"`},
		"new":     {func(dir string) error { return os.Mkdir(filepath.Join(dir, "\xff"), 0) }, `unexpected  "\xff"`},
		"link": {func(dir string) error { return os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "link")) },
			`links       "file": want 1, got 2`},
		"target": {func(dir string) error {
			os.Remove(filepath.Join(dir, "symlink"))
			return os.Symlink("b", filepath.Join(dir, "symlink"))
		}, `target      "symlink": want "a", got "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), []byte("12345678"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("a", filepath.Join(dir, "symlink")); err != nil {
				t.Fatal(err)
			}
			before := read(t, dir)
			if diff := Diff(before, read(t, dir)); diff != "" {
				t.Fatalf("differs from itself:\n%s", diff)
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			if diff := Diff(before, read(t, dir)); !strings.Contains(diff, c.want) {
				t.Errorf("got\n%s, want\n%s", diff, c.want)
			}
		})
	}
}

// Zeros count the same whether they are holes or data.
func TestDigestOfHoles(t *testing.T) {
	dir := t.TempDir()
	data := make([]byte, 20*block+17)
	data[5*block] = 1
	data[len(data)-1] = 2
	if err := os.WriteFile(filepath.Join(dir, "data"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "holes"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteAt([]byte{1}, 5*block)
	f.WriteAt([]byte{2}, int64(len(data)-1))
	m := read(t, dir)
	if m.Find("data").Digest != m.Find("holes").Digest {
		t.Error("digests differ")
	}
}

func TestBelow(t *testing.T) {
	m := Manifest{{Path: "."}, {Path: "a"}, {Path: "a/b", Same: "a/b"}, {Path: "ab"}}
	if got := m.Below("a"); len(got) != 2 || got[0].Path != "." || got[1].Path != "b" || got[1].Same != "b" {
		t.Errorf("Below: %+v", got)
	}
	if got := m.Without("a"); len(got) != 2 {
		t.Errorf("Without: %+v", got)
	}
	if got := m.WithoutBelow("a"); len(got) != 3 {
		t.Errorf("WithoutBelow: %+v", got)
	}
}

func read(t *testing.T, dir string) Manifest {
	t.Helper()
	m, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
