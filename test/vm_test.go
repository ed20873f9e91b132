//go:build linux

package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"

	"github.com/google/go-cmp/cmp"
)

// vmCase is an image whose boot loader a system of the fixture installs itself, in a
// virtual machine, with Debian's grub-install or bootctl.
type vmCase struct {
	name      string
	system    string // variant of the fixture
	layout    string
	firmwares []boot.Firmware // that start the image
	variables bool            // with touchEFIVars
	args      []string
	long      bool
	twice     bool   // built twice also where tests are to be short
	explained string // the name in docs/vm.md of what differs from a native image
}

var bothFirmwares = []boot.Firmware{boot.BIOS, boot.UEFI}

var vmMatrix = []vmCase{
	{name: "GRUB, hybrid", system: "grub-installs", layout: "hybrid", firmwares: bothFirmwares, args: []string{"--boot-size", "128M"}, twice: true,
		explained: "grub"},
	{name: "systemd-boot, efixbootldr, variables", system: "systemd-boot-xbootldr-installs", layout: "efixbootldr", firmwares: bothFirmwares[1:],
		variables: true, args: []string{"--boot-size", "256M"}, explained: "sd"},
	{name: "systemd-boot, efi", system: "systemd-boot-installs", layout: "efi", firmwares: bothFirmwares[1:], args: []string{"--boot-size", "128M"}, long: true},
	{name: "GRUB, legacy", system: "grub-installs", layout: "legacy", firmwares: bothFirmwares[:1], long: true},
	{name: "GRUB, legacy+boot", system: "grub-installs", layout: "legacy+boot", firmwares: bothFirmwares[:1], args: []string{"--boot-size", "128M"}, long: true},
	{name: "GRUB, legacy+gpt", system: "grub-installs", layout: "legacy+gpt", firmwares: bothFirmwares[:1], long: true},
	{name: "GRUB, the disk as it is", system: "grub-installs", layout: "hybrid", firmwares: bothFirmwares, args: []string{"--boot-size", "128M", "--keep-disk"}, long: true},
}

// vmArgs are the arguments for an image of a system that installs its loader.
func vmArgs(t testing.TB, s *fixture.System, args ...string) []string {
	t.Helper()
	oracle.Need(t, "qemu-system-x86_64")
	return append(append([]string{"build", "--no-sync"}, systemArgs(s)...),
		append([]string{"--install-method", "vm", "--mem-size", "512", "--vm-devices", "/dev/disk/by-id/virtio-fixture"}, args...)...)
}

// ovmfCode returns the place of OVMF's code, with secure boot or without.
func ovmfCode(t testing.TB, secureBoot bool) string {
	t.Helper()
	if secureBoot {
		return oracle.NeedFile(t, "ovmf", "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.fd")
	}
	return oracle.NeedFile(t, "ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/edk2/ovmf/OVMF_CODE_4M.fd", "/usr/share/edk2/x64/OVMF_CODE.4m.fd")
}

// build builds the outputs of a case into a new directory.
func (c vmCase) build(t testing.TB, s *fixture.System) (dir string) {
	t.Helper()
	dir = scratch.Dir(t)
	args := vmArgs(t, s, append([]string{"-q", "-o", dir, "--partition-table-type", c.layout}, c.args...)...)
	if c.variables {
		args = append(args, "--touch-efi-vars", "--efi-variables", boot.Variables(t), "--efi-firmware", ovmfCode(t, false))
	}
	must(t, args...)
	return dir
}

// What a system has installed itself starts, and a second build has the same bytes.
func TestVMBootMatrix(t *testing.T) {
	t.Parallel()
	for _, c := range vmMatrix {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				long(t)
			}
			t.Parallel()
			s := fixture.Build(t, c.system)
			dir := c.build(t, s)
			image := filepath.Join(dir, "nixos.img")
			kept := slices.Contains(c.args, "--keep-disk")
			if !kept && (c.twice || os.Getenv("DISKWRIGHT_LONG") != "") {
				again := c.build(t, s)
				for _, file := range list(t, dir) {
					if a, b := digest(t, filepath.Join(dir, file)), digest(t, filepath.Join(again, file)); a != b {
						t.Errorf("two builds: %s is %s and %s", file, a, b)
					}
				}
			}
			if !kept {
				checkDisk(t, image, findLayout(c.layout))
			}
			if c.explained != "" {
				native := bootCase{layout: c.layout, args: c.args}.build(t, s)
				checkExplained(t, native, image, c.explained)
			}
			for _, firmware := range c.firmwares {
				m := boot.Machine{Image: image, Firmware: firmware}
				if c.variables {
					m.Variables = filepath.Join(dir, "efi-vars.fd")
				}
				checkBooted(t, boot.Run(t, m), s, s.Toplevel)
			}
		})
	}
}

