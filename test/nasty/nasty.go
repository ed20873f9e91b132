//go:build linux

// Package nasty makes file trees that are hard to store: trees of every file
// type and of every size, name, link count, attribute, owner and time at which
// file systems have been seen to go wrong.
//
// A tree is described first and then made, in any order of creation: [Options]
// has a seed for it. Two trees of different seeds hold the same, but their
// directories list it in another order and with other inode numbers, so images
// built from them must be the same to the bit.
//
//	root/
//	    types/      a file of every type, devices of large numbers
//	    names/      255 bytes, newlines, invalid UTF-8, every byte
//	    symlinks/   targets around 60 bytes (ext4's inline limit) and of 4095
//	    sizes/      files of 0, 1, 4095, 4096, 4097, … bytes
//	    extents/    sparse files at the limits of every depth of ext4's extent tree
//	    sparse/     holes at the start, the end, everywhere; 60 GiB; 16 TiB
//	    links/      one file of many names, in several directories
//	    xattrs/     of every size to 4040 bytes, many of them, shared ones
//	    acls/       access and default lists
//	    modes/ owners/ times/
//	    directories/  around the limits of one block; one of many names
//	    subdirectories/  one of many
//	    deep/       a thousand levels
//	    boot/ efi/  what FAT can hold, too
//
// What needs root (devices, owners, file capabilities) is left out for others.
package nasty

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Scale says how much of everything.
type Scale int

const (
	Small Scale = iota // some thousand files; made in less than a second
	Full               // 300,000 files, to the limits of ext4; some seconds
)

// Options of a tree.
type Options struct {
	Scale Scale

	// Order is the seed of the order of creation. Zero is sorted by name.
	Order uint64

	// Readable leaves out what only root can read.
	Readable bool

	// Portable leaves out what not every file system of Linux holds: device
	// numbers beyond 18 bits and symbolic links of 1,024 bytes (XFS).
	Portable bool

	// Beyond adds directories whose path is longer than PATH_MAX, which only
	// programs that use openat can reach.
	Beyond bool
}

// Make makes the tree in dir, an existing empty directory, and gives dir itself
// a mode, an owner and a time.
func Make(dir string, o Options) error {
	return materialise(dir, describe(o), o)
}

// describe returns the whole tree.
func describe(o Options) *node {
	root := &node{mode: unix.S_IFDIR | 0o755}
	root.mtime = unix.Timespec{Sec: 1_234_567_890, Nsec: 123_456_789}
	types(root.dir("types"), o.Portable)
	names(root.dir("names"))
	symlinks(root.dir("symlinks"), o.Portable)
	sizes(root.dir("sizes"))
	extents(root.dir("extents"), o.Scale)
	sparse(root.dir("sparse"))
	hardLinks(root.dir("links"), o.Scale)
	xattrs(root.dir("xattrs"), o.Scale)
	acls(root.dir("acls"))
	modes(root.dir("modes"))
	owners(root.dir("owners"))
	times(root.dir("times"))
	directories(root.dir("directories"), o.Scale)
	subdirectories(root.dir("subdirectories"), o.Scale)
	deep(root.dir("deep"), o)
	portable(root.dir("boot"))
	portable(root.dir("efi"))
	return root
}

// pick returns the number for the scale.
func pick(s Scale, small, full int) int {
	if s == Full {
		return full
	}
	return small
}

// types holds a file of every type. The device numbers lie at the limits of
// ext4's two encodings (8+8 bits, 12+20 bits).
func types(d *node, portable bool) {
	d.file("regular", 100)
	d.dir("empty directory")
	d.symlink("symlink", "regular")
	d.symlink("dangling", "nowhere/at/all")
	d.symlink("loop", "loop")
	d.special("fifo", unix.S_IFIFO, 0, 0)
	d.special("socket", unix.S_IFSOCK, 0, 0)
	for _, n := range [][2]uint32{{1, 3}, {8, 255}, {8, 256}, {255, 255}, {256, 0}, {259, 1<<20 - 1}, {4095, 1<<20 - 1}} {
		if portable && n[1] >= 1<<18 {
			continue
		}
		d.special(fmt.Sprintf("char-%d-%d", n[0], n[1]), unix.S_IFCHR, n[0], n[1])
		d.special(fmt.Sprintf("block-%d-%d", n[0], n[1]), unix.S_IFBLK, n[0], n[1])
	}
	d.file("two names", 5000)
	d.alias("other name", d.child("two names"))
	d.special("fifo of two names", unix.S_IFIFO, 0, 0)
	d.alias("other name of the fifo", d.child("fifo of two names"))
	d.symlink("symlink of two names", "regular")
	d.alias("other name of the symlink", d.child("symlink of two names"))
}

