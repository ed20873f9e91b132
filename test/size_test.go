//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// automatic computes the size of the disk with the programs that the reference
// asks: find, du and numfmt. Arguments: tree, compat, bytes reserved for the
// table and the boot partition, additionalSpace.
const automatic = `
set -eu
cd "$1"
case $2 in
current) links=--count-links ;;
older) links= ;;
esac
blocks=$(find . ! -type d -print0 | du --files0-from=- --apparent-size $links --block-size=4096 | awk '{ n += $1 } END { print n + 0 }')
entries=$(find . | wc -l)
content=$(((blocks + 2 * entries) * 4096))
fs=$((content + content * 52 / 1000))
extra=$(($(numfmt --from=iec "$4") + $3))
case $2 in
current) echo $((((fs / 4096 + 1) * 4096 + extra) / 1048576 * 1048576 + 1048576)) ;;
older) echo $(((fs + extra + 1048575) / 1048576 * 1048576)) ;;
esac
`

// reserved is what a layout takes from the disk, by the reference.
func reserved(t *testing.T, layout, compat, bootSize string) int64 {
	boot, err := strconv.ParseInt(strings.TrimSpace(oracle.Run(t, "numfmt", "--from=iec", bootSize)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if compat == "current" {
		boot = (boot>>20 + 1) << 20
	}
	const gpt = 34 * 512
	switch layout {
	case "legacy":
		return 1 << 20
	case "legacy+boot":
		return boot
	case "legacy+gpt":
		return gpt + 2<<20
	case "efi", "efixbootldr", "hybrid":
		return gpt + boot
	}
	return 0
}

// sizedTree makes a tree in which every way to count differs: hard links,
// sparse files, long and empty links, files that fill blocks and do not.
func sizedTree(t *testing.T, files int) string {
	t.Helper()
	dir := scratch.Dir(t)
	for i := range files {
		name := filepath.Join(dir, fmt.Sprint(i%17), fmt.Sprintf("file %d", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Repeat("x", i*i%30_011)), 0o644); err != nil {
			t.Fatal(err)
		}
		switch i % 5 {
		case 0:
			if err := os.Link(name, name+" linked"); err != nil {
				t.Fatal(err)
			}
		case 1:
			if err := os.Symlink(strings.Repeat("t", 1+i%4095), name+" symlink"); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := os.Truncate(name, int64(i)*1000); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// The automatic size is the reference's, to the byte.
func TestAutomaticSize(t *testing.T) {
	trees := map[string]string{"empty": scratch.Dir(t), "small": sizedTree(t, 20), "larger": sizedTree(t, 3000)}
	for name, tree := range trees {
		for _, compat := range []string{"current", "older"} {
			for _, l := range layouts {
				if compat == "older" && (l.name == "legacy+boot" || l.name == "efixbootldr") {
					continue
				}
				for i, c := range []struct{ boot, additional string }{{"256M", "512M"}, {"100M", "0"}, {"128M", "1.5G"}, {"512M", "1048576"}} {
					if i > 0 && name != "small" {
						break
					}
					t.Run(fmt.Sprintf("%s-%s-%s-%s-%s", name, compat, l.name, c.boot, c.additional), func(t *testing.T) {
						want := strings.TrimSpace(oracle.Run(t, "bash", "-c", automatic, "size", tree, compat,
							fmt.Sprint(reserved(t, l.name, compat, c.boot)), c.additional))
						got := plan(t, "--root", tree, "--compat", compat, "--partition-table-type", l.name,
							"--boot-size", c.boot, "--additional-space", c.additional)
						if got.AutoSize == nil || fmt.Sprint(got.AutoSize.FormulaBytes) != want {
							t.Fatalf("formula gives %+v, want %s", got.AutoSize, want)
						}
						if !got.AutoSize.Raised && got.DiskSize != got.AutoSize.FormulaBytes || got.DiskSize < got.AutoSize.FormulaBytes {
							t.Errorf("the disk has %d bytes, raised: %v", got.DiskSize, got.AutoSize.Raised)
						}
						if got.AutoSize.Raised != (len(got.Notes) > 0) {
							t.Errorf("raised: %v, but the notes are %q", got.AutoSize.Raised, got.Notes)
						}
					})
				}
			}
		}
	}
}

// The smallest disk has 10 % and 4,096 inodes free; a mebibyte less has not.
func TestMinimalSize(t *testing.T) {
	trees := map[string]string{"empty": scratch.Dir(t), "small": sizedTree(t, 20), "larger": sizedTree(t, 3000)}
	// More inodes than the geometry gives to a disk of this content.
	many := scratch.Dir(t)
	for i := range 9000 {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	trees["many"] = many
	for name, tree := range trees {
		for _, layout := range []string{"none", "legacy", "efi"} {
			t.Run(name+"-"+layout, func(t *testing.T) {
				args := []string{"--root", tree, "--partition-table-type", layout, "--boot-size", "64M"}
				least := plan(t, append(args, "--disk-size", "min", "--additional-space", "0")...).DiskSize
				if least%(1<<20) != 0 {
					t.Fatalf("%d bytes are no whole mebibytes", least)
				}
				if !enoughFree(t, findLayout(layout), append(args, "--disk-size", "min", "--additional-space", "0")) {
					t.Errorf("%d MiB leave less than 10 %% or 4096 inodes free", least>>20)
				}
				if enoughFree(t, findLayout(layout), append(args, "--disk-size", fmt.Sprint(least>>20-1))) {
					t.Errorf("%d MiB would have been enough, not %d", least>>20-1, least>>20)
				}
				more := plan(t, append(args, "--disk-size", "min", "--additional-space", "100M")...).DiskSize
				if more != least+100<<20 {
					t.Errorf("with 100 MiB more it is %d bytes, not %d", more, least+100<<20)
				}
				auto := plan(t, append(args, "--disk-size", "auto", "--additional-space", "0M")...)
				if want := max(auto.AutoSize.FormulaBytes, least); auto.DiskSize != want {
					t.Errorf("the automatic size is %d, want %d", auto.DiskSize, want)
				}
			})
		}
	}
}

// enoughFree says whether an image can be built, and has 10 % of its blocks and
// 4,096 inodes free, by e2fsprogs.
func enoughFree(t *testing.T, l layout, args []string) bool {
	t.Helper()
	out := scratch.Dir(t)
	cmd := command(append([]string{"build", "-q", "--no-sync", "-o", out}, args...)...)
	if err := cmd.Run(); err != nil {
		empty(t, out)
		return false
	}
	root := l.rootOf(t, only(t, out))
	root.fsck(t)
	header := root.header(t)
	blocks, free := number(t, header, "Block count"), number(t, header, "Free blocks")
	return free*10 >= blocks && number(t, header, "Free inodes") >= 4096
}
