package ext4

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// long reports whether the long tests are asked for.
func long() bool { return os.Getenv("DISKWRIGHT_LONG") != "" }

// everything returns a tree with one of everything that a kind can hold.
func everything(t testing.TB, kind Kind) *tree.Inode {
	t.Helper()
	root := dir()
	root.Mode = tree.TypeDir | 0o1751
	root.UID, root.GID = 1, 2
	for name, d := range map[string]*tree.Inode{
		"types":       typesTree(),
		"names":       namesTree(),
		"symlinks":    symlinksTree(),
		"sizes":       sizesTree(t, kind),
		"links":       linksTree(),
		"xattrs":      xattrsTree(),
		"acls":        aclsTree(),
		"times":       timesTree(),
		"owners":      ownersTree(),
		"directories": directoriesTree(),
	} {
		root.SetChild(name, d)
	}
	return root
}

func typesTree() *tree.Inode {
	d := dir()
	d.SetChild("fifo", &tree.Inode{Mode: tree.TypeFIFO | 0o600, Mtime: testTime})
	d.SetChild("socket", &tree.Inode{Mode: tree.TypeSocket | 0o755, Mtime: testTime})
	for _, n := range [][2]uint32{{0, 0}, {1, 3}, {8, 1}, {255, 255}, {256, 0}, {0, 256}, {259, 70000}, {majorMax, minorMax}} {
		name := fmt.Sprintf("%d:%d", n[0], n[1])
		d.SetChild("char-"+name, &tree.Inode{Mode: tree.TypeChar | 0o666, Mtime: testTime, Major: n[0], Minor: n[1]})
		d.SetChild("block-"+name, &tree.Inode{Mode: tree.TypeBlock | 0o640, Mtime: testTime, Major: n[0], Minor: n[1]})
	}
	for _, mode := range []uint32{0, 0o1, 0o777, 0o4755, 0o2755, 0o1777, 0o7777} {
		f := file(nil)
		f.Mode = tree.TypeRegular | mode
		d.SetChild(fmt.Sprintf("mode-%o", mode), f)
	}
	return d
}

