//go:build unix

package tree

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"diskwright/content"
	"diskwright/test/oracle"
)

// makeSources fills dir with what the tests graft.
func makeSources(t testing.TB, dir string) {
	t.Helper()
	for name, mode := range map[string]uint32{
		"file": 0o644, "script": 0o755, "suid": 0o4755, "secret": 0o600,
		"pkg/bin/a": 0o555, "pkg/bin/b": 0o555, "pkg/etc/conf": 0o444, "pkg/.hidden": 0o644, "pkg/.dir/x": 0o644, "pkg/README": 0o444,
		"other/bin/a": 0o500, "other/bin/c": 0o500, "other/etc": 0o444, "other/share/doc": 0o444,
		"etc/hosts": 0o644, "etc/nixos/configuration.nix": 0o600,
		"conf.d/10-a.conf": 0o644, "conf.d/20-b.conf": 0o640, "conf.d/notes.txt": 0o644, "conf.d/.secret.conf": 0o600,
	} {
		write(t, dir+"/"+name, "content of "+name)
		must(t, unix.Chmod(dir+"/"+name, mode))
	}
	must(t, os.Symlink("file", dir+"/link"))
	must(t, os.Symlink("pkg", dir+"/dirlink"))
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	must(t, os.Symlink("bin", dir+"/pkg/sbin"))
	must(t, os.Symlink("/etc/hosts", dir+"/pkg/etc/abs"))
	must(t, os.Link(dir+"/pkg/bin/a", dir+"/pkg/bin/hard"))
	must(t, os.Mkdir(dir+"/empty", 0o700))
	must(t, unix.Chmod(dir+"/pkg/bin", 0o711))
	must(t, unix.Chmod(dir+"/other", 0o2775))
	at := time.Unix(1, 5e8)
	out, err := exec.Command("find", dir, "-print0").Output()
	must(t, err)
	for n, path := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		ts := unix.NsecToTimespec(at.Add(time.Duration(n) * time.Second).UnixNano())
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// reference is the loop over contents of make-disk-image.nix, and the owners
// that it sets in the virtual machine, where targets are paths of the image.
// rsync has -H in addition, since we keep hard links.
const reference = `
set -eu; umask 022; root=$1; shift; mkdir -p "$root"
sources_=(); targets_=(); modes_=(); owners_=()
while [ $# -gt 0 ]; do sources_+=("$1"); targets_+=("$2"); modes_+=("$3"); owners_+=("$4"); shift 4; done
for ((i = 0; i < ${#targets_[@]}; i++)); do
  source=${sources_[$i]} target=${targets_[$i]} mode=${modes_[$i]}
  rsync_chmod_flags=""
  if [ -n "$mode" ]; then rsync_chmod_flags="--chmod=$mode"; fi
  rsync_flags="-aH --no-o --no-g $rsync_chmod_flags"
  if [[ "$source" =~ '*' ]]; then
    mkdir -p $root/$target
    for fn in $source; do rsync $rsync_flags "$fn" $root/$target/; done
  else
    mkdir -p $root/$(dirname $target)
    if [ -e $root/$target ]; then echo "duplicate entry $target -> $source"; exit 1
    elif [ -d $source ]; then rsync $rsync_flags $source/ $root/$target
    else rsync $rsync_flags $source $root/$target; fi
  fi
done
for ((i = 0; i < ${#targets_[@]}; i++)); do
  if [ -n "${owners_[$i]}" ]; then chown -R "${owners_[$i]}" $root/${targets_[$i]}; fi
done
`

var dirTimes = regexp.MustCompile(`(?m)^("[^"]*" 04\d+ \d+:\d+) \d+\.\d+`)

// TestGraftAgainstReference lets the loop of the reference and Graft do the
// same things. Times of directories are not compared: whatever the reference
// puts into one later changes them.
func TestGraftAgainstReference(t *testing.T) {
	oracle.NeedRoot(t)
	oracle.Need(t, "rsync")
	dir := t.TempDir()
	makeSources(t, dir)
	t.Chdir(dir)
	for _, items := range [][]Item{
		{{Source: "file", Target: "/a"}, {Source: "file", Target: "b/c/d"}, {Source: "script", Target: "//b//e"}, {Source: "file", Target: "./f"}},
		{{Source: "pkg", Target: "/opt/pkg"}, {Source: "pkg/", Target: "opt/again"}, {Source: "dirlink", Target: "/through"}},
		{{Source: "link", Target: "/l"}, {Source: "dangling", Target: "/d"}, {Source: "link", Target: "/into/"}, {Source: "file", Target: "/into2/deep/"}},
		{{Source: "conf.d/*", Target: "/etc/conf.d"}, {Source: "conf.d/.*.conf", Target: "/etc/hidden"}, {Source: "conf.d/[12]*.conf", Target: "/etc/some"}},
		{{Source: "*/bin", Target: "/usr"}, {Source: "*k", Target: "/links"}}, // merged; links as they are
		{{Source: "*/bin/", Target: "/usr/bin"}},                                                           // their content
		{{Source: "pkg", Target: "/x"}, {Source: "other/b*", Target: "/x"}},                                // into what is there
		{{Source: "pkg/*", Target: "/x"}, {Source: "conf.d/*", Target: "/x"}, {Source: "e*", Target: "x"}}, // etc over etc
		{{Source: "pkg", Target: "/x"}, {Source: "file", Target: "/x/bin/new"}},
		{{Source: "pkg", Target: "/x", Mode: "700"}, {Source: "*c*", Target: "/y", Mode: "u+rwX,go-rwx,D755"}, {Source: "suid", Target: "/s", Mode: "F=rx"}},
		{{Source: "pkg", Target: "/x", User: "1000", Group: "100"}, {Source: "file", Target: "/x/bin/root"}},
		{{Source: "suid", Target: "/s", User: "0", Group: "0"}, {Source: "other/*", Target: "/o", User: "4", Group: "5"}},
		{{Source: "conf.d/*", Target: "/o"}, {Source: "pkg", Target: "/o/p", User: "7", Group: "8"}, {Source: "link", Target: "/l", User: "9", Group: "9"}},
		{{Source: "conf.d/*.conf", Target: "/o", User: "1", Group: "2"}, {Source: "empty", Target: "/o/e", User: "3", Group: "4", Mode: "D1777"}},
		{{Source: "dirlink", Target: "/usr"}, {Source: "file", Target: "/usr/sbin/via-link"}},
		{{Source: "p*/.", Target: "/dots"}},
		// Errors on both sides.
		{{Source: "file", Target: "/a"}, {Source: "script", Target: "a"}},
		{{Source: "file", Target: "/a/b"}, {Source: "pkg", Target: "/a"}},
		{{Source: "pkg", Target: "/a"}, {Source: "file", Target: "/a/bin/a"}},
		{{Source: "conf.d/*", Target: "/a"}, {Source: "file", Target: "/a/notes.txt"}},
		{{Source: "conf.d/*", Target: "/a"}, {Source: "pkg", Target: "/a"}},
		{{Source: "file", Target: "/a"}, {Source: "file", Target: "/a/b"}},
		{{Source: "file", Target: "/a"}, {Source: "pkg/*", Target: "/a"}},
		{{Source: "nothing", Target: "/a"}},
		{{Source: "nothing*", Target: "/a"}},
		{{Source: "file/", Target: "/a"}},
		{{Source: "file", Target: "/a", Mode: "u+q"}},
		{{Source: "file", Target: "/a/b"}, {Source: "file", Target: "/a/"}},
	} {
		var args []string
		for _, i := range items {
			owner := ""
			if i.User != "" {
				owner = i.User + ":" + i.Group
			}
			args = append(args, i.Source, i.Target, i.Mode, owner)
		}
		staging := t.TempDir() + "/root"
		output, status := oracle.Exit(t, "bash", append([]string{"-c", reference, "bash", staging}, args...)...)
		root := NewDir(testEpoch)
		err := Graft(t.Context(), root, items, GraftOptions{Epoch: testEpoch})
		what := fmt.Sprintf("%+v", items)
		if (err != nil) != (status != 0) {
			t.Errorf("%s: error %v; the reference exits with %d: %s", what, err, status, output)
			continue
		}
		if err != nil {
			if text, duplicate := strings.CutPrefix(strings.TrimSpace(output), "duplicate entry"); duplicate && !strings.HasSuffix(err.Error(), "duplicate entry"+text) {
				t.Errorf("%s: error %v; the reference says %s", what, err, output)
			}
			continue
		}
		want := dump(t, walked(t, staging, DirOptions{KeepOwners: true}))
		sameText(t, what, dirTimes.ReplaceAllString(dump(t, root), "$1"), dirTimes.ReplaceAllString(want, "$1"))
	}
}

// TestGraftOverRoot grafts onto a tree that was there before.
func TestGraftOverRoot(t *testing.T) {
	dir := t.TempDir()
	makeSources(t, dir)
	t.Chdir(dir)
	base := func() *Inode {
		root := NewDir(Time{Sec: 7})
		for _, path := range []string{"usr/bin/old", "etc/hosts", "etc/conf", "home/me/.profile", "opt/pkg/bin/a"} {
			must(t, PutFile(root, path, NewFile(content.Bytes("old "+path), Time{Sec: 8}), Time{Sec: 7}))
		}
		root.SetChild("bin", NewSymlink("usr/bin", Time{Sec: 7}))
		root.SetChild("abs", NewSymlink("/usr/../etc", Time{Sec: 7}))
		root.SetChild("loop", NewSymlink("loop", Time{Sec: 7}))
		root.SetChild("lost", NewSymlink("none/such", Time{Sec: 7}))
		for _, name := range []string{"home/me", "home/me/.profile"} {
			root.Lookup(name).UID, root.Lookup(name).GID = 1000, 100
		}
		return root
	}
	for _, c := range []struct {
		items []Item
		err   string
		check map[string]string // a path, and what is there
	}{
		{items: []Item{{Source: "file", Target: "/etc/hosts"}, {Source: "file", Target: "new"}, {Source: "secret", Target: "/home/me/s"}},
			check: map[string]string{"etc/hosts": "content of file", "etc/conf": "old etc/conf", "new": "content of file",
				"home": "d0:0 755 7", "home/me": "d1000:100 755 7", "home/me/s": "content of secret"}},
		{items: []Item{{Source: "etc", Target: "/etc"}}, // merged, with the source's metadata
			check: map[string]string{"etc/hosts": "content of etc/hosts", "etc/conf": "old etc/conf", "etc/nixos/configuration.nix": "content of etc/nixos/configuration.nix"}},
		{items: []Item{{Source: "empty", Target: "/home/me"}}, // the owner stays, the mode is the source's
			check: map[string]string{"home/me": "d1000:100 700", "home/me/.profile": "old home/me/.profile"}},
		{items: []Item{{Source: "etc", Target: "/etc"}, {Source: "file", Target: "/etc/conf"}}, // conf is the root's: no duplicate
			check: map[string]string{"etc/conf": "content of file"}},
		{items: []Item{{Source: "pkg", Target: "/"}}, // the reference can never do that
			check: map[string]string{"usr/bin/old": "old usr/bin/old", ".hidden": "content of pkg/.hidden", "bin/a": "content of pkg/bin/a", "etc/conf": "content of pkg/etc/conf"}},
		{items: []Item{{Source: "pkg", Target: "/bin"}}, // follows the link, as rsync does with its argument
			check: map[string]string{"bin": "-> usr/bin", "usr/bin/old": "old usr/bin/old", "usr/bin/README": "content of pkg/README"}},
		{items: []Item{{Source: "file", Target: "/bin"}}, check: map[string]string{"bin": "content of file", "usr/bin/old": "old usr/bin/old"}},
		{items: []Item{{Source: "file", Target: "/bin/new"}, {Source: "file", Target: "abs/by-link"}},
			check: map[string]string{"usr/bin/new": "content of file", "etc/by-link": "content of file"}},
		{items: []Item{{Source: "file", Target: "/bin/new"}, {Source: "file", Target: "/usr/bin/new"}}, err: "contents[1]: duplicate entry /usr/bin/new -> file"},
		{items: []Item{{Source: "file", Target: "/usr"}}, check: map[string]string{"usr": "content of file"}},
		{items: []Item{{Source: "pkg", Target: "/etc/conf"}}, check: map[string]string{"etc/conf/README": "content of pkg/README"}},
		{items: []Item{{Source: "pkg", Target: "/lost"}}, check: map[string]string{"lost/README": "content of pkg/README"}},
		{items: []Item{{Source: "pkg/bin*", Target: "/opt/pkg"}}, check: map[string]string{"opt/pkg/bin/a": "content of pkg/bin/a", "opt/pkg/bin": "d0:0 711"}},
		{items: []Item{{Source: "file", Target: "/home/me/x", User: "5", Group: "6"}, {Source: "c*.d", Target: "/home", User: "8", Group: "9"}},
			check: map[string]string{"home/me/.profile": "f8:9 644", "home/me/x": "f8:9 644", "home": "d8:9 755 7"}},
		{items: []Item{{Source: "file", Target: "/etc/hosts/x"}}, err: `contents[0]: "/etc/hosts/x" leads through "hosts", which is not a directory`},
		{items: []Item{{Source: "file", Target: "/loop/x"}}, err: `contents[0]: "/loop/x" leads through more than 40 symbolic links`},
		{items: []Item{{Source: "file", Target: "/lost/x"}}, err: `contents[0]: "/lost/x" leads through the symbolic link "lost" to "none/such", which is not a directory of the image`},
		{items: []Item{{Source: "file", Target: "/a/../b"}}, err: `contents[0]: target "/a/../b" has a "..": want a path from the root of the image`},
		{items: []Item{{Source: "file", Target: "/a"}, {Source: "pkg", Target: "/"}}, err: "contents[1]: duplicate entry / -> pkg"},
		{items: []Item{{Source: "file", Target: "/a", User: "1"}}, err: `contents[0]: target "/a" has only one of user and group: want none or both`},
		{items: []Item{{Source: "file", Target: "/a", User: "me", Group: "1"}}, err: `contents[0]: target "/a" has the user "me": want a number from 0 to 4294967294`},
		{items: []Item{{Source: "file", Target: "/a", User: "1", Group: "4294967295"}}, err: `contents[0]: target "/a" has the group "4294967295": want a number from 0 to 4294967294`},
		{items: []Item{{Source: "", Target: "/a"}}, err: `contents[0]: the source of target "/a" is empty`},
		{items: []Item{{Source: "no*ne", Target: "/a"}}, err: `contents[0]: nothing matches the source "no*ne"`},
		{items: []Item{{Source: "none", Target: "/a"}}, err: `contents[0]: "none": no such file or directory`},
		{items: []Item{{Source: "file", Target: "/" + strings.Repeat("x", 256)}}, err: `has a name of 256 bytes: at most 255 are possible`},
	} {
		what := fmt.Sprintf("%+v", c.items)
		root := base()
		err := Graft(t.Context(), root, c.items, GraftOptions{Epoch: testEpoch})
		if c.err != "" || err != nil {
			if c.err == "" || err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error\n%v, want\n%s", what, err, c.err)
			}
			continue
		}
		for path, want := range c.check {
			i := root.Lookup(path)
			if i == nil {
				t.Errorf("%s: %s is not there", what, path)
				continue
			}
			got := "content: " + describe(t, i)
			if !strings.Contains(got, want) {
				t.Errorf("%s: %s is %s, want %s", what, path, got, want)
			}
		}
	}
}

