package progress

import (
	"fmt"
	"io"
	"time"
)

const (
	logInterval  = 10 * time.Second
	jsonInterval = time.Second

	// worthTelling is how long a phase without a total must have taken to be
	// worth a line.
	worthTelling = time.Second
)

// NewLog writes lines to w, each beginning with prefix: every ten seconds how
// far the phase is, and at its end how long it took.
func NewLog(w io.Writer, prefix string) *Reporter {
	return newReporter(&log{w, prefix}, logInterval)
}

type log struct {
	w      io.Writer
	prefix string
}

func (l *log) update(s State) {
	text := fmt.Sprintf("%s: %s", s.Phase, clock(s.Elapsed))
	if s.Total > 0 {
		text = fmt.Sprintf("%s: %d %%, %s of %s", s.Phase, s.percent(), Bytes(s.Done), Bytes(s.Total))
	} else if s.Done > 0 {
		text += ", " + Bytes(s.Done)
	}
	if s.Total > 0 && s.Rate > 0 {
		text += fmt.Sprintf(", %s/s, %s left", Bytes(int64(s.Rate)), clock(s.Left))
	}
	fmt.Fprintf(l.w, "%s%s\n", l.prefix, text)
}

func (l *log) finish(s State) {
	if s.Total == 0 && s.Elapsed < worthTelling {
		return
	}
	text := fmt.Sprintf("%s: done in %.1f s", s.Phase, s.Elapsed.Seconds())
	if s.Done > 0 {
		text += ", " + Bytes(s.Done)
		if seconds := s.Elapsed.Seconds(); seconds > 0 {
			text += fmt.Sprintf(", %s/s", Bytes(int64(float64(s.Done)/seconds)))
		}
	}
	fmt.Fprintf(l.w, "%s%s\n", l.prefix, text)
}

func (l *log) abandon() {}

func (l *log) warn(message string) { fmt.Fprintf(l.w, "%swarning: %s\n", l.prefix, message) }
