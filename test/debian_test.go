//go:build linux

package test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"diskwright/test/boot"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// The example of a Debian: its specs give disks that start, by each firmware that
// they are for, to a login prompt and a system without failed units. The first is
// that of `make demo`.
func TestDebian(t *testing.T) {
	t.Parallel()
	root := debianRoot(t)
	for _, c := range []struct {
		spec      string
		firmwares []boot.Firmware
	}{
		{"disk.yaml", []boot.Firmware{boot.BIOS, boot.UEFI}},
		{"efi.yaml", []boot.Firmware{boot.UEFI}},
	} {
		for _, firmware := range c.firmwares {
			t.Run(c.spec+"/"+string(firmware), func(t *testing.T) {
				if firmware != boot.BIOS {
					long(t) // TestBootTree does it quickly
				}
				t.Parallel()
				image := build(t, "--root", root, filepath.Join(debianExample, c.spec))
				login(t, boot.Machine{Image: image, Firmware: firmware})
			})
		}
	}
}

// The same on every layout that can start, by each loader that can be there.
func TestDebianLayouts(t *testing.T) {
	long(t)
	root := debianRoot(t)
	const (
		grubBIOS    = `"grub": {"device": "/dev/sda"}`
		grubEFI     = `"grub": {"device": "nodev", "efiSupport": true, "efiInstallAsRemovable": true}`
		systemdBoot = `"systemd-boot": {}`
	)
	for _, c := range []struct {
		layout, loader string
		firmware       boot.Firmware
	}{
		{"legacy", grubBIOS, boot.BIOS},
		{"legacy+boot", grubBIOS, boot.BIOS},
		{"legacy+gpt", grubBIOS, boot.BIOS},
		{"hybrid", grubBIOS, boot.BIOS},
		{"hybrid", systemdBoot, boot.UEFI},
		{"efi", grubEFI, boot.UEFI},
		{"efixbootldr", systemdBoot, boot.UEFI},
	} {
		t.Run(c.layout+"/"+c.loader, func(t *testing.T) {
			t.Parallel()
			settings := fmt.Sprintf(`{%s, "timeout": 1, "entries": [
				{"title": "Debian", "kernel": "/vmlinuz", "initrd": "/initrd.img", "options": "root=LABEL=debian console=ttyS0"}]}`, c.loader)
			image := build(t, "--root", root, "--partition-table-type", c.layout, "--boot-loader", settings, filepath.Join(debianExample, "disk.yaml"))
			login(t, boot.Machine{Image: image, Firmware: c.firmware})
		})
	}
}

// login starts a machine, logs in, and asks whether everything has started.
func login(t *testing.T, m boot.Machine) {
	t.Helper()
	m.Timeout = 5 * time.Minute
	m.Answers = []boot.Answer{
		{When: regexp.MustCompile(`debian login: `), Type: "root\r"},
		{When: regexp.MustCompile(`root@debian:~# `), Type: "systemctl is-system-running --wait; systemctl --failed; poweroff\r"},
	}
	m.Until = regexp.MustCompile(`(?m)^running\n`)
	boot.Run(t, m)
}

// debianExample is the example's directory.
const debianExample = "../examples/debian"

// debianRoot returns a tar that the example's script has made: within the last
// week, since it takes a minute.
var debianRoot = func() func(testing.TB) string {
	var once sync.Mutex
	return func(t testing.TB) string {
		t.Helper()
		once.Lock()
		defer once.Unlock()
		if runtime.GOARCH != "amd64" {
			t.Skip("the example is for amd64")
		}
		oracle.Need(t, "mmdebstrap")
		oracle.Need(t, "grub-mkimage")
		oracle.Need(t, "qemu-system-x86_64")
		script, err := os.ReadFile(filepath.Join(debianExample, "make-root"))
		if err != nil {
			t.Fatal(err)
		}
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(cache, "diskwright", "debian")
		root := filepath.Join(cache, fmt.Sprintf("%x.tar", sha256.Sum256(script)))
		if fi, err := os.Stat(root); err == nil && time.Since(fi.ModTime()) < 7*24*time.Hour {
			return root
		}
		if err := os.RemoveAll(cache); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(cache, 0o755); err != nil {
			t.Fatal(err)
		}
		made := filepath.Join(scratch.OnDisk(t), "root.tar")
		if out, err := exec.Command(filepath.Join(debianExample, "make-root"), made).CombinedOutput(); err != nil {
			t.Fatalf("make-root: %v\n%s", err, out)
		}
		oracle.Run(t, "mv", made, root)
		return root
	}
}()
