package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"diskwright/vm/protocol"

	"golang.org/x/sys/unix"
)

// path is where commands are looked for that have no directory.
const path = System + "/sw/bin"

// linger is how long what a program prints is waited for when it has ended but
// its children have not.
const linger = 2 * time.Second

// environment returns that of all programs. The reference has HOME in a place that
// is not on the disk: what nix-env leaves there is no part of a system. What
// interpreters do in an order of their own, such as the lines of /etc/shadow, they do
// in the same one each time.
func environment(epoch int64) []string {
	return []string{
		"PATH=" + path, "HOME=/run", "TERM=dumb", "LOCALE_ARCHIVE=" + System + "/sw/lib/locale/locale-archive",
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(epoch, 10), "PERL_HASH_SEED=0", "PERL_PERTURB_KEYS=0", "PYTHONHASHSEED=0",
	}
}

// enter does what nixos-enter does.
func (g *guest) enter(c protocol.Command) error {
	if len(c.Args) == 0 {
		return errors.New("a command without a name")
	}
	activation := append(slices.Clone(c.Env), "IN_NIXOS_ENTER=1")
	if _, err := g.run(System+" activate", activation, System+"/activate"); err != nil {
		return err
	}
	if _, err := g.run("systemd-tmpfiles", c.Env, path+"/systemd-tmpfiles", "--create", "--remove", "-E"); err != nil {
		return err
	}
	name := strings.Join(c.Args, " ")
	program := c.Args[0]
	if !strings.HasPrefix(program, "/") {
		program = path + "/" + program
	}
	status, err := g.run(name, c.Env, program, c.Args[1:]...)
	switch {
	case err != nil:
		return err
	case status < 0:
		return fmt.Errorf("%s: ended by signal %d (%v)", name, -status, syscall.Signal(-status))
	case status != 0:
		return fmt.Errorf("%s: exit status %d", name, status)
	}
	return nil
}

// notFound is the status of a shell whose program is missing or cannot run.
const notFound = 127

// run runs a program in the system and tells its status, which is negative if a
// signal ended it.
func (g *guest) run(step string, env []string, program string, args ...string) (status int, err error) {
	if err := g.w.Text(protocol.Step, "%s", step); err != nil {
		return 0, err
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = append(slices.Clone(g.env), env...)
	cmd.Stdout, cmd.Stderr = g.w, g.w
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Setsid: true}
	cmd.WaitDelay = linger
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &exit):
		status = exit.ExitCode()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			status = -int(ws.Signal())
		}
	default:
		fmt.Fprintf(g.w, "%v\n", err)
		status = notFound
	}
	killOthers()
	return status, g.w.Exit(status)
}

// killOthers ends every process but this one, which is what the end of
// nixos-enter's own process namespace does.
func killOthers() {
	unix.Kill(-1, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// leave unmounts everything of the disk, so that it is complete.
func (g *guest) leave() error {
	g.w.Text(protocol.Step, "unmount")
	killOthers()
	unix.Sync()
	for range 10 { // what is mounted below another mount is seen when that is gone
		points, err := mounted()
		if err != nil {
			return err
		}
		if len(points) == 0 {
			return nil
		}
		for _, point := range slices.Backward(points) {
			if err := unmount(point); err != nil {
				return err
			}
		}
	}
	return errors.New("something is mounted again and again")
}

func unmount(point string) error {
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		err = unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", point, err)
	}
	return nil
}

// mounted returns the mount points below root, in the order in which they were
// mounted.
func mounted() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return mountPoints(string(text)), nil
}

// mountPoints reads /proc/self/mountinfo: the fifth field is the mount point, in
// which characters that separate are octal.
func mountPoints(mountinfo string) (points []string) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescape.Replace(fields[4])
		if point == root || strings.HasPrefix(point, root+"/") {
			points = append(points, point)
		}
	}
	return points
}
