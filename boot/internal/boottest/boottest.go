// Package boottest runs the goldens of boot loaders: what the installers of
// NixOS wrote over small systems that were made up for them.
//
// A case is a directory:
//
//	input.json       the system, every file of it, and the installer's settings
//	tree-before.txt  type, mode, size, SHA-256 and path of every file before
//	tree-after.txt   the same after
//	files/           the text files that are new or changed
package boottest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // cases are in zones that the machine may not know

	"diskwright/boot"
	"diskwright/content"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

// Case is a golden.
type Case struct {
	Dir      string
	Revision string            // of the installer
	Settings json.RawMessage   // of the installer
	Args     []string          // of the installer
	Mounts   []Mount           // what mountinfo showed
	BlkID    map[string]Labels // what blkid would say, by device
	Toplevel string            // that the installer got

	Root   *tree.Inode  // the file system before
	System *boot.System // with the times that the installer saw

	stubs map[*tree.Inode]stub // files of whose content only the hash is known
}

// Mount is a line of mountinfo.
type Mount struct {
	Target, Source, FSType string
	Root                   string // what of the file system is mounted; "" is all
	Options                string
}

// Labels are what blkid says of a device.
type Labels map[string]string

type stub struct {
	size int64
	hash string
}

// Load reads the case in a directory.
func Load(t testing.TB, dir string) *Case {
	t.Helper()
	c := &Case{Dir: dir, Root: tree.NewDir(tree.Time{}), stubs: map[*tree.Inode]stub{}}
	text, err := os.ReadFile(filepath.Join(dir, "input.json"))
	if err != nil {
		t.Fatal(err)
	}
	var input struct {
		Revision string          `json:"script_revision"`
		Toplevel string          `json:"default_toplevel"`
		Settings json.RawMessage `json:"settings"`
		Args     []string        `json:"argv"`
		Mounts   []Mount         `json:"mounts"`
		Zone     string          `json:"tz"`
		Stub     struct {
			BlkID map[string]Labels `json:"blkid"`
		} `json:"stub"`
		Tree map[string]struct {
			Type, Mode, Text, Target string
			Mtime                    int64
		} `json:"tree"`
	}
	if err := json.Unmarshal(text, &input); err != nil {
		t.Fatal(err)
	}
	c.Revision, c.Toplevel, c.Settings, c.Args = input.Revision, input.Toplevel, input.Settings, input.Args
	c.Mounts, c.BlkID = input.Mounts, input.Stub.BlkID
	c.readTree(t)
	for _, path := range slices.Sorted(maps.Keys(input.Tree)) {
		f := input.Tree[path]
		i := c.Root.Lookup(path)
		if i == nil {
			t.Fatalf("%s: tree-before.txt lacks %s", dir, path)
		}
		i.Mtime = tree.Time{Sec: f.Mtime}
		if s, ok := c.stubs[i]; ok && hash([]byte(f.Text)) == s.hash {
			i.Content = content.Bytes(f.Text)
			delete(c.stubs, i)
		}
	}
	c.readSystem(t, input.Zone)
	return c
}

// readTree makes the tree that tree-before.txt lists.
func (c *Case) readTree(t testing.TB) {
	t.Helper()
	for path, line := range readList(t, filepath.Join(c.Dir, "tree-before.txt")) {
		f := strings.SplitN(line, " ", 4)
		mode, err := strconv.ParseUint(f[1], 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		var i *tree.Inode
		switch f[0] {
		case "d":
			i, err = tree.MakeDir(c.Root, path, tree.Time{})
			if err != nil {
				t.Fatal(err)
			}
			i.Mode = tree.TypeDir | uint32(mode)
			continue
		case "l":
			_, target, _ := strings.Cut(line, "-> ")
			i = tree.NewSymlink(target, tree.Time{})
		case "f":
			size, _ := strconv.ParseInt(f[2], 10, 64)
			i = tree.NewFile(nil, tree.Time{})
			i.Mode = tree.TypeRegular | uint32(mode)
			if size > 0 {
				c.stubs[i] = stub{size, f[3]}
			}
		}
		if err := tree.PutFile(c.Root, path, i, tree.Time{}); err != nil {
			t.Fatal(err)
		}
	}
}

// readList returns the lines of a list by path, without the path of what is no
// link.
func readList(t testing.TB, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 5)
		if len(f) != 5 {
			t.Fatalf("%s: %q", name, line)
		}
		path, target, link := strings.Cut(f[4], " -> ")
		list[path] = strings.Join(f[:4], " ")
		if link {
			list[path] += " -> " + target
		}
	}
	return list
}

