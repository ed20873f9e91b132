package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	if b := Keep(path); b != nil {
		t.Errorf("kept %q, which is not there", b.path)
	}
	for _, c := range []struct {
		name, replacement, want string
		end                     func(*Backup) error
	}{
		{"dropped", "new", "new", (*Backup).Drop},
		{"restored", "new", "old", (*Backup).Restore},
		{"restored, never replaced", "", "old", (*Backup).Restore},
	} {
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		b := Keep(path)
		if b == nil {
			t.Skip("no hard links here")
		}
		if c.replacement != "" {
			f, err := Create(path, Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(c.replacement); err != nil {
				t.Fatal(err)
			}
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.end(b); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got, _ := os.ReadFile(path); string(got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: %v is left", c.name, entries)
		}
		os.Remove(path)
	}
}
