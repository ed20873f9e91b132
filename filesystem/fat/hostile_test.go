package fat

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// patched is an image with some bytes replaced.
type patched struct {
	image content.Source
	bytes map[int64]byte
}

func (p patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.image.ReadAt(b, off)
	if len(p.bytes) < n {
		for at, value := range p.bytes {
			if at >= off && at < off+int64(n) {
				b[at-off] = value
			}
		}
		return n, err
	}
	for i := range b[:n] {
		if value, ok := p.bytes[off+int64(i)]; ok {
			b[i] = value
		}
	}
	return n, err
}

func (p patched) put16(off int64, value uint16) {
	p.bytes[off], p.bytes[off+1] = byte(value), byte(value>>8)
}

func (p patched) put32(off int64, value uint32) {
	p.put16(off, uint16(value))
	p.put16(off+2, uint16(value>>16))
}

// small is a file system with a directory of one cluster, 2 in FAT12/16 and 3
// in FAT32, that holds a directory and a file of two clusters.
func small(t testing.TB, bits int) (*FileSystem, patched) {
	t.Helper()
	root := tree.NewDir(epoch)
	add(root, "DIR/FILE", tree.NewFile(random(1, 3000), epoch))
	add(root, "DIR/SUB", tree.NewDir(epoch))
	add(root, "a long name", tree.NewFile(random(2, 10), epoch))
	fs, m := newMap(t, root, Options{Label: "LABEL", Size: map[int]int64{12: 1 << 20, 16: 10 << 20, 32: 34 << 20}[bits], Bits: bits, VolumeID: 1, Time: epoch})
	return fs, patched{m, map[int64]byte{}}
}

// readEverything reads whatever is in a volume of size bytes, and returns how
// many bytes its files have. Names must be safe, and no more than there is room
// for.
func readEverything(t testing.TB, r patched, size int64) (int64, error) {
	t.Helper()
	v, err := Open(r, size)
	if err != nil {
		return 0, err
	}
	if _, err := v.Info(); err != nil {
		return 0, err
	}
	total, names := int64(0), int64(0)
	err = v.Walk(func(path string, e DirEntry) error {
		if names++; names > size/dirEntrySize {
			t.Fatal("too many names")
		}
		if strings.Trim(e.Name, ".") == "" && len(e.Name) < 3 || strings.ContainsAny(e.Name, "/\x00") || !strings.HasSuffix(path, "/"+e.Name) {
			t.Fatalf("name %q at %q", e.Name, path)
		}
		if e.Dir {
			return nil
		}
		src, err := v.Content(e)
		if err != nil {
			return err
		}
		b := make([]byte, min(src.Size(), 1<<16))
		if err := content.ReadFull(src, b, src.Size()-int64(len(b))); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		total += src.Size()
		return nil
	})
	return total, err
}

