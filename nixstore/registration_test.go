package nixstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// samplePath returns a store path with a name.
func samplePath(name string) Path { return Path(StoreDir + "/" + sampleHash + "-" + name) }

// record writes a record as closureInfo does.
func record(path string, refs ...string) string {
	s := fmt.Sprintf("%s\n%v\n120\n\n%d\n", samplePath(path), Hash{1}, len(refs))
	for _, r := range refs {
		s += string(samplePath(r)) + "\n"
	}
	return s
}

func TestParseRegistration(t *testing.T) {
	infos, err := ParseRegistration(strings.NewReader(record("b", "b", "a")+record("a")), "r")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClosure(infos)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.paths(); !slices.Equal(got, []string{string(samplePath("a")), string(samplePath("b"))}) {
		t.Errorf("paths %q", got)
	}
	b := c.Find(samplePath("b"))
	if b == nil || b.NarSize != 120 || b.NarHash != (Hash{1}) || b.Deriver != "" ||
		!slices.Equal(b.References, []Path{samplePath("a"), samplePath("b")}) {
		t.Errorf("%+v", b)
	}
	if c.Find(samplePath("aa")) != nil || c.NarSize() != 240 {
		t.Errorf("Find of a path that is not there, or NarSize %d", c.NarSize())
	}
	if infos, err := ParseRegistration(strings.NewReader(""), "r"); err != nil || len(infos) != 0 {
		t.Errorf("an empty file: %v, %v", infos, err)
	}
}

func TestParseRegistrationErrors(t *testing.T) {
	good := record("b", "a") + record("a")
	edit := func(line int, text string) string {
		lines := strings.SplitAfter(good, "\n")
		lines[line-1] = text
		return strings.Join(lines, "")
	}
	for _, test := range []struct{ text, want string }{
		{edit(1, "/tmp/a\n"), `line 1: "/tmp/a" is not a store path`},
		{"\n" + good, `line 1: "" is not a store path`},
		{edit(2, "sha256:short\n"), `line 2: "sha256:short" is not a SHA-256`},
		{edit(3, "-1\n"), `line 3: the size of the NAR is "-1"`},
		{edit(3, "+1\n"), `line 3: the size of the NAR is "+1"`},
		{edit(3, "\n"), `line 3: the size of the NAR is ""`},
		{edit(3, "99999999999999999999\n"), `line 3: the size of the NAR`},
		{edit(4, "unknown\n"), `line 4: "unknown" is not a store path`},
		{edit(5, "9000000000000000000\n"), `line 8: "sha256:`}, // the next record's hash
		{edit(5, "0\n"), "line 7:"},
		{edit(6, ""), `line 7: "sha256:`},
		{good + "\n", `line 12: "" is not a store path`},
		{good[:len(good)-1], "line 11: the file ends within the line"},
		{record("a")[:strings.Index(record("a"), "120")], "line 3: the file ends where the size of the NAR is expected"},
		{strings.Repeat("x", 1000) + "\n", "line 1: a store path of more than 512 bytes"},
		{strings.Repeat("x", 1<<20), "line 1: a store path of more than 512 bytes"},
		{record("b", "a", "a"), "line 7: "},
	} {
		_, err := ParseRegistration(strings.NewReader(test.text), "r")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.80q…: %v\nwant %q", test.text, err, test.want)
		}
	}
}

func TestClosureProblems(t *testing.T) {
	infos, err := ParseRegistration(strings.NewReader(record("a", "x", "y")+record("b", "x")+record("b")), "r")
	if err != nil {
		t.Fatal(err)
	}
	infos[0].NarSize = 0
	_, err = NewClosure(infos)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		fmt.Sprintf("%q is registered twice", samplePath("b")),
		fmt.Sprintf("%q is missing from the closure: %q refers to it", samplePath("x"), samplePath("a")),
		fmt.Sprintf("%q is missing from the closure: %q refers to it", samplePath("y"), samplePath("a")),
		fmt.Sprintf("%q is registered with a NAR of 0 bytes", samplePath("a")),
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 3 {
		t.Errorf("%d problems, want 4:\n%v", n+1, err)
	}

	var many []PathInfo
	for n := range 100 {
		many = append(many, PathInfo{Path: samplePath("a"), NarSize: 1, References: []Path{samplePath(fmt.Sprint("m", n))}})
	}
	_, err = NewClosure(many)
	if n := strings.Count(err.Error(), "\n"); n != maxProblems || !strings.HasSuffix(err.Error(), "and 179 more") {
		t.Errorf("%d lines of problems:\n%v", n+1, err)
	}
}

