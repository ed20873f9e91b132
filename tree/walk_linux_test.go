package tree

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"
)

// makeNasty fills dir with every kind of file, in an order that depends on
// the seed.
func makeNasty(t testing.TB, dir string, seed int64) {
	t.Helper()
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	join := func(name string) string { return dir + "/" + name }
	makers := []func(){
		func() { must(t, os.WriteFile(join("plain"), []byte("plain"), 0o640)) },
		func() { must(t, os.WriteFile(join("empty"), nil, 0o600)) },
		func() {
			must(t, os.WriteFile(join("suid"), []byte("x"), 0o755))
			must(t, unix.Chmod(join("suid"), 0o6755))
		},
		func() {
			must(t, os.WriteFile(join("bad utf-8 \xff\xfe \n"+strings.Repeat("x", 239)), []byte("y"), 0o644))
		},
		func() { must(t, os.Symlink("nowhere", join("dangling"))) },
		func() { must(t, os.Symlink(strings.Repeat("l", 4095), join("long link"))) },
		func() { must(t, os.Symlink("dir/a", join("link"))) },
		func() { must(t, unix.Mkfifo(join("fifo"), 0o622)) },
		func() { must(t, unix.Mknod(join("socket"), unix.S_IFSOCK|0o755, 0)) },
		func() {
			must(t, os.Mkdir(join("dir"), 0o750))
			must(t, unix.Chmod(join("dir"), 0o1770))
			must(t, os.WriteFile(join("dir/a"), []byte("linked"), 0o644))
			must(t, os.Link(join("dir/a"), join("dir/b")))
			must(t, os.Link(join("dir/a"), join("another name")))
		},
		func() { // data, hole, data, hole
			f, err := os.Create(join("sparse"))
			must(t, err)
			must(t, f.Truncate(2<<20))
			_, err = f.WriteAt(bytes.Repeat([]byte("a"), 5000), 0)
			must(t, err)
			_, err = f.WriteAt(bytes.Repeat([]byte("b"), 5000), 1<<20)
			must(t, err)
			must(t, f.Close())
		},
		func() {
			must(t, os.WriteFile(join("only a hole"), nil, 0o644))
			must(t, os.Truncate(join("only a hole"), 60<<30))
		},
		func() { // more names than a chunk has
			must(t, os.Mkdir(join("many"), 0o755))
			for _, n := range rand.New(rand.NewSource(seed)).Perm(2*chunk + 7) {
				if n%50 == 0 {
					must(t, os.MkdirAll(fmt.Sprintf("%s/many/%04d/in/it", dir, n), 0o755))
				} else {
					must(t, os.WriteFile(fmt.Sprintf("%s/many/%04d", dir, n), []byte(strconv.Itoa(n)), 0o644))
				}
			}
		},
	}
	if os.Geteuid() == 0 {
		makers = append(makers,
			func() { must(t, unix.Mknod(join("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))) },
			func() { must(t, unix.Mknod(join("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000)))) },
			func() {
				must(t, os.WriteFile(join("owned"), []byte("x"), 0o644))
				must(t, os.Chown(join("owned"), 1234, 70000))
			})
	}
	rand.New(rand.NewSource(seed)).Shuffle(len(makers), func(i, j int) { makers[i], makers[j] = makers[j], makers[i] })
	for _, f := range makers {
		f()
	}
	setTimes(t, dir, -1e8)
}

// setTimes gives every file a time of its own, from start on.
func setTimes(t testing.TB, dir string, start int64) {
	t.Helper()
	var paths []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	for n, path := range slices.Backward(paths) {
		at := time.Unix(int64(n)*1e7+start, int64(n%1000)*1001)
		ts := []unix.Timespec{unix.NsecToTimespec(at.UnixNano()), unix.NsecToTimespec(at.UnixNano())}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// TestFromDirAgainstFind compares the metadata of every file with find's.
func TestFromDirAgainstFind(t *testing.T) {
	dir := t.TempDir()
	makeNasty(t, dir, 1)
	root := walked(t, dir, DirOptions{KeepOwners: true})
	var got []string
	var list func(path string, i *Inode)
	Number(root)
	list = func(path string, i *Inode) {
		kind := map[uint32]string{TypeSocket: "s", TypeSymlink: "l", TypeRegular: "f", TypeBlock: "b", TypeDir: "d", TypeChar: "c", TypeFIFO: "p"}[i.Type()]
		size := i.Size()
		if i.IsDir() {
			size = 0
		}
		// find prints the whole seconds rounded down, then a positive fraction.
		got = append(got, fmt.Sprintf("%s %s %o %d %d %d %d.%09d0 %d %s", path, kind, i.Mode&PermMask, i.UID, i.GID, i.Links, i.Mtime.Sec, i.Mtime.Nsec, size, i.Target()))
		for _, e := range i.Entries {
			list(path+"/"+e.Name, e.Inode)
		}
	}
	list("", root)
	out := oracle.Output(t, "find", dir, "-type", "d", "-printf", `/%P %y %m %U %G %n %T@ 0 %l\0`,
		"-o", "-printf", `/%P %y %m %U %G %n %T@ %s %l\0`)
	want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	want[0] = strings.TrimPrefix(want[0], "/")
	slices.Sort(got)
	slices.Sort(want)
	sameText(t, "find", strings.Join(got, "\n"), strings.Join(want, "\n"))
	if os.Geteuid() == 0 {
		if d := root.Child("disk"); d.Major != 259 || d.Minor != 70000 {
			t.Errorf("device %d,%d", d.Major, d.Minor)
		}
	}
}

// TestFromDirDeterministic walks copies that were made in other orders, with
// other numbers of workers.
func TestFromDirDeterministic(t *testing.T) {
	var want string
	for n, procs := range []int{1, 2, 8} {
		old := runtime.GOMAXPROCS(procs)
		dir := t.TempDir()
		makeNasty(t, dir, int64(n))
		root := walked(t, dir, DirOptions{})
		runtime.GOMAXPROCS(old)
		got := dump(t, root)
		if name := root.Child("another name").Content.(*content.HostFile).Path(); name != dir+"/another name" {
			t.Errorf("the content of the hard links is read as %q, not as the first of the names", name)
		}
		if want == "" {
			want = got
		}
		sameText(t, fmt.Sprintf("%d CPUs", procs), got, want)
	}
}

func TestFromDirOwners(t *testing.T) {
	oracle.NeedRoot(t)
	dir := t.TempDir()
	write(t, dir+"/file", "")
	must(t, os.Chown(dir+"/file", 1234, 4000000000))
	for _, c := range []struct {
		keep     bool
		uid, gid uint32
	}{{false, 0, 0}, {true, 1234, 4000000000}} {
		i := walked(t, dir, DirOptions{KeepOwners: c.keep}).Child("file")
		if i.UID != c.uid || i.GID != c.gid {
			t.Errorf("keep %v: %d:%d", c.keep, i.UID, i.GID)
		}
	}
}

func TestFromDirHoles(t *testing.T) {
	dir := t.TempDir()
	makeNasty(t, dir, 1)
	root := walked(t, dir, DirOptions{})
	if _, ok := root.Child("only a hole").Content.(*diskmap.Map); !ok {
		t.Fatalf("a file of 60 GiB of zeros is a %T", root.Child("only a hole").Content)
	}
	for range diskmap.ExtentsOf(root.Child("only a hole").Content) {
		t.Error("a file that is a hole has data")
	}
	data := int64(0)
	for e := range diskmap.ExtentsOf(root.Child("sparse").Content) {
		data += e.Length
	}
	if data == 0 || data > 1<<20 {
		t.Errorf("%d bytes of data in a file with 10,000", data)
	}
	want, err := os.ReadFile(dir + "/sparse")
	must(t, err)
	if got := text(t, root.Child("sparse")); got != string(want) {
		t.Error("the content of a sparse file differs")
	}
}

func TestFromDirXattrs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	write(t, dir+"/sub/x", "x")
	set := func(path, name, value string) {
		t.Helper()
		if err := unix.Lsetxattr(path, name, []byte(value), 0); err != nil {
			lacking(t, "%s of %s: %v", name, path, err)
		}
	}
	set(dir+"/file", "user.zeta", "")
	set(dir+"/file", "user.alpha", "binary \x00\xff")
	set(dir, "user.root", "of the root")
	names := func(i *Inode) string {
		var names []string
		for _, x := range i.Xattrs {
			names = append(names, fmt.Sprintf("%s=%q", x.Name, x.Value))
		}
		return strings.Join(names, " ")
	}
	const user = `user.alpha="binary \x00\xff" user.zeta=""`
	root := walked(t, dir, DirOptions{})
	if got := names(root.Child("file")); got != user {
		t.Errorf("got %s", got)
	}
	if got := names(root); got != `user.root="of the root"` {
		t.Errorf("the root has %s", got)
	}
	if got := names(walked(t, dir, DirOptions{Xattrs: []string{"none"}}).Child("file")); got != "" {
		t.Errorf("with none: %s", got)
	}
	if got := names(walked(t, dir, DirOptions{Xattrs: []string{}}).Child("file")); got != "" {
		t.Errorf("with an empty list: %s", got)
	}

	oracle.NeedRoot(t)
	oracle.Run(t, "setcap", "cap_net_raw+ep", dir+"/file")
	oracle.Run(t, "setfacl", "-m", "u:1000:rw,g:2000:r", dir+"/file")
	oracle.Run(t, "setfacl", "-d", "-m", "u:1000:rwx", dir+"/sub")
	must(t, os.Symlink("file", dir+"/link"))
	set(dir+"/link", "trusted.link", "on a symbolic link")
	set(dir+"/file", "trusted.label", "host")
	root = walked(t, dir, DirOptions{})
	var got []string
	for _, x := range root.Child("file").Xattrs {
		got = append(got, x.Name)
		want := make([]byte, 1000)
		n, err := unix.Lgetxattr(dir+"/file", x.Name, want)
		must(t, err)
		if !bytes.Equal(x.Value, want[:n]) {
			t.Errorf("%s is %q, want %q", x.Name, x.Value, want[:n])
		}
	}
	if want := []string{xattrCapability, xattrACLAccess, "user.alpha", "user.zeta"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if x := root.Child("sub").Xattrs; len(x) != 1 || x[0].Name != xattrACLDefault {
		t.Errorf("the directory has %v", x)
	}
	root = walked(t, dir, DirOptions{Xattrs: []string{"trusted.*"}})
	if got := names(root.Child("file")) + names(root.Child("link")); got != `trusted.label="host"trusted.link="on a symbolic link"` {
		t.Errorf("with trusted.*: %s", got)
	}
}

// TestFromDirUnreadable walks, as somebody else than root, what that one may
// not read.
func TestFromDirUnreadable(t *testing.T) {
	if dir := os.Getenv("DISKWRIGHT_TEST_WALK"); dir != "" {
		_, err := FromDir(t.Context(), dir, DirOptions{})
		fmt.Printf("<<%v>>", err)
		return
	}
	oracle.NeedRoot(t)
	dir, err := os.MkdirTemp("", "walk") // t.TempDir is closed to others
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o755))
	for _, name := range []string{"a", "b", "empty", "closed/x", "readable"} {
		write(t, filepath.Join(dir, name), strings.TrimPrefix(name, "empty"))
	}
	for _, name := range []string{"a", "b", "empty", "closed"} {
		must(t, os.Chmod(filepath.Join(dir, name), 0))
	}
	exe := filepath.Join(dir, "test")
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(exe, self, 0o755))
	cmd := exec.Command(exe, "-test.run=^TestFromDirUnreadable$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "DISKWRIGHT_TEST_WALK="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := fmt.Sprintf("<<%[1]q: permission denied\n%[2]q: permission denied\n%[3]q: permission denied>>", dir+"/a", dir+"/b", dir+"/closed")
	if !strings.Contains(string(out), want) {
		t.Errorf("got %s\nwant %s", out, want)
	}
}

// TestFromDirCycle walks a directory that is mounted into itself.
func TestFromDirCycle(t *testing.T) {
	oracle.NeedRoot(t)
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	if err := unix.Mount(dir, dir+"/a/b", "", unix.MS_BIND, ""); err != nil {
		lacking(t, "bind mount: %v", err)
	}
	defer unix.Unmount(dir+"/a/b", unix.MNT_DETACH)
	_, err := FromDir(t.Context(), dir, DirOptions{})
	if err == nil || !strings.Contains(err.Error(), dir+"/a/b") || !strings.Contains(err.Error(), "bind mount") {
		t.Errorf("got %v", err)
	}
}

// TestFromDirReplaced sees that another directory has taken the place of the
// one that was found.
func TestFromDirReplaced(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/sub", 0o755))
	w := newWalk(t.Context(), DirOptions{Workers: 1})
	here := &place{dir: content.NewDir(dir), path: dir}
	sub := here.dir.Sub("sub")
	next := &place{up: here, dir: &sub, path: dir + "/sub", identity: identity{1, 1}}
	w.walkDir(next, &Inode{})
	if err := w.finish(nil); !errors.Is(err, content.ErrChanged) || !strings.Contains(err.Error(), dir+"/sub") {
		t.Errorf("got %v", err)
	}
}

// TestFromDirPathTooLong walks to where the kernel takes no paths any more.
func TestFromDirPathTooLong(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	name := strings.Repeat("d", NameMax)
	for range 17 {
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	_, err = FromDir(t.Context(), dir, DirOptions{})
	if err == nil || !strings.Contains(err.Error(), "file name too long") || !strings.Contains(err.Error(), dir+"/"+name) {
		t.Errorf("got %v", err)
	}
}

// TestFromDirBusyTree walks while files come and go: either they are seen
// whole, or the error says that the tree changes.
func TestFromDirBusyTree(t *testing.T) {
	dir := makeManyFiles(t, 50, 20)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				path := fmt.Sprintf("%s/d00/e%02d/racing", dir, n%50)
				os.WriteFile(path, []byte("x"), 0o644)
				os.Remove(path)
			}
		}
	}()
	for range 20 {
		if _, err := FromDir(t.Context(), dir, DirOptions{Workers: 4}); err != nil && !errors.Is(err, content.ErrChanged) {
			t.Errorf("a racing file makes %v", err)
		}
	}
	close(stop)
	<-done
}

// mkspecial makes what has no size.
func mkspecial(t testing.TB, dir string) {
	t.Helper()
	must(t, unix.Mkfifo(dir+"/fifo", 0o644))
	must(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o755, 0))
	if os.Geteuid() == 0 {
		must(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	}
}

// lacking ends a test that this system does not let run: in CI it fails.
func lacking(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