// TestHostile: damaged images are errors, and not endless.
func TestHostile(t *testing.T) {
	for _, bits := range []int{12, 16, 32} {
		plan, image := small(t, bits)
		if total, err := readEverything(t, image, plan.opts.Size); err != nil || total != 3010 {
			t.Fatalf("undamaged: %d bytes, %v", total, err)
		}
		g := plan.geo
		dir, sub := plan.dirs[1], plan.dirs[2]
		file := g.clusterOffset(dir.first) + 2*dirEntrySize // . and .. come first
		subEntry := file + dirEntrySize
		rootDir := plan.directoryOffset(plan.dirs[0])
		entryOf := func(p patched, cluster, value uint32) {
			switch bits {
			case 12:
				at, b := g.tableOffset(0)+int64(cluster)*3/2, make([]byte, 2)
				p.ReadAt(b, at)
				shift := cluster % 2 * 4
				p.put16(at, le.Uint16(b)&^(0xfff<<shift)|uint16(value<<shift))
			case 16:
				p.put16(g.tableOffset(0)+int64(cluster)*2, uint16(value))
			case 32:
				p.put32(g.tableOffset(0)+int64(cluster)*4, value)
			}
		}
		tests := []struct {
			name   string
			damage func(p patched)
			want   error
		}{
			{"no signature", func(p patched) { p.bytes[510] = 0 }, ErrNotFAT},
			{"sectors of 0 bytes", func(p patched) { p.put16(11, 0) }, ErrNotFAT},
			{"sectors of 768 bytes", func(p patched) { p.put16(11, 768) }, ErrNotFAT},
			{"sectors of 8192 bytes", func(p patched) { p.put16(11, 8192) }, ErrNotFAT},
			{"clusters of 0 sectors", func(p patched) { p.bytes[13] = 0 }, ErrNotFAT},
			{"clusters of 3 sectors", func(p patched) { p.bytes[13] = 3 }, ErrNotFAT},
			{"no reserved sectors", func(p patched) { p.put16(14, 0) }, ErrNotFAT},
			{"no FAT", func(p patched) { p.bytes[16] = 0 }, ErrNotFAT},
			{"media", func(p patched) { p.bytes[21] = 0xf1 }, ErrNotFAT},
			{"larger than the partition", func(p patched) { p.put16(19, 0); p.put32(32, 1<<31) }, ErrCorrupt},
			{"no sectors", func(p patched) { p.put16(19, 0); p.put32(32, 0) }, ErrCorrupt},
			{"FATs larger than the volume", func(p patched) { p.bytes[16] = 255; p.put16(22, 0xffff) }, ErrCorrupt},
			{"directory that is its parent", func(p patched) { p.put16(subEntry+26, uint16(dir.first)) }, ErrCorrupt},
			{"directory without clusters", func(p patched) { p.put16(subEntry+26, 0) }, ErrCorrupt},
			{"directory outside", func(p patched) { p.put16(subEntry+26, 0xffff); p.put16(subEntry+20, 0xffff) }, ErrCorrupt},
			{"file outside", func(p patched) { p.put16(file+26, 1) }, ErrCorrupt},
			{"file larger than the volume", func(p patched) { p.put32(file+28, 0xffffffff) }, ErrCorrupt},
			{"file longer than its chain", func(p patched) { p.put32(file+28, 100000) }, ErrCorrupt},
			{"chain that leads to free clusters", func(p patched) { entryOf(p, dir.entries[0].first, 0) }, ErrCorrupt},
			{"name with a slash", func(p patched) { p.bytes[file+1] = '/' }, ErrCorrupt},
			{"name with a zero", func(p patched) { p.bytes[file+1] = 0 }, ErrCorrupt},
			{"endless directory", func(p patched) {
				entryOf(p, sub.first, sub.first)
				for at := g.clusterOffset(sub.first); at < g.clusterOffset(sub.first+1); at++ {
					p.bytes[at] = deletedEntry
				}
			}, ErrCorrupt},
			{"endless directory of files", func(p patched) {
				entryOf(p, sub.first, sub.first)
				for at := g.clusterOffset(sub.first); at < g.clusterOffset(sub.first+1); at++ {
					p.bytes[at] = 'A'
				}
			}, ErrCorrupt},
			// Leftovers of long names are ignored.
			{"checksum", func(p patched) { p.bytes[rootDir+2*dirEntrySize+13] ^= 1 }, nil},
			{"order", func(p patched) { p.bytes[rootDir+2*dirEntrySize] = 0x43 }, nil},
			{"order 0", func(p patched) { p.bytes[rootDir+2*dirEntrySize] = 0x40 }, nil},
			{"order 63", func(p patched) { p.bytes[rootDir+2*dirEntrySize] = 0x7f }, nil},
			{"long name that leads out", func(p patched) { p.bytes[rootDir+2*dirEntrySize+3] = '/' }, nil},
		}
		for _, test := range tests {
			t.Run(fmt.Sprintf("FAT%d/%s", bits, test.name), func(t *testing.T) {
				p := patched{image.image, map[int64]byte{}}
				test.damage(p)
				_, err := readEverything(t, p, plan.opts.Size)
				if !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if test.want != nil {
					return
				}
				v, err := Open(p, plan.opts.Size)
				if err != nil {
					t.Fatal(err)
				}
				if e, err := v.Lookup("ALONGN~1"); err != nil || e.Name != "ALONGN~1" {
					t.Errorf("%+v, %v", e, err)
				}
			})
		}
	}
}