func TestReachable(t *testing.T) {
	// A cycle, a path that refers to itself, and two that nothing leads to.
	infos, err := ParseRegistration(strings.NewReader(
		record("a", "b")+record("b", "a", "c")+record("c", "c")+record("d", "c")+record("e")), "r")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClosure(infos)
	if err != nil {
		t.Fatal(err)
	}
	part, err := c.Reachable(samplePath("b"), samplePath("b"))
	if err != nil || len(part) != 3 || part.Find(samplePath("d")) != nil {
		t.Errorf("%q, %v", part.paths(), err)
	}
	if none, err := c.Reachable(); err != nil || len(none) != 0 {
		t.Errorf("%q, %v", none.paths(), err)
	}
	if _, err := c.Reachable(samplePath("z")); err == nil {
		t.Error("no error for a root that is not there")
	}
}

func TestFromClosureInfo(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "registration"), record("b", "a")+record("a"))
	list := fmt.Sprintf("%s\n%s\n", samplePath("a"), samplePath("b"))
	writeFile(t, filepath.Join(dir, "store-paths"), list)
	c, err := FromClosureInfo(dir)
	if err != nil || len(c) != 2 {
		t.Fatalf("%q, %v", c.paths(), err)
	}
	for _, test := range []struct{ list, want string }{
		{list + string(samplePath("c")) + "\n", `-c" is not registered`},
		{string(samplePath("a")) + "\n", `-b" is not listed`},
		{list + list, `-a" is listed twice`},
		{"x\n", "line 1"},
	} {
		writeFile(t, filepath.Join(dir, "store-paths"), test.list)
		if _, err := FromClosureInfo(dir); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	os.Remove(filepath.Join(dir, "store-paths"))
	if _, err := FromClosureInfo(dir); err == nil || !strings.Contains(err.Error(), "store-paths") {
		t.Errorf("%v", err)
	}
	writeFile(t, filepath.Join(dir, "registration"), record("b", "a"))
	if _, err := FromClosureInfo(dir); err == nil || !strings.Contains(err.Error(), "registration") {
		t.Errorf("%v", err)
	}
}

// Nix's own dump of its database is read as it is.
func TestDumpDB(t *testing.T) {
	n, top := sampleNix(t)
	infos, err := ParseRegistration(strings.NewReader(n.run("nix-store", "--dump-db")), "dump")
	if err != nil {
		t.Fatal(err)
	}
	dump, err := NewClosure(infos)
	if err != nil {
		t.Fatal(err)
	}
	want := n.closure(top)
	got, err := dump.Reachable(top)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the dump has\n%v\nthe database\n%v", got, want)
	}
}

func FuzzParseRegistration(f *testing.F) {
	f.Add([]byte(record("b", "a") + record("a")))
	f.Add([]byte(record("a", "a")))
	f.Add([]byte(record("a")[:50]))
	f.Add([]byte("\n\n\n\n\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		infos, err := ParseRegistration(bytes.NewReader(text), "r")
		if err != nil {
			return
		}
		var refs int
		for _, info := range infos {
			if _, err := ParsePath(string(info.Path)); err != nil {
				t.Error(err)
			}
			refs += len(info.References)
		}
		if len(infos)*5+refs != bytes.Count(text, []byte("\n")) {
			t.Errorf("%d records with %d references in %d lines", len(infos), refs, bytes.Count(text, []byte("\n")))
		}
		if c, err := NewClosure(infos); err == nil && len(c) != len(infos) {
			t.Errorf("%d paths of %d", len(c), len(infos))
		}
	})
}
