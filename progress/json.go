package progress

import (
	"encoding/json"
	"io"
	"time"
)

// Event is a line of [NewJSON]. docs/json.md describes it for users.
type Event struct {
	Event string `json:"event"` // "progress", "done" or "warning"

	Phase          string   `json:"phase,omitempty"`
	DoneBytes      *int64   `json:"doneBytes,omitempty"`
	TotalBytes     int64    `json:"totalBytes,omitempty"`     // unknown if missing
	Seconds        *float64 `json:"seconds,omitempty"`        // since the phase began
	BytesPerSecond int64    `json:"bytesPerSecond,omitempty"` // unknown if missing
	SecondsLeft    *float64 `json:"secondsLeft,omitempty"`    // unknown if missing

	Message string `json:"message,omitempty"`
}

// NewJSON writes an object a line to w: every second how far the phase is
// ("progress"), at its end how long it took ("done"), and warnings.
func NewJSON(w io.Writer) *Reporter {
	return newReporter(&jsonLines{json.NewEncoder(w)}, jsonInterval)
}

type jsonLines struct{ encoder *json.Encoder }

func (j *jsonLines) update(s State) { j.write("progress", s) }

func (j *jsonLines) finish(s State) {
	s.Left = -1
	if seconds := s.Elapsed.Seconds(); seconds > 0 {
		s.Rate = float64(s.Done) / seconds
	}
	j.write("done", s)
}

func (j *jsonLines) write(event string, s State) {
	seconds := s.Elapsed.Round(time.Millisecond).Seconds()
	e := Event{
		Event: event, Phase: s.Phase, DoneBytes: &s.Done, TotalBytes: s.Total, Seconds: &seconds, BytesPerSecond: int64(s.Rate),
	}
	if s.Left >= 0 {
		left := s.Left.Round(time.Millisecond).Seconds()
		e.SecondsLeft = &left
	}
	// Nobody can be told that the place for telling is closed.
	_ = j.encoder.Encode(e)
}

func (j *jsonLines) abandon() {}

func (j *jsonLines) warn(message string) {
	_ = j.encoder.Encode(Event{Event: "warning", Message: message})
}