// TestNotFAT: what is in other partitions is not taken for FAT.
func TestNotFAT(t *testing.T) {
	boot := make(content.Bytes, 1<<20)
	le.PutUint16(boot[510:], bootSignature)
	ntfs := append(content.Bytes("\xeb\x52\x90NTFS    \x00\x02\x08\x00\x00\x00\x00\x00\x00\x00\xf8"), boot[22:]...)
	exfat := append(content.Bytes("\xeb\x76\x90EXFAT   "), boot[11:]...)
	for name, image := range map[string]content.Bytes{
		"nothing": {}, "a byte": make(content.Bytes, 1), "zeros": make(content.Bytes, 1<<20),
		"MBR": boot, "NTFS": ntfs, "exFAT": exfat, "random": append(random(1, 510), 0x55, 0xaa),
	} {
		if _, err := ReadInfo(image, image.Size()); !errors.Is(err, ErrNotFAT) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLookup: names are found by long and short name in any case.
func TestLookup(t *testing.T) {
	plan, image := small(t, 12)
	// Only FAT32 has the upper half of the cluster there.
	image.put16(plan.geo.clusterOffset(plan.dirs[1].first)+2*dirEntrySize+20, 0xffff)
	v, err := Open(image, image.image.Size())
	if err != nil {
		t.Fatal(err)
	}
	for path, size := range map[string]int64{
		"/DIR/FILE": 3000, "dir/file": 3000, "//dir/./FILE/": 3000, "/A Long Name": 10, "ALONGN~1": 10,
	} {
		if src, err := v.Open(path); err != nil || src.Size() != size {
			t.Errorf("%q: %v", path, err)
		} else {
			readAll(t, src)
		}
	}
	for _, path := range []string{"/nothing", "/DIR/FILE/x", "/DIR/..", "LABEL", "a long"} {
		if _, err := v.Lookup(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := v.Open("/dir"); err == nil {
		t.Error("a directory is opened as a file")
	}
	if _, err := v.ReadDir("/dir/file"); err == nil {
		t.Error("a file is read as a directory")
	}
	if list, err := v.ReadDir(""); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

// metadata returns the offsets of the bytes of small that matter most.
func metadata(fs *FileSystem) []int64 {
	var at []int64
	add := func(from, n int64) {
		for off := range n {
			at = append(at, from+off)
		}
	}
	add(0, 90)
	add(508, 4)
	add(fs.geo.tableOffset(0), 64)
	for _, d := range fs.dirs {
		add(fs.directoryOffset(d), d.size()+dirEntrySize)
	}
	return at
}

// FuzzVolume reads images with some bytes of their metadata replaced: which
// one, in two bytes, and its value.
func FuzzVolume(f *testing.F) {
	type target struct {
		image patched
		at    []int64
	}
	var targets [3]target
	for n, bits := range []int{12, 16, 32} {
		plan, image := small(f, bits)
		targets[n] = target{image, metadata(plan)}
		f.Add(byte(n), []byte{})
		f.Add(byte(n), []byte{13, 0, 128})                  // larger clusters
		f.Add(byte(n), []byte{17, 0, 0, 18, 0, 0})          // no root directory
		f.Add(byte(n), []byte{94 + 8, 0, 4, 94 + 12, 0, 2}) // a loop in the FAT
		f.Add(byte(n), []byte{158 + 64, 0, 'B'})            // a long name
		f.Add(byte(n), []byte{44, 0, 3})                    // another root directory
	}
	f.Fuzz(func(t *testing.T, kind byte, patches []byte) {
		target := targets[kind%3]
		p := patched{target.image.image, map[int64]byte{}}
		for ; len(patches) >= 3; patches = patches[3:] {
			p.bytes[target.at[int(le.Uint16(patches))%len(target.at)]] = patches[2]
		}
		readEverything(t, p, p.image.Size())
	})
}

// FuzzInfo reads anything.
func FuzzInfo(f *testing.F) {
	plan, _ := small(f, 12)
	f.Add([]byte(plan.bootSector()))
	f.Fuzz(func(t *testing.T, image []byte) {
		readEverything(t, patched{content.Bytes(image), nil}, int64(len(image)))
	})
}
