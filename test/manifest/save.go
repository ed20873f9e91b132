//go:build linux

package manifest

import (
	"encoding/gob"
	"fmt"
	"os"
)

// Save writes the manifest to a file, for another process to load.
func (m Manifest) Save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := gob.NewEncoder(f).Encode(m); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return f.Close()
}

// Load reads what Save wrote.
func Load(path string) (Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var m Manifest
	if err := gob.NewDecoder(f).Decode(&m); err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return m, nil
}
