//go:build linux

package nasty

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"diskwright/test/scratch"
)

func TestMake(t *testing.T) {
	for _, o := range []Options{{}, {Order: 1, Beyond: true}, {Readable: true, Order: 2}} {
		dir := scratch.Dir(t)
		if err := Make(dir, o); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		n := 0
		err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error {
			if n++; err != nil && !o.Beyond {
				return err
			}
			return nil
		})
		if err != nil || n < 5000 {
			t.Errorf("%+v: %d files, %v", o, n, err)
		}
		entries, err := os.ReadDir(filepath.Join(dir, "links", "a"))
		if err != nil || len(entries) != 200 {
			t.Errorf("%+v: %d links, %v", o, len(entries), err)
		}
	}
}
