package atomicfile

import "os"

// Backup is a file that is being replaced, under a second name: what follows may
// fail, and then it comes back.
type Backup struct{ path, temp string }

// Keep gives the file at path, which is going to be replaced, a second name beside
// it. It returns nil if there is no file, or if its file system cannot do that.
func Keep(path string) *Backup {
	b := &Backup{path, tempName(path)}
	if os.Link(path, b.temp) != nil {
		return nil
	}
	return b
}

// Restore puts the file back to where it was.
func (b *Backup) Restore() error {
	if err := os.Rename(b.temp, b.path); err != nil {
		return err
	}
	os.Remove(b.temp) // if it was never replaced, rename has left both names
	return nil
}

// Drop gives the file up.
func (b *Backup) Drop() error { return os.Remove(b.temp) }
