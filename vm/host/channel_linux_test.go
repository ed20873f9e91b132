package host

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/vm/protocol"
)

// standIn is a machine whose QEMU is a shell script, which has the channel as its
// standard input and output, and the console as file 3. It knows these functions:
const functions = `#!/bin/sh
message() { # KIND TEXT, of less than 256 bytes
	printf "$1\\$(printf %o ${#2})\\0\\0\\0%s" "$2"
}
hello() { message H "` + protocol.Version + `"; }
`

func standIn(t *testing.T, script string) *Machine {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir) // what Run leaves is seen
	qemu := filepath.Join(t.TempDir(), "qemu")
	// To write a program that is started at once is a race with forks elsewhere in
	// this process; to rename it is not.
	if err := os.WriteFile(qemu+".new", []byte(functions+script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(qemu+".new", qemu); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%q is left", left)
		}
	})
	return &Machine{
		Arch: "x86_64", QEMU: qemu, Guest: emptyProgram(t), Disk: "/nowhere/disk", Kernel: content.Bytes("kernel"), Job: &protocol.Job{}, Accel: TCG,
		Limit: time.Minute,
	}
}

// emptyProgram writes the header of a program.
func emptyProgram(t *testing.T) string {
	t.Helper()
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Ehsize: 64, Phentsize: 56, Shentsize: 64,
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "diskwright")
	if err := os.WriteFile(name, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// What a machine sends that is not what a guest of this program sends ends it with an
// error that says so.
func TestChannel(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         []string
	}{
		{"nothing", "exit 0\n", []string{"ended early: it did not start"}},
		{"QEMU fails", "echo no such machine >&2; exit 1\n", []string{"ended early: it did not start", "QEMU said:\nno such machine"}},
		{"panic", "echo 'Kernel panic - not syncing' >&3; exit 0\n", []string{"did not start", "console:\nKernel panic"}},
		{"garbage", "echo hello world; sleep 60\n", []string{"of no use", "begins with 0x68"}},
		{"too long", `printf 'H\377\377\377\377'; sleep 60` + "\n", []string{"of no use", "4294967295 bytes"}},
		{"half a message", `printf 'H\377\0\0\0half'` + "\n", []string{"ended early"}},
		{"another version", "message H 'diskwright vm 99'; sleep 60 & wait\n", []string{`"diskwright vm 99"`, "another version"}},
		{"a status of no number", "hello; message X 12345; sleep 60\n", []string{"exit status", "of no use"}},
		{"a job from the guest", "hello; message J {}; sleep 60\n", []string{`sends a message 'J'`}},
		{"no greeting", "message S 'a step'; exit 0\n", []string{`speaks "a step"`}},
		{"ends within a step", "hello; message S 'a step'; message O 'what it said'; exit 0\n", []string{`ended early: it was at "a step"`, "output:\nwhat it said"}},
		{"escapes", `hello; message S "$(printf 'a\033[2Jst\nep')"; exit 0` + "\n", []string{`was at "a[2Jst ep"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := standIn(t, c.script)
			old := grace
			grace = time.Second
			defer func() { grace = old }()
			err := Run(t.Context(), m)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want %q", err, want)
				}
			}
		})
	}
}

// Text that a terminal would do something about, and that never ends, is text and
// takes no more memory than its end does. The time limit ends it.
func TestEndless(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"output", "while :; do message O \"$(printf '\\033]0;title\\007\\377\\376\\302\\233\\342\\200\\256text')\"; done\n"},
		{"console", "tr '\\0' '\\377' </dev/zero >&3 & tr '\\0' '\\n' </dev/zero >&2 & sleep 60\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := standIn(t, "hello; message S endless\n"+c.script)
			m.Limit = time.Second
			bytes := 0
			m.Report = func(e Event) {
				bytes += len(e.Output)
				for _, r := range string(e.Output) {
					if r < ' ' || r == 0x7f || r == 0x9b || r == '\u202e' {
						t.Fatalf("output has %q", e.Output)
					}
				}
			}
			err := Run(t.Context(), m)
			if err == nil || !strings.Contains(err.Error(), `not done within 1s; it was at "endless"`) || len(err.Error()) > 20<<10 {
				t.Errorf("error of %d bytes is %.500q", len(err.Error()), err)
			}
			if c.name == "output" && bytes == 0 {
				t.Error("there was no output")
			}
		})
	}
}

// An error of a guest is short, and text.
func TestLongFailure(t *testing.T) {
	m := standIn(t, `hello; printf 'F\0\0\017\0'; head -c 983040 /dev/zero | tr '\0' '\033'`+"\n")
	err := Run(t.Context(), m)
	var failed *GuestError
	if !errors.As(err, &failed) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("error is %.100q", err)
	}
}

// A machine that is done and does not power off is an error, and does not stay.
func TestNoPowerOff(t *testing.T) {
	old := grace
	grace = time.Second
	defer func() { grace = old }()
	m := standIn(t, "hello; message D ''; echo $$ >\"$0.pid\"; sleep 60\n")
	err := Run(t.Context(), m)
	if err == nil || !strings.Contains(err.Error(), "did not power off") {
		t.Errorf("error is %v", err)
	}
	text, err := os.ReadFile(m.QEMU + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(string(text), &pid)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

// KVM is tried. Where it does not work, whatever QEMU does then, TCG is used, with the
// firmware's variables as they were.
func TestFallback(t *testing.T) {
	for name, fails := range map[string]string{
		"refused":  "exit 1",
		"silent":   "printf xxxx >>$variables; sleep 60",
		"nonsense": "echo nonsense",
	} {
		t.Run(name, func(t *testing.T) {
			old := impatience
			impatience = time.Second
			defer func() { impatience = old }()
			variables := filepath.Join(t.TempDir(), "variables")
			if err := os.WriteFile(variables, []byte("empty"), 0o600); err != nil {
				t.Fatal(err)
			}
			m := standIn(t, "variables="+variables+`
case "$*" in
*"-accel kvm"*) `+fails+`; exit 1 ;;
esac
[ "$(cat $variables)" = empty ] || exit 1
printf ' and used' >>$variables
hello; message D ''
`)
			m.Accel = ""
			m.Firmware = &Firmware{Code: "/nowhere/code", Variables: variables}
			if err := Run(t.Context(), m); err != nil {
				t.Error(err)
			}
			if text, err := os.ReadFile(variables); err != nil || string(text) != "empty and used" {
				t.Errorf("variables are %q, %v", text, err)
			}
			// Who demands KVM gets nothing else.
			m.Accel = KVM
			m.Limit = 2 * time.Second
			if err := Run(t.Context(), m); err == nil {
				t.Error("a machine without KVM, which was demanded, is fine")
			}
		})
	}
}

// What a context ends, ends with all that the program has started.
func TestProcesses(t *testing.T) {
	m := standIn(t, `sleep 1000 & echo $! >"$0.pid"; hello; message S step; wait`+"\n")
	ctx, cancel := context.WithCancel(t.Context())
	m.Report = func(Event) { cancel() }
	if err := Run(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	text, err := os.ReadFile(m.QEMU + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(string(text), &pid)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(state), ") Z ") {
			break // ended; who adopts orphans may not have looked yet
		}
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}
