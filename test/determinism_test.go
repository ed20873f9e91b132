//go:build linux

package test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// A variant is a way to build an image that must not be seen in it.
type variant struct {
	name   string
	tree   nasty.Options
	onDisk bool   // tree and output on a disk, not in memory
	mkfs   string // tree and output on a new file system that this makes
	env    []string
	args   []string
	umask  int
	user   uint32
	stdout bool
}

// Whatever differs in the host, the bytes do not.
func TestDeterminism(t *testing.T) {
	variants := []variant{
		{name: "reference", umask: 0o022},
		{name: "again", umask: 0o022},
		{name: "other order, umask, zone, language, CPUs", tree: nasty.Options{Order: 1}, umask: 0o077,
			env: []string{"TZ=Pacific/Chatham", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8", "GOMAXPROCS=1"}},
		{name: "other file system", tree: nasty.Options{Order: 2}, onDisk: true, env: []string{"GOMAXPROCS=7", "GOGC=1"}},
		// Both can share blocks between the tree and the image.
		{name: "XFS", tree: nasty.Options{Order: 4}, mkfs: "mkfs.xfs"},
		{name: "Btrfs", tree: nasty.Options{Order: 5}, mkfs: "mkfs.btrfs"},
		{name: "one worker", args: []string{"--workers", "1"}},
		{name: "many workers", args: []string{"--workers", "13"}},
		{name: "stream", stdout: true},
		{name: "stream, one worker", stdout: true, args: []string{"--workers", "1"}},
		{name: "other user", tree: nasty.Options{Order: 3}, user: 65534},
		{name: "empty environment", env: []string{}},
	}
	for _, l := range []string{"efixbootldr", "legacy+boot"} {
		want := ""
		if l == "legacy+boot" { // an MBR has an identifier of its own
			variants = variants[:3]
		}
		for _, v := range variants {
			t.Run(l+"/"+v.name, func(t *testing.T) {
				v.tree.Readable = true // as nobody has to read it
				v.tree.Portable = true
				got := digest(t, v.build(t, l))
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s, not %s as the first", got, want)
				}
			})
		}
	}
}

// build builds the image in the variant's way.
func (v variant) build(t *testing.T, layout string) (image string) {
	t.Helper()
	var tree, out string
	if v.user != 0 {
		oracle.NeedRoot(t)
	}
	if v.mkfs != "" {
		disk := v.newDisk(t)
		tree, out = filepath.Join(disk, "tree"), filepath.Join(disk, "out")
		for _, dir := range []string{tree, out} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := nasty.Make(tree, v.tree); err != nil {
			t.Fatal(err)
		}
	} else if v.onDisk {
		tree, out = scratch.OnDisk(t), scratch.OnDisk(t)
		if err := nasty.Make(tree, v.tree); err != nil {
			t.Fatal(err)
		}
	} else {
		tree, out = nastyTree(t, v.tree), scratch.Dir(t)
	}
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"build", "-q", "--no-sync", "--root", tree, "--owners", "keep",
		"--partition-table-type", layout, "--boot-size", "200M", "--disk-size", "450", "-o", out}, v.args...)
	if v.stdout {
		args[len(args)-1-len(v.args)] = "-"
	}
	// Go cannot set the umask of a child only.
	cmd := exec.Command("sh", append([]string{"-c", `umask "$0"; exec "$@"`, fmt.Sprintf("%04o", v.umask), program}, args...)...)
	if v.env != nil {
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, v.env...)
	}
	cmd.Dir = "/"
	if v.user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: v.user, Gid: v.user}}
	}
	if v.stdout {
		image = filepath.Join(out, "stdout")
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		// Through a pipe: a file could seek.
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(f, pipe); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return image
	}
	mustRun(t, cmd)
	image = only(t, out)
	if err := os.Chmod(image, 0o600); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return image
}

// newDisk returns the mount point of a new file system.
func (v variant) newDisk(t *testing.T) string {
	t.Helper()
	oracle.NeedRoot(t)
	disk := filepath.Join(scratch.Dir(t), "disk")
	write(t, filepath.Dir(disk), map[string]string{"disk": ""})
	if err := os.Truncate(disk, 2<<30); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, v.mkfs, disk)
	return oracle.Mount(t, disk, strings.TrimPrefix(v.mkfs, "mkfs."), "", 0, 2<<30)
}

// digest returns what is equal for equal images only: the size, and a SHA-256
// of what is not zero and where it lies.
func digest(t testing.TB, path string) string {
	t.Helper()
	sum, size, err := manifest.Digest(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d bytes, %s", size, sum)
}

// What is random is so only where it is asked for, and nowhere else.
func TestNotDeterministic(t *testing.T) {
	tree := t.TempDir()
	write(t, tree, map[string]string{"etc/hostname": "example\n"})
	for _, l := range []string{"none", "legacy", "efi"} {
		args := []string{"--root", tree, "--partition-table-type", l, "--disk-size", "300", "--deterministic=false"}
		if first, second := digest(t, build(t, args...)), digest(t, build(t, args...)); first == second {
			t.Errorf("%s: two builds that may differ are equal", l)
		}
	}
}

// SOURCE_DATE_EPOCH clamps, and is the time of what we make; the seed makes other
// images.
func TestInputsThatCount(t *testing.T) {
	tree := t.TempDir()
	write(t, tree, map[string]string{"etc/hostname": "example\n"})
	args := []string{"build", "-q", "--no-sync", "--root", tree, "--partition-table-type", "legacy+boot", "--boot-size", "64M", "--disk-size", "200"}
	seen := map[string]string{}
	for _, c := range []struct {
		name string
		env  []string
		args []string
	}{
		{name: "default"},
		{name: "epoch", env: []string{"SOURCE_DATE_EPOCH=1000000000"}},
		{name: "seed", args: []string{"--seed", "00000000-0000-4000-8000-000000000001"}},
		{name: "label", args: []string{"--label", "other"}},
	} {
		out := scratch.Dir(t)
		cmd := command(append(append(args, "-o", out), c.args...)...)
		cmd.Env = append(os.Environ(), c.env...)
		mustRun(t, cmd)
		sum := digest(t, only(t, out))
		if other := seen[sum]; other != "" {
			t.Errorf("%s and %s give the same image", c.name, other)
		}
		seen[sum] = c.name
	}
}
