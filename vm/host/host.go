// Package host starts a virtual machine in which the system on a disk installs
// its own boot loader, and waits for its end.
//
//	disk (raw) ──► QEMU ── virtio-blk ──► guest: this program as /init
//	                └──── virtio-serial ◄──► job, steps, output, exit statuses
//
// The machine has the kernel of the system, an initrd that is made here, one
// disk, a channel, and nothing else: no network, no files of the host. It runs on
// KVM if QEMU gets that to work, and is emulated otherwise.
//
// What the guest can make larger is bounded here: its console and its output are
// pipes of which the end is kept. QEMU ends with the context, with the time limit,
// and (on Linux) with this process, however that ends. Its files are in a directory
// of its own that is removed.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"diskwright/content"
	"diskwright/vm/kmod"
	"diskwright/vm/protocol"
)

// Machine is what to run, and on what. Zero values are fine where it says so.
type Machine struct {
	// Arch is the machine's architecture as QEMU names it: "x86_64", "aarch64".
	Arch string
	// QEMU is the program; "" is qemu-system-ARCH in PATH.
	QEMU string
	// Guest is this program for the machine: see [CheckGuest].
	Guest string
	// Disk is the raw image that the guest changes.
	Disk string

	Kernel   content.Source
	Modules  []kmod.Module // in the order in which they are loaded
	Job      *protocol.Job
	Firmware *Firmware // nil is none: QEMU starts the kernel itself
	Accel    Accel     // "" is KVM where it works, and TCG elsewhere

	MemoryMiB int           // 0 is 1024
	Limit     time.Duration // 0 is half an hour

	// Report is told what happens, from one goroutine. It may be nil.
	Report func(Event)
}

// Accel is what executes the guest's instructions.
type Accel string

const (
	KVM Accel = "kvm" // the processor
	TCG Accel = "tcg" // an emulator
)

// Firmware is a UEFI firmware, in flash.
type Firmware struct {
	Code      string // file
	Variables string // file, which the guest changes
	// SMM has the machine have system management mode, which firmware with
	// secure boot requires.
	SMM bool
}

// Event is news of a guest. Its texts can be shown as they are: what a terminal would
// do something about is not in them.
type Event struct {
	Step   string // begins, if it is not empty
	Output []byte // of the step, in pieces
	Exited bool   // a program has ended, with
	Status int
}

const (
	defaultMemory = 1024
	defaultLimit  = 30 * time.Minute
)

// Variables for tests.
var (
	// grace is how long a machine may take to power off once its guest is done.
	grace = 30 * time.Second
	// impatience is how long a guest on KVM may take to greet, which emulated
	// ones do in five seconds.
	impatience = time.Minute
)

// Wanted are the modules for what a guest needs: the machine's devices, file
// systems and what these use without naming it.
var Wanted = []string{
	"virtio_pci", "virtio_blk", "virtio_console", "virtio_rng",
	"crc32c_intel", "crc32c_generic", "ext4", "ext2", "ext3",
	"vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8", "efivarfs",
}

// GuestError is what went wrong in a guest: mostly an installer that failed. The
// text is the guest's own.
type GuestError struct {
	Reason string
	Output string // the end of what the last program printed
}

func (e *GuestError) Error() string {
	if e.Output == "" {
		return e.Reason
	}
	return e.Reason + "; it said:\n" + e.Output
}

// Run runs the machine until it has done its job and is off.
func Run(ctx context.Context, m *Machine) error {
	dir, err := os.MkdirTemp("", "diskwright-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := m.prepare(dir); err != nil {
		return err
	}
	limit := m.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, errLimit)
	defer cancel()
	restore, err := m.keepVariables()
	if err != nil {
		return err
	}
	var s *session
	for n, accel := range m.accels() {
		// That there is a /dev/kvm says little, and that QEMU takes it not much
		// more: some end with the first instruction. A guest that has not greeted
		// has not touched its disk. Its firmware has had the variables.
		if n > 0 {
			if err = restore(); err != nil {
				return err
			}
		}
		s = &session{report: m.Report}
		if err = s.run(limited, m, dir, accel); err == nil || s.greeted || limited.Err() != nil {
			break
		}
	}
	switch cause := context.Cause(limited); {
	case err == nil:
		return nil
	case errors.Is(cause, errLimit):
		return fmt.Errorf("the virtual machine was not done within %v; it %s%s", limit, s.position(), s.said())
	case cause != nil:
		return cause
	default:
		return err
	}
}

var errLimit = errors.New("time limit")

// keepVariables returns what makes the firmware's variables what they are now.
func (m *Machine) keepVariables() (restore func() error, err error) {
	if m.Firmware == nil {
		return func() error { return nil }, nil
	}
	store, err := os.ReadFile(m.Firmware.Variables)
	if err != nil {
		return nil, err
	}
	return func() error { return os.WriteFile(m.Firmware.Variables, store, 0o600) }, nil
}

// session is a machine that runs.
type session struct {
	report func(Event)

	impatience *time.Timer // ends a machine that does not greet; nil is none

	greeted bool
	step    string
	output  []byte // the end of what the step has printed
	console tail   // what the kernel has printed, and firmware
	stderr  tail   // of QEMU
}

