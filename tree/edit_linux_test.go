package tree

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"diskwright/content"
	"diskwright/test/oracle"
)

func TestClampTimes(t *testing.T) {
	limit := Time{Sec: 1000, Nsec: 5}
	root := NewDir(Time{Sec: 2000})
	for name, mtime := range map[string]Time{"before": {999, 999999999}, "same": limit, "nanosecond": {1000, 6}, "negative": {-5, 1}} {
		must(t, PutFile(root, "dir/"+name, NewFile(nil, mtime), Time{Sec: 3000}))
	}
	ClampTimes(root, limit)
	for path, want := range map[string]Time{"": limit, "dir": limit, "dir/before": {999, 999999999}, "dir/same": limit, "dir/nanosecond": limit, "dir/negative": {-5, 1}} {
		if got := root.Lookup(path).Mtime; got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	file := func(s string) *Inode { return NewFile(content.Bytes(s), testEpoch) }
	root := NewDir(testEpoch)
	inside, across := file("inside"), file("across")
	for path, i := range map[string]*Inode{"boot/a": inside, "boot/b/c": inside, "boot/kernel": across, "boot/b/again": across,
		"usr/kernel": across, "usr/other": file("other"), "boot/own": file("own")} {
		must(t, PutFile(root, path, i, testEpoch))
	}
	point := root.Child("boot")
	point.Mode, point.UID = TypeDir|0o700, 7
	boot, err := Split(root, "/boot", Time{Sec: 5})
	must(t, err)
	if point := root.Child("boot"); len(point.Entries) != 0 || point.Mode != TypeDir|0o700 || point.UID != 7 {
		t.Errorf("the mount point is %+v", point)
	}
	if boot.Mode != TypeDir|0o700 || boot.Child("a") != boot.Lookup("b/c") || boot.Child("a") != inside {
		t.Error("what was cut out changed")
	}
	kernel := boot.Child("kernel")
	if kernel == across || kernel != boot.Lookup("b/again") || root.Lookup("usr/kernel") != across || text(t, kernel) != "across" {
		t.Error("a hard link crosses the cut, or is lost inside of it")
	}
	Number(root)
	Number(boot)
	if across.Links != 1 || kernel.Links != 2 || inside.Links != 2 {
		t.Errorf("links: %d, %d, %d", across.Links, kernel.Links, inside.Links)
	}

	efi, err := Split(root, "efi", Time{Sec: 5})
	must(t, err)
	if point := root.Child("efi"); point == nil || point.Mtime.Sec != 5 || point.Mode != TypeDir|0o755 || len(efi.Entries) != 0 {
		t.Errorf("a missing mount point is %+v", point)
	}
	for path, want := range map[string]string{"/": "is the root", "usr/other": "is not a directory", "../x": "\"..\""} {
		if _, err := Split(root, path, testEpoch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

// TestUsageAgainstDu computes what the reference computes the size of the disk
// from.
func TestUsageAgainstDu(t *testing.T) {
	dir := t.TempDir()
	makeSources(t, dir)
	for name, size := range map[string]int64{"0": 0, "1": 1, "4095": 4095, "4096": 4096, "4097": 4097, "sparse": 10 << 20} {
		write(t, dir+"/sizes/"+name, "")
		must(t, os.Truncate(dir+"/sizes/"+name, size))
	}
	must(t, os.Link(dir+"/sizes/4097", dir+"/sizes/hard"))
	must(t, os.Symlink(strings.Repeat("x", 4000), dir+"/long"))
	mkspecial(t, dir)
	t.Chdir(dir)
	for _, c := range []struct {
		countLinks bool
		flag       string
	}{{true, "--count-links"}, {false, "--apparent-size"}} {
		script := fmt.Sprintf(`find . ! -type d -print0 | du --files0-from=- --apparent-size %s --block-size 4096 | cut -f1 | paste -sd+ | tr + '\n' | { s=0; while read n; do s=$((s+n)); done; echo $s; }; find . | wc -l`, c.flag)
		out := strings.Fields(string(oracle.Output(t, "sh", "-c", script)))
		blocks, entries := Usage(walked(t, dir, DirOptions{}), c.countLinks)
		if got := []string{strconv.FormatInt(blocks, 10), strconv.FormatInt(entries, 10)}; fmt.Sprint(got) != fmt.Sprint(out) {
			t.Errorf("%s: got %v, du and find say %v", c.flag, got, out)
		}
	}
}

// TestMergeModel merges random trees and compares with maps of paths.
func TestMergeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A tree as a map from paths to contents; "" is a directory.
		draw := func(label string) map[string]string {
			m := map[string]string{}
			for _, path := range rapid.SliceOfN(rapid.StringMatching(`[ab](/[ab]){0,3}`), 0, 8).Draw(t, label) {
				names := strings.Split(path, "/")
				ok := true
				for n := 1; n < len(names); n++ {
					above := strings.Join(names[:n], "/")
					ok = ok && m[above] == ""
				}
				if _, there := m[path]; !ok || there {
					continue
				}
				for n := 1; n < len(names); n++ {
					m[strings.Join(names[:n], "/")] = ""
				}
				m[path] = label
			}
			return m
		}
		build := func(m map[string]string) *Inode {
			root := NewDir(testEpoch)
			for path, text := range m {
				if text == "" {
					_, err := MakeDir(root, path, testEpoch)
					if err != nil {
						t.Fatal(err)
					}
				} else if err := PutFile(root, path, NewFile(content.Bytes(text), testEpoch), testEpoch); err != nil {
					t.Fatal(err)
				}
			}
			return root
		}
		old, added := draw("old"), draw("added")
		want := map[string]string{}
		for path, text := range old {
			want[path] = text
		}
		for path, text := range added {
			if text != "" || want[path] != "" { // replaces all that is there
				for below := range want {
					if strings.HasPrefix(below, path+"/") && added[below] == "" {
						if _, there := added[below]; !there {
							delete(want, below)
						}
					}
				}
			}
			want[path] = text
		}
		root := build(old)
		g := &graft{root: root, ours: map[*Inode]bool{}}
		g.merge(root, build(added))
		got := map[string]string{}
		var list func(prefix string, dir *Inode)
		list = func(prefix string, dir *Inode) {
			for n, e := range dir.Entries {
				if n > 0 && dir.Entries[n-1].Name >= e.Name {
					t.Fatalf("not sorted: %q", prefix)
				}
				if e.Inode.IsDir() {
					got[prefix+e.Name] = ""
					list(prefix+e.Name+"/", e.Inode)
				} else {
					got[prefix+e.Name] = string(e.Inode.Content.(content.Bytes))
				}
			}
		}
		list("", root)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v over %v is %v, want %v", added, old, got, want)
		}
	})
}