// checkExplained compares what differs between an image that was built natively and
// one that was not with what docs/vm.md explains.
func checkExplained(t testing.TB, native, image, name string) {
	t.Helper()
	text, err := os.ReadFile("../docs/vm.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "    $ diskwright diff --content-only native-"+name+"/nixos.img vm-"+name+"/nixos.img\n")
	if !ok {
		t.Fatalf("docs/vm.md does not compare %s", name)
	}
	var want, got []string
	add := func(lines *[]string, line string) {
		if line != "" && strings.Contains("F+-~", line[:1]) {
			*lines = append(*lines, line)
		}
	}
	for line := range strings.Lines(block) {
		line, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if line != "" && !indented {
			break
		}
		add(&want, line)
	}
	var exit *exec.ExitError
	out, err := command("diff", "--content-only", native, image).Output()
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatalf("diskwright diff: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		add(&got, strings.TrimRight(line, "\n"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("differences (-docs/vm.md +real):\n%s", diff)
	}
}

// list returns the names of what is in a directory.
func list(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Firmware that demands system management mode gets it.
func TestVMSecureBootFirmware(t *testing.T) {
	long(t)
	t.Parallel()
	s := fixture.Build(t, "systemd-boot-xbootldr-installs")
	code := ovmfCode(t, true)
	dir := scratch.Dir(t)
	args := vmArgs(t, s, "-q", "-o", dir, "--partition-table-type", "efixbootldr", "--boot-size", "256M",
		"--touch-efi-vars", "--efi-variables", boot.Variables(t), "--efi-firmware", code)
	must(t, append(args, "--efi-smm")...)
	checkBooted(t, boot.Run(t, boot.Machine{Image: filepath.Join(dir, "nixos.img"), Firmware: boot.UEFI, Variables: filepath.Join(dir, "efi-vars.fd")}), s, s.Toplevel)
	// Without, it does not start.
	fails(t, command(append(args, "--vm-timeout", "20")...), 1, "did not start")
}

// installer are arguments for an image whose installer runs a script first.
func installer(t testing.TB, script string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "installer.sh")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"--contents", "source=" + file + ",target=/installer.sh"}
}

// vmFailure is a build that does not come to its end, in directories that are watched.
type vmFailure struct {
	cmd            *exec.Cmd
	out, temporary string
	steps          *bufio.Scanner // of standard error
}

// startVMFailure starts the build of an image whose installer runs a script.
func startVMFailure(t testing.TB, script string, args ...string) *vmFailure {
	t.Helper()
	f := &vmFailure{out: scratch.Dir(t), temporary: scratch.Dir(t)}
	args = append(append([]string{"-o", filepath.Join(f.out, "made"), "--spool", f.temporary, "--json"}, installer(t, script)...), args...)
	f.cmd = command(vmArgs(t, fixture.Build(t, "grub-installs"), args...)...)
	f.cmd.Env = append(os.Environ(), "TMPDIR="+f.temporary)
	stderr, err := f.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.steps = bufio.NewScanner(stderr)
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

// await reads what the build says until a line has a text.
func (f *vmFailure) await(t testing.TB, text string) {
	t.Helper()
	for f.steps.Scan() {
		if strings.Contains(f.steps.Text(), text) {
			return
		}
	}
	t.Errorf("the build ends before it says %q", text)
}

// end waits for the build's end and returns the rest of what it says.
func (f *vmFailure) end(t testing.TB) string {
	t.Helper()
	var rest bytes.Buffer
	for f.steps.Scan() {
		fmt.Fprintln(&rest, f.steps.Text())
	}
	_ = wait(t, f.cmd)
	return rest.String()
}

// clean checks that no file and no process is left.
func (f *vmFailure) clean(t testing.TB) {
	t.Helper()
	empty(t, f.out)
	empty(t, f.temporary)
	if pids := f.processes(t); len(pids) > 0 {
		t.Errorf("still there: %q", pids)
	}
}

// processes returns those that work on a file of the build.
func (f *vmFailure) processes(t testing.TB) (pids []string) {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), "qemu") && strings.Contains(string(line), f.temporary) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

