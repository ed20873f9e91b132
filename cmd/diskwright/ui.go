package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"diskwright/progress"
	"diskwright/spec"

	"golang.org/x/term"
)

// The rules of the user interface:
//
//   - Results go to standard output, and nothing else does. With -o - that is
//     the image.
//   - Everything else goes to standard error, each line beginning with
//     "diskwright: ". With --json it is an object a line instead.
//   - Nothing is asked, so that nothing waits.
//   - An error says what is wrong and where; a hint, what to do.

const prefix = "diskwright: "

// ui is how the commands speak. Its methods are called from one goroutine;
// what libraries say from others comes through the progress sink.
type ui struct {
	stdout *os.File
	stderr *os.File
	quiet  bool
	json   bool

	progress *progress.Reporter
}

func newUI(stdout, stderr *os.File) *ui { return &ui{stdout: stdout, stderr: stderr} }

// printf says something that is not a result. -q keeps it quiet, and so does
// --json, whose result has it.
func (u *ui) printf(format string, args ...any) {
	if !u.quiet && !u.json {
		u.lines(fmt.Sprintf(format, args...))
	}
}

// warningf says what may not be what was meant.
func (u *ui) warningf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if u.json {
		u.event(progress.Event{Event: "warning", Message: message})
		return
	}
	u.lines("warning: " + message)
}

// errorf says why there is no result.
func (u *ui) errorf(format string, args ...any) {
	u.errorWithHint(fmt.Sprintf(format, args...))
}

// errorWithHint is errorf, and says what to do about it.
func (u *ui) errorWithHint(message string, hints ...string) {
	if u.json {
		u.event(errorEvent{Event: "error", Message: message, Hints: hints})
		return
	}
	u.lines("error: " + message)
	for _, hint := range hints {
		u.lines("hint: " + hint)
	}
}

// lines writes text with the prefix before each line.
func (u *ui) lines(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(u.stderr, "%s%s\n", prefix, line)
	}
}

// errorEvent is an error as --json has it.
type errorEvent struct {
	Event    string         `json:"event"` // "error"
	Message  string         `json:"message"`
	Problems []problemEvent `json:"problems,omitempty"`
	Hints    []string       `json:"hints,omitempty"`
}

// problemEvent is a problem of a specification as --json has it.
type problemEvent struct {
	Where     string `json:"where,omitempty"`
	Parameter string `json:"parameter,omitempty"`
	Message   string `json:"message"`
}

func (u *ui) event(e any) {
	// If standard error is gone, nobody can be told.
	_ = json.NewEncoder(u.stderr).Encode(e)
}

// showError shows the error that ends the program.
func (u *ui) showError(err error) {
	var problems spec.Problems
	var hinted hintError
	errors.As(err, &hinted)
	if !errors.As(err, &problems) {
		u.errorWithHint(err.Error(), hinted.hints...)
		return
	}
	message := "there is a problem with the specification"
	if len(problems) > 1 {
		message = fmt.Sprintf("there are %d problems with the specification", len(problems))
	}
	if !u.json {
		u.errorWithHint(message + "\n  " + strings.ReplaceAll(problems.Error(), "\n", "\n  "))
		return
	}
	e := errorEvent{Event: "error", Message: message}
	for _, p := range problems {
		e.Problems = append(e.Problems, problemEvent{p.Where, p.Parameter, p.Err.Error()})
	}
	u.event(e)
}

// above calls print, which writes lines to standard error, above the bar.
func (u *ui) above(print func()) {
	if u.progress == nil {
		print()
		return
	}
	u.progress.Above(print)
}

// scriptOutput shows what a script prints, line by line, also with -q: it may
// be why the script fails.
type scriptOutput struct {
	ui   *ui
	rest []byte // of a line, so far
}

// scriptEvent is a line of a script's output as --json has it.
type scriptEvent struct {
	Event   string `json:"event"` // "output"
	Message string `json:"message"`
}

// Write implements io.Writer.
func (s *scriptOutput) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		line, rest, found := bytes.Cut(s.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		s.line(string(line))
		s.rest = rest
	}
}

// flush shows a last line that has no end.
func (s *scriptOutput) flush() {
	if len(s.rest) > 0 {
		s.line(string(s.rest))
		s.rest = nil
	}
}

func (s *scriptOutput) line(text string) {
	s.ui.above(func() {
		if s.ui.json {
			s.ui.event(scriptEvent{"output", text})
		} else {
			fmt.Fprintln(s.ui.stderr, text)
		}
	})
}

// hintError is an error and what to do about it.
type hintError struct {
	error
	hints []string
}

func (e hintError) Unwrap() error { return e.error }

func withHint(err error, hints ...string) error { return hintError{err, hints} }

// result writes a result to standard output: as JSON, or as print does.
func (u *ui) result(value any, print func(w io.Writer) error) error {
	var err error
	if u.json {
		encoder := json.NewEncoder(u.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(value)
	} else {
		err = print(u.stdout)
	}
	if err != nil {
		return fmt.Errorf("cannot write to standard output: %w", err)
	}
	return nil
}

// startProgress returns where libraries tell how far they are: a bar on a
// terminal, lines elsewhere, or nowhere.
func (u *ui) startProgress() progress.Sink {
	switch {
	case u.quiet && u.json:
		return quietSink{u}
	case u.json:
		u.progress = progress.NewJSON(u.stderr)
	case u.quiet:
		return quietSink{u}
	case isTerminal(u.stderr) && os.Getenv("TERM") != "dumb":
		u.progress = progress.NewTerminal(u.stderr, func() int { return columns(u.stderr) }, prefix)
	default:
		u.progress = progress.NewLog(u.stderr, prefix)
	}
	return u.progress
}

// endProgress takes the bar away. Only then may anything else be said.
func (u *ui) endProgress() {
	if u.progress != nil {
		u.progress.Close()
		u.progress = nil
	}
}

// quietSink passes on warnings only.
type quietSink struct{ ui *ui }

func (quietSink) Phase(string, int64)   {}
func (quietSink) Add(int64)             {}
func (s quietSink) Warn(message string) { s.ui.warningf("%s", message) }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// columns returns the width of the terminal, or 80.
func columns(f *os.File) int {
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}
