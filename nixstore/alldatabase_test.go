package nixstore

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What ParseDatabase reads is what Database wrote, and what FromDatabase reads.
func TestParseDatabase(t *testing.T) {
	want := wide(t, 300)
	file, err := Database(ctx, want, nil, epoch)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseDatabase(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	path := filepath.Join(t.TempDir(), "db.sqlite")
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
	last := want[len(want)-1].Path
	fromFile, err := FromDatabase(ctx, path, last)
	if err != nil {
		t.Fatal(err)
	}
	reachable, err := got.Reachable(last)
	if diff := cmp.Diff(fromFile, reachable); diff != "" || err != nil {
		t.Errorf("%v, (-file +bytes):\n%s", err, diff)
	}
}

// Databases whose tables are something else would never end.
func TestParseDatabaseHostile(t *testing.T) {
	for name, statements := range map[string][]string{
		"a view": {
			"CREATE VIEW ValidPaths AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, '/nix/store/0c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b-x' AS path FROM n",
			"CREATE TABLE Refs (referrer INTEGER, reference INTEGER)",
		},
		"a generated column": {
			"CREATE TABLE ValidPaths (id INTEGER PRIMARY KEY, path TEXT AS (hex(zeroblob(1000))))", "INSERT INTO ValidPaths (id) VALUES (1)",
			"CREATE TABLE Refs (referrer INTEGER, reference INTEGER)",
		},
		"no table": {"CREATE TABLE ValidPaths (id INTEGER PRIMARY KEY, path TEXT)"},
	} {
		path := filepath.Join(t.TempDir(), "db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if _, err := db.ExecContext(ctx, s); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := ParseDatabase(ctx, file); err == nil || !strings.Contains(err.Error(), "not the tables of a store") {
			t.Errorf("%s: %d paths, %v", name, len(c), err)
		}
	}
}

// FuzzParseDatabase: whatever a database is, it is read or refused.
func FuzzParseDatabase(f *testing.F) {
	for _, n := range []int{1, 3} {
		file, err := Database(ctx, wide(f, n), nil, epoch)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := ParseDatabase(ctx, file)
		if err == nil {
			if again, err := NewClosure(c); err != nil || len(again) != len(c) {
				t.Errorf("%d paths, then %d, %v", len(c), len(again), err)
			}
		}
	})
}

// Damaged databases are errors, or closures that hold together.
func TestParseDatabaseDamaged(t *testing.T) {
	file, err := Database(ctx, wide(t, 20), nil, epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, short := range [][]byte{nil, file[:50], file[:headerSize], file[:pageSize], file[:len(file)-pageSize]} {
		if c, err := ParseDatabase(ctx, short); err == nil && len(c) > 0 {
			t.Errorf("%d of %d bytes: %d paths", len(short), len(file), len(c))
		}
	}
	for at := 0; at < len(file); at += 1009 {
		damaged := append([]byte(nil), file...)
		damaged[at] ^= 0xff
		_, _ = ParseDatabase(ctx, damaged) // whatever it says, it returns
	}
}
