package ext4

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/filesystem/ext4/ondisk"
	"diskwright/finding"
	"diskwright/test/oracle"
)

// findings returns what Check finds.
func findings(t testing.TB, r io.ReaderAt, size int64) []finding.Finding {
	t.Helper()
	var list finding.List
	if err := Check(context.Background(), r, size, &list, nil); err != nil {
		t.Fatal(err)
	}
	found, _ := list.Findings()
	return found
}

func checkedFile(t testing.TB, path string) []finding.Finding {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return findings(t, f, fi.Size())
}

// TestCheckOwn: nothing is wrong with what this package writes.
func TestCheckOwn(t *testing.T) {
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		for _, size := range []int64{8 * mib, 128 * mib, 3 * gib} {
			opts.Size = size
			root := dir()
			if size > 100*mib {
				root = everything(t, opts.Kind)
			}
			m := plan(t, root, opts).Map()
			for _, f := range findings(t, m, m.Size()) {
				t.Errorf("%d MiB: %v", size/mib, f)
			}
		}
	})
}

// foreignKinds are combinations of features that mke2fs offers.
var foreignKinds = []struct{ name, kind, args string }{
	{"ext2", "ext2", ""},
	{"ext2, 1 KiB", "ext2", "-b 1024"},
	{"ext2, no file types", "ext2", "-b 1024 -O ^filetype,^dir_index -I 128"},
	{"ext3", "ext3", "-b 2048"},
	{"ext4", "ext4", ""},
	{"ext4, 1 KiB", "ext4", "-b 1024"},
	{"32 bit, old inodes", "ext4", "-O ^64bit,^metadata_csum,^flex_bg -I 128"},
	{"uninit_bg", "ext4", "-O ^64bit,^metadata_csum,uninit_bg"},
	{"no extents", "ext4", "-O ^extent,^64bit"},
	{"meta_bg", "ext4", "-b 1024 -O meta_bg,^resize_inode"},
	{"meta_bg, no checksums", "ext4", "-b 1024 -g 2048 -O meta_bg,^resize_inode,^metadata_csum,^sparse_super"},
	{"sparse_super2", "ext4", "-b 1024 -g 1024 -O sparse_super2,^resize_inode,meta_bg"},
	{"inline_data", "ext4", "-O inline_data"},
	{"inline_data, large inodes", "ext4", "-O inline_data -I 1024"},
	{"ea_inode", "ext4", "-O ea_inode"},
	{"bigalloc", "ext4", "-O bigalloc -C 16384"},
	{"casefold", "ext4", "-O casefold"},
	{"csum_seed, orphan_file, large_dir", "ext4", "-O metadata_csum_seed,orphan_file,large_dir"},
	{"descriptors of 128 bytes", "ext4", "-E desc_size=128"},
	{"quota, project", "ext4", "-O quota,project"},
	{"verity, encrypt, mmp", "ext4", "-O verity,encrypt,mmp -E mmp_update_interval=1"},
}

// foreignImage makes an image with mke2fs.
func foreignImage(t testing.TB, source, kind, args, size string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	all := append([]string{"-q", "-F", "-t", kind, "-d", source}, strings.Fields(args)...)
	if output, status := oracle.Exit(t, "mke2fs", append(all, image, size)...); status != 0 {
		t.Fatalf("mke2fs %v: %s", all, output)
	}
	return image
}

// TestCheckForeign: nothing is wrong with what mke2fs makes, nor after the
// kernel has written to it.
func TestCheckForeign(t *testing.T) {
	source := foreignTree(t)
	for _, c := range foreignKinds {
		t.Run(c.name, func(t *testing.T) {
			image := foreignImage(t, source, c.kind, c.args, "64m")
			for _, f := range checkedFile(t, image) {
				t.Errorf("%v", f)
			}
			if os.Getuid() != 0 || c.name == "casefold" || strings.HasPrefix(c.name, "quota") { // which few kernels have
				return
			}
			kernelWrites(t, image, c.kind)
			if output, status := oracle.Exit(t, "e2fsck", "-f", "-n", image); status != 0 {
				t.Fatalf("e2fsck: %s", output)
			}
			for _, f := range checkedFile(t, image) {
				t.Errorf("after the kernel: %v", f)
			}
		})
	}
}

