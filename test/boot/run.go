package boot

import (
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"diskwright/test/oracle"
)

// patience is how long a machine may take that says nothing else. One that boots
// takes ten seconds on an idle machine.
const patience = 3 * time.Minute

// grace is how long a machine may take to power off after it has said what was
// waited for.
const grace = 20 * time.Second

// Console is what a machine has said, without escape sequences and carriage returns.
type Console struct {
	Text      string
	Variables []byte        // UEFI: the variable store as the machine left it
	Time      time.Duration // until what was waited for
	t         testing.TB
}

// Run boots a machine and waits until it says what is waited for, and then for it
// to power off. Anything else fails the test, with the end of the console.
func Run(t testing.TB, m Machine) *Console {
	t.Helper()
	console, err := run(t, m)
	if err != "" {
		t.Fatalf("%s by %s: %s\nthe end of its console:\n%s", m.Image, m.firmware(), err, tail(console.Text, 60))
	}
	return console
}

// Fails boots a machine that must not say what is waited for: within a time that
// suffices for one that works, or until it ends or gives up.
func Fails(t testing.TB, m Machine) *Console {
	t.Helper()
	console, err := run(t, m)
	if err == "" {
		t.Fatalf("%s by %s: starts, and should not\nthe end of its console:\n%s", m.Image, m.firmware(), tail(console.Text, 60))
	}
	return console
}

func (m *Machine) firmware() Firmware {
	if m.Firmware == "" {
		return BIOS
	}
	return m.Firmware
}

// noTimer is what Linux says when the emulated machine's clock has not run while it
// looked, which is the host's fault: QEMU waited for a CPU.
const noTimer = "IO-APIC + timer doesn't work"

// run runs a machine and says why what was waited for did not come, if so.
func run(t testing.TB, m Machine) (console *Console, problem string) {
	t.Helper()
	for range 3 {
		if console, problem = runOnce(t, m); !strings.Contains(problem, noTimer) {
			break
		}
	}
	return console, problem
}

func runOnce(t testing.TB, m Machine) (console *Console, problem string) {
	t.Helper()
	dir := t.TempDir()
	qemu := oracle.Command(t, "qemu-system-x86_64", m.arguments(t, dir)...)
	until, timeout := m.Until, m.Timeout
	if until == nil {
		until = report
	}
	if timeout == 0 {
		timeout = patience
	}
	defer seat(t)()

	s, err := start(t.Context(), qemu)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	begin := time.Now()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	console = &Console{t: t}
	for answers, seen := m.Answers, 0; problem == "" && console.Time == 0; {
		ended := false
		select {
		case <-s.news:
		case <-s.ended:
			ended = true
		case <-deadline.C:
			problem = "says nothing of what is waited for within " + timeout.String()
		}
		text := s.text()
		if len(answers) > 0 {
			if at := answers[0].When.FindStringIndex(text[seen:]); at != nil {
				seen += at[1]
				io.WriteString(s.stdin, answers[0].Type)
				answers = answers[1:]
			}
		}
		switch found := hopeless.FindString(text); {
		case until.MatchString(text):
			console.Time, problem = time.Since(begin), ""
		case found != "":
			problem = "gives up: " + strings.TrimSpace(found)
		case ended && problem == "":
			problem = "ends: " + s.end()
		}
	}
	if problem == "" {
		// The variables are final, and the image if it is written to, when the
		// machine is off.
		select {
		case <-s.ended:
		case <-time.After(grace):
			if m.Write {
				problem = "does not power off"
			}
		}
	}
	s.kill()
	console.Text = s.text()
	if m.Firmware == UEFI {
		if console.Variables, err = os.ReadFile(storeOf(dir)); err != nil {
			t.Fatal(err)
		}
	}
	return console, problem
}

// session is a QEMU that runs.
type session struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	cancel context.CancelFunc
	news   chan struct{} // there is more text
	ended  chan struct{} // closed when QEMU has ended and all is read
	err    error         // why, once ended

	mu  sync.Mutex
	raw []byte
}

func start(ctx context.Context, template *exec.Cmd) (*session, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, template.Path, template.Args[1:]...)
	cmd.Env = template.Env
	cmd.WaitDelay = 5 * time.Second
	s := &session{cmd: cmd, cancel: cancel, news: make(chan struct{}, 1), ended: make(chan struct{})}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	s.stdin = stdin
	cmd.Stdout, cmd.Stderr = s, s
	if err := startTied(cmd); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		s.err = cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// Write takes what QEMU says.
func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.raw = append(s.raw, p...)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return clean(s.raw)
}

// end says how QEMU has ended.
func (s *session) end() string {
	if s.err != nil {
		return s.err.Error()
	}
	return "powered off"
}

func (s *session) kill() {
	s.cancel()
	<-s.ended
}

// escapes are the sequences that move cursors and set colours.
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>c78M])`)

// clean returns what a console says as text. A sequence that moves the cursor
// separates, so that a menu's lines stay apart.
func clean(raw []byte) string {
	text := escapes.ReplaceAllStringFunc(string(raw), func(e string) string {
		if strings.HasSuffix(e, "H") {
			return "\n"
		}
		return ""
	})
	return strings.ReplaceAll(text, "\r", "")
}

// tail returns the last lines that are not blank.
func tail(text string, lines int) string {
	var all []string
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			all = append(all, strings.TrimRight(line, " \n"))
		}
	}
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Report returns what the fixture's init has found: the values by their keys,
// which test/fixture/guest/init explains.
func (c *Console) Report() map[string]string {
	c.t.Helper()
	line := report.FindStringSubmatch(c.Text)
	if line == nil {
		c.t.Fatalf("no report of the fixture:\n%s", tail(c.Text, 60))
	}
	values := make(map[string]string)
	for _, field := range strings.Fields(line[1]) {
		key, value, _ := strings.Cut(field, "=")
		values[key] = value
	}
	return values
}
