package ext4

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/manifest"
	"diskwright/test/oracle"
	"diskwright/tree"
)

// expected returns the manifest of a tree as the kernel should see it.
func expected(t testing.TB, root *tree.Inode) manifest.Manifest {
	t.Helper()
	tree.Number(root)
	var m manifest.Manifest
	first := map[*tree.Inode]string{}
	var walk func(path string, inode *tree.Inode)
	walk = func(path string, inode *tree.Inode) {
		f := manifest.File{
			Path: path, Mode: inode.Mode, UID: inode.UID, GID: inode.GID,
			Sec: inode.Mtime.Sec, Nsec: int64(inode.Mtime.Nsec), Major: inode.Major, Minor: inode.Minor,
		}
		for _, x := range inode.Xattrs {
			f.Xattrs = append(f.Xattrs, manifest.Xattr(x))
		}
		switch {
		case inode.IsRegular():
			f.Size, f.Digest = inode.Size(), digest(t, inode.Content)
		case inode.IsSymlink():
			f.Size, f.Target = inode.Size(), inode.Target()
		}
		if !inode.IsDir() {
			f.Links = uint64(inode.Links)
		}
		if f.Links > 1 {
			if before, ok := first[inode]; !ok || path < before {
				first[inode] = path
			}
		}
		m = append(m, f)
		for _, e := range inode.Entries {
			walk(filepath.Join(path, e.Name), e.Inode)
		}
	}
	walk(".", root)
	same := map[string]string{}
	for inode, path := range first {
		for _, p := range pathsOf(root, inode) {
			same[p] = path
		}
	}
	for i := range m {
		m[i].Same = same[m[i].Path]
	}
	slices.SortFunc(m, func(a, b manifest.File) int { return strings.Compare(a.Path, b.Path) })
	return m
}

// pathsOf returns all paths that lead to an inode.
func pathsOf(root, inode *tree.Inode) (paths []string) {
	var walk func(path string, dir *tree.Inode)
	walk = func(path string, dir *tree.Inode) {
		for _, e := range dir.Entries {
			if e.Inode == inode {
				paths = append(paths, filepath.Join(path, e.Name))
			}
			walk(filepath.Join(path, e.Name), e.Inode)
		}
	}
	walk(".", root)
	return paths
}

