// Package oracle lets tests ask programs that nobody here wrote whether what
// diskwright made is right: e2fsck, sgdisk, fsck.vfat, mtools, the kernel.
//
// An oracle that is missing (a program, root's rights, a file system that the
// kernel does not know) skips the test on a developer's machine and says which
// Debian package has it. With CI=true it fails the test: there, a proof that
// silently did not happen is worse than a red run.
//
//	oracle.Run(t, "e2fsck", "-fn", image)             must succeed
//	output, status := oracle.Exit(t, "cmp", a, b)     may fail
//	dir := oracle.Mount(t, image, "ext4", "ro", off, size)
//
// Programs run with LC_ALL=C and TZ=UTC, nothing on standard input, and a PATH
// that includes the sbin directories, which ordinary users lack on Debian.
package oracle

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packages maps a program to the Debian package that has it, where the two
// differ.
var packages = map[string]string{
	"blkid":               "util-linux",
	"bsdtar":              "libarchive-tools",
	"cmp":                 "diffutils",
	"cp":                  "coreutils",
	"debugfs":             "e2fsprogs",
	"depmod":              "kmod",
	"du":                  "coreutils",
	"dumpe2fs":            "e2fsprogs",
	"e2fsck":              "e2fsprogs",
	"e2image":             "e2fsprogs",
	"fallocate":           "util-linux",
	"filefrag":            "e2fsprogs",
	"find":                "findutils",
	"fsck.vfat":           "dosfstools",
	"getcap":              "libcap2-bin",
	"getfacl":             "acl",
	"getfattr":            "attr",
	"grub-fstest":         "grub-common",
	"grub-install":        "grub2-common",
	"grub-mkimage":        "grub-common",
	"grub-script-check":   "grub-common",
	"insmod":              "kmod",
	"linux.uml":           "user-mode-linux (amd64)",
	"losetup":             "mount",
	"lsattr":              "e2fsprogs",
	"mattrib":             "mtools",
	"mcopy":               "mtools",
	"mdel":                "mtools",
	"mdeltree":            "mtools",
	"mdir":                "mtools",
	"minfo":               "mtools",
	"mke2fs":              "e2fsprogs",
	"mkfs.btrfs":          "btrfs-progs",
	"mkfs.ext4":           "e2fsprogs",
	"mkfs.vfat":           "dosfstools",
	"mkfs.xfs":            "xfsprogs",
	"nbdcopy":             "libnbd-bin",
	"nbdinfo":             "libnbd-bin",
	"mkswap":              "util-linux",
	"mlabel":              "mtools",
	"mmd":                 "mtools",
	"modprobe":            "kmod",
	"mren":                "mtools",
	"mtype":               "mtools",
	"nix":                 "nix-bin",
	"nix-build":           "nix-bin",
	"nix-env":             "nix-bin",
	"nix-hash":            "nix-bin",
	"nix-instantiate":     "nix-bin",
	"nix-store":           "nix-bin",
	"numfmt":              "coreutils",
	"partx":               "util-linux",
	"qemu-img":            "qemu-utils",
	"qemu-io":             "qemu-utils",
	"qemu-system-aarch64": "qemu-system-arm",
	"qemu-system-x86_64":  "qemu-system-x86",
	"resize2fs":           "e2fsprogs",
	"setcap":              "libcap2-bin",
	"setfacl":             "acl",
	"setfattr":            "attr",
	"setpriv":             "util-linux",
	"sfdisk":              "fdisk",
	"sgdisk":              "gdisk",
	"sha256sum":           "coreutils",
	"ssh":                 "openssh-client",
	"ssh-keygen":          "openssh-client",
	"sshd":                "openssh-server",
	"truncate":            "coreutils",
	"tune2fs":             "e2fsprogs",
	"umount":              "mount",
	"unshare":             "util-linux",
	"wipefs":              "util-linux",
	"xz":                  "xz-utils",
	"zdb":                 "zfsutils-linux",
}

// sbin lists where Debian keeps programs that only root is thought to need.
var sbin = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// Need returns the path of a program, or skips the test (fails it with
// CI=true), naming the Debian package to install.
func Need(t testing.TB, tool string) string {
	t.Helper()
	if path, err := exec.LookPath(tool); err == nil {
		return path
	}
	for _, dir := range sbin {
		if path, err := exec.LookPath(filepath.Join(dir, tool)); err == nil {
			return path
		}
	}
	pkg := packages[tool]
	if pkg == "" {
		pkg = tool
	}
	absent(t, "%s is not installed; on Debian: apt-get install %s", tool, pkg)
	return ""
}

// NeedFile returns the first of the paths that is a file, or skips the test
// (fails it with CI=true), naming the Debian package to install.
func NeedFile(t testing.TB, pkg string, paths ...string) string {
	t.Helper()
	for _, path := range paths {
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			return path
		}
	}
	absent(t, "%s is not there; on Debian: apt-get install %s", strings.Join(paths, ", "), pkg)
	return ""
}

// NeedRoot skips the test (fails it with CI=true) when it does not run as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		absent(t, "needs root")
	}
}

// absent ends the test because an oracle is not there.
func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("with CI=true every oracle must be there: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Command returns the program, ready to be run in the oracles' environment.
func Command(t testing.TB, tool string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Need(t, tool), args...)
	// Later values win.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC",
		"PATH="+os.Getenv("PATH")+":"+strings.Join(sbin, ":"))
	return cmd
}

// Run runs a program and returns its standard output and standard error in the
// order written. Any exit status but zero fails the test.
func Run(t testing.TB, tool string, args ...string) string {
	t.Helper()
	output, status := Exit(t, tool, args...)
	if status != 0 {
		t.Fatalf("%s %q: exit status %d\n%s", tool, args, status, output)
	}
	return output
}

// Output is Run without standard error, for output that a machine reads.
func Output(t testing.TB, tool string, args ...string) []byte {
	t.Helper()
	cmd := Command(t, tool, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, stderr.Bytes())
	}
	return output
}

// Exit runs a program and returns what it printed and its exit status. Only a
// program that cannot be started, or that a signal ends, fails the test.
func Exit(t testing.TB, tool string, args ...string) (output string, status int) {
	t.Helper()
	cmd := Command(t, tool, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0) {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
