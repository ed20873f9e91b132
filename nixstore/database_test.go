package nixstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"diskwright/test/oracle"
)

// epoch is the registration time of tests.
const epoch = 315532800

// wide returns a closure of n paths, each with references to itself and to some
// of those before.
func wide(t testing.TB, n int) Closure {
	t.Helper()
	var infos []PathInfo
	for i := range n {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		p, err := ParsePath(fmt.Sprintf("%s/%s-path-%d", StoreDir, EncodeBase32(sum[:20]), i))
		if err != nil {
			t.Fatal(err)
		}
		info := PathInfo{Path: p, NarHash: sum, NarSize: int64(i)*1000 + 112, References: []Path{p}}
		for back := 1; back <= i && back < 40; back *= 3 {
			info.References = append(info.References, infos[i-back].Path)
		}
		infos = append(infos, info)
	}
	c, err := NewClosure(infos)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The database of a closure is always the same bytes, whatever the version of
// the library: who updates SQLite and finds this test failing has changed
// every image that there is.
func TestDatabaseGolden(t *testing.T) {
	c := wide(t, 1000)
	first, err := Database(ctx, c, nil, epoch)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Database(ctx, c, nil, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two databases of one closure differ")
	}
	sum := sha256.Sum256(first)
	const want = "d0eb9cc1d15f4a8f434490c131a04b6bcc5fb5b824f54b87b18a24f71476d493"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("SHA-256 %s, want %s", got, want)
	}
	header := []byte("SQLite format 3\x00" +
		"\x10\x00" + // page size
		"\x02\x02" + // write-ahead log
		"\x00\x40\x20\x20" + // no reserved space; fractions
		"\x00\x00\x00\x01") // change counter
	if !bytes.HasPrefix(first, header) {
		t.Errorf("header %x, want %x", first[:len(header)], header)
	}
	if got := hex.EncodeToString(first[headerValidFor:headerSize]); got != "00000001"+"002e6301" {
		t.Errorf("end of the header %s", got)
	}
}

func TestDatabaseOfNothing(t *testing.T) {
	file, err := Database(ctx, nil, nil, epoch)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "db.sqlite")
	writeFile(t, path, string(file))
	if got := strings.TrimSpace(oracle.Run(t, "sqlite3", path, "PRAGMA integrity_check; SELECT count(*) FROM ValidPaths")); got != "ok\n0" {
		t.Errorf("%s", got)
	}
}