// kernelWrites has the kernel make, change and remove files.
func kernelWrites(t *testing.T, image, kind string) {
	t.Helper()
	t.Run("kernel", func(t *testing.T) {
		at := oracle.Mount(t, image, kind, "rw", 0, 0)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		many := filepath.Join(at, "written")
		must(os.Mkdir(many, 0o755))
		for i := range 900 {
			must(os.WriteFile(filepath.Join(many, fmt.Sprintf("a file with a name of some length, number %d", i)), []byte("x"), 0o644))
		}
		for i := range 600 {
			must(os.Remove(filepath.Join(many, fmt.Sprintf("a file with a name of some length, number %d", i))))
		}
		must(os.RemoveAll(filepath.Join(at, "many")))
		must(os.WriteFile(filepath.Join(at, "large"), make([]byte, 3<<20), 0o644))
		must(os.Truncate(filepath.Join(at, "large"), 12345))
		must(os.Rename(filepath.Join(at, "few"), filepath.Join(many, "moved")))
		must(os.Link(filepath.Join(at, "large"), filepath.Join(many, "link")))
		f, err := os.Create(filepath.Join(at, "holes"))
		must(err)
		for i := range int64(700) {
			_, err := f.WriteAt([]byte("y"), i*10000)
			must(err)
		}
		must(f.Close())
		oracle.Run(t, "setfattr", "-n", "user.a", "-v", strings.Repeat("v", 700), filepath.Join(at, "holes"))
		oracle.Run(t, "setfattr", "-n", "user.b", "-v", "small", filepath.Join(at, "large"))
	})
}

// TestCheckSparse: 16 TiB take seconds.
func TestCheckSparse(t *testing.T) {
	opts := testOptions(Ext4, 15*tib)
	m := plan(t, dir(), opts).Map()
	start := time.Now()
	for _, f := range findings(t, m, m.Size()) {
		t.Errorf("%v", f)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("it takes %v", d)
	}
}

// region is a structure on disk that mutations change.
type region struct {
	name   string
	at     int64
	length int64
	fix    func(image []byte) // corrects its checksum
}