// digest is the manifest's digest of a file: of every block that holds
// anything but zeros.
func digest(t testing.TB, src content.Source) string {
	t.Helper()
	hash := sha256.New()
	end := int64(0)
	if src == nil {
		src = content.Bytes(nil)
	}
	for e := range diskmap.ExtentsOf(src) {
		for off := max(e.Offset/blockSize*blockSize, end); off < e.End(); off += blockSize {
			p := make([]byte, min(blockSize, src.Size()-off))
			if err := content.ReadFull(src, p, off); err != nil {
				t.Fatal(err)
			}
			if string(p) != string(make([]byte, len(p))) {
				binary.Write(hash, binary.LittleEndian, off)
				hash.Write(p)
			}
			end = off + blockSize
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// same compares what the kernel finds in a directory with a tree.
func same(t testing.TB, dir string, root *tree.Inode) {
	t.Helper()
	got, err := manifest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if root.Child("lost+found") == nil {
		got = got.Without("lost+found")
	}
	if diff := manifest.Diff(expected(t, root), got); diff != "" {
		t.Errorf("the kernel sees another tree:\n%s", diff)
	}
}

// unmount unmounts a file system and waits until the kernel has let go of it:
// in a container, a mount namespace made meanwhile holds on to every mount.
func unmount(t testing.TB, mnt string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	device := ""
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == mnt {
			device = filepath.Base(fields[len(fields)-2])
		}
	}
	oracle.Unmount(t, mnt)
	for range 600 {
		if _, err := os.Stat(filepath.Join("/sys/fs/ext4", device)); device == "" || err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("the kernel holds on to %s", device)
}

// TestKernel has the kernel mount a tree of everything and compares what it
// finds; then it writes, deletes and fills, and e2fsck looks again.
func TestKernel(t *testing.T) {
	oracle.NeedRoot(t)
	forKinds(t, kinds, func(t *testing.T, opts Options) {
		opts.Size = 128 * mib
		root := everything(t, opts.Kind)
		_, image := checked(t, root, opts)
		mnt := oracle.Mount(t, image, opts.Kind.String(), "acl,user_xattr", 0, 0)
		same(t, mnt, root)
		mutate(t, mnt)
		unmount(t, mnt)
		fsck(t, image)
	})
}

// mutate changes everything that a running system changes.
func mutate(t testing.TB, mnt string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(mnt, name) }
	// Names into hashed directories, so that leaves and nodes split.
	for i := range 3000 {
		must(os.WriteFile(path(fmt.Sprintf("directories/2000/new-%d", i)), []byte("new"), 0o644))
		must(os.Link(path("links/a"), path(fmt.Sprintf("directories/7000-long/%0200d", i))))
	}
	for i := 0; i < 2000; i += 2 {
		must(os.Remove(path(fmt.Sprintf("directories/2000/%08d", i))))
	}
	for i := 0; i < 7000; i += 3 {
		must(os.Remove(path(fmt.Sprintf("directories/7000-long/%0250d", i))))
	}
	// Holes of files with every depth of tree get data.
	for _, n := range []int{1, 4, 5, 340, 341} {
		f, err := os.OpenFile(path(fmt.Sprintf("sizes/every-other-%d", n)), os.O_RDWR, 0)
		must(err)
		for i := range int64(n) {
			_, err = f.WriteAt([]byte("filled"), (2*i+1)*blockSize)
			must(err)
		}
		must(f.Truncate(int64(n) * blockSize))
		must(f.Close())
	}
	// Attributes change places.
	for _, name := range []string{"small", "big", "names"} {
		must(syscall.Setxattr(path("xattrs/"+name), "user.added", []byte(strings.Repeat("a", 100)), 0))
	}
	must(syscall.Removexattr(path("xattrs/big-too"), "user.big"))
	must(os.RemoveAll(path("names")))
	must(os.Rename(path("types"), path("directories/types")))
	must(os.RemoveAll(path("symlinks")))
	must(os.Mkdir(path("lost+found/found"), 0o700))
	fill(t, path("fill"))
}

// fill writes until there is no space left, then makes some again.
func fill(t testing.TB, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := []byte(strings.Repeat("fill", int(mib/4)))
	for {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Truncate(mib); err != nil {
		t.Fatal(err)
	}
}

// TestKernelLookup has the kernel look up all names of a large directory. A
// wrong hash or a wrong order would hide them.
func TestKernelLookup(t *testing.T) {
	oracle.NeedRoot(t)
	const n = 200000
	root := dir()
	name := func(i int) string { return fmt.Sprintf("\xe9-%d-%x", i, i*i) }
	d := dirOf(n, name)
	sortEntries(d)
	root.SetChild("d", d)
	_, image := checked(t, root, testOptions(Ext4, 256*mib))
	mnt := oracle.Mount(t, image, "ext4", "ro", 0, 0)
	var st syscall.Stat_t
	for i := range n {
		if err := syscall.Lstat(filepath.Join(mnt, "d", name(i)), &st); err != nil {
			t.Fatalf("%q: %v", name(i), err)
		}
	}
	if err := syscall.Lstat(filepath.Join(mnt, "d", "absent"), &st); err != syscall.ENOENT {
		t.Fatalf("a name that is not there: %v", err)
	}
	names, err := os.ReadDir(filepath.Join(mnt, "d"))
	if err != nil || len(names) != n {
		t.Fatalf("%d names, want %d: %v", len(names), n, err)
	}
}

// TestKernelCollisions has the kernel look up names that share their hash with
// another one, many of which the boundary of a leaf divides.
func TestKernelCollisions(t *testing.T) {
	oracle.NeedRoot(t)
	opts := testOptions(Ext4, 64*mib)
	root := dir()
	byHash := map[uint32]int32{}
	name := func(i int) string { return fmt.Sprintf("a-name-of-some-length-%08d", i) }
	d := dir()
	for i := range 1500000 {
		hash := nameHash(opts.HashSeed).of(name(i))
		if other, ok := byHash[hash]; ok {
			d.Entries = append(d.Entries, tree.Entry{Name: name(int(other)), Inode: file(nil)}, tree.Entry{Name: name(i), Inode: file(nil)})
		}
		byHash[hash] = int32(i)
	}
	sortEntries(d)
	root.SetChild("d", d)
	fs, image := checked(t, root, opts)
	index, divided := fs.directory(d.Ordinal).index, 0
	for i := range index.leaves {
		divided += int(index.leafHash(int64(i), d.Entries) & 1)
	}
	if divided == 0 {
		t.Fatalf("none of %d leaves divides a pair", len(index.leaves))
	}
	mnt := oracle.Mount(t, image, "ext4", "", 0, 0)
	for _, e := range d.Entries {
		if err := os.Remove(filepath.Join(mnt, "d", e.Name)); err != nil {
			t.Fatal(err)
		}
	}
	unmount(t, mnt)
	fsck(t, image)
}

// TestKernelGrowth has the kernel grow a mounted file system.
func TestKernelGrowth(t *testing.T) {
	oracle.NeedRoot(t)
	forKinds(t, []Kind{Ext4}, func(t *testing.T, opts Options) {
		opts.Size = 64 * mib
		root := everything(t, opts.Kind)
		_, image := checked(t, root, opts)
		if err := os.Truncate(image, 10*opts.Size); err != nil {
			t.Fatal(err)
		}
		device := oracle.Loop(t, image, 0, 0)
		mnt := oracle.MountDevice(t, device, "ext4", "acl,user_xattr")
		output, status := oracle.Exit(t, "resize2fs", device)
		if strings.Contains(output, "Permission denied to resize") {
			t.Skip("this root lacks CAP_SYS_RESOURCE")
		}
		if status != 0 {
			t.Fatalf("resize2fs: exit status %d\n%s", status, output)
		}
		same(t, mnt, root)
		unmount(t, mnt)
		fsck(t, image)
	})
}