// What nix-store --load-db writes, byte for byte, but for what is normalised.
func TestDatabaseIsNix(t *testing.T) {
	n := newNix(t)
	c := wide(t, 2000)
	n.runWith([]byte(registrationOf(c)), "nix-store", "--load-db")
	path := n.store().Database
	now, err := strconv.ParseInt(strings.TrimSpace(oracle.Run(t, "sqlite3", path, "SELECT max(registrationTime) FROM ValidPaths")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	normaliseHeader(want)
	clearGaps(want)
	got, err := Database(ctx, c, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d bytes, Nix has %d", len(got), len(want))
	}
	for at := range min(len(got), len(want)) {
		if got[at] != want[at] {
			t.Fatalf("byte %d (page %d) is %#x, Nix has %#x", at, at/pageSize+1, got[at], want[at])
		}
	}
}

// registrationOf writes the registration of a closure as closureInfo does.
func registrationOf(c Closure) string {
	var b strings.Builder
	for n := range c {
		info := &c[n]
		fmt.Fprintf(&b, "%s\n%v\n%d\n%s\n%d\n", info.Path, info.NarHash, info.NarSize, info.Deriver, len(info.References))
		for _, ref := range info.References {
			fmt.Fprintf(&b, "%s\n", ref)
		}
	}
	return b.String()
}

// Nix takes a store with our database for its own.
func TestNixAcceptsDatabase(t *testing.T) {
	n, top := sampleNix(t)
	// With the derivations, and so with outputs.
	drv := Path(strings.TrimSpace(n.run("nix-store", "--query", "--deriver", string(top))))
	c := n.closure(top, drv)
	wantRefs := make(map[Path][]string)
	for i := range c {
		wantRefs[c[i].Path] = n.lines("nix-store", "--query", "--references", string(c[i].Path))
	}
	wantOutputs := n.lines("nix-store", "--query", "--outputs", string(drv))
	wantClosure := n.lines("nix-store", "--query", "--requisites", string(top))
	wantDump := n.run("nix-store", "--dump-db")
	var unrelated []string // left over from builds
	for _, p := range n.lines("nix", "path-info", "--all") {
		if c.Find(Path(p)) == nil {
			unrelated = append(unrelated, p)
		}
	}
	if len(unrelated) > 0 {
		c = n.closure(append([]Path{top, drv}, parsePaths(t, unrelated)...)...)
	}

	store, err := Tree(ctx, c, n.store().Dir, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := Database(ctx, c, store, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(n.root, "nix/var")); err != nil {
		t.Fatal(err)
	}
	path := n.store().Database
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(file))
	writeFile(t, filepath.Join(filepath.Dir(path), "schema"), "10")

	if got := strings.TrimSpace(oracle.Run(t, "sqlite3", path, "PRAGMA integrity_check; PRAGMA foreign_key_check")); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
	n.run("nix-store", "--verify", "--check-contents")
	for i := range c {
		if want, ok := wantRefs[c[i].Path]; ok {
			if got := n.lines("nix-store", "--query", "--references", string(c[i].Path)); !slices.Equal(got, want) {
				t.Errorf("%s: references %q, want %q", c[i].Path, got, want)
			}
		}
	}
	if got := n.lines("nix-store", "--query", "--outputs", string(drv)); !slices.Equal(got, wantOutputs) {
		t.Errorf("outputs %q, want %q", got, wantOutputs)
	}
	if got := n.lines("nix-store", "--query", "--requisites", string(top)); !slices.Equal(got, wantClosure) {
		t.Errorf("closure %q, want %q", got, wantClosure)
	}
	if got := n.run("nix-store", "--dump-db"); got != wantDump {
		t.Errorf("the dump is\n%s\nwant\n%s", got, wantDump)
	}
	if got := n.lines("nix-store", "--query", "--deriver", string(find(t, c, "file"))); !strings.HasSuffix(got[0], "-file.drv") {
		t.Errorf("deriver %q", got)
	}

	// And works with it, read-write.
	added := filepath.Join(t.TempDir(), "added")
	writeFile(t, added, "x")
	p := strings.TrimSpace(n.run("nix-store", "--add", added))
	if got := strings.TrimSpace(oracle.Run(t, "sqlite3", path, "SELECT max(id), count(*) FROM ValidPaths")); got != fmt.Sprintf("%d|%[1]d", len(c)+1) {
		t.Errorf("after adding %s: %s, want %d", p, got, len(c)+1)
	}
	n.run("nix-store", "--delete", p)
	n.run("nix-store", "--delete", string(top)) // deletes references first, also to itself
	n.run("nix-store", "--verify", "--check-contents")
}

func parsePaths(t testing.TB, list []string) (paths []Path) {
	t.Helper()
	for _, s := range list {
		p, err := ParsePath(s)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

func TestParseOutputs(t *testing.T) {
	out, doc := samplePath("a"), samplePath("a-doc")
	for text, want := range map[string][]output{
		`Derive([("out","` + string(out) + `","","")],[]`:                                         {{"out", out}},
		`Derive([("doc","` + string(doc) + `","sha256","00"),("out","` + string(out) + `","","")`: nil,
		`Derive([("doc","` + string(doc) + `","","sha256"),("out","` + string(out) + `","","")],`: {{"doc", doc}, {"out", out}},
		`Derive([("o\"\\\nut","","r:sha256","")],`:                                                {},
		`DrvWithVersion("xp-dyn-drv",[("out","` + string(out) + `","","")],`:                      {{"out", out}},
		`Derive([],`:                              {},
		`Derive([("out","/etc/passwd","","")],`:   nil,
		`Derive([("b","","",""),("a","","","")],`: nil,
		`Derive([("out","`:                        nil, `Derive([("out\`: nil, `Derive([("out","","","")`: nil, "": nil, "x": nil,
	} {
		got, err := parseOutputs(text)
		if want == nil && err == nil || want != nil && (err != nil || !slices.Equal(got, want)) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func FuzzParseOutputs(f *testing.F) {
	f.Add(`Derive([("doc","/nix/store/` + sampleHash + `-a","","sha256"),("out","","","")],`)
	f.Add(`DrvWithVersion("xp-dyn-drv",[("o\"\\\nut","","","")],`)
	f.Fuzz(func(t *testing.T, text string) {
		outputs, err := parseOutputs(text)
		for _, o := range outputs {
			if _, bad := ParsePath(string(o.path)); bad != nil || err != nil {
				t.Errorf("%v, %v", bad, err)
			}
		}
	})
}

// What is in the write-ahead log of a writer that is still there is read.
func TestFromDatabaseInUse(t *testing.T) {
	n, top := sampleNix(t)
	path := n.store().Database
	writer, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	writer.SetMaxOpenConns(1)
	late := samplePath("late")
	for _, s := range []string{
		"PRAGMA journal_mode = wal",
		"PRAGMA wal_autocheckpoint = 0",
		fmt.Sprintf("INSERT INTO ValidPaths (path, hash, registrationTime, narSize) VALUES ('%s', '%s', 1, 112)", late, Hash{}.hex()),
		fmt.Sprintf("INSERT INTO Refs SELECT a.id, b.id FROM ValidPaths a, ValidPaths b WHERE a.path = '%s' AND b.path = '%s'", late, top),
	} {
		if _, err := writer.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if fi, err := os.Stat(path + "-wal"); err != nil || fi.Size() == 0 {
		t.Fatalf("there is no log: %v", err)
	}
	want := len(n.closure(top)) + 1
	if got := n.closure(late); len(got) != want {
		t.Errorf("%d paths, want %d", len(got), want)
	}
	// While a transaction is open, too, of which nothing is to be seen.
	tx, err := writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("DELETE FROM Refs"); err != nil {
		t.Fatal(err)
	}
	if got := n.closure(late); len(got) != want {
		t.Errorf("%d paths, want %d", len(got), want)
	}
}

// Nothing is left beside a database that nobody uses, and one is read from a
// directory that cannot be written.
func TestFromDatabaseLeavesNothing(t *testing.T) {
	n, top := sampleNix(t)
	path := n.store().Database
	list := func() string {
		return oracle.Run(t, "find", filepath.Dir(path), "-printf", "%p %s %T@ %C@\n")
	}
	want := n.lines("nix-store", "--query", "--requisites", string(top))
	before := list() // Nix itself may have changed something
	if got := n.closure(top).paths(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if after := list(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestFromDatabaseErrors(t *testing.T) {
	n, top := sampleNix(t)
	path := n.store().Database
	_, err := FromDatabase(ctx, path, top, samplePath("a"), samplePath("b"))
	if err == nil || strings.Count(err.Error(), "is not a valid path of the store") != 2 || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	for name, text := range map[string]string{"text": "this is not a database, though it is long enough to be one", "empty": ""} {
		other := filepath.Join(t.TempDir(), name)
		writeFile(t, other, text)
		if _, err := FromDatabase(ctx, other, top); err == nil || !strings.Contains(err.Error(), "not the database of a store") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := FromDatabase(ctx, path+"x", top); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	// A name that is not one of an address.
	odd := filepath.Join(t.TempDir(), "a?b#c%41 ü")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, odd, string(data))
	if _, err := FromDatabase(ctx, odd, top); err != nil {
		t.Error(err)
	}
}

// readAsOther is the environment variable that makes the test's program read a
// database and nothing else.
const readAsOther = "NIXSTORE_TEST_DATABASE"

func readDatabase(path string) (status int) {
	c, err := FromDatabase(context.Background(), path, Path(os.Getenv(readAsOther+"_ROOT")))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(len(c), "paths")
	return 0
}
