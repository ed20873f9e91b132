package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	redraw = 100 * time.Millisecond

	// What is narrower than this gets no bar, only numbers.
	barMin = 10
	barMax = 40
	// numbersMax is what the numbers may need, so that the bar keeps its length.
	numbersMax = len("100 %  1023 MiB of 1023 MiB  1023 MiB/s  59:59 left")
)

// NewTerminal shows a bar on a terminal that is w. Width returns the
// terminal's columns; it is called before every line, because they change.
// Every line that stays (a warning) begins with prefix.
func NewTerminal(w io.Writer, width func() int, prefix string) *Reporter {
	return newReporter(&terminal{w: w, width: width, prefix: prefix}, redraw)
}

type terminal struct {
	w      io.Writer
	width  func() int
	prefix string
	drawn  bool
}

func (t *terminal) update(s State) {
	// The cursor stays at the end of the line, so that whatever is printed by
	// others is not hidden behind the bar.
	fmt.Fprintf(t.w, "\r%s\x1b[K", line(s, t.width()))
	t.drawn = true
}

func (t *terminal) finish(State) { t.abandon() }

// abandon removes the bar.
func (t *terminal) abandon() {
	if t.drawn {
		fmt.Fprint(t.w, "\r\x1b[K")
		t.drawn = false
	}
}

func (t *terminal) warn(message string) {
	t.abandon()
	fmt.Fprintf(t.w, "%swarning: %s\n", t.prefix, message)
}

// line returns the state on one line of less than width columns: in the last
// column a terminal may wrap.
func line(s State, width int) string {
	if s.Total <= 0 {
		text := s.Phase + "  " + clock(s.Elapsed)
		if s.Done > 0 {
			text += "  " + Bytes(s.Done)
		}
		return cut(text, width)
	}
	numbers := fmt.Sprintf("%3d %%  %s of %s", s.percent(), Bytes(s.Done), Bytes(s.Total))
	if s.Rate > 0 {
		numbers += fmt.Sprintf("  %s/s", Bytes(int64(s.Rate)))
	}
	if s.Left >= 0 {
		numbers += fmt.Sprintf("  %s left", clock(s.Left))
	}
	room := width - 1 - len(s.Phase) - max(len(numbers), numbersMax) - len("  []  ")
	if room < barMin {
		return cut(s.Phase+"  "+numbers, width)
	}
	return s.Phase + "  " + bar(s, min(room, barMax)) + "  " + numbers
}

// bar returns a bar of n columns between brackets.
func bar(s State, n int) string {
	full := int(float64(n) * float64(min(s.Done, s.Total)) / float64(s.Total))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", n-full) + "]"
}

// cut shortens a line of ASCII that is too long for the terminal.
func cut(text string, width int) string {
	if width > 1 && len(text) > width-1 {
		return text[:width-1]
	}
	return text
}
