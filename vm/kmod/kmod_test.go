package kmod

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/test/oracle"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

var epoch = tree.Time{Sec: 1}

// files is a tree with modules of one kernel.
func files(t *testing.T, contents map[string]string) boot.Files {
	t.Helper()
	root := tree.NewDir(epoch)
	for name, text := range contents {
		if err := tree.PutFile(root, "m/lib/modules/6.1.0/"+name, tree.NewFile(content.Bytes(text), epoch), epoch); err != nil {
			t.Fatal(err)
		}
	}
	return boot.Files{Root: root}
}

const dep = `kernel/fs/fat/fat.ko.xz:
kernel/fs/fat/vfat.ko.xz: kernel/fs/fat/fat.ko.xz
kernel/a.ko: kernel/b-c.ko.zst kernel/d.ko.gz
kernel/b-c.ko.zst: kernel/d.ko.gz
kernel/d.ko.gz:
kernel/loop.ko: kernel/pool.ko
kernel/pool.ko: kernel/loop.ko
`

func TestResolve(t *testing.T) {
	s, err := Open(files(t, map[string]string{"modules.dep": dep}), "/m")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ wanted, want string }{
		{"vfat", "fat vfat"},
		{"a", "d b_c a"},
		{"b-c vfat fat a", "d b_c fat vfat a"},
		{"ext4 vfat", "fat vfat"}, // ext4 is built in
		{"", ""},
	} {
		got, err := s.Resolve(strings.Fields(c.wanted)...)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v; want %q", c.wanted, got, err, c.want)
		}
	}
	if _, err := s.Resolve("loop"); err == nil || !strings.Contains(err.Error(), "needs itself") {
		t.Errorf("a module that needs itself: %v", err)
	}
}

// Modules of each compression, compressed by the programs that distributions
// use.
func TestLoad(t *testing.T) {
	code := elfMagic + strings.Repeat("code of a module ", 1000)
	packed := func(program string, args ...string) string {
		cmd := exec.Command(oracle.Need(t, program), args...)
		cmd.Stdin = strings.NewReader(code)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	contents := map[string]string{
		"modules.dep":              dep,
		"kernel/a.ko":              code,
		"kernel/b-c.ko.zst":        packed("zstd", "-c"),
		"kernel/d.ko.gz":           packed("gzip", "-c"),
		"kernel/fs/fat/fat.ko.xz":  packed("xz", "-c", "--check=crc32", "--lzma2=dict=2MiB"),
		"kernel/fs/fat/vfat.ko.xz": "\xfd7zXZ\x00 and no more",
		"kernel/loop.ko":           "text",
	}
	s, err := Open(files(t, contents), "/m")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Load("a", "fat")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range got {
		names = append(names, m.Name)
		if !bytes.Equal(m.Code, []byte(code)) {
			t.Errorf("%s is not what it was", m.Name)
		}
	}
	if diff := cmp.Diff([]string{"d", "b_c", "a", "fat"}, names); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Load("vfat"); err == nil || !strings.Contains(err.Error(), `vfat.ko.xz"`) {
		t.Errorf("a damaged module: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct {
		contents map[string]string
		want     string
	}{
		{nil, "/m/lib/modules"},
		{map[string]string{"other": ""}, "modules.dep"},
		{map[string]string{"modules.dep": "no colon\n"}, "line 1"},
	} {
		if _, err := Open(files(t, c.contents), "/m"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.contents, err, c.want)
		}
	}
	two := files(t, map[string]string{"modules.dep": ""})
	if _, err := tree.MakeDir(two.Root, "m/lib/modules/6.2.0", epoch); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(two, "/m"); err == nil || !strings.Contains(err.Error(), "2 kernels") {
		t.Errorf("two kernels: %v", err)
	}
}
