package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
	"diskwright/vm/guest"
	"diskwright/vm/kmod"
	"diskwright/vm/protocol"
)

// run runs a program and returns what it prints.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// buildFor builds a package of this module for a machine.
func buildFor(t *testing.T, goarch, pkg, out string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch)
	run(t, cmd)
}

// debianKernel unpacks Debian's kernel for an architecture, with the index of its
// modules.
func debianKernel(t *testing.T, arch string) (kernel, dir string) {
	t.Helper()
	state := t.TempDir()
	options := []string{"-qq", "-o", "Dir::State=" + state, "-o", "Dir::State::status=" + state + "/status", "-o", "Dir::Cache=" + state + "/cache",
		"-o", "APT::Architecture=" + arch, "-o", "APT::Architectures=" + arch, "-o", "APT::Sandbox::User="}
	for _, name := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	apt := func(tool string, args ...string) string {
		cmd := exec.Command(oracle.Need(t, tool), append(options, args...)...)
		cmd.Dir = state
		return run(t, cmd)
	}
	apt("apt-get", "update")
	name := ""
	for line := range strings.Lines(apt("apt-cache", "depends", "linux-image-cloud-"+arch)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: linux-image-"); ok {
			name = "linux-image-" + n
		}
	}
	apt("apt-get", "download", name)
	dir = scratch.Dir(t)
	debs, _ := filepath.Glob(state + "/*.deb")
	oracle.Run(t, "dpkg-deb", append(append([]string{"-x"}, debs...), dir)...)
	kernels, _ := filepath.Glob(dir + "/boot/vmlinuz-*")
	if len(debs) != 1 || len(kernels) != 1 {
		t.Fatalf("%q with %q", debs, kernels)
	}
	oracle.Run(t, "depmod", "-b", dir, strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-"))
	return kernels[0], dir
}

// A machine of another architecture, with its own firmware and without: Debian's
// kernel, this program, and a system of one program.
func TestAarch64(t *testing.T) {
	if os.Getenv("DISKWRIGHT_LONG") == "" {
		t.Skip("long; set DISKWRIGHT_LONG=1 (make test-long)")
	}
	const code, variables = "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"
	oracle.Need(t, "qemu-system-aarch64")
	oracle.NeedFile(t, "qemu-efi-aarch64", code)
	kernel, dir := debianKernel(t, "arm64")
	files, err := tree.FromDir(t.Context(), dir, tree.DirOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := kmod.Open(boot.Files{Root: files}, "/")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := set.Load(Wanted...)
	if err != nil {
		t.Fatal(err)
	}
	source, err := content.StatHostFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "diskwright")
	buildFor(t, "arm64", "diskwright/cmd/diskwright", bin)
	root := t.TempDir()
	system := filepath.Join(root, guest.System)
	for _, name := range []string{"bin", "sw/bin", "../../../../../etc", "../../../../../boot"} {
		if err := os.MkdirAll(filepath.Join(system, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/NIXOS"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"activate", "sw/bin/systemd-tmpfiles", "bin/switch-to-configuration"} {
		buildFor(t, "arm64", "diskwright/vm/host/testdata/installer", filepath.Join(system, name))
	}
	host, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, firmware := range []bool{false, true} {
		out := scratch.Dir(t)
		oracle.Run(t, host, "build", "-q", "--no-sync", "-o", out, "--root", root, "--partition-table-type", "efi", "--boot-size", "64M", "--disk-size", "256")
		m := &Machine{
			Arch: "aarch64", Guest: bin, Disk: filepath.Join(out, "nixos.img"), Kernel: source, Modules: modules, MemoryMiB: 512, Limit: 10 * time.Minute,
			Job: &protocol.Job{
				Mounts: []protocol.Mount{{Partition: 2, Type: "ext4", Path: "/"}, {Partition: 1, Type: "vfat", Path: "/boot"}},
				Epoch:  315532800, EFIVars: firmware,
				Commands: []protocol.Command{{Args: []string{guest.System + "/bin/switch-to-configuration", "boot"}, Env: []string{"NIXOS_INSTALL_BOOTLOADER=1"}}},
			},
		}
		want := "arm64 activate  enter=1 install=1 variables=false 1980-01-01\n" +
			"arm64 systemd-tmpfiles --create --remove -E enter= install=1 variables=false 1980-01-01\n" +
			"arm64 switch-to-configuration boot enter= install=1 variables=false 1980-01-01\n"
		if firmware {
			store, err := os.ReadFile(variables)
			if err != nil {
				t.Fatal(err)
			}
			m.Firmware = &Firmware{Code: code, Variables: filepath.Join(out, "variables")}
			if err := os.WriteFile(m.Firmware.Variables, store, 0o600); err != nil {
				t.Fatal(err)
			}
			want = strings.ReplaceAll(want, "variables=false", "variables=true")
		}
		begin := time.Now()
		if err := Run(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		t.Logf("firmware %v: %v", firmware, time.Since(begin).Round(time.Second))
		if got := oracle.Run(t, host, "cat", "-p", "esp", m.Disk, "/calls"); got != want {
			t.Errorf("firmware %v: the programs were called like this:\n%s\nwant\n%s", firmware, got, want)
		}
	}
}
