package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pseudoTerminal returns both ends of a terminal of 80 columns.
func pseudoTerminal(t *testing.T) (control, terminal *os.File) {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { control.Close() })
	fd := int(control.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return control, terminal
}

// onTerminal runs diskwright with the chosen streams on a terminal, and returns
// what came out there and elsewhere, and the exit status.
func onTerminal(t *testing.T, streams string, args ...string) (shown, elsewhere string, status int) {
	t.Helper()
	control, terminal := pseudoTerminal(t)
	var other strings.Builder
	cmd := exec.Command("diskwright", args...) // testscript.Main has put it into PATH
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdout, cmd.Stderr = &other, &other
	for _, stream := range strings.Fields(streams) {
		switch stream {
		case "stdin":
			cmd.Stdin = terminal
		case "stdout":
			cmd.Stdout = terminal
		case "stderr":
			cmd.Stderr = terminal
		}
	}
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(control) // ends with EIO when the other end is closed
		read <- string(text)
	}()
	err := cmd.Run()
	terminal.Close()
	if err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			t.Fatal(err)
		}
		status = exit.ExitCode()
	}
	return <-read, other.String(), status
}

// sampleTree returns a directory with a file.
func sampleTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// An image would garble a terminal.
func TestNoImageOnTerminal(t *testing.T) {
	shown, elsewhere, status := onTerminal(t, "stdout", "build", "--root", sampleTree(t), "-o", "-")
	if status != exitUsage || shown != "" || !strings.Contains(elsewhere, "garble the terminal") {
		t.Errorf("status %d, %q, %q", status, shown, elsewhere)
	}
}

func TestNoTarFromTerminal(t *testing.T) {
	_, elsewhere, status := onTerminal(t, "stdin", "plan", "--root", "-")
	if status != exitUsage || !strings.Contains(elsewhere, "standard input is a terminal") {
		t.Errorf("status %d, %q", status, elsewhere)
	}
}

// On a terminal there is a bar while there is something to wait for, and only
// what stays afterwards.
func TestBarOnTerminal(t *testing.T) {
	out := t.TempDir()
	shown, elsewhere, status := onTerminal(t, "stderr", "build", "--root", sampleTree(t), "--disk-size", "64", "-o", out)
	if status != exitOK || elsewhere != "" {
		t.Fatalf("status %d, %q", status, elsewhere)
	}
	rest := shown
	if i := strings.LastIndex(shown, "\x1b[K"); i >= 0 {
		rest = shown[i+len("\x1b[K"):]
	}
	if want := fmt.Sprintf("diskwright: wrote %q: 64.0 MiB, of which ", out+"/nixos.img"); !strings.HasPrefix(rest, want) || strings.Contains(shown, "done in") {
		t.Errorf("the terminal shows %q", shown)
	}
}