// TestGraftTwice grafts a source to two places, with different modes: they
// must not share inodes, but within each the hard links stay.
func TestGraftTwice(t *testing.T) {
	dir := t.TempDir()
	makeSources(t, dir)
	root := NewDir(testEpoch)
	items := []Item{{Source: dir + "/pkg", Target: "/a"}, {Source: dir + "/pkg", Target: "/b", Mode: "F600,D700"}, {Source: dir + "/pkg/b*/*", Target: "/c"}}
	must(t, Graft(t.Context(), root, items, GraftOptions{Epoch: testEpoch}))
	for _, path := range []string{"a/bin", "b/bin", "c"} {
		if d := root.Lookup(path); d.Child("a") != d.Child("hard") {
			t.Errorf("%s: the hard link is lost", path)
		}
	}
	a, b := root.Lookup("a/bin/a"), root.Lookup("b/bin/a")
	if a == b || a.Mode&PermMask != 0o555 || b.Mode&PermMask != 0o600 {
		t.Errorf("modes %o and %o", a.Mode, b.Mode)
	}
}

// TestGraftACL changes the mode of a file with an access list: chmod changes
// the list as well.
func TestGraftACL(t *testing.T) {
	oracle.NeedRoot(t)
	dir := t.TempDir()
	write(t, dir+"/acl", "x")
	write(t, dir+"/caps", "x")
	oracle.Run(t, "setfacl", "-m", "u:1000:rwx,g:5:r", dir+"/acl")
	oracle.Run(t, "setcap", "cap_net_raw+ep", dir+"/caps")
	root := NewDir(testEpoch)
	must(t, Graft(t.Context(), root, []Item{
		{Source: dir + "/acl", Target: "a", Mode: "751"},
		{Source: dir + "/caps", Target: "kept", Mode: "755", User: "3", Group: "3"},
		{Source: dir + "/caps", Target: "lost", User: "3", Group: "3"},
	}, GraftOptions{Epoch: testEpoch}))
	must(t, unix.Chmod(dir+"/acl", 0o751))
	sameText(t, "ACL", fmt.Sprintf("%q", root.Child("a").Xattrs), fmt.Sprintf("%q", walked(t, dir, DirOptions{}).Child("acl").Xattrs))
	if len(root.Child("kept").Xattrs) != 1 || len(root.Child("lost").Xattrs) != 0 {
		t.Errorf("capabilities: kept %q, lost %q", root.Child("kept").Xattrs, root.Child("lost").Xattrs)
	}
}