// runs is where a build says that the installer has begun.
const runs = "switch-to-configuration boot"

// An installer that fails makes the build fail, with what it has said.
func TestVMInstallerFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		args         []string
		want         []string
		long         bool
	}{
		{"fails", "echo this is wrong >&2; exit 3\n", nil, []string{"exit status 3", "this is wrong"}, false},
		{"fills the disk", "cat /dev/zero >/full\n", nil, []string{"No space left on device"}, true},
		{"hangs", "sleep 1000\n", []string{"--vm-timeout", "20"}, []string{"not done within 20s", runs}, true},
		{"never ends", "cat /dev/urandom\n", []string{"--vm-timeout", "20"}, []string{"not done within 20s", runs}, true},
		{"kills what it can", "echo last words; sleep 1; kill -9 -1; sleep 1000\n", nil, []string{"signal", "last words"}, true},
		{"changes the partition table", "printf '\\001' | dd of=/dev/vda bs=1 seek=454 conv=notrunc 2>/dev/null; exit 0\n", nil, []string{"partition table", "keepDisk"}, true},
		{"powers off", "echo o >/proc/sysrq-trigger; sleep 1000\n", nil, []string{"ended early", runs}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				long(t)
			}
			t.Parallel()
			f := startVMFailure(t, c.script, c.args...)
			message := f.end(t)
			checkFailure(t, f.cmd, message, 1, c.want...)
			f.clean(t)
		})
	}
}

// Whoever ends in the middle: nothing is left.
func TestVMSignals(t *testing.T) {
	t.Parallel()
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		f := startVMFailure(t, "sleep 1000\n")
		f.await(t, runs)
		if len(f.processes(t)) == 0 {
			t.Error("there is no QEMU")
		}
		if err := f.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		f.end(t)
		for end := time.Now().Add(5 * time.Second); len(f.processes(t)) > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("still there: %q", f.processes(t))
			}
		}
		if names := list(t, f.out); len(names) > 0 {
			t.Errorf("%q is left", names)
		}
	})
	t.Run("terminated", func(t *testing.T) {
		long(t)
		t.Parallel()
		f := startVMFailure(t, "sleep 1000\n")
		f.await(t, runs)
		if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		checkFailure(t, f.cmd, f.end(t), 128+int(syscall.SIGTERM))
		f.clean(t)
	})
}

// An ordinary user can do it, and gets the same bytes.
func TestVMAsUser(t *testing.T) {
	long(t)
	oracle.NeedRoot(t)
	t.Parallel()
	s := fixture.Build(t, "grub-installs")
	c := vmCase{layout: "legacy"}
	want := digest(t, filepath.Join(c.build(t, s), "nixos.img"))

	// The fixture is where only its owner may look.
	const nobody = 65534
	store, out := scratch.Dir(t), scratch.Dir(t)
	if err := os.Chown(out, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	seen := *s
	seen.Root, seen.ClosureInfo = store, strings.Replace(s.ClosureInfo, s.Root, store, 1)
	args := append([]string{"--mount", "sh", "-c", `mount --bind "$1" "$2" && shift 2 && exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"`,
		"sh", s.Root, store, program}, vmArgs(t, &seen, "-q", "-o", out, "--partition-table-type", "legacy")...)
	cmd := oracle.Command(t, "unshare", args...)
	cmd.Env = append(cmd.Env, "TMPDIR="+out)
	mustRun(t, cmd)
	if got := digest(t, only(t, out)); got != want {
		t.Errorf("a user gets %s, root %s", got, want)
	}
}
