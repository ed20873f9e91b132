package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"diskwright/vm/protocol"

	"golang.org/x/sys/unix"
)

const (
	root = "/mnt"
	disk = "/dev/vda"
	// patience is how long devices may take to appear, and programs to let go of
	// file systems. Emulated machines are slow.
	patience = 20 * time.Second
	pause    = 20 * time.Millisecond
)

// Running reports whether this process is /init of a guest.
func Running() bool {
	if os.Getpid() != 1 || len(os.Args) == 0 || os.Args[0] != Init {
		return false
	}
	_, err := os.Stat(Order)
	return err == nil
}

// Main does a guest's work and powers off. It does not return.
func Main() {
	if err := work(); err != nil {
		// The host shows the console of a guest that did not reach it.
		fmt.Printf("diskwright: %v\n", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// work returns why the host could not be reached. What goes wrong later is told
// to the host.
func work() error {
	if err := prepare(); err != nil {
		return err
	}
	channel, err := openChannel()
	if err != nil {
		return err
	}
	g := &guest{w: protocol.NewWriter(channel)}
	if err := g.w.Text(protocol.Hello, protocol.Version); err != nil {
		return err
	}
	err = g.converse(channel)
	if err != nil {
		err = g.w.Text(protocol.Failed, "%v", err)
	} else {
		err = g.w.Send(protocol.Done, nil)
	}
	// Power comes off when the host has read everything, and closes its end; a
	// virtio port loses nothing that was written before.
	channel.Close()
	return err
}

// devices are the names that every system has in /dev, and that are no devices.
var devices = []struct{ name, target string }{
	{"fd", "/proc/self/fd"}, {"stdin", "fd/0"}, {"stdout", "fd/1"}, {"stderr", "fd/2"},
}

// prepare mounts the kernel's own file systems and loads modules.
func prepare() error {
	for _, m := range []struct{ fstype, path, data string }{
		{"devtmpfs", "/dev", ""}, {"devpts", "/dev/pts", ""}, {"tmpfs", "/dev/shm", "mode=1777"}, {"proc", "/proc", ""}, {"sysfs", "/sys", ""},
	} {
		if err := mount(m.fstype, m.fstype, m.path, m.data); err != nil {
			return err
		}
	}
	for _, d := range devices {
		if err := os.Symlink(d.target, "/dev/"+d.name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	order, err := os.ReadFile(Order)
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		// One that does not load (another processor's checksums, or built in)
		// is not always needed. What is needed is missed by the next steps.
		if err := load(filepath.Join(Modules, name+".ko")); err != nil && !errors.Is(err, unix.EEXIST) {
			fmt.Printf("diskwright: module %s: %v\n", name, err)
		}
	}
	return nil
}

func load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// mount mounts a file system on a directory, which is made if it is missing.
func mount(device, fstype, path, data string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, path, fstype, 0, data); err != nil {
		return fmt.Errorf("mounting %s on %s as %s: %w", device, path, fstype, err)
	}
	return nil
}

// await calls found until it says so.
func await(what string, found func() bool) error {
	for end := time.Now().Add(patience); !found(); time.Sleep(pause) {
		if time.Now().After(end) {
			return fmt.Errorf("there is no %s after %v", what, patience)
		}
	}
	return nil
}

// openChannel opens the port to the host.
func openChannel() (*os.File, error) {
	device := ""
	err := await("virtio-serial port "+protocol.Port+" (has the kernel virtio_console?)", func() bool {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, file := range names {
			if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == protocol.Port {
				device = "/dev/" + filepath.Base(filepath.Dir(file))
				_, err := os.Stat(device)
				return err == nil
			}
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	return os.OpenFile(device, os.O_RDWR, 0)
}

// guest does a job.
type guest struct {
	w   *protocol.Writer
	env []string // of all programs
}

// converse receives the job and does it.
func (g *guest) converse(r io.Reader) error {
	m, err := protocol.Read(r)
	if err != nil {
		return err
	}
	job, err := m.Job()
	if err != nil {
		return err
	}
	err = g.do(job)
	// Orderly in any case: but the first error is the reason.
	if e := g.leave(); err == nil {
		err = e
	}
	return err
}

// do does a job, up to the last command.
func (g *guest) do(job *protocol.Job) error {
	if err := await("disk "+disk, func() bool { _, err := os.Stat(disk); return err == nil }); err != nil {
		return err
	}
	if err := setClock(job.Epoch); err != nil {
		return err
	}
	g.env = environment(job.Epoch)
	if err := linkDisk(job.Links); err != nil {
		return err
	}
	for _, m := range job.Mounts {
		if err := g.mount(m); err != nil {
			return err
		}
	}
	// As nixos-enter has it.
	if _, err := os.Stat(root + "/etc/NIXOS"); err != nil {
		return errors.New("the disk has no /etc/NIXOS: it is not a NixOS system")
	}
	if err := g.mountSystem(job.EFIVars); err != nil {
		return err
	}
	for _, c := range job.Commands {
		if err := g.enter(c); err != nil {
			return err
		}
	}
	return nil
}

// setClock makes it the epoch, so that what programs make of the date is the same
// tomorrow. Linux has no time at which it would have started before 1970.
func setClock(epoch int64) error {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return err
	}
	seconds := max(epoch, int64(up.Sec)+1)
	now := unix.NsecToTimeval(seconds * int64(time.Second))
	if err := unix.Settimeofday(&now); err != nil {
		return fmt.Errorf("setting the clock to %d: %w", seconds, err)
	}
	return nil
}

// mount mounts a file system of the disk.
func (g *guest) mount(m protocol.Mount) error {
	device := disk
	if m.Partition != 0 {
		device = fmt.Sprintf("%s%d", disk, m.Partition)
	}
	g.w.Text(protocol.Step, "mount %s on %s", device, m.Path)
	if err := await("partition "+device, func() bool { _, err := os.Stat(device); return err == nil }); err != nil {
		return err
	}
	return mount(device, m.Type, filepath.Join(root, m.Path), m.Data)
}

// mountSystem mounts what nixos-enter and activation do not have on the disk.
func (g *guest) mountSystem(efivars bool) error {
	if efivars {
		g.w.Text(protocol.Step, "mount efivarfs")
		if err := mount("efivarfs", "efivarfs", "/sys/firmware/efi/efivars", ""); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/dev", "/sys"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(dir, root+dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("binding %s: %w", dir, err)
		}
	}
	if err := mount("proc", "proc", root+"/proc", ""); err != nil {
		return err
	}
	return mount("tmpfs", "tmpfs", root+"/run", "mode=0755")
}

// checkLink refuses what is not a name for a device.
func checkLink(link string) error {
	if !strings.HasPrefix(link, "/dev/") || filepath.Clean(link) != link {
		return fmt.Errorf("%q is not the name of a device", link)
	}
	return nil
}

// linkDisk gives the disk and its partitions the names that programs look for,
// some without asking udev, which does not run here.
func linkDisk(links []string) error {
	for _, link := range append([]string{"/dev/xvda", "/dev/sda"}, links...) {
		if err := checkLink(link); err != nil {
			return err
		}
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(disk, link); err != nil {
			return err
		}
	}
	// systemd-boot finds the ESP by /dev/block/MAJOR:MINOR.
	if err := os.MkdirAll("/dev/block", 0o755); err != nil {
		return err
	}
	numbers, err := filepath.Glob("/sys/class/block/vda*/dev")
	if err != nil {
		return err
	}
	for _, file := range numbers {
		number, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		link := "/dev/block/" + strings.TrimSpace(string(number))
		if err := os.Symlink("/dev/"+filepath.Base(filepath.Dir(file)), link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
