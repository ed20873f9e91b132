package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/nixstore"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
	"diskwright/vm/guest"
	"diskwright/vm/kmod"
	"diskwright/vm/protocol"
)

// binaries is where program builds.
var binaries string

func TestMain(m *testing.M) {
	status := m.Run()
	if binaries != "" {
		os.RemoveAll(binaries)
	}
	os.Exit(status)
}

// one has one machine run at a time.
var one sync.Mutex

// program is the whole program, as it is built for users.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "diskwright-vm-test-")
	if err != nil {
		return "", err
	}
	binaries = dir
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "diskwright"), "diskwright/cmd/diskwright")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return filepath.Join(dir, "diskwright"), nil
})

// bench is a disk with a system whose installer works.
type bench struct {
	t       *testing.T
	system  *fixture.System
	machine *Machine
	steps   []string
}

// newBench builds a disk with a layout.
func newBench(t *testing.T, args ...string) *bench {
	t.Helper()
	oracle.Need(t, "qemu-system-x86_64")
	s := fixture.Build(t, "grub-installs")
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch.Dir(t)
	args = append([]string{"build", "-q", "--no-sync", "-o", dir, "--system", s.Toplevel, "--closure-info", s.ClosureInfo, "--store-dir", s.Root,
		"--install-boot-loader=false", "--disk-size", "min", "--additional-space", "96M"}, args...)
	if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	closure, err := nixstore.FromClosureInfo(s.ClosureInfo)
	if err != nil {
		t.Fatal(err)
	}
	store, err := nixstore.Tree(context.Background(), closure, s.Host(nixstore.StoreDir), nixstore.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	root := tree.NewDir(tree.Time{})
	if _, err := tree.MakeDir(root, "nix", tree.Time{}); err != nil {
		t.Fatal(err)
	}
	root.Child("nix").SetChild("store", store)
	set, err := kmod.Open(boot.Files{Root: root}, s.Toplevel+"/kernel-modules")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := set.Load(Wanted...)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := content.StatHostFile(s.Kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, system: s}
	b.machine = &Machine{
		Arch: "x86_64", Guest: bin, Disk: filepath.Join(dir, "nixos.img"), Kernel: kernel, Modules: modules, MemoryMiB: 512, Limit: 5 * time.Minute,
		Job: &protocol.Job{
			Links: []string{"/dev/disk/by-id/virtio-fixture"},
			Commands: []protocol.Command{{
				Args: []string{guest.System + "/bin/switch-to-configuration", "boot"}, Env: []string{"NIXOS_INSTALL_BOOTLOADER=1"},
			}},
		},
		Report: func(e Event) {
			if e.Step != "" {
				b.steps = append(b.steps, e.Step)
			}
		},
	}
	return b
}

// run runs the machine, alone.
func (b *bench) run(ctx context.Context) error {
	one.Lock()
	defer one.Unlock()
	begin := time.Now()
	err := Run(ctx, b.machine)
	b.t.Logf("%v: %q", time.Since(begin).Round(time.Second/10), b.steps)
	return err
}

// rootOnly is a disk without boot partitions.
func rootOnly(t *testing.T, args ...string) *bench {
	b := newBench(t, append([]string{"--partition-table-type", "legacy"}, args...)...)
	b.machine.Job.Mounts = []protocol.Mount{{Partition: 1, Type: "ext4", Path: "/"}}
	return b
}

// script is a program that the installer of the fixture runs first.
func script(t *testing.T, text string) []string {
	file := filepath.Join(t.TempDir(), "installer.sh")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"--contents", "source=" + file + ",target=/installer.sh"}
}

// What an installer says when it fails is the error; the disk is unmounted in
// order.
func TestFailure(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "echo this is what is wrong >&2; sleep 1000 & exit 3\n")...)
	err := b.run(t.Context())
	var failed *GuestError
	if !errors.As(err, &failed) || failed.Reason != guest.System+"/bin/switch-to-configuration boot: exit status 3" || failed.Output != "this is what is wrong" {
		t.Errorf("error is %v", err)
	}
	if last := b.steps[len(b.steps)-1]; last != stepUnmount {
		t.Errorf("the last step is %q", last)
	}
	if out, status := oracle.Exit(t, "e2fsck", "-fn", b.machine.Disk+"?offset=1048576"); status != 0 {
		t.Errorf("e2fsck:\n%s", out)
	}
}

// One that hangs is ended by the time limit, and no QEMU stays.
func TestLimit(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "sleep 1000\n")...)
	b.machine.Limit = 8 * time.Second
	err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not done within 8s") {
		t.Errorf("error is %v", err)
	}
	noQEMU(t, b)
}

// allSteps are those of a guest, and someSteps the one that takes long.
var (
	someSteps = []string{guest.System + "/bin/switch-to-configuration boot"}
	allSteps  = append([]string{"mount /dev/vda1 on /", guest.System + " activate", "systemd-tmpfiles"}, someSteps...)
)

// steps returns the steps at which to end a guest.
func steps() []string {
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		return allSteps
	}
	return someSteps
}

// A context that is done, at each step, ends the machine with its cause.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "sleep 1000\n")...)
	report := b.machine.Report
	for _, step := range steps() {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("interrupted at " + step)
		b.machine.Report = func(e Event) {
			report(e)
			if e.Step == step {
				cancel(cause)
			}
		}
		if err := b.run(ctx); !errors.Is(err, cause) {
			t.Errorf("error is %v, want %v", err, cause)
		}
		noQEMU(t, b)
	}
}

// What does not start says why.
func TestNoStart(t *testing.T) {
	t.Parallel()
	b := rootOnly(t)
	type start struct {
		change func(*Machine)
		want   []string
	}
	starts := []start{
		{func(m *Machine) { m.Kernel = content.Bytes("no kernel") }, []string{"did not start"}},
		{func(m *Machine) { m.QEMU = "/nowhere/qemu" }, []string{"/nowhere/qemu"}},
		{func(m *Machine) { m.Arch = "mips" }, []string{`"mips"`}},
		{func(m *Machine) { m.Arch = "aarch64" }, []string{"EM_X86_64", "EM_AARCH64"}},
		{func(m *Machine) { m.Guest = "/bin/sh" }, []string{"linked statically"}},
		{func(m *Machine) { m.Guest = "/etc/passwd" }, []string{"not a program for Linux"}},
	}
	if os.Getenv("DISKWRIGHT_LONG") != "" { // it waits for the channel
		starts = append(starts, start{func(m *Machine) { m.Modules = nil }, []string{"did not start", "there is no virtio-serial port"}})
	}
	for _, c := range starts {
		m := *b.machine
		m.Accel = TCG
		c.change(&m)
		one.Lock()
		err := Run(t.Context(), &m)
		one.Unlock()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %q", err, want)
			}
		}
	}
}

// A QEMU that somebody kills, at each step, is told with the step that it was at.
func TestKilled(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "sleep 1000\n")...)
	report := b.machine.Report
	for _, step := range steps() {
		b.machine.Report = func(e Event) {
			report(e)
			if e.Step == step {
				for _, pid := range b.processes() {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
		err := b.run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "ended early") || !strings.Contains(err.Error(), fmt.Sprintf("%q", step)) {
			t.Errorf("error is %v", err)
		}
		noQEMU(t, b)
	}
}

// noQEMU fails the test if a QEMU still has the disk.
func noQEMU(t *testing.T, b *bench) {
	t.Helper()
	if pids := b.processes(); len(pids) > 0 {
		t.Errorf("still there: %d", pids)
	}
}

// processes returns those that have the disk as an argument.
func (b *bench) processes() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), b.machine.Disk) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
