//go:build linux

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"diskwright/inspect/diff"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// differences runs diff and returns its exit status and what it found, a line
// each.
func differences(t testing.TB, a, b string, args ...string) (status int, lines []string) {
	t.Helper()
	cmd := command(append([]string{"diff", "--json", a, b}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	status = cmd.ProcessState.ExitCode()
	if status > 1 {
		return status, []string{stderr.String()}
	}
	var r diff.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &stdout, &stderr)
	}
	for _, f := range r.Fields {
		lines = append(lines, fmt.Sprintf("%s: %s", f.Where, f.Name))
	}
	for _, fs := range r.FileSystems {
		for _, f := range fs.Files {
			line := fmt.Sprintf("%d%s %s", fs.Partition, f.Path, f.Only)
			for _, c := range f.Changes {
				line += string(c.Kind)
				if c.Offset != nil {
					line += fmt.Sprintf("@%d", *c.Offset)
				}
				line += " "
			}
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	for _, b := range r.Bytes {
		lines = append(lines, fmt.Sprintf("%s, %s", b.Where, b.What))
	}
	return status, lines
}

// TestDiff changes one thing at a time with other people's tools, and wants that
// to be found and nothing else.
func TestDiff(t *testing.T) {
	dir := scratch.Dir(t)
	tree := filepath.Join(dir, "tree")
	for name, data := range map[string]string{
		"etc/text": "one\ntwo\nthree\n", "etc/other": "x", "big": strings.Repeat("0123456789abcdef", 200_000),
		"boot/loader/conf": "timeout 3\n", "linked": "y",
	} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := build(t, "--root", tree, "--partition-table-type", "efi", "--boot-size", "64M", "--additional-space", "64M")
	var places [2][2]int64 // offset and size of the partitions
	for n, p := range sfdisk(t, image).PartitionTable.Partitions {
		places[n] = [2]int64{p.Start * 512, p.Size * 512}
	}
	esp, root := places[0], places[1]
	t.Setenv("E2FSPROGS_FAKE_TIME", "315532800")
	debugfs := func(commands ...string) func(string) {
		return func(path string) {
			part := filepath.Join(t.TempDir(), "part")
			at := fmt.Sprint(root[0] / 512)
			oracle.Run(t, "dd", "if="+path, "of="+part, "bs=512", "skip="+at, fmt.Sprintf("count=%d", root[1]/512), "conv=sparse", "status=none")
			for _, c := range commands {
				oracle.Run(t, "debugfs", "-w", "-R", c, part)
			}
			oracle.Run(t, "dd", "if="+part, "of="+path, "bs=512", "seek="+at, "conv=notrunc", "status=none")
		}
	}
	mtools := func(args ...string) func(string) {
		return func(path string) {
			oracle.Run(t, args[0], append([]string{"-i", fmt.Sprintf("%s@@%d", path, esp[0])}, args[1:]...)...)
		}
	}
	poke := func(off int64, data string) func(string) {
		return func(path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(data), off); err != nil {
				t.Fatal(err)
			}
		}
	}
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("timeout 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(conf, then, then); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(path string)
		want   []string
	}{
		{"nothing", func(string) {}, nil},
		{"mode", debugfs("set_inode_field /etc/text mode 0100600"), []string{"2/etc/text mode"}},
		{"owner", debugfs("set_inode_field /etc/text uid 1000"), []string{"2/etc/text owner"}},
		{"mtime", debugfs("set_inode_field /etc/text mtime 20250101000000"), []string{"2/etc/text times"}},
		{"atime", debugfs("set_inode_field /etc/text atime 20250101000000"), []string{"2/etc/text times"}},
		{"ctime of a directory", debugfs("set_inode_field /etc ctime 20250101000000"), []string{"2/etc times"}},
		{"generation", debugfs("set_inode_field /etc/text generation 7"), []string{"2/etc/text inode"}},
		{"xattr", debugfs("ea_set /etc/text user.x y"), []string{"2/etc/text xattrs"}},
		{"label", debugfs("set_super_value volume_name other"), []string{"file system 2: superblock.Label"}},
		{"uuid", debugfs("set_super_value hash_seed 01234567-89ab-cdef-0123-456789abcdef"), []string{"file system 2: superblock.HashSeed"}},
		{"group", debugfs("set_bg 0 free_blocks_count 5"), []string{"file system 2: group[0].FreeBlocks"}},
		{"removed", debugfs("unlink /etc/other"), []string{"2/etc/other a"}},
		{"unused block", poke(root[0]+root[1]-8192, "x"), []string{"partition 2, blocks that nothing uses"}},
		{"boot code", poke(3, "x"), []string{"disk: bootCode"}},
		{"volume id", poke(esp[0]+67, "abcd"), []string{"file system 1: uuid"}},
		{"file on FAT", mtools("mcopy", "-o", "-m", conf, "::/loader/conf"), []string{"1/loader/conf times content@8"}},
		{"disk GUID", func(path string) { oracle.Run(t, "sgdisk", "-U", "01234567-89AB-CDEF-0123-456789ABCDEF", path) }, []string{"disk: table.diskGuid"}},
		{"disk GUID and gap", func(path string) {
			oracle.Run(t, "sgdisk", "-U", "01234567-89AB-CDEF-0123-456789ABCDEF", path)
			poke(34*512, "x")(path)
		}, []string{"disk: table.diskGuid", "outside of partitions, "}},
		{"partition's name", func(path string) { oracle.Run(t, "sgdisk", "-c", "2:other", path) }, []string{"partition 2: name"}},
		{"partition's GUID", func(path string) { oracle.Run(t, "sgdisk", "-u", "2:01234567-89AB-CDEF-0123-456789ABCDEF", path) }, []string{"partition 2: guid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := filepath.Join(scratch.Dir(t), "changed.img")
			oracle.Run(t, "cp", "--sparse=always", image, changed)
			c.change(changed)
			status, got := differences(t, image, changed)
			if !slices.Equal(got, c.want) || status != min(len(c.want), 1) {
				t.Errorf("status %d, %q, want %q", status, got, c.want)
			}
		})
	}

	// Other trees: content, layout, text.
	if err := os.WriteFile(filepath.Join(tree, "etc/text"), []byte("one\n2\nthree\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	other := build(t, "--root", tree, "--partition-table-type", "efi", "--boot-size", "64M", "--additional-space", "64M")
	status, got := differences(t, image, other)
	if want := []string{"2/etc/text times content@4"}; status != 1 || !slices.Equal(got, want) {
		t.Errorf("status %d, %q, want %q", status, got, want)
	}
	if out, _ := command("diff", image, other).Output(); !strings.Contains(string(out), "-two\n      +2\n") {
		t.Errorf("no text: %s", out)
	}
	if status, got := differences(t, image, other, "--exclude", "/etc/*"); status != 0 {
		t.Errorf("excluded: %q", got)
	}
	// A file in front moves all behind it.
	if err := os.WriteFile(filepath.Join(tree, "aaa"), []byte(strings.Repeat("new", 10_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	moved := build(t, "--root", tree, "--partition-table-type", "efi", "--boot-size", "64M", "--additional-space", "64M")
	status, got = differences(t, other, moved)
	if status != 1 || !slices.Contains(got, "2/aaa b") || !slices.ContainsFunc(got, func(line string) bool {
		return strings.HasPrefix(line, "2/big ") && strings.Contains(line, "layout") && !strings.Contains(line, "content")
	}) {
		t.Errorf("moved: %q", got)
	}
	if status, got = differences(t, other, moved, "--content-only"); status != 1 || !slices.Equal(got, []string{"2/aaa b"}) {
		t.Errorf("--content-only: %d, %q", status, got)
	}
	// Another container is another container, and nothing more.
	qcow2 := filepath.Join(dir, "image.qcow2")
	must(t, "convert", "-q", image, qcow2)
	if status, got = differences(t, image, qcow2); status != 1 || slices.ContainsFunc(got, func(line string) bool { return !strings.HasPrefix(line, "container: ") }) {
		t.Errorf("container: %d, %q", status, got)
	}
	if status, got = differences(t, image, qcow2, "--content-only"); status != 0 {
		t.Errorf("content of the container: %d, %q", status, got)
	}
	for _, args := range [][]string{{image}, {image, filepath.Join(dir, "none")}, {image, image, "--exclude", "["}} {
		if cmd := command(append([]string{"diff"}, args...)...); cmd.Run() == nil || cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("%v: exit status %d, want 2", args, cmd.ProcessState.ExitCode())
		}
	}
}