// readSystem reads the generations, with times that are in UTC what they were in
// the zone.
func (c *Case) readSystem(t testing.TB, zone string) {
	t.Helper()
	files := boot.Files{Root: c.Root}
	var err error
	if c.System, err = boot.ReadSystem(context.Background(), files, c.Toplevel, 0); err != nil {
		t.Fatal(err)
	}
	location := time.UTC
	if strings.HasPrefix(zone, "CET-1CEST") {
		if location, err = time.LoadLocation("Europe/Berlin"); err != nil {
			t.Fatal(err)
		}
	}
	mtime := func(path string, follow bool) int64 {
		i, err := files.Lstat(path)
		if follow {
			i, _, err = files.Lookup(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, offset := time.Unix(i.Mtime.Sec, 0).In(location).Zone()
		return i.Mtime.Sec + int64(offset)
	}
	for _, p := range c.System.Profiles {
		for n := range p.Generations {
			g := &p.Generations[n]
			g.Built, g.Linked = mtime(g.Link, true), mtime(g.Link, false)
			for s := range g.Specialisations {
				g.Specialisations[s].Built = mtime(g.Specialisations[s].Toplevel, true)
			}
		}
	}
}

// Options say what of a tree is not compared.
type Options struct {
	IgnoreModes bool // of regular files and directories: FATs have none
	// Skip is asked for every path that differs.
	Skip func(path string) bool
}

// Compare compares a tree with tree-after.txt.
func (c *Case) Compare(t testing.TB, root *tree.Inode, opts Options) {
	t.Helper()
	want := readList(t, filepath.Join(c.Dir, "tree-after.txt"))
	have := map[string]string{}
	c.list(t, root, "", have)
	paths := slices.Sorted(maps.Keys(want))
	for path := range have {
		if _, ok := want[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		w, h := want[path], have[path]
		if opts.IgnoreModes {
			w, h = dropMode(w), dropMode(h)
		}
		if w == h || opts.Skip != nil && opts.Skip(path) {
			continue
		}
		t.Errorf("%s:\n have %q\n want %q", path, h, w)
		c.explain(t, root, path)
	}
}

// explain shows how a text differs.
func (c *Case) explain(t testing.TB, root *tree.Inode, path string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(c.Dir, "files", path))
	if err != nil {
		return
	}
	have, err := boot.Files{Root: root}.Read(path)
	if err == nil {
		t.Errorf("%s (-want +have):\n%s", path, cmp.Diff(string(want), string(have)))
	}
}

func dropMode(line string) string {
	f := strings.SplitN(line, " ", 3)
	if len(f) < 3 {
		return line
	}
	return f[0] + " " + f[2]
}

// list describes what is below dir as the lists do.
func (c *Case) list(t testing.TB, dir *tree.Inode, path string, list map[string]string) {
	t.Helper()
	for _, e := range dir.Entries {
		i, name := e.Inode, path+"/"+e.Name
		mode := fmt.Sprintf("%04o", i.Mode&tree.PermMask)
		switch {
		case i.IsDir():
			list[name] = "d " + mode + " - -"
			c.list(t, i, name, list)
		case i.IsSymlink():
			list[name] = "l " + mode + " - - -> " + i.Target()
		default:
			s, ok := c.stubs[i]
			if !ok {
				b, err := boot.ReadAll(i)
				if err != nil {
					t.Fatal(err)
				}
				s = stub{int64(len(b)), hash(b)}
			}
			list[name] = fmt.Sprintf("f %s %d %s", mode, s.size, s.hash)
		}
	}
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Put puts a file with that text into the tree, 0444 as in a store.
func (c *Case) Put(t testing.TB, path, text string) {
	t.Helper()
	file := tree.NewFile(content.Bytes(text), tree.Time{Sec: 1})
	file.Mode = tree.TypeRegular | 0o444
	if err := tree.PutFile(c.Root, path, file, tree.Time{Sec: 1}); err != nil {
		t.Fatal(err)
	}
}

// Cases returns the cases below a directory, as paths.
func Cases(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "input.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases in %s: %v", dir, cmpOr(err, fs.ErrNotExist))
	}
	for n, name := range names {
		names[n] = filepath.Dir(name)
	}
	return names
}

func cmpOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
