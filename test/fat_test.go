//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// Times that FAT can hold: even seconds from 1980 to 2107.
const (
	firstFAT = 315_532_800
	lastFAT  = 4_354_819_198
)

// checkFAT asks fsck.vfat about a boot partition, takes its files out with
// mtools, and compares them with what tree has below the mount point.
func checkFAT(t *testing.T, v volume, tree manifest.Manifest) {
	t.Helper()
	file := v.extract(t)
	fsckFAT(t, file)
	if v.size >= 33<<20 && !strings.Contains(oracle.Run(t, "minfo", "-i", file, "::"), "FAT32") {
		t.Errorf("/%s is not FAT32, with %d bytes", v.mountPoint, v.size)
	}
	listing := oracle.Run(t, "mdir", "-/", "-b", "-a", "-i", file, "::")
	if got, want := strings.Count(listing, "\n"), len(tree.Below(v.mountPoint))-1; got != want {
		t.Errorf("mdir lists %d names, want %d", got, want)
	}
	got := mcopy(t, file).Without(strings.Replace(nasty.BeyondMtools, "\U0001f4a3", "__", 1))
	want := inFAT(tree.Below(v.mountPoint).Without(nasty.BeyondMtools))
	same(t, "what mcopy finds in /"+v.mountPoint, want, got)
}

// checkFATKernel has a kernel mount the boot partitions, compares what it finds,
// has it write there, and asks fsck.vfat again. The kernel finds the partitions by
// itself.
func checkFATKernel(t *testing.T, l layout, image string, tree manifest.Manifest) {
	t.Helper()
	var script strings.Builder
	for point, number := range l.boots {
		fmt.Fprintf(&script, "mount -t vfat -o ro,utf8,tz=UTC /dev/ubda%d /mnt/a\n", number)
		script.WriteString(guestManifest(t, "/mnt/a", "/mnt/out/"+point))
		fmt.Fprintf(&script, "umount /mnt/a\nmount -t vfat -o utf8,tz=UTC /dev/ubda%d /mnt/a\n", number)
		script.WriteString(mutateFAT)
	}
	out := oracle.Guest(t, script.String(), image)
	for point, number := range l.boots {
		got, err := manifest.Load(filepath.Join(out, point))
		if err != nil {
			t.Fatal(err)
		}
		want := tree.Below(point)
		same(t, "what the kernel finds in /"+point, inFAT(want), contents(got))
		// Directories have times, too, but the root.
		for _, f := range want {
			if g := got.Find(f.Path); g != nil && f.Path != "." && f.Mode&0o170000 == 0o040000 && g.Sec != inFATTime(f.Sec) {
				t.Errorf("directory %q has the time %d, want %d", f.Path, g.Sec, inFATTime(f.Sec))
			}
		}
		fsckFAT(t, l.volume(t, image, number, point).extract(t))
	}
}

// mutateFAT changes a mounted boot partition as a running system does.
const mutateFAT = `
rm -r /mnt/a/collisions "/mnt/a/tilde one.txt"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	echo "$i" >"/mnt/a/many/another long name, number $i"
	mkdir "/mnt/a/empty/directory $i"
done
mv /mnt/a/many /mnt/a/empty/moved
dd if=/dev/urandom of=/mnt/a/large bs=64k count=100
rm /mnt/a/size-32769
umount /mnt/a
`

// fsckFAT has fsck.vfat look for anything wrong.
func fsckFAT(t *testing.T, file string) {
	t.Helper()
	output := oracle.Run(t, "fsck.vfat", "-n", "-v", file)
	for _, bad := range []string{"differences", "Orphaned", "Bad", "bad", "wrong", "Free cluster summary", "irty"} {
		if strings.Contains(output, bad) {
			t.Errorf("fsck.vfat -n:\n%s", output)
			break
		}
	}
}

// mcopy returns the manifest of what mtools take out of a FAT.
func mcopy(t *testing.T, file string) manifest.Manifest {
	t.Helper()
	dir := scratch.Dir(t)
	cmd := oracle.Command(t, "mcopy", "-s", "-n", "-m", "-Q", "-i", file, "::/", dir)
	cmd.Env = append(cmd.Env, "LC_ALL=C.UTF-8") // for names beyond ASCII
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mcopy: %v\n%s", err, out)
	}
	// mcopy puts the root into a directory where it can.
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 1 && entries[0].IsDir() && entries[0].Name() == "::" {
		dir = filepath.Join(dir, entries[0].Name())
	}
	// mtools takes 2100 for a leap year, and is a day ahead from then on.
	const march2100 = 4_107_542_400
	return contents(read(t, dir)).Map(func(f *manifest.File) {
		if f.Sec >= march2100 {
			f.Sec -= 86400
		}
	})
}

// inFAT returns what a FAT keeps of a tree.
func inFAT(m manifest.Manifest) manifest.Manifest {
	return contents(m).Map(func(f *manifest.File) {
		if f.Mode == 0o100000 {
			f.Sec = inFATTime(f.Sec)
		}
	})
}

// inFATTime returns the time that a FAT keeps.
func inFATTime(sec int64) int64 { return min(max(sec, firstFAT), lastFAT) &^ 1 }

// contents leaves names, types, contents and times in whole seconds; of
// directories not even these: mcopy does not keep them.
func contents(m manifest.Manifest) manifest.Manifest {
	return m.Map(func(f *manifest.File) {
		kept := manifest.File{Path: f.Path, Mode: f.Mode &^ 0o7777, Size: f.Size, Digest: f.Digest, Target: f.Target}
		if f.Mode&0o170000 == 0o100000 {
			kept.Sec = f.Sec
		}
		*f = kept
	})
}