func TestPutFile(t *testing.T) {
	root := NewDir(testEpoch)
	file := func(s string) *Inode { return NewFile(content.Bytes(s), testEpoch) }
	must(t, PutFile(root, "/etc/nixos/configuration.nix", file("1"), testEpoch))
	must(t, PutFile(root, "etc/nixos/configuration.nix", file("2"), testEpoch))
	if got := text(t, root.Lookup("etc/nixos/configuration.nix")); got != "2" {
		t.Errorf("holds %q", got)
	}
	for path, want := range map[string]string{"/": "is the path of a directory", "/etc/": "is the path of a directory",
		"a/../b": `has a ".."`, "etc/nixos/configuration.nix/x": "not a directory"} {
		if err := PutFile(root, path, file("3"), testEpoch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

func TestMergeXattrs(t *testing.T) {
	x := func(list ...string) (attrs []Xattr) {
		for _, s := range list {
			attrs = append(attrs, Xattr{s[:1], []byte(s[1:])})
		}
		return attrs
	}
	for _, c := range []struct{ old, added, want []Xattr }{
		{nil, nil, nil},
		{x("a1"), nil, x("a1")},
		{nil, x("a1"), x("a1")},
		{x("b1", "d1"), x("a2", "b2", "c2", "e2"), x("a2", "b2", "c2", "d1", "e2")},
	} {
		before := fmt.Sprint(c.old)
		if got := mergeXattrs(c.old, c.added); fmt.Sprint(got) != fmt.Sprint(c.want) || fmt.Sprint(c.old) != before {
			t.Errorf("%v and %v: %v", c.old, c.added, got)
		}
	}
}
