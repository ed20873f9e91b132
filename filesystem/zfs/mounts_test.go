package zfs

import (
	"slices"
	"strings"
	"testing"

	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

// listing returns the paths below a directory, directories with a slash.
func listing(dir *tree.Inode, prefix string) (names []string) {
	for _, e := range dir.Entries {
		name := prefix + e.Name
		if e.Inode.IsDir() {
			names = append(names, name+"/")
			names = append(names, listing(e.Inode, name+"/")...)
			continue
		}
		names = append(names, name)
	}
	return names
}

func TestDivide(t *testing.T) {
	root, etc, usr, log := dir(), dir(), dir(), dir()
	hard := file(text(10))
	etc.SetChild("a", hard)
	usr.SetChild("b", hard)
	usr.SetChild("c", hard)
	usr.Mode = tree.TypeDir | 0o700
	log.SetChild("d", hard)
	usr.SetChild("log", log)
	root.SetChild("etc", etc)
	root.SetChild("usr", usr)
	points := []string{"/usr", "/", "/new/below", "/usr/log", "/new"}
	parts, err := Divide(root, points, testTime)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"/":          {"etc/", "etc/a", "new/", "usr/"},
		"/usr":       {"b", "c", "log/"},
		"/usr/log":   {"d"},
		"/new":       {"below/"},
		"/new/below": nil,
	}
	for i, point := range points {
		if diff := cmp.Diff(want[point], listing(parts[i], "")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", point, diff)
		}
		if !parts[i].IsDir() {
			t.Errorf("%s is not a directory", point)
		}
	}
	if parts[1] != root || parts[0].Mode != usr.Mode || parts[4].Mode != tree.TypeDir|0o755 || parts[4].Mtime != testTime {
		t.Errorf("roots are %+v", parts)
	}
	b := parts[0].Child("b")
	if b != parts[0].Child("c") || b == etc.Child("a") || b == parts[3].Child("d") || b.Size() != 10 {
		t.Error("hard links lead from one dataset to another, or are gone within one")
	}
}

func TestDivideErrors(t *testing.T) {
	for _, c := range []struct {
		points []string
		want   string
	}{
		{[]string{"/", "/var", "/var"}, `two datasets are mounted at "/var"`},
		{[]string{"/", "var"}, `"var" is not an absolute path`},
		{[]string{"/", "/var/"}, `"/var/" is not an absolute path`},
		{[]string{"/", "/a/../b"}, `not an absolute path without`},
		{[]string{"/", "/link"}, `a dataset is mounted at "/link", but "/link" is a symlink: want a directory`},
		{[]string{"/", "/file/x"}, `a dataset is mounted at "/file/x", but "/file" is a file: want a directory`},
		{[]string{"/", "/" + strings.Repeat("n", 256)}, "a name of more than 255 bytes"},
	} {
		root := dir()
		root.SetChild("link", tree.NewSymlink("var", testTime))
		root.SetChild("file", file(nil))
		if _, err := Divide(root, c.points, testTime); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, not %s", c.points, err, c.want)
		}
	}
}

func TestPopulate(t *testing.T) {
	for _, c := range []struct {
		name, mount, nix string
		own, below       []string // names in the file systems' roots
	}{
		{"nothing mounted", "", "", []string{"etc", "nix"}, nil},
		{"a dataset", "", "/nix", []string{"etc", "nix"}, []string{"store"}},
		{"a dataset on /", "", "/", nil, []string{"etc", "nix"}},
		{"the pool on /", "/", "/nix", []string{"etc", "nix"}, []string{"store"}},
		{"the pool below a dataset", "/nix", "/", []string{"store"}, []string{"etc", "nix"}},
	} {
		root := dir()
		for _, path := range []string{"/etc/passwd", "/nix/store"} {
			if err := tree.PutFile(root, path, file(text(10)), testTime); err != nil {
				t.Fatal(err)
			}
		}
		opts := Options{Mount: c.mount, Datasets: []Dataset{{Name: "nix", Mount: c.nix}}}
		own, err := opts.Populate(root, testTime)
		if err != nil {
			t.Fatal(err)
		}
		names := func(i *tree.Inode) (list []string) {
			if i != nil {
				for _, e := range i.Entries {
					list = append(list, e.Name)
				}
			}
			return list
		}
		if got := names(own); !slices.Equal(got, c.own) {
			t.Errorf("%s: the pool has %q, want %q", c.name, got, c.own)
		}
		if got := names(opts.Datasets[0].Root); !slices.Equal(got, c.below) {
			t.Errorf("%s: the dataset has %q, want %q", c.name, got, c.below)
		}
	}
}
