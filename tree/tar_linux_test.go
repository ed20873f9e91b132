package tree

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"
)

// makeArchivable fills dir with what tar can hold.
func makeArchivable(t testing.TB, dir string) {
	t.Helper()
	makeNasty(t, dir, 1)
	must(t, os.Remove(dir+"/socket"))
	must(t, os.Remove(dir+"/only a hole")) // 60 GiB, which not every tar knows to skip
	must(t, os.RemoveAll(dir+"/many"))
	write(t, dir+"/"+strings.Repeat("directory/", 20)+"a path of more than 155 and 100 bytes", "deep")
	write(t, dir+"/prefix/"+strings.Repeat("p", 90)+"/"+strings.Repeat("n", 100), "the prefix of ustar")
	must(t, os.Link(dir+"/plain", dir+"/"+strings.Repeat("long name of a hard link ", 8)))
	f, err := os.Create(dir + "/fragments") // more segments than a header has
	must(t, err)
	for n := range int64(60) {
		_, err := f.WriteAt([]byte(fmt.Sprintf("fragment %d", n)), n*64<<10)
		must(t, err)
	}
	must(t, f.Truncate(5<<20))
	must(t, f.Close())
	write(t, dir+"/hole", "")
	must(t, os.Truncate(dir+"/hole", 3<<20))
	setTimes(t, dir, -1e8)
}

var nanoseconds = regexp.MustCompile(`(?m)^("(?:[^"\\]|\\.)*" \d+ \d+:\d+ -?\d+)\.\d+`)

// TestFromTarAgainstGNU reads what GNU tar writes in all its formats.
func TestFromTarAgainstGNU(t *testing.T) {
	dir := t.TempDir()
	makeArchivable(t, dir)
	want := dump(t, walked(t, dir, DirOptions{KeepOwners: true}))
	for _, c := range []struct {
		args string
		less func(string) string // what the format loses
	}{
		{"--format=gnu", wholeSeconds},
		{"--format=gnu --sparse", wholeSeconds},
		{"--format=oldgnu --sparse", wholeSeconds},
		{"--format=posix", nil},
		{"--format=pax --sparse --sparse-version=0.0", nil},
		{"--format=pax --sparse --sparse-version=0.1", nil},
		{"--format=pax --sparse --sparse-version=1.0", nil},
		{"--format=posix --xattrs --acls --selinux", nil},
		{"--format=posix --numeric-owner --sort=name --blocking-factor=1", nil},
	} {
		archive := t.TempDir() + "/archive.tar"
		oracle.Run(t, "tar", append([]string{"-C", dir, "-cf", archive}, append(strings.Fields(c.args), ".")...)...)
		root, spool, err := FromTar(t.Context(), archive, TarOptions{Epoch: testEpoch})
		if err != nil || spool != nil {
			t.Errorf("%s: spool %v, error %v", c.args, spool, err)
			continue
		}
		got, want := dump(t, root), want
		if c.less != nil {
			got, want = c.less(got), c.less(want)
		}
		sameText(t, c.args, got, want)
		if strings.Contains(c.args, "--sparse") {
			for _, name := range []string{"fragments", "hole", "sparse"} {
				if _, ok := root.Child(name).Content.(*diskmap.Map); !ok {
					t.Errorf("%s: %s has lost its holes", c.args, name)
				}
			}
		}
	}
}

func wholeSeconds(dump string) string { return nanoseconds.ReplaceAllString(dump, "$1") }

// TestFromTarOldFormats reads v7 and ustar, which cannot hold everything.
func TestFromTarOldFormats(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "content")
	write(t, dir+"/dir/sub/script", "content")
	must(t, os.Chmod(dir+"/dir/sub/script", 0o755))
	must(t, os.Symlink("file", dir+"/link"))
	must(t, os.Link(dir+"/file", dir+"/hard"))
	write(t, dir+"/"+strings.Repeat("d", 90)+"/file", "98 bytes")
	formats := []string{"v7", "ustar"}
	for _, format := range formats {
		if format == "ustar" {
			write(t, dir+"/"+strings.Repeat("d", 90)+"/"+strings.Repeat("d", 60)+"/"+strings.Repeat("f", 95), "with a prefix")
			must(t, unix.Mkfifo(dir+"/fifo", 0o600))
		}
		archive := t.TempDir() + "/archive.tar"
		oracle.Run(t, "tar", "-C", dir, "-cf", archive, "--format="+format, ".")
		root, _, err := FromTar(t.Context(), archive, TarOptions{})
		must(t, err)
		sameText(t, format, wholeSeconds(dump(t, root)), wholeSeconds(dump(t, walked(t, dir, DirOptions{KeepOwners: true}))))
	}
}

