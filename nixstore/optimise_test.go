package nixstore

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// groups returns the names that lead to one inode, for each inode that has
// several, sorted.
func groups[K comparable](names map[string]K) (list []string) {
	byKey := make(map[K][]string)
	for name, key := range names {
		byKey[key] = append(byKey[key], name)
	}
	for _, group := range byKey {
		if len(group) > 1 {
			slices.Sort(group)
			list = append(list, strings.Join(group, " "))
		}
	}
	slices.Sort(list)
	return list
}

// The same files become hard links as Nix makes of them.
func TestOptimiseIsNix(t *testing.T) {
	n, top := sampleNix(t)
	c := n.closure(top)
	dir := n.store().Dir
	store, err := Tree(ctx, c, dir, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := Optimise(ctx, store, OptimiseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ours := make(map[string]*tree.Inode)
	var walk func(path string, i *tree.Inode)
	walk = func(path string, i *tree.Inode) {
		for _, e := range i.Entries {
			if below := path + "/" + e.Name; e.Inode.IsDir() {
				walk(below, e.Inode)
			} else {
				ours[below] = e.Inode
			}
		}
	}
	walk("", store)

	n.run("nix-store", "--optimise")
	theirs := make(map[string]uint64)
	for i := range c {
		err := filepath.WalkDir(n.store().Host(c[i].Path), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			fi, err := d.Info()
			if err == nil {
				theirs[strings.TrimPrefix(path, dir)] = fi.Sys().(*syscall.Stat_t).Ino
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, want := groups(ours), groups(theirs)
	if !slices.Equal(got, want) || len(want) < 3 {
		t.Errorf("%q\nNix has\n%q", got, want)
	}
	files := int64(0)
	for _, group := range want {
		files += int64(strings.Count(group, " "))
	}
	if saved.Files != files || saved.Bytes == 0 {
		t.Errorf("%+v, want %d files", saved, files)
	}

	// The host's hard links do not show in a tree that is read now.
	if store, err = Tree(ctx, c, dir, TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	if inodes, names := len(tree.Number(store)), len(theirs); inodes < names {
		t.Errorf("%d inodes for %d files", inodes, names)
	}
	if err := Verify(ctx, c, store, VerifyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestOptimise(t *testing.T) {
	file := func(text string, mode uint32) *tree.Inode {
		return &tree.Inode{Mode: mode, Mtime: Mtime, Content: content.Bytes(text)}
	}
	dir := tree.NewDir(Mtime)
	for name, i := range map[string]*tree.Inode{
		"a": file("same", modePlain), "b": file("same", modePlain), "c": file("same", modeExecutable),
		"d": file("else", modePlain), "e": file("another size", modePlain),
		"f": {Mode: modePlain}, "g": {Mode: modePlain}, "h": {Mode: modeExecutable},
		"i": tree.NewSymlink("same", Mtime), "j": tree.NewSymlink("same", Mtime), "k": tree.NewSymlink("else", Mtime),
	} {
		dir.SetChild(name, i)
	}
	for _, want := range []Saving{{3, 8}, {0, 0}} { // then again
		saved, err := Optimise(ctx, dir, OptimiseOptions{})
		if err != nil || saved != want {
			t.Errorf("%+v, %v; want %+v", saved, err, want)
		}
		names := make(map[string]*tree.Inode)
		for _, e := range dir.Entries {
			names[e.Name] = e.Inode
		}
		if got := groups(names); !slices.Equal(got, []string{"a b", "f g", "i j"}) {
			t.Errorf("%q", got)
		}
	}
}

// An inode has at most 65,000 names.
func TestOptimiseLimit(t *testing.T) {
	dir := tree.NewDir(Mtime)
	for n := range 2*maxNames + 1 {
		dir.Entries = append(dir.Entries, tree.Entry{Name: fmt.Sprintf("%06d", n), Inode: &tree.Inode{Mode: modePlain, Mtime: Mtime}})
	}
	saved, err := Optimise(ctx, dir, OptimiseOptions{})
	if err != nil || saved.Files != 2*maxNames-2 {
		t.Errorf("%+v, %v", saved, err)
	}
	var links []uint32
	for _, i := range tree.Number(dir)[1:] {
		links = append(links, i.Links)
	}
	if !slices.Equal(links, []uint32{maxNames, maxNames, 1}) {
		t.Errorf("links %d", links)
	}
}