// names holds names that are bytes rather than text. ext4 hashes bytes above
// 127 as signed characters on x86.
func names(d *node) {
	long := func(pattern string) string { return strings.Repeat(pattern, 255)[:255] }
	for _, name := range []string{
		"with space", " leading space", "trailing space ", "-leading-dash", "--", "'single'", `"double"`,
		`back\slash`, `trailing\`, "tab\there", "new\nline", "\n", "carriage\rreturn", "\x1b[31mescape", "a:b", "a,b", "a%b%n%s",
		"$HOME", "`id`", "$(id)", "*", "?", "[a]", "{a,b}", "~", "#", "...", "....", ".hidden", "..hidden", "semi;colon", "|", "&", "!",
		"\xff", "\xfe\xff", "\xc0\x80", "\x80abc", "caf\xe9", "café", "cafe\u0301", "日本語", "\U0001f4a3", "A", "a", "ſ", "K",
		long("a"), long("\n"), long("\xff"), long("é"), long("\x80\x7f"), long("%s"), long(" "),
		"x" + long("b")[:253], "lost+found",
	} {
		d.file(name, int64(len(name)))
	}
	every := d.dir("every byte")
	for b := 1; b < 256; b++ {
		if name := string([]byte{byte(b)}); name != "/" && name != "." {
			every.file(name, 1)
		}
	}
	// Directories with such names: their content's paths have them in the middle.
	for _, name := range []string{long("d"), "new\nline directory", "\xff\xfe directory", " "} {
		d.dir(name).file(name, 10)
	}
}

// symlinks holds targets around 60 bytes, where ext4 stops to store them in the
// inode, and the longest that Linux knows.
func symlinks(d *node, portable bool) {
	for _, n := range []int{1, 2, 58, 59, 60, 61, 62, 127, 128, 255, 256, 1023, 1024, 4088, 4094, 4095} {
		if portable && n >= 1024 {
			continue
		}
		d.symlink(fmt.Sprintf("target-%04d", n), strings.Repeat("t/", n)[:n])
	}
	d.symlink("newline", "a\nb")
	d.symlink("invalid utf-8", "\xff\xfe/\x80")
	d.symlink("absolute", "/etc/passwd")
	d.symlink("up", "../../../../..")
	d.symlink("slashes", "//a///b//")
}

// sizes holds files around the sizes of blocks.
func sizes(d *node) {
	for _, n := range []int64{0, 1, 59, 60, 61, 155, 156, 157, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097,
		8191, 8192, 8193, 12287, 12288, 12289, 65535, 65536, 65537, 1<<20 - 1, 1 << 20, 1<<20 + 1, 4<<20 - 1, 4 << 20, 4<<20 + 1} {
		d.file(fmt.Sprintf("bytes-%07d", n), n)
	}
	zero := d.file("zeros that are data", 0)
	zero.size, zero.pieces = 3*block, []piece{{0, 3 * block, true}}
}

const block = 4096

// extents holds files of every other block, so that each block is an extent.
// ext4 keeps 4 in the inode, 4·340 below one level of index, more below two.
func extents(d *node, s Scale) {
	counts := []int{1, 3, 4, 5, 6, 339, 340, 341, 1359, 1360, 1361}
	if s == Full {
		counts = append(counts, 679, 680, 681, 1699, 1700, 1701, 10_000)
	}
	for _, n := range counts {
		f := d.file(fmt.Sprintf("extents-%05d", n), 0)
		for i := range n {
			f.pieces = append(f.pieces, piece{off: int64(2*i) * block, n: block})
		}
		f.size = int64(2*n-1) * block
	}
	// The same number of extents, but at the end of the address space.
	f := d.file("extents-high", 0)
	for i := range 400 {
		f.pieces = append(f.pieces, piece{off: 1<<43 + int64(i)<<33, n: block})
	}
	f.size = 1<<43 + 400<<33
}

// sparse holds holes.
func sparse(d *node) {
	file := func(name string, size int64, pieces ...piece) {
		f := d.file(name, 0)
		f.size, f.pieces = size, pieces
	}
	file("one-hole-1", 1)
	file("one-hole-4097", 4097)
	file("one-hole-1T", 1<<40)
	file("hole-first", 1<<20, piece{off: 1<<20 - block, n: block})
	file("hole-last", 1<<20, piece{off: 0, n: block})
	file("hole-last-odd", 1<<20+123, piece{off: 0, n: 100})
	file("data-last-odd", 1<<20+123, piece{off: 1 << 20, n: 123})
	const big = 60 << 30
	file("60G", big, piece{off: 0, n: 1 << 16}, piece{off: big / 2, n: 1 << 16}, piece{off: big - 1<<16, n: 1 << 16})
	// The largest file of ext4 with blocks of 4096 bytes.
	const largest = (1<<32 - 1) * block
	file("largest", largest, piece{off: largest - 1, n: 1})
	file("across-2G", 1<<31+block, piece{off: 1<<31 - block, n: 2 * block})
	file("across-4G", 1<<32+block, piece{off: 1<<32 - block, n: 2 * block})
	// ext4 counts to 32768 blocks in an extent, 32767 in one of no data yet.
	file("across-128M", 1<<28, piece{off: 1<<27 - block, n: 3 * block})
}

// hardLinks holds one file of many names, spread over directories.
func hardLinks(d *node, s Scale) {
	file := d.file("original", 12345)
	for _, part := range []string{"a", "b", "c"} {
		sub := d.dir(part)
		for i := range pick(s, 200, 20_000) {
			sub.alias(fmt.Sprintf("link-%s-%05d", part, i), file)
		}
	}
}

// xattrs holds attributes of every size around what fits into the inode (ext4
// has 92 bytes there for names and values) and a block (4040 bytes).
func xattrs(d *node, s Scale) {
	value := func(n int, seed uint64) []byte { return noise(n, seed) }
	for n := 0; n <= 100; n++ {
		d.file(fmt.Sprintf("value-%04d", n), 10).xattr("user.a", value(n, 1))
	}
	for _, n := range []int{1000, 2000, 3900, 3999, 4000, 4039, 4040} {
		d.file(fmt.Sprintf("value-%04d", n), 10).xattr("user.a", value(n, 2))
	}
	for n := 1; n <= 250; n += 3 {
		d.file(fmt.Sprintf("name-%03d", n), 10).xattr("user."+strings.Repeat("n", n), value(n%7, 3))
	}
	f := d.file("many", 10)
	for i := range 90 {
		f.xattr(fmt.Sprintf("user.%0*d", 1+i%5, i), value(i%20, uint64(i)))
	}
	d.file("bytes in a name", 10).xattr("user.\xff\n\x80", []byte("value"))
	d.file("empty suffix of a dot", 10).xattr("user..", nil)
	in := d.dir("on a directory")
	in.xattr("user.directory", value(500, 4))
	in.file("inside", 10)
	// Equal sets, which ext4 stores once for at most 1024 files, and sets that
	// differ in the last byte only.
	for i := range pick(s, 1050, 2100) {
		d.dir("shared").file(fmt.Sprintf("file-%04d", i), 3).xattr("user.same", value(300, 5))
	}
	for i := range pick(s, 40, 400) {
		v := value(300, 6)
		v[len(v)-1] = byte(i)
		d.dir("almost shared").file(fmt.Sprintf("file-%04d", i), 3).xattr("user.same", v).xattr("user.x", []byte{byte(i >> 8)})
	}
	// vfs_cap_data, revision 2: cap_net_raw+ep.
	capability := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	d.file("capability", 1000).xattr("security.capability", capability)
	d.file("capability and more", 1000).xattr("security.capability", capability).
		xattr("user.b", value(10, 7)).xattr("user.aa", value(200, 8)).xattr("user.c", value(3, 9)).
		xattr(aclAccess, acl(entry{userObj, 7, none}, entry{user, 5, 70_000}, entry{groupObj, 5, none}, entry{mask, 5, none}, entry{other, 5, none}))
}

// acls holds POSIX access control lists, on files and directories.
func acls(d *node) {
	minimalDefault := acl(entry{userObj, 7, none}, entry{groupObj, 5, none}, entry{other, 0, none})
	list := func(n int) []byte {
		es := []entry{{userObj, 6, none}}
		for i := range n {
			es = append(es, entry{user, uint16(i % 8), uint32(70_000 + i)})
		}
		es = append(es, entry{groupObj, 4, none})
		for i := range n {
			es = append(es, entry{group, uint16(7 - i%8), uint32(70_000 + i)})
		}
		return acl(append(es, entry{mask, 6, none}, entry{other, 4, none})...)
	}
	for _, n := range []int{1, 2, 5, 50, 200} {
		d.file(fmt.Sprintf("file-%03d", n), 10).xattr(aclAccess, list(n))
	}
	d.file("large ids", 10).xattr(aclAccess, acl(entry{userObj, 6, none}, entry{user, 4, 1 << 31}, entry{user, 7, 1<<32 - 2},
		entry{groupObj, 4, none}, entry{mask, 7, none}, entry{other, 4, none}))
	d.dir("default").xattr(aclDefault, minimalDefault).file("made before it", 1)
	both := d.dir("access and default")
	both.xattr(aclAccess, list(3)).xattr(aclDefault, list(4)).xattr("user.too", []byte("yes"))
	both.private = true // the list says 4 for others
	both.dir("below")
	for i := range 50 {
		d.file(fmt.Sprintf("shared-%02d", i), 1).xattr(aclAccess, list(30))
	}
}

// modes holds every bit that chmod knows.
func modes(d *node) {
	for _, m := range []uint32{0, 0o001, 0o010, 0o100, 0o111, 0o400, 0o444, 0o644, 0o777, 0o1644, 0o1777, 0o2755, 0o4755, 0o6755, 0o7777} {
		f := d.file(fmt.Sprintf("file-%04o", m), 10)
		f.mode, f.private = unix.S_IFREG|m, m&0o004 == 0
		sub := d.dir(fmt.Sprintf("dir-%04o", m))
		sub.mode, sub.private = unix.S_IFDIR|m, m&0o005 != 0o005
		sub.file("inside", 1)
		sub.dir("inside too")
	}
	for _, m := range []uint32{0, 0o600, 0o666, 0o7777} {
		d.special(fmt.Sprintf("fifo-%04o", m), unix.S_IFIFO, 0, 0).mode = unix.S_IFIFO | m
	}
}

// owners holds numbers at the limits of 16 and 32 bits.
func owners(d *node) {
	for _, id := range []uint32{1, 1000, 32767, 32768, 65533, 65534, 65535, 65536, 100_000, 1<<31 - 1, 1 << 31, 1<<32 - 2} {
		d.file(fmt.Sprintf("user-%d", id), 10).own(id, 0)
		d.file(fmt.Sprintf("group-%d", id), 10).own(0, id)
		d.dir(fmt.Sprintf("dir-%d", id)).own(id, id)
		d.symlink(fmt.Sprintf("symlink-%d", id), "x").own(id, id+1)
		d.special(fmt.Sprintf("fifo-%d", id), unix.S_IFIFO, 0, 0).own(id, id)
	}
}

// times holds the limits of ext4's 34 bits of seconds and of what others
// believe to be one.
func times(d *node) {
	for _, t := range []unix.Timespec{
		{Sec: -1 << 31},               // 1901-12-13, the first
		{Sec: -1<<31 + 1, Nsec: 1},    //
		{Sec: -86400, Nsec: 999},      // 1969
		{Sec: -1, Nsec: 0},            //
		{Sec: -1, Nsec: 999_999_999},  // a nanosecond before 1970
		{Sec: 0},                      //
		{Sec: 0, Nsec: 1},             //
		{Sec: 1},                      //
		{Sec: 315_532_799},            // a second before 1980
		{Sec: 315_532_800},            // 1980, the first of FAT
		{Sec: 1_000_000_001, Nsec: 5}, // odd second
		{Sec: 1<<31 - 1, Nsec: 999_999_999},
		{Sec: 1 << 31}, // 2038
		{Sec: 1<<31 + 1},
		{Sec: 1<<32 - 1},
		{Sec: 1 << 32, Nsec: 1}, // 2106
		{Sec: 4_354_819_199},    // the last second of FAT
		{Sec: 7_258_118_400},    // 2200
		{Sec: 3 << 32},
		{Sec: 1<<34 - 1<<31 - 2, Nsec: 999_999_999},
		{Sec: 1<<34 - 1<<31 - 1}, // 2446, the last; Linux gives it and the first no nanoseconds
	} {
		name := fmt.Sprintf("%d.%09d", t.Sec, t.Nsec)
		d.file("file "+name, 10).mtime = t
		d.dir("dir " + name).mtime = t
		d.symlink("symlink "+name, "x").mtime = t
		d.special("fifo "+name, unix.S_IFIFO, 0, 0).mtime = t
	}
}

// directories holds directories around one block (15 names of 255 bytes) and
// one with very many names.
func directories(d *node, s Scale) {
	for _, n := range []int{0, 1, 14, 15, 16, 17, 30, 31, 32, 33, 200} {
		sub := d.dir(fmt.Sprintf("long-names-%03d", n))
		for i := range n {
			sub.file(fmt.Sprintf("%s%05d", strings.Repeat("l", 250), i), 0)
		}
	}
	for _, n := range []int{252, 253, 254, 255, 256, 338, 339, 340, 341, 342} { // 16 or 12 bytes an entry
		sub := d.dir(fmt.Sprintf("short-names-%03d", n))
		for i := range n {
			sub.file(fmt.Sprintf("%04d", i), 0)
		}
	}
	many := d.dir("many")
	for i := range pick(s, 3000, 100_000) {
		// Names of 5 to 60 bytes.
		many.file(fmt.Sprintf("%05d%s", i, strings.Repeat("n", i%56)), 0)
	}
	// Index blocks of long names fill up fastest: 15 names a block.
	wide := d.dir("wide")
	for i := range pick(s, 600, 9000) {
		wide.file(fmt.Sprintf("%s%05d", strings.Repeat("w", 250), i), 0)
	}
}

// subdirectories holds a directory of more subdirectories than ext4 counts
// (65,000; beyond them it says 1).
func subdirectories(d *node, s Scale) {
	for i := range pick(s, 300, 70_000) {
		d.dir(fmt.Sprintf("%05d", i))
	}
}

// deep holds a thousand levels of directories, and with o.Beyond as many
// of long names.
func deep(d *node, o Options) {
	at := d
	for range pick(o.Scale, 100, 1000) {
		at = at.dir("d")
	}
	at.file("bottom", 10)
	if o.Beyond {
		at = d
		for range pick(o.Scale, 40, 1000) {
			at = at.dir(strings.Repeat("beyond", 40))
			at.file("on the way", 10)
		}
	}
}

// noise returns n bytes that look random.
func noise(n int, seed uint64) []byte {
	p := make([]byte, n)
	fill(p, seed)
	return p
}

// fill fills p with bytes that look random and are never all zero in a block.
func fill(p []byte, seed uint64) {
	r := rand.NewPCG(seed, 0x6e61737479)
	for i := range p {
		if i%8 == 0 {
			v := r.Uint64()
			for j := 0; j < 8 && i+j < len(p); j++ {
				p[i+j] = byte(v >> (8 * j))
			}
		}
	}
	if len(p) > 0 {
		p[0] |= 1
	}
}

// order returns the children in the order in which they are made.
func order(children []*node, r *rand.Rand) []*node {
	children = slices.Clone(children)
	slices.SortFunc(children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	if r != nil {
		r.Shuffle(len(children), func(i, j int) { children[i], children[j] = children[j], children[i] })
	}
	return children
}
