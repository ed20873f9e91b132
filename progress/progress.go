// Package progress carries news of a long piece of work from a library, which
// never prints, to whoever shows it.
//
//	library ──► Sink ─┬─ Terminal   a bar that is redrawn
//	                  ├─ Log        a line now and then
//	                  └─ JSON       an object a line, for programs
//
// # Vocabulary
//
// Work is a sequence of phases with names such as "reading tree" or "writing".
// A phase may know its total, in bytes; what has been done of it is counted by
// many goroutines at once. Counting costs an atomic addition; what is shown is
// calculated by a ticker.
//
// A Sink may be nil. The functions of this package take one and then do
// nothing.
package progress

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Sink takes news. Its methods are safe for concurrent use.
type Sink interface {
	// Phase ends the phase before and begins one of total bytes; 0 is unknown.
	Phase(name string, total int64)
	// Add counts n more bytes of the phase as done.
	Add(n int64)
	// Warn passes on, in a sentence, what the user should know.
	Warn(message string)
}

// Phase is s.Phase, if there is a sink.
func Phase(s Sink, name string, total int64) {
	if s != nil {
		s.Phase(name, total)
	}
}

// Warn is s.Warn with a formatted message, if there is a sink.
func Warn(s Sink, format string, args ...any) {
	if s != nil {
		s.Warn(fmt.Sprintf(format, args...))
	}
}

// Adder returns s.Add, or nil if there is no sink.
func Adder(s Sink) func(n int64) {
	if s == nil {
		return nil
	}
	return s.Add
}

// State is how far a phase is.
type State struct {
	Phase   string
	Done    int64 // bytes
	Total   int64 // bytes; 0 is unknown
	Elapsed time.Duration
	Rate    float64       // bytes per second of late; 0 is unknown
	Left    time.Duration // negative is unknown
}

// display shows states. The Reporter calls one method at a time.
type display interface {
	update(s State) // at every tick
	finish(s State) // at the end of a phase
	abandon()       // takes away what the next tick would replace
	warn(message string)
}

// Reporter is a Sink that shows what it is told.
type Reporter struct {
	done atomic.Int64

	mu      sync.Mutex
	display display
	phase   State // name and total
	start   time.Time
	rate    window
	running bool
	closed  bool

	stop    chan struct{}
	stopped chan struct{}
}

func newReporter(d display, interval time.Duration) *Reporter {
	r := &Reporter{display: d, stop: make(chan struct{}), stopped: make(chan struct{})}
	go r.tick(interval)
	return r
}

// tick shows the state again and again.
func (r *Reporter) tick(interval time.Duration) {
	defer close(r.stopped)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
			r.mu.Lock()
			if r.running {
				r.display.update(r.state())
			}
			r.mu.Unlock()
		}
	}
}

// Phase implements [Sink].
func (r *Reporter) Phase(name string, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.running {
		r.display.finish(r.state())
	}
	r.done.Store(0)
	r.phase = State{Phase: name, Total: total}
	r.start = time.Now()
	r.rate = window{}
	r.running = true
}

// Add implements [Sink].
func (r *Reporter) Add(n int64) { r.done.Add(n) }

// Warn implements [Sink].
func (r *Reporter) Warn(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.display.warn(message)
}

// Above calls print while nothing is shown that it would have to be kept from: for
// lines that stay.
func (r *Reporter) Above(print func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.display.abandon()
	print()
}

// Close ends the last phase and stops the display. A phase that knows its
// total and did not reach it has failed, and is not reported as done.
func (r *Reporter) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	if r.running {
		if s := r.state(); s.Total > 0 && s.Done >= s.Total {
			r.display.finish(s)
		} else {
			r.display.abandon()
		}
		r.running = false
	}
	r.mu.Unlock()
	close(r.stop)
	<-r.stopped
}

// state returns the state of the phase now.
func (r *Reporter) state() State {
	s := r.phase
	s.Done = r.done.Load()
	s.Elapsed = time.Since(r.start)
	s.Rate = r.rate.add(s.Elapsed, s.Done)
	s.Left = -1
	if s.Total > 0 && s.Rate > 0 {
		s.Left = time.Duration(float64(max(0, s.Total-s.Done)) / s.Rate * float64(time.Second))
	}
	return s
}

// span is how far back "of late" goes.
const span = 5 * time.Second

// window finds a rate that neither jumps with every block nor remembers how
// fast things were a minute ago.
type window struct{ samples []sample }

type sample struct {
	at   time.Duration // since the phase began
	done int64
}

// add takes a sample and returns the bytes per second since the one that is
// about a span older, or since the phase began.
func (w *window) add(at time.Duration, done int64) float64 {
	if len(w.samples) == 0 {
		w.samples = append(w.samples, sample{})
	}
	w.samples = append(w.samples, sample{at, done})
	for len(w.samples) > 2 && w.samples[1].at <= at-span {
		w.samples = w.samples[1:]
	}
	oldest := w.samples[0]
	if seconds := (at - oldest.at).Seconds(); seconds > 0 {
		return float64(done-oldest.done) / seconds
	}
	return 0
}
