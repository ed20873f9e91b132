package nixstore

import (
	"os"
	"path/filepath"
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