func namesTree() *tree.Inode {
	d := dir()
	for _, name := range []string{
		strings.Repeat("x", 255), strings.Repeat("\n", 254), strings.Repeat("\xff", 255), "a\nb", "\x80\x81", " ", "*", "-", "...", `\`, "ünïcödé", "#0",
	} {
		d.SetChild(name, file(nil))
	}
	for n := 1; n < 256; n++ {
		if n != '/' && n != '.' {
			d.SetChild(string([]byte{byte(n)}), file(nil))
		}
		d.SetChild(strings.Repeat("n", n), file(nil))
	}
	return d
}

func symlinksTree() *tree.Inode {
	d := dir()
	for _, n := range []int{1, 58, 59, 60, 61, 255, 4094, 4095} {
		d.SetChild(fmt.Sprint(n), tree.NewSymlink(strings.Repeat("t", n), testTime))
	}
	d.SetChild("\xff", tree.NewSymlink("\xff\n", testTime))
	return d
}

func sizesTree(t testing.TB, kind Kind) *tree.Inode {
	d := dir()
	for _, n := range []int64{0, 1, 100, 4095, 4096, 4097, 8192, 12 * blockSize, 12*blockSize + 1, 1036 * blockSize, 1036*blockSize + 1, 5*mib + 3} {
		d.SetChild(fmt.Sprintf("dense-%d", n), file(pattern(n)))
	}
	d.SetChild("bytes", file(content.Bytes("some bytes\n")))
	for _, n := range []int{1, 2, 3, 4, 5, 339, 340, 341} {
		d.SetChild(fmt.Sprintf("every-other-%d", n), file(everyOther(t, n)))
	}
	d.SetChild("hole", file(sparse(t, 100000)))
	d.SetChild("hole-1", file(sparse(t, 1)))
	d.SetChild("leading", file(sparse(t, 100000, part{90000, 10000})))
	d.SetChild("trailing", file(sparse(t, 100000, part{0, 5000})))
	d.SetChild("tiny-holes", file(sparse(t, 100000, part{10, 10}, part{30, 10}, part{4090, 10}, part{8191, 1}, part{8192, 1}, part{20000, 4192})))
	d.SetChild("no-holes", file(sparse(t, 8192, part{0, 4096}, part{4096, 4096})))
	d.SetChild("60G", file(sparse(t, 60*gib, part{1, 1}, part{30*gib - 1, 2}, part{60*gib - 1, 1})))
	if kind == Ext4 {
		d.SetChild("max", file(sparse(t, fileMaxExtents, part{12345, 100}, part{8 * tib, 1}, part{fileMaxExtents - 1, 1})))
	}
	return d
}

func linksTree() *tree.Inode {
	d, sub := dir(), dir()
	one, two := file(pattern(5000)), tree.NewSymlink("one", testTime)
	d.SetChild("a", one)
	d.SetChild("b", one)
	d.SetChild("sub", sub)
	sub.SetChild("a", one)
	sub.SetChild("link-a", two)
	sub.SetChild("link-b", two)
	return d
}

func xattrsTree() *tree.Inode {
	d := dir()
	set := func(name string, attrs ...tree.Xattr) {
		f := file(nil)
		f.Xattrs = attrs
		d.SetChild(name, f)
	}
	big := []byte(strings.Repeat("big value ", 200))
	set("small", tree.Xattr{Name: "user.small", Value: []byte("x")})
	set("empty", tree.Xattr{Name: "user.empty", Value: []byte{}})
	set("big", tree.Xattr{Name: "user.big", Value: big})
	set("big-too", tree.Xattr{Name: "user.big", Value: big})
	set("mixed",
		tree.Xattr{Name: "security.capability", Value: []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
		tree.Xattr{Name: "trusted.overlay.opaque", Value: []byte("y")},
		tree.Xattr{Name: "user.big", Value: big},
		tree.Xattr{Name: "user.bigger", Value: big[:1900]})
	var many []tree.Xattr
	for i := range 100 {
		many = append(many, tree.Xattr{Name: fmt.Sprintf("user.%s%02d", strings.Repeat("m", i%7), i), Value: []byte(fmt.Sprint(i))})
	}
	sortXattrs(many)
	set("many", many...)
	set("names", tree.Xattr{Name: "user." + strings.Repeat("n", 250), Value: []byte("1")}, tree.Xattr{Name: "user.\x80\xff", Value: []byte("high")})
	set("names-in-block", tree.Xattr{Name: "user.\x80\xff\xc3\xa4", Value: big})
	sub := dir()
	sub.Xattrs = []tree.Xattr{{Name: "user.of-a-directory", Value: []byte("yes")}}
	d.SetChild("directory", sub)
	link := tree.NewSymlink("nowhere", testTime)
	link.Xattrs = []tree.Xattr{{Name: "trusted.of-a-link", Value: []byte("yes")}}
	d.SetChild("link", link)
	return d
}

// acl returns an ACL as getxattr gives it; entries are tag, permissions, id.
func acl(entries ...[3]uint32) []byte {
	p := binary.LittleEndian.AppendUint32(nil, aclVersionXattr)
	for _, e := range entries {
		p = binary.LittleEndian.AppendUint16(p, uint16(e[0]))
		p = binary.LittleEndian.AppendUint16(p, uint16(e[1]))
		p = binary.LittleEndian.AppendUint32(p, e[2])
	}
	return p
}

const none = aclUndefined

func aclsTree() *tree.Inode {
	d := dir()
	access := acl([3]uint32{aclUserObj, 6, none}, [3]uint32{aclUser, 4, 1000}, [3]uint32{aclUser, 6, 100000}, [3]uint32{aclGroupObj, 4, none},
		[3]uint32{aclGroup, 6, 50}, [3]uint32{aclMask, 6, none}, [3]uint32{aclOther, 0, none})
	def := acl([3]uint32{aclUserObj, 7, none}, [3]uint32{aclGroupObj, 5, none}, [3]uint32{aclOther, 5, none})
	f := file(nil)
	f.Mode = tree.TypeRegular | 0o660
	f.Xattrs = []tree.Xattr{{Name: nameACLAccess, Value: access}}
	d.SetChild("file", f)
	sub := dir()
	sub.Mode = tree.TypeDir | 0o760
	sub.Xattrs = []tree.Xattr{{Name: nameACLAccess, Value: access}, {Name: nameACLDefault, Value: def}}
	d.SetChild("directory", sub)
	var users [][3]uint32
	users = append(users, [3]uint32{aclUserObj, 7, none})
	for i := range uint32(300) {
		users = append(users, [3]uint32{aclUser, i & 7, 1000 + i})
	}
	users = append(users, [3]uint32{aclGroupObj, 0, none}, [3]uint32{aclMask, 7, none}, [3]uint32{aclOther, 0, none})
	f = file(nil)
	f.Mode = tree.TypeRegular | 0o770
	f.Xattrs = []tree.Xattr{{Name: nameACLAccess, Value: acl(users...)}}
	d.SetChild("large", f)
	return d
}

func timesTree() *tree.Inode {
	d := dir()
	for _, t := range []tree.Time{
		{}, {Nsec: 999999999}, {Sec: -1, Nsec: 1}, {Sec: -1 << 31}, {Sec: 1<<31 - 1}, {Sec: 1 << 31}, {Sec: 1<<32 - 1}, {Sec: 1 << 32},
		{Sec: 3<<32 + 1<<31 - 1, Nsec: 0},
	} {
		f := file(nil)
		f.Mtime = t
		d.SetChild(fmt.Sprintf("%d.%d", t.Sec, t.Nsec), f)
	}
	return d
}

func ownersTree() *tree.Inode {
	d := dir()
	for _, id := range []uint32{0, 1, 65534, 65535, 65536, 1<<31 - 1, 1<<32 - 2} {
		f := file(nil)
		f.UID, f.GID = id, ^id
		if f.GID == 1<<32-1 {
			f.GID = 7
		}
		d.SetChild(fmt.Sprint(id), f)
	}
	return d
}

func directoriesTree() *tree.Inode {
	d := dir()
	d.SetChild("empty", dir())
	deep := d
	for i := range 100 {
		deep.SetChild(fmt.Sprint(i), dir())
		deep = deep.Child(fmt.Sprint(i))
	}
	d.SetChild("2000", dirOf(2000, func(i int) string { return fmt.Sprintf("%08d", i) }))
	d.SetChild("7000-long", dirOf(7000, func(i int) string { return fmt.Sprintf("%0250d", i) }))
	return d
}