// TestFromTarAgainstBsdtar reads what libarchive writes. It writes times before
// 1970 wrong if they have a fraction: -8999999.9 as -9000000.1.
func TestFromTarAgainstBsdtar(t *testing.T) {
	dir := t.TempDir()
	makeArchivable(t, dir)
	setTimes(t, dir, 1e9)
	want := dump(t, walked(t, dir, DirOptions{KeepOwners: true}))
	for _, c := range []struct {
		args string
		less func(string) string
	}{
		{"--format=pax", nil},
		{"--format=pax --read-sparse --xattrs --acls", nil},
		{"--format=pax --no-read-sparse", nil},
		{"--format=gnutar", wholeSeconds},
	} {
		archive := t.TempDir() + "/archive.tar"
		oracle.Run(t, "bsdtar", append([]string{"-C", dir, "-cf", archive}, append(strings.Fields(c.args), ".")...)...)
		root, _, err := FromTar(t.Context(), archive, TarOptions{Epoch: testEpoch})
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		got, want := dump(t, root), want
		if c.less != nil {
			got, want = c.less(got), c.less(want)
		}
		sameText(t, c.args, got, want)
	}
}

// TestFromTarXattrs reads attributes and ACLs as the three tars write them.
func TestFromTarXattrs(t *testing.T) {
	oracle.NeedRoot(t)
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	write(t, dir+"/sub/plain", "x")
	write(t, dir+"/empty", "")
	for name, value := range map[string]string{"user.a": "b", "user.binary": "\x00\n=\xff", "user.empty": "", "user.with=equals": "1", "user.50%": "2", "trusted.label": "host"} {
		must(t, unix.Lsetxattr(dir+"/file", name, []byte(value), 0))
	}
	oracle.Run(t, "setcap", "cap_net_raw,cap_sys_admin+ep", dir+"/file")
	oracle.Run(t, "setfacl", "-m", "u:1000:rw,u:70000:r,g:2000:r,m:r", dir+"/file")
	oracle.Run(t, "setfacl", "-d", "-m", "u:1000:rwx,g:12:x", dir+"/sub")
	oracle.Run(t, "setfacl", "-m", "u:0:rwx", dir+"/empty")
	want := dump(t, walked(t, dir, DirOptions{KeepOwners: true, Xattrs: []string{"*"}}))
	for _, args := range []string{
		"tar --format=posix --xattrs --xattrs-include=* --acls",
		"tar --format=posix --xattrs --xattrs-include=*",
		"bsdtar --format=pax --xattrs --acls",
	} {
		archive := t.TempDir() + "/archive.tar"
		fields := strings.Fields(args)
		oracle.Run(t, fields[0], append(fields[1:], "-C", dir, "-cf", archive, ".")...)
		root, _, err := FromTar(t.Context(), archive, TarOptions{})
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		got, want := dump(t, root), want
		sameText(t, args, got, want)
		root, _, err = FromTar(t.Context(), archive, TarOptions{Xattrs: []string{"user.*"}})
		must(t, err)
		if x := root.Child("file").Xattrs; len(x) != 5 {
			t.Errorf("%s: with user.*: %q", args, x)
		}
		root, _, err = FromTar(t.Context(), archive, TarOptions{Xattrs: []string{}, RootOwned: true})
		must(t, err)
		if x := root.Child("file").Xattrs; len(x) != 0 {
			t.Errorf("%s: with none: %q", args, x)
		}
	}
}

