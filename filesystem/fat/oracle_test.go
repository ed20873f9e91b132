package fat

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/oracle"
	"diskwright/tree"
)

func TestFsck(t *testing.T) {
	forKinds(t, func(t *testing.T, opts Options) {
		_, m := newMap(t, nastyTree(t), opts)
		fsck(t, write(t, m))
	})
}

// mtools runs one of the mtools with names in UTF-8.
func mtools(t *testing.T, tool string, args ...string) string {
	t.Helper()
	cmd := oracle.Command(t, tool, args...)
	cmd.Env = append(cmd.Env, "LC_ALL=C.UTF-8", "MTOOLSRC=/dev/null")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, output)
	}
	return string(output)
}

// forMtools removes what mtools do not read right from a tree: they know
// nothing of surrogates.
func forMtools(root *tree.Inode) *tree.Inode {
	dir := root.Lookup("unicode")
	for _, e := range append([]tree.Entry(nil), dir.Entries...) {
		if strings.Contains(e.Name, "😀") {
			dir.RemoveChild(e.Name)
		}
	}
	return root
}

// TestMcopy has mcopy take everything out and compares it with the tree.
func TestMcopy(t *testing.T) {
	forKinds(t, func(t *testing.T, opts Options) {
		root := forMtools(nastyTree(t))
		_, m := newMap(t, root, opts)
		image, out := write(t, m), t.TempDir()
		mtools(t, "mcopy", "-s", "-n", "-m", "-i", image, "::/", out)
		compareDir(t, root, out)
	})
}

// compareDir compares a tree with a directory that mcopy -m wrote.
func compareDir(t *testing.T, dir *tree.Inode, path string) {
	t.Helper()
	found, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range found {
		names[f.Name()] = true
	}
	for _, e := range dir.Entries {
		if !names[e.Name] {
			t.Errorf("%s: %q is missing", path, e.Name)
			continue
		}
		delete(names, e.Name)
		if at := filepath.Join(path, e.Name); e.Inode.IsDir() {
			compareDir(t, e.Inode, at)
		} else {
			compareFile(t, e.Inode, at)
		}
	}
	for name := range names {
		t.Errorf("%s: %q is not in the tree", path, name)
	}
}

func compareFile(t *testing.T, file *tree.Inode, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, readAll(t, file.Content)) {
		t.Errorf("%q: the content differs", path)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want := fatTime(file.Mtime)
	if want >= 4107542400 {
		want += 24 * 60 * 60 // mtools take 2100 for a leap year
	}
	if fi.ModTime().Unix() != want {
		t.Errorf("%q: time %d, want %d", path, fi.ModTime().Unix(), want)
	}
}

// TestMutate has mtools add and remove files, and asks fsck.vfat and our own
// reader what is there then.
func TestMutate(t *testing.T) {
	forKinds(t, func(t *testing.T, opts Options) {
		root := plainTree()
		_, m := newMap(t, root, opts)
		image := write(t, m)

		host := filepath.Join(t.TempDir(), "added")
		if err := os.MkdirAll(filepath.Join(host, "sub directory"), 0o755); err != nil {
			t.Fatal(err)
		}
		added := tree.NewDir(epoch)
		for n, name := range []string{"a new file with a long name", "SHORT.TXT", "lower.txt", "sub directory/grün"} {
			data := random(int64(n), 70000*n+1)
			if err := os.WriteFile(filepath.Join(host, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
			add(added, name, tree.NewFile(data, epoch))
		}
		mtools(t, "mcopy", "-s", "-i", image, host, "::/deep/er/")
		mtools(t, "mdel", "-i", image, "::/sizes/300000 bytes", "::/README.TXT")
		mtools(t, "mdeltree", "-i", image, "::/many")
		mtools(t, "mren", "-i", image, "::/lower", "::/UPPER")
		mtools(t, "mmd", "-i", image, "::/made")
		mtools(t, "mlabel", "-i", image, "::RENAMED")
		fsck(t, image)

		add(root, "deep/er/added", added)
		root.Lookup("sizes").RemoveChild("300000 bytes")
		root.RemoveChild("README.TXT")
		root.RemoveChild("many")
		root.SetChild("UPPER", root.Child("lower"))
		root.RemoveChild("lower")
		add(root, "made", tree.NewDir(epoch))
		v := openImage(t, image)
		compareVolume(t, root, v, false)
		info, err := v.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Label != "RENAMED" {
			t.Errorf("label %q", info.Label)
		}
		output := oracle.Run(t, "fsck.vfat", "-n", image)
		if want := fmt.Sprintf(" %d/%d clusters", info.Clusters-info.FreeClusters, info.Clusters); !strings.Contains(output, want) {
			t.Errorf("fsck.vfat says\n%s, want %s", output, want)
		}
	})
}

// TestMinfo compares what mtools say of the volume.
func TestMinfo(t *testing.T) {
	forKinds(t, func(t *testing.T, opts Options) {
		fs, m := newMap(t, plainTree(), opts)
		image := write(t, m)
		info := fs.Info()
		output := mtools(t, "minfo", "-i", image, "::")
		for _, want := range []string{
			fmt.Sprintf("serial number: %08X", opts.VolumeID),
			fmt.Sprintf("disk type=\"FAT%d   \"", info.Bits),
			fmt.Sprintf("cluster size: %d sectors", info.ClusterSize/sectorSize),
			"sectors per track: 63", "heads: 16",
			fmt.Sprintf("hidden sectors: %d", opts.HiddenSectors),
		} {
			if !strings.Contains(output, want+"\n") {
				t.Errorf("minfo does not say %q:\n%s", want, output)
			}
		}
		if want := fmt.Sprintf("free clusters=%d\n", info.FreeClusters); info.Bits == 32 && !strings.Contains(output, want) {
			t.Errorf("minfo does not say %q:\n%s", want, output)
		}
		want := " Volume has no label"
		if opts.Label != "" {
			want = fmt.Sprintf(" Volume label is %s ", opts.Label)
		}
		if got := mtools(t, "mlabel", "-s", "-i", image, "::"); !strings.HasPrefix(got, want) {
			t.Errorf("mlabel says %q, want %q", got, want)
		}
	})
}