// regions lists the structures of an image that have a meaning.
func regions(t testing.TB, image []byte) (list []region) {
	t.Helper()
	v, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	s, le := v.super, binary.LittleEndian
	csum := v.checksums()
	add := func(name string, at, length int64, fix func([]byte)) {
		if !csum {
			fix = nil
		}
		list = append(list, region{name, at, length, fix})
	}
	block := func(image []byte, n uint64) []byte { return image[int64(n)*v.block:][:v.block] }
	fixSuper := func(image []byte) {
		p := image[1024:2048]
		le.PutUint32(p[0x3fc:], ondisk.Checksum(ondisk.NoSeed, p[:0x3fc]))
	}
	add("superblock", 1024, 0x284, fixSuper)
	size := int64(s.GroupDescSize())
	for g := range s.Groups() {
		if g > 3 {
			break
		}
		d, err := v.groupDesc(g)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(s.FirstDataBlock+1)*v.block + int64(g)*size
		fixDesc := func(image []byte) { ondisk.SetGroupDescChecksum(image[at:][:size], uint32(g), v.seed) }
		add("descriptor", at, size, fixDesc)
		add("block bitmap", int64(d.BlockBitmap)*v.block, v.block, func(image []byte) {
			sum := ondisk.BitmapChecksum(v.seed, block(image, d.BlockBitmap)[:s.ClustersPerGroup/8])
			le.PutUint16(image[at+0x18:], uint16(sum))
			if size >= 64 {
				le.PutUint16(image[at+0x38:], uint16(sum>>16))
			}
			fixDesc(image)
		})
		add("inode bitmap", int64(d.InodeBitmap)*v.block, int64(s.InodesPerGroup/8)+4, func(image []byte) {
			sum := ondisk.BitmapChecksum(v.seed, block(image, d.InodeBitmap)[:s.InodesPerGroup/8])
			le.PutUint16(image[at+0x1a:], uint16(sum))
			if size >= 64 {
				le.PutUint16(image[at+0x3a:], uint16(sum>>16))
			}
			fixDesc(image)
		})
		for i := range min(s.InodesPerGroup, 400) {
			number := uint32(g)*s.InodesPerGroup + i + 1
			n, err := v.Node(number)
			if err != nil || n.Mode == 0 && number > 12 {
				continue
			}
			ino := int64(d.InodeTable)*v.block + int64(i)*int64(s.InodeSize)
			if number > 40 && n.Mode&ondisk.ModeTypeMask == ondisk.ModeRegular && n.FileACL == 0 && n.Blocks < 10 && number%16 != 0 {
				continue
			}
			add(fmt.Sprintf("inode %d", number), ino, int64(s.InodeSize), func(image []byte) {
				ondisk.SetInodeChecksum(image[ino:][:s.InodeSize], v.seed, number)
			})
			seed := ondisk.InodeSeed(v.seed, number, n.Generation)
			if n.FileACL != 0 {
				add(fmt.Sprintf("attributes of %d", number), int64(n.FileACL)*v.block, v.block, func(image []byte) {
					ondisk.SetXattrChecksum(block(image, n.FileACL), n.FileACL, v.seed)
				})
			}
			if h, err := ondisk.DecodeExtentHeader(n.Block[:]); err == nil && n.Flags&ondisk.FlagExtents != 0 && h.Depth > 0 {
				for k := range int(h.Entries) {
					node := ondisk.DecodeExtentIndex(n.Block[:], k).Node
					add(fmt.Sprintf("extent node of %d", number), int64(node)*v.block, v.block, func(image []byte) {
						ondisk.SetExtentTail(block(image, node), seed)
					})
				}
			} else if a := le.Uint32(n.Block[48:]); n.Flags&(ondisk.FlagExtents|ondisk.FlagInline) == 0 && a != 0 && n.Size > 12*uint64(v.block) && number != 7 && n.Mode&ondisk.ModeTypeMask == ondisk.ModeRegular {
				add(fmt.Sprintf("addresses of %d", number), int64(a)*v.block, v.block, nil)
			}
			if n.IsDir() && n.Flags&ondisk.FlagInline == 0 {
				_ = v.runs(n, n.Size/uint64(v.block), func(r mapping) error {
					for k := range r.count {
						b := r.physical + k
						index := n.Flags&ondisk.FlagIndex != 0 && r.logical+k == 0
						add(fmt.Sprintf("directory %d block %d", number, r.logical+k), int64(b)*v.block, v.block, func(image []byte) {
							p := block(image, b)
							if index {
								ondisk.SetDxTail(p, seed)
							} else if len(p) > 12 && p[len(p)-5] == 0xde {
								le.PutUint32(p[len(p)-4:], ondisk.Checksum(seed, p[:len(p)-12]))
							}
						})
					}
					return nil
				})
			}
			if number == s.JournalInode && number != 0 {
				_ = v.runs(n, 1, func(r mapping) error {
					add("journal", int64(r.physical)*v.block, 0x100, nil)
					return nil
				})
			}
		}
	}
	return list
}

// TestCheckMutations: what e2fsck finds wrong with an image of which a field was
// changed, Check does.
func TestCheckMutations(t *testing.T) {
	count := 60
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		count = 600
	}
	images := map[string][]byte{}
	for _, kind := range []Kind{Ext2, Ext3, Ext4} {
		images["own "+kind.String()] = smallImage(t, kind)
	}
	source := foreignTree(t)
	for _, c := range []struct{ name, kind, args string }{
		{"no checksums", "ext4", "-b 1024 -O ^metadata_csum,^uninit_bg"},
		{"ext4, 1 KiB", "ext4", "-b 1024"},
		{"inline_data", "ext4", "-O inline_data,^metadata_csum"},
		{"uninit_bg", "ext4", "-O ^64bit,^metadata_csum,uninit_bg -g 4096"},
		{"bigalloc", "ext4", "-O bigalloc,^metadata_csum -C 16384"},
		{"orphan_file", "ext4", "-O metadata_csum_seed,orphan_file"},
		{"meta_bg", "ext4", "-b 1024 -g 2048 -O meta_bg,^resize_inode,^metadata_csum,^sparse_super"},
		{"sparse_super2", "ext4", "-b 1024 -O sparse_super2,^resize_inode,^metadata_csum"},
		{"large inodes", "ext4", "-O ^metadata_csum,ea_inode -I 1024"},
		{"casefold, mmp", "ext4", "-O casefold,mmp,^metadata_csum -E mmp_update_interval=1"},
	} {
		b, err := os.ReadFile(foreignImage(t, source, c.kind, c.args, "24m"))
		if err != nil {
			t.Fatal(err)
		}
		images[c.name] = b
	}
	for name, image := range images {
		t.Run(name, func(t *testing.T) {
			compareMutations(t, image, count)
		})
	}
}

