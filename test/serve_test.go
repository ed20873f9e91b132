//go:build linux

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// TestServe: what is served without having been written is what is built, of a
// specification and of images.
func TestServe(t *testing.T) {
	oracle.Need(t, "qemu-img")
	dir := scratch.Dir(t)
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a": 5_000_000, "b": 1, "boot/c": 100_000} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(strings.Repeat("0123456789abcdef\n", size/17+1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asked := []string{"--root", tree, "--partition-table-type", "efi", "--boot-size", "64M", "--additional-space", "64M"}
	must(t, append([]string{"build", "-q", "-o", dir}, asked...)...)
	image := filepath.Join(dir, "nixos.img")
	qcow2 := filepath.Join(dir, "nixos.qcow2")
	must(t, "convert", "-q", image, qcow2)
	for name, what := range map[string][]string{"specification": asked, "raw": {image}, "qcow2": {qcow2}} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(socketDir(t), "s")
			cmd := exec.Command(program, append([]string{"serve", "--unix", socket}, what...)...)
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			for range 1200 {
				if _, err := os.Stat(socket); err == nil {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			out := oracle.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", image, "nbd+unix:///?socket="+socket)
			if !strings.Contains(out, "Images are identical") {
				t.Error(out)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("stopped: %v", err)
			}
		})
	}
}

// socketDir returns a directory whose path is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
