package host

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"diskwright/content"
	"diskwright/tree"
	"diskwright/vm/cpio"
	"diskwright/vm/guest"
	"diskwright/vm/kmod"
	"diskwright/vm/protocol"
)

// Files of a machine, in its directory.
const (
	kernelFile = "kernel"
	initrdFile = "initrd"
)

// consoleFD is what QEMU writes the console to: the first file that it is given.
const consoleFD = 3

// architecture is what machines differ in.
type architecture struct {
	machine    string      // for QEMU
	parameters string      // for the kernel: where the serial port is
	goarch     string      // as Go names it
	elf        elf.Machine // as programs name it
}

var architectures = map[string]architecture{
	// Linux gives up on an emulated machine whose timer does not tick while it
	// looks, which happens if the host is busy.
	"x86_64":  {"q35", "console=ttyS0 no_timer_check", "amd64", elf.EM_X86_64},
	"aarch64": {"virt,gic-version=max", "console=ttyAMA0", "arm64", elf.EM_AARCH64},
}

// architecture returns that of the machine.
func (m *Machine) architecture() (architecture, error) {
	a, ok := architectures[m.Arch]
	if !ok {
		return a, fmt.Errorf("no virtual machine for the architecture %q: want x86_64 or aarch64", m.Arch)
	}
	return a, nil
}

// accels returns what to try, in this order.
func (m *Machine) accels() []Accel {
	switch {
	case m.Accel != "":
		return []Accel{m.Accel}
	case runtime.GOOS == "linux" && architectures[m.Arch].goarch == runtime.GOARCH:
		return []Accel{KVM, TCG}
	default:
		return []Accel{TCG}
	}
}

// program returns the path of QEMU.
func (m *Machine) program() (string, error) {
	if m.QEMU != "" {
		return m.QEMU, nil
	}
	name := "qemu-system-" + m.Arch
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not in PATH: it is needed to run the system's own installer", name)
	}
	return path, nil
}

// prepare writes the machine's files.
func (m *Machine) prepare(dir string) error {
	if _, err := m.architecture(); err != nil {
		return err
	}
	if err := CheckGuest(m.Guest, m.Arch); err != nil {
		return err
	}
	if err := writeSource(filepath.Join(dir, kernelFile), m.Kernel); err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	program, err := content.StatHostFile(m.Guest)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, initrdFile))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := WriteInitrd(f, program, m.Modules); err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	return f.Close()
}

func writeSource(path string, src content.Source) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(f, io.NewSectionReader(src, 0, src.Size()))
	if err == nil && n != src.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// WriteInitrd writes the initial file system of a guest: the program and its
// modules.
func WriteInitrd(w io.Writer, program content.Source, modules []kmod.Module) error {
	epoch := tree.Time{}
	root := tree.NewDir(epoch)
	init := tree.NewFile(program, epoch)
	init.Mode = tree.TypeRegular | 0o755
	device := func(major, minor uint32) *tree.Inode {
		return &tree.Inode{Mode: tree.TypeChar | 0o600, Major: major, Minor: minor}
	}
	files := []struct {
		path string
		i    *tree.Inode
	}{
		{guest.Init, init},
		// Before there is anything, a program's standard files are these.
		{"/dev/console", device(5, 1)},
		{"/dev/null", device(1, 3)},
	}
	var order strings.Builder
	for _, m := range modules {
		order.WriteString(m.Name + "\n")
		files = append(files, struct {
			path string
			i    *tree.Inode
		}{guest.Modules + "/" + m.Name + ".ko", tree.NewFile(content.Bytes(m.Code), epoch)})
	}
	for _, f := range files {
		if err := tree.PutFile(root, f.path, f.i, epoch); err != nil {
			return err
		}
	}
	if err := tree.PutFile(root, guest.Order, tree.NewFile(content.Bytes(order.String()), epoch), epoch); err != nil {
		return err
	}
	return cpio.Write(w, root)
}

// arguments returns QEMU's.
func (m *Machine) arguments(dir string, accel Accel) []string {
	a := architectures[m.Arch]
	memory := m.MemoryMiB
	if memory == 0 {
		memory = defaultMemory
	}
	machine := a.machine
	if m.Firmware != nil && m.Firmware.SMM {
		machine += ",smm=on"
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none",
		"-machine", machine, "-cpu", "max", "-m", strconv.Itoa(memory), "-smp", "1",
		"-device", "virtio-rng-pci",
		"-kernel", filepath.Join(dir, kernelFile), "-initrd", filepath.Join(dir, initrdFile),
		"-append", a.parameters + " panic=-1 quiet",
		"-add-fd", fmt.Sprintf("fd=%d,set=1", consoleFD), "-chardev", "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console",
		// The channel is QEMU's own input and output.
		"-chardev", "stdio,id=channel,signal=off", "-device", "virtio-serial-pci",
		"-device", "virtserialport,chardev=channel,name=" + protocol.Port,
		"-drive", "if=none,id=disk,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap,file=" + escape(m.Disk),
		"-device", "virtio-blk-pci,drive=disk",
	}
	args = append(args, "-accel", string(accel))
	if f := m.Firmware; f != nil {
		if f.SMM {
			args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
		}
		args = append(args,
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+escape(f.Code),
			"-drive", "if=pflash,format=raw,unit=1,file="+escape(f.Variables))
	}
	return args
}

// escape writes a file's name as QEMU's options want it.
func escape(name string) string { return strings.ReplaceAll(name, ",", ",,") }
