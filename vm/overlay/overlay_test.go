package overlay

import (
	"context"
	"errors"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

var (
	epoch = tree.Time{Sec: 1000}
	now   = tree.Time{Sec: 5000, Nsec: 7}
	old   = tree.Time{Sec: 1}
)

// put makes a file.
func put(t *testing.T, root *tree.Inode, path, text string, mtime tree.Time) *tree.Inode {
	t.Helper()
	i := tree.NewFile(content.Bytes(text), mtime)
	if err := tree.PutFile(root, path, i, mtime); err != nil {
		t.Fatal(err)
	}
	return i
}

// pair returns two trees of the same files.
func pair(t *testing.T) (root, after *tree.Inode) {
	make := func() *tree.Inode {
		root := tree.NewDir(epoch)
		put(t, root, "nix/store/a", "store", old)
		put(t, root, "etc/changed", "before", epoch)
		put(t, root, "etc/removed", "gone", epoch)
		put(t, root, "etc/touched", "same", epoch)
		put(t, root, "boot/kept", "on a FAT", tree.Time{Sec: 999})
		linked := put(t, root, "one", "linked", epoch)
		root.SetChild("two", linked)
		return root
	}
	return make(), make()
}

func apply(t *testing.T, root, after *tree.Inode) *Report {
	t.Helper()
	r, err := Apply(context.Background(), root, after, Options{Epoch: epoch, FATs: []string{"/boot"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUnchanged(t *testing.T) {
	root, after := pair(t)
	store := root.Lookup("nix/store/a")
	put(t, after, "lost+found/x", "", now)
	after.Lookup("boot/kept").Mtime = tree.Time{Sec: 998}
	after.Lookup("boot/kept").Mode = tree.TypeRegular | 0o755
	if diff := cmp.Diff(&Report{}, apply(t, root, after)); diff != "" {
		t.Error(diff)
	}
	if root.Lookup("nix/store/a") != store || store.Mtime != old {
		t.Error("an unchanged file is another one, or younger")
	}
	if kept := root.Lookup("boot/kept"); kept.Mode != tree.TypeRegular|0o644 || kept.Mtime.Sec != 999 {
		t.Errorf("an unchanged file on a FAT has mode %o and time %d", kept.Mode, kept.Mtime.Sec)
	}
}

func TestApply(t *testing.T) {
	root, after := pair(t)
	put(t, after, "etc/changed", "after!", now)
	after.Lookup("etc").RemoveChild("removed")
	after.Lookup("etc").Mtime = now
	after.Lookup("etc/touched").Mtime = now
	put(t, after, "etc/machine-id", "random", now)
	put(t, after, "boot/loader/random-seed", "random", now)
	put(t, root, "nix/var/nix/db/db.sqlite", "database", epoch)
	put(t, after, "nix/var/nix/db/db.sqlite", "databasE", now)
	put(t, after, "nix/var/nix/db/db.sqlite-wal", "salts", now)
	put(t, root, "etc/ssh/ssh_host_rsa_key", "known", epoch)
	put(t, after, "etc/ssh/ssh_host_rsa_key", "known", epoch).UID = 7
	put(t, root, "etc/given", "text", now)
	put(t, after, "etc/given", "text", now).UID = 5
	put(t, after, "boot/loader/loader.conf", "timeout 2", now)
	put(t, after, "new/dir/file", "added", now).Mode = tree.TypeRegular | 0o4755
	after.SetChild("three", after.Child("one")) // another name of a file
	after.Lookup("nix").Mode = tree.TypeDir | 0o700
	after.SetChild("one", tree.NewSymlink("two", now)) // another type
	want := &Report{
		Added:   []string{"/boot/loader", "/boot/loader/loader.conf", "/new", "/new/dir", "/new/dir/file", "/three"},
		Changed: []string{"/etc/changed", "/etc/given", "/etc/ssh/ssh_host_rsa_key", "/nix", "/one"},
		Removed: []string{"/etc/removed"},
		Left:    []string{"/boot/loader/random-seed", "/etc/machine-id", "/nix/var/nix/db/db.sqlite", "/nix/var/nix/db/db.sqlite-wal"},
	}
	if diff := cmp.Diff(want, apply(t, root, after)); diff != "" {
		t.Error(diff)
	}
	for path, text := range map[string]string{"etc/changed": "after!", "new/dir/file": "added", "boot/loader/loader.conf": "timeout 2"} {
		i := root.Lookup(path)
		if b, ok := i.Content.(content.Bytes); !ok || string(b) != text {
			t.Errorf("%s has %q", path, b)
		}
		if i.Mtime != epoch {
			t.Errorf("%s is of %v", path, i.Mtime)
		}
	}
	if m := root.Lookup("new/dir/file").Mode; m != tree.TypeRegular|0o4755 {
		t.Errorf("mode is %o", m)
	}
	if m := root.Lookup("etc/touched").Mtime; m != epoch {
		t.Errorf("a file that was touched is of %v", m)
	}
	if root.Lookup("two") == nil || root.Child("three").Size() != 6 {
		t.Error("names are lost")
	}
	if b := root.Lookup("nix/var/nix/db/db.sqlite").Content.(content.Bytes); string(b) != "database" {
		t.Errorf("Nix's database is %q", b)
	}
	if uid := root.Lookup("etc/ssh/ssh_host_rsa_key").UID; uid != 7 {
		t.Errorf("a key that was given to somebody belongs to %d", uid)
	}
	if i := root.Lookup("etc/given"); i.UID != 5 || i.Mtime != now {
		t.Errorf("a file that was given to somebody belongs to %d, and is of %v", i.UID, i.Mtime)
	}
	if root.Lookup("etc/machine-id") != nil {
		t.Error("the machine's id is in the tree")
	}
}

// A new name of a file that is unchanged is a hard link in the result.
func TestHardLink(t *testing.T) {
	root, after := pair(t)
	names := []string{"aaa", "zzz", "etc/link"}
	for _, name := range names {
		if err := tree.PutFile(after, name, after.Child("one"), now); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, root, after)
	for _, name := range names {
		if root.Lookup(name) != root.Child("one") {
			t.Errorf("the new hard link %s became a file of its own", name)
		}
	}
	// And two names that lead to different files now, do so in the result.
	root, after = pair(t)
	put(t, after, "two", "linked", epoch)
	apply(t, root, after)
	if root.Child("one") == root.Child("two") {
		t.Error("two files are one")
	}
}

// A second time, and from another moment, nothing differs.
func TestDeterminism(t *testing.T) {
	var trees [2]*tree.Inode
	for n := range trees {
		root, after := pair(t)
		later := tree.Time{Sec: 6000 + int64(n), Nsec: uint32(n)}
		put(t, after, "new/file", "added", later)
		after.Mtime, after.Child("new").Mtime = later, later
		apply(t, root, after)
		trees[n] = root
	}
	if diff := cmp.Diff(trees[0], trees[1]); diff != "" {
		t.Error(diff)
	}
}

func TestMount(t *testing.T) {
	root, _ := pair(t)
	fs := tree.NewDir(now)
	put(t, fs, "file", "of the other", now)
	if err := Mount(root, "/boot", fs); err != nil {
		t.Fatal(err)
	}
	if m := root.Child("boot").Mtime; m == now {
		t.Errorf("the mount point is of %v", m)
	}
	if root.Lookup("boot/file") == nil || root.Lookup("boot/kept") != nil {
		t.Error("what is mounted does not hide what is below")
	}
	if err := Mount(root, "/none", fs); err == nil || !strings.Contains(err.Error(), `"/none"`) {
		t.Errorf("a mount point that is missing: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	root, after := pair(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := Apply(ctx, root, after, Options{}); !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
}