func compareMutations(t *testing.T, original []byte, count int) {
	rng := rand.New(rand.NewPCG(6, uint64(len(original))))
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, original, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := regions(t, original)
	kinds := map[string][]region{}
	var names []string
	for _, r := range list {
		kind := strings.TrimRight(r.name, "0123456789")
		kind, _, _ = strings.Cut(kind, " of")
		kind, _, _ = strings.Cut(kind, " 1")
		if kinds[kind] == nil {
			names = append(names, kind)
		}
		kinds[kind] = append(kinds[kind], r)
	}
	image := bytes.Clone(original)
	reported, both := 0, 0
	for i := range count {
		group := kinds[names[i%len(names)]]
		r := group[rng.IntN(len(group))]
		copy(image, original)
		at := r.at + rng.Int64N(r.length)
		if rng.IntN(3) > 0 { // where most structures have their fields
			at = r.at + rng.Int64N(min(r.length, 128))
		}
		switch rng.IntN(4) {
		case 0:
			image[at] ^= 1 << rng.IntN(8)
		case 1:
			image[at] = byte(rng.Uint32())
		case 2:
			image[at]++
		default:
			image[at] = []byte{0, 0xff, 0x80, 1}[rng.IntN(4)]
		}
		if r.fix != nil && rng.IntN(4) > 0 {
			r.fix(image)
		}
		if bytes.Equal(image, original) {
			continue
		}
		writeDifference(t, f, original, image)
		output, status := oracle.Exit(t, "e2fsck", "-f", "-n", path)
		writeDifference(t, f, image, original)
		var list finding.List
		err := Check(context.Background(), bytes.NewReader(image), int64(len(image)), &list, nil)
		ours := err != nil || list.Total() > 0
		if status == 0 {
			continue
		}
		reported++
		if !ours {
			t.Errorf("%s, byte %d (%#x), %#x to %#x: only e2fsck says (%d):\n%s", r.name, at-r.at, at-r.at, original[at], image[at], status, output)
			continue
		}
		both++
	}
	t.Logf("%d of %d mutations reported by e2fsck, %d of these here", reported, count, both)
}

// writeDifference writes what differs between two images to a file.
func writeDifference(t testing.TB, f *os.File, from, to []byte) {
	t.Helper()
	const step = 4096
	for at := 0; at < len(to); at += step {
		end := min(at+step, len(to))
		if !bytes.Equal(from[at:end], to[at:end]) {
			if _, err := f.WriteAt(to[at:end], int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCheckFlips: whatever bits flip, there is an answer soon.
func TestCheckFlips(t *testing.T) {
	count := 300
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		count = 6000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []Kind{Ext2, Ext4} {
		original := smallImage(t, kind)
		list := regions(t, original)
		image := bytes.Clone(original)
		for range count {
			copy(image, original)
			for range 1 + rng.IntN(20) {
				r := list[rng.IntN(len(list))]
				image[r.at+rng.Int64N(r.length)] ^= 1 << rng.IntN(8)
				if r.fix != nil {
					r.fix(image)
				}
			}
			var found finding.List
			start := time.Now()
			_ = Check(context.Background(), bytes.NewReader(image), int64(len(image)), &found, nil)
			if d := time.Since(start); d > 10*time.Second {
				t.Fatalf("it takes %v", d)
			}
		}
	}
}

// FuzzCheck checks images in which some bytes were replaced.
func FuzzCheck(f *testing.F) {
	images := [][]byte{smallImage(f, Ext2), smallImage(f, Ext4)}
	all := [][]region{regions(f, images[0]), regions(f, images[1])}
	f.Add(byte(0), uint16(0), uint16(4), []byte{0, 0, 0, 1})
	f.Add(byte(1), uint16(1), uint16(0), []byte{1})
	f.Add(byte(1), uint16(20), uint16(40), []byte{0x0a, 0xf3, 1, 0, 4, 0, 1, 0})
	f.Fuzz(func(t *testing.T, which byte, number, at uint16, data []byte) {
		list := all[which%2]
		r := list[int(number)%len(list)]
		image := bytes.Clone(images[which%2])
		copy(image[r.at+int64(at)%r.length:], data)
		if r.fix != nil {
			r.fix(image)
		}
		var found finding.List
		_ = Check(context.Background(), bytes.NewReader(image), int64(len(image)), &found, nil)
	})
}