// run starts QEMU and follows the guest.
func (s *session) run(ctx context.Context, m *Machine, dir string, accel Accel) error {
	program, err := m.program()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, m.arguments(dir, accel)...)
	cmd.Stderr = &s.stderr
	cmd.Cancel = func() error { return killTied(cmd) }
	cmd.WaitDelay = 5 * time.Second
	toGuest, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	fromGuest, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	console, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer console.Close()
	cmd.ExtraFiles = []*os.File{consoleFD - 3: ours}
	err = startTied(cmd)
	ours.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	consoleRead := make(chan struct{})
	go func() {
		io.Copy(&s.console, console)
		close(consoleRead)
	}()
	if accel == KVM && m.Accel == "" {
		s.impatience = time.AfterFunc(impatience, func() { killTied(cmd) })
		defer s.impatience.Stop()
	}
	result := s.follow(protocol.NewWriter(toGuest), fromGuest, m.Job)
	var failed *GuestError
	over := result == nil || errors.As(result, &failed)
	// It powers off now. What ends a conversation otherwise is mostly the end of
	// QEMU, which has its reasons and says them.
	patience := time.Second
	if over {
		patience = grace
	}
	defer time.AfterFunc(patience, func() { killTied(cmd) }).Stop()
	io.Copy(io.Discard, fromGuest)
	ended := cmd.Wait()
	select { // the pipe's other end has gone with QEMU
	case <-consoleRead:
	case <-time.After(cmd.WaitDelay):
	}
	switch {
	case errors.As(result, &failed):
		return result
	case over && ended != nil:
		return fmt.Errorf("the virtual machine was done, but did not power off: %w%s", ended, s.said())
	case over:
		return nil
	case errors.Is(result, io.EOF), errors.Is(result, io.ErrUnexpectedEOF):
		return fmt.Errorf("the virtual machine ended early: it %s%s", s.position(), s.said())
	default:
		return fmt.Errorf("the channel to the virtual machine is of no use (%w): it %s%s", result, s.position(), s.said())
	}
}

// follow is the host's side of the conversation.
func (s *session) follow(w *protocol.Writer, r io.Reader, job *protocol.Job) error {
	m, err := protocol.Read(r)
	if err != nil {
		return err
	}
	if m.Kind != protocol.Hello || string(m.Body) != protocol.Version {
		return &GuestError{Reason: fmt.Sprintf("the guest speaks %q, not %q: it is another version of this program", m.Body, protocol.Version)}
	}
	s.greeted = true
	if s.impatience != nil {
		s.impatience.Stop()
	}
	// A machine that has ended meanwhile: reading tells how far it came.
	if err := w.Job(job); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	for {
		m, err := protocol.Read(r)
		if err != nil {
			return err
		}
		switch m.Kind {
		case protocol.Done:
			return nil
		case protocol.Failed:
			return &GuestError{lines(m.Body), lines(s.output)}
		case protocol.Step:
			s.step = line(m.Body)
			if s.step != stepUnmount { // which prints nothing: what failed before it has the word
				s.output = nil
			}
			s.tell(Event{Step: s.step})
		case protocol.Output:
			s.output = keepEnd(append(s.output, m.Body...))
			s.tell(Event{Output: []byte(printable(m.Body))})
		case protocol.Exit:
			status, err := m.Status()
			if err != nil {
				return err
			}
			s.tell(Event{Exited: true, Status: status})
		default:
			return fmt.Errorf("the guest sends a message %q", m.Kind)
		}
	}
}

// stepUnmount is the guest's last step, also after one that failed.
const stepUnmount = "unmount"

func (s *session) tell(e Event) {
	if s.report != nil {
		s.report(e)
	}
}

// position says how far a guest has come.
func (s *session) position() string {
	switch {
	case !s.greeted:
		return "did not start"
	case s.step == "":
		return "had begun nothing"
	default:
		return fmt.Sprintf("was at %q", s.step)
	}
}

// said returns what there is to read about a machine that did not do what it
// should: the end of its output, or else of the console, and QEMU's errors.
func (s *session) said() string {
	var b strings.Builder
	if text := lines(s.output); text != "" {
		b.WriteString("\nthe end of its output:\n" + text)
	} else if text := lines(s.console.bytes()); text != "" {
		b.WriteString("\nthe end of its console:\n" + text)
	}
	if text := lines(s.stderr.bytes()); text != "" {
		b.WriteString("\nQEMU said:\n" + text)
	}
	return b.String()
}

// tail is a writer that keeps the end.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = keepEnd(append(t.b, p...))
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b
}

// endSize is how much of a text is kept, and endLines how much of it shown.
const (
	endSize  = 16 << 10
	endLines = 20
)

func keepEnd(b []byte) []byte {
	if len(b) > endSize {
		b = append([]byte(nil), b[len(b)-endSize:]...)
	}
	return b
}

// lines returns the last lines of a text from a machine.
func lines(raw []byte) string {
	var all []string
	for line := range strings.Lines(printable(keepEnd(raw))) {
		if line = strings.TrimRight(line, " \t\n"); line != "" {
			all = append(all, line)
		}
	}
	return strings.Join(all[max(0, len(all)-endLines):], "\n")
}

// maxLine is how long a line is that is one.
const maxLine = 200

// line returns a text from a machine as a line.
func line(raw []byte) string {
	return strings.Join(strings.Fields(printable(raw[:min(len(raw), maxLine)])), " ")
}

// printable returns a text from a machine without what a terminal would do
// something about. What is no UTF-8 is "?".
func printable(raw []byte) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(raw), "?"))
}
