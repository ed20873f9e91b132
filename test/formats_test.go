//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
)

// formatTree is a tree with everything that formats treat in their own way: text,
// noise, zeros that are not holes, and many small files.
func formatTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"zeros": strings.Repeat("\x00", 5<<20),
		"text":  strings.Repeat("the quick brown fox jumps over the lazy dog\n", 50_000),
	}
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	files["noise"] = string(noise)
	for i := range 300 {
		files[fmt.Sprintf("small/%d", i)] = strings.Repeat(fmt.Sprint(i), 1+r.IntN(3000))
	}
	write(t, dir, files)
	return dir
}

// TestFormatsQEMU: qemu-img takes every format for what it is, finds nothing
// wrong with it, and reads the same disk.
func TestFormatsQEMU(t *testing.T) {
	oracle.Need(t, "qemu-img")
	tree := formatTree(t)
	base := []string{"--root", tree, "--partition-table-type", "efi", "--boot-size", "40M", "--additional-space", "100M"}
	reference := build(t, base...)
	for _, c := range []struct {
		name  string
		args  []string
		qemu  string // format
		check bool   // qemu-img can
		data  string // of the information that is special to the format
	}{
		{"qcow2", []string{"--format", "qcow2"}, "qcow2", true, `"compression-type": "zlib"`},
		{"qcow2 zlib", []string{"--format", "qcow2-compressed"}, "qcow2", true, `"compression-type": "zlib"`},
		{"qcow2 zstd", []string{"--format", "qcow2-compressed", "--compression-type", "zstd"}, "qcow2", true, `"compression-type": "zstd"`},
		{"vdi", []string{"--format", "vdi"}, "vdi", true, ""},
		{"vpc", []string{"--format", "vpc"}, "vpc", false, ""},
		{"vpc aligned", []string{"--format", "vpc", "--align-disk"}, "vpc", false, ""},
		{"vpc exact", []string{"--format", "vpc", "--force-size"}, "vpc", false, ""},
		{"vpc fixed", []string{"--format", "vpc", "--subformat", "fixed"}, "vpc", false, ""},
		{"vhdx", []string{"--format", "vhdx"}, "vhdx", true, ""},
		{"vmdk", []string{"--format", "vmdk"}, "vmdk", true, "monolithicSparse"},
		{"vmdk stream", []string{"--format", "vmdk", "--subformat", "streamOptimized"}, "vmdk", true, "streamOptimized"},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := build(t, append(base, c.args...)...)
			if c.check {
				oracle.Run(t, "qemu-img", "check", "-f", c.qemu, image)
			}
			info := oracle.Output(t, "qemu-img", "info", "-f", c.qemu, "--output", "json", image)
			var about struct {
				Format string
			}
			if err := json.Unmarshal(info, &about); err != nil || about.Format != c.qemu || !strings.Contains(string(info), c.data) {
				t.Errorf("qemu-img info: %v\n%s", err, info)
			}
			back := filepath.Join(t.TempDir(), "back")
			oracle.Run(t, "qemu-img", "convert", "-f", c.qemu, "-O", "raw", image, back)
			if c.name == "vpc aligned" {
				if output := oracle.Run(t, "sgdisk", "-v", back); !strings.Contains(output, "No problems found") {
					t.Errorf("sgdisk:\n%s", output)
				}
				return // another table
			}
			output, status := oracle.Exit(t, "qemu-img", "compare", "-f", c.qemu, "-F", "raw", image, reference)
			if status != 0 || strings.Contains(output, "size mismatch") != (c.name == "vpc") {
				t.Errorf("qemu-img compare: %d\n%s", status, output)
			}
			again := filepath.Join(t.TempDir(), "again.img")
			must(t, "convert", image, again)
			if c.name != "vpc" {
				oracle.Run(t, "cmp", again, reference)
			}
		})
	}
}

// TestFormatsSize: zeros take no place, and what is compressed is not much larger
// than what qemu-img makes.
func TestFormatsSize(t *testing.T) {
	oracle.Need(t, "qemu-img")
	tree := formatTree(t)
	base := []string{"--root", tree, "--disk-size", "200"}
	reference := build(t, base...)
	for _, c := range []struct {
		args   []string
		qemu   []string
		factor float64
	}{
		{[]string{"--format", "qcow2"}, []string{"-O", "qcow2"}, 1},
		{[]string{"--format", "qcow2-compressed"}, []string{"-O", "qcow2", "-c"}, 1.05},
		{[]string{"--format", "qcow2-compressed", "--compression-type", "zstd"}, []string{"-O", "qcow2", "-c", "-o", "compression_type=zstd"}, 1.03},
		{[]string{"--format", "vdi"}, []string{"-O", "vdi"}, 1 + 1.0/13}, // data begins at a whole MiB
		{[]string{"--format", "vpc"}, []string{"-O", "vpc"}, 1},
	} {
		theirs := filepath.Join(t.TempDir(), "theirs")
		oracle.Run(t, "qemu-img", append(append([]string{"convert", "-f", "raw"}, c.qemu...), reference, theirs)...)
		want, got := fileSize(t, theirs), fileSize(t, build(t, append(base, c.args...)...))
		if float64(got) > c.factor*float64(want) {
			t.Errorf("%q: %d bytes, qemu-img has %d", c.args, got, want)
		}
	}
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestFormatsBoot: QEMU starts the system from every format.
func TestFormatsBoot(t *testing.T) {
	s := fixture.Build(t, "systemd-boot")
	for _, c := range []struct {
		format, option string
		long           bool
	}{
		{"qcow2", "", true}, {"qcow2-compressed", "", false}, {"qcow2-compressed", "--compression-type=zstd", true}, {"vdi", "", true},
		{"vpc", "--align-disk", false}, {"vpc", "--subformat=fixed", true}, {"vhdx", "", true}, {"vmdk", "", false},
		{"vmdk", "--subformat=streamOptimized", true},
	} {
		t.Run(c.format+c.option, func(t *testing.T) {
			if c.long {
				long(t)
			}
			t.Parallel()
			args := append(systemArgs(s), "--partition-table-type", "efi", "--boot-size", "128M", "--format", c.format)
			if c.option != "" {
				args = append(args, c.option)
			}
			qemu := strings.TrimSuffix(c.format, "-compressed")
			checkBooted(t, boot.Run(t, boot.Machine{Image: build(t, args...), Format: qemu, Firmware: boot.UEFI}), s, s.Toplevel)
		})
	}
}