// TestFromTarSpooled reads the same archive in place, from a pipe and
// compressed.
func TestFromTarSpooled(t *testing.T) {
	dir := t.TempDir()
	makeArchivable(t, dir)
	tmp := t.TempDir()
	archive := tmp + "/archive.tar"
	oracle.Run(t, "tar", "-C", dir, "-cf", archive, "--format=posix", ".")
	plain, err := os.ReadFile(archive)
	must(t, err)
	root, _, err := FromTar(t.Context(), archive, TarOptions{})
	must(t, err)
	want := dump(t, root)

	oracle.Need(t, "zstd")
	for name, script := range map[string]string{
		"gzip":            `gzip -c <$1 >$1.out`,
		"gzip members":    `{ head -c 100000 <$1 | gzip -c; tail -c +100001 <$1 | gzip -c; } >$1.out`,
		"zstd":            `zstd -qc <$1 >$1.out`,
		"zstd frames":     `{ printf '\120\052\115\030\004\000\000\000skip'; head -c 100000 <$1 | zstd -qc; tail -c +100001 <$1 | zstd -qc --no-check; } >$1.out`,
		"zstd --long=27":  `zstd -qc --long=27 <$1 >$1.out`,
		"a pipe":          `rm -f $1.out; mkfifo $1.out; (cat <$1 >$1.out) >/dev/null 2>&1 &`,
		"gzip and a pipe": `rm -f $1.out; mkfifo $1.out; (gzip -c <$1 >$1.out) >/dev/null 2>&1 &`,
	} {
		oracle.Run(t, "sh", "-c", script+"\n", "sh", archive)
		spoolDir := t.TempDir()
		var told int64
		opts := TarOptions{SpoolDir: spoolDir, Progress: func(n int64) { told = n }}
		root, spool, err := FromTar(t.Context(), archive+".out", opts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameText(t, name, dump(t, root), want)
		if spool.Size() != int64(len(plain)) || told != spool.Size() {
			t.Errorf("%s: spooled %d bytes, told of %d, want %d", name, spool.Size(), told, len(plain))
		}
		if left, _ := os.ReadDir(spoolDir); len(left) != 0 {
			t.Errorf("%s: the spool is visible as %v", name, left)
		}
		b, ok := root.Child("plain").Content.(content.Backed)
		if !ok {
			t.Fatalf("%s: %T cannot be copied by the kernel", name, root.Child("plain").Content)
		}
		borrowed, err := b.Borrow()
		must(t, err)
		p := make([]byte, 5)
		_, err = borrowed.File.ReadAt(p, borrowed.Offset)
		must(t, err)
		must(t, borrowed.Return())
		if string(p) != "plain" {
			t.Errorf("%s: borrowed %q", name, p)
		}
		must(t, spool.Close())
		must(t, os.Remove(archive+".out"))
	}
}

// TestFromTarChanged notices that an archive that is read in place changes.
func TestFromTarChanged(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/in/file", "content")
	oracle.Run(t, "tar", "-C", dir+"/in", "-cf", dir+"/a.tar", ".")
	root, _, err := FromTar(t.Context(), dir+"/a.tar", TarOptions{})
	must(t, err)
	p, err := os.ReadFile(dir + "/a.tar")
	must(t, err)
	must(t, os.WriteFile(dir+"/a.tar", bytes.Replace(p, []byte("content"), []byte("CONTENT"), 1), 0o644))
	if err := content.ReadFull(root.Child("file").Content, make([]byte, 7), 0); err == nil || !strings.Contains(err.Error(), dir+"/a.tar") {
		t.Errorf("got %v", err)
	}
}

// TestFromTarNames reads what GNU tar writes with odd names and doubled
// members.
func TestFromTarNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "1")
	write(t, dir+"/d/b", "2")
	must(t, os.Chmod(dir+"/d", 0o700))
	t.Chdir(dir)
	oracle.Run(t, "tar", "-cPf", "x.tar", "--transform", "flags=r;s,^d$,/abs/./d,", "--transform", "flags=r;s,^d/,//abs//d/,", "a", "d", "a", "./a")
	root, _, err := FromTar(t.Context(), "x.tar", TarOptions{Epoch: testEpoch})
	must(t, err)
	if got := text(t, root.Lookup("abs/d/b")); got != "2" {
		t.Errorf("abs/d/b is %q", got)
	}
	if d := root.Child("abs"); d.Mode != TypeDir|0o755 || d.Mtime != testEpoch {
		t.Errorf("a directory that the archive lacks is %+v", d)
	}
	if d := root.Lookup("abs/d"); d.Mode != TypeDir|0o700 {
		t.Errorf("a directory that the archive has is %+v", d)
	}
	if got := text(t, root.Child("a")); got != "1" || len(root.Entries) != 2 {
		t.Errorf("a, which is a hard link to itself, is %q; %v", got, root.Entries)
	}
}

// TestFromTarLaterWins changes files between additions to an archive.
func TestFromTarLaterWins(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "in/a", "first")
	must(t, os.Link("in/a", "in/link"))
	write(t, "in/dir/x", "x")
	write(t, "in/file", "a file")
	oracle.Run(t, "tar", "-C", "in", "-cf", "a.tar", "a", "link", "dir", "file")
	must(t, os.Remove("in/a"))
	write(t, "in/a", "second")
	must(t, os.Remove("in/file"))
	write(t, "in/file/now/a/directory", "y")
	must(t, os.Chmod("in/dir", 0o700))
	must(t, os.RemoveAll("in/dir/x"))
	oracle.Run(t, "tar", "-C", "in", "-rf", "a.tar", "a", "dir", "file")
	root, _, err := FromTar(t.Context(), "a.tar", TarOptions{})
	must(t, err)
	for path, want := range map[string]string{"a": "second", "link": "first", "dir/x": "x", "file/now/a/directory": "y"} {
		if i := root.Lookup(path); i == nil || text(t, i) != want {
			t.Errorf("%s is %v", path, i)
		}
	}
	if root.Child("dir").Mode != TypeDir|0o700 {
		t.Errorf("the directory's mode is %o", root.Child("dir").Mode)
	}
}

// TestFromTarManyNames has a directory that is looked into by a map, in an
// order that is not that of names.
func TestFromTarManyNames(t *testing.T) {
	dir := t.TempDir()
	for n := range 300 {
		write(t, fmt.Sprintf("%s/many/%d", dir, n*7919%300), fmt.Sprint(n))
	}
	oracle.Run(t, "tar", "-C", dir, "-cf", dir+"/a.tar", "--sort=none", "many")
	root, _, err := FromTar(t.Context(), dir+"/a.tar", TarOptions{})
	must(t, err)
	want := walked(t, dir, DirOptions{KeepOwners: true})
	sameText(t, "many", wholeSeconds(dump(t, root.Child("many"))), wholeSeconds(dump(t, want.Child("many"))))
}
