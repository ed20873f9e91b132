// Package protocol is what the host and a guest say to each other over the only
// channel between them: a virtio-serial port with the name [Port].
//
//	host                              guest
//	      ◄── Hello  "diskwright vm 1"
//	Job   ──►
//	      ◄── Step   "mount /dev/vda2 on /"
//	      ◄── Output what a program prints, in pieces
//	      ◄── Exit   its status
//	      ◄── Step …
//	      ◄── Done                    everything is written and unmounted
//	    or
//	      ◄── Failed why              and nothing comes after it
//
// A message is a frame:
//
//	kind, 1 byte │ length of the body, 4 bytes, little-endian │ body
//
// Bodies are text but for that of Job, a JSON document, and Exit, a number of
// four bytes. Neither side trusts the other: lengths are bounded, and what is
// not a message ends the conversation.
package protocol

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Port is the name of the virtio-serial port.
const Port = "diskwright.vm"

// Version is the body of Hello. Host and guest are of the same program, or the
// job is refused.
const Version = "diskwright vm 1"

// MaxBody is how long a body can be.
const MaxBody = 1 << 20

// Kind is what a message means.
type Kind byte

// The kinds of messages, as above.
const (
	Hello  Kind = 'H'
	Start  Kind = 'J' // a Job
	Step   Kind = 'S'
	Output Kind = 'O'
	Exit   Kind = 'X'
	Done   Kind = 'D'
	Failed Kind = 'F'
)

// Job is what a guest is to do.
type Job struct {
	// Mounts are made in this order, below the system's root directory.
	Mounts []Mount `json:"mounts"`
	// Links are further names of the disk, absolute paths below /dev.
	Links []string `json:"links,omitempty"`
	// Epoch is when it is, in the guest, as it begins: seconds since 1970.
	Epoch int64 `json:"epoch"`
	// EFIVars has the firmware's variables mounted.
	EFIVars bool `json:"efiVars,omitempty"`
	// Commands run in the system, each after its activation.
	Commands []Command `json:"commands"`
}

// Mount is a file system of the disk.
type Mount struct {
	Partition int    `json:"partition"` // number; 0 is the whole disk
	Type      string `json:"type"`      // as mount(2) has it
	Path      string `json:"path"`      // absolute, in the system
	Data      string `json:"data,omitempty"`
}

// Command is a program to run in the system. Its path is absolute, or one of
// the names in the system's sw/bin.
type Command struct {
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"` // in addition to the usual
}

// Message is one of either side.
type Message struct {
	Kind Kind
	Body []byte
}

// headerSize is the length of what is in front of a body.
const headerSize = 5

// Read reads a message. At the end of the channel the error is io.EOF, within a
// message io.ErrUnexpectedEOF.
func Read(r io.Reader) (Message, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Message{}, err
	}
	m := Message{Kind: Kind(header[0])}
	size := binary.LittleEndian.Uint32(header[1:])
	switch m.Kind {
	case Hello, Start, Step, Output, Exit, Done, Failed:
	default:
		return m, fmt.Errorf("a message begins with %#02x: no kind has that", header[0])
	}
	if size > MaxBody {
		return m, fmt.Errorf("a message has %d bytes: at most %d are possible", size, MaxBody)
	}
	// Bodies come in full or not at all: grow with what comes, not with what is
	// promised.
	body, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && len(body) < int(size) {
		err = io.ErrUnexpectedEOF
	}
	m.Body = body
	return m, err
}

// Status returns the body of Exit.
func (m Message) Status() (int, error) {
	if m.Kind != Exit || len(m.Body) != 4 {
		return 0, fmt.Errorf("message %q of %d bytes is not an exit status", m.Kind, len(m.Body))
	}
	return int(int32(binary.LittleEndian.Uint32(m.Body))), nil
}

// Job returns the body of Start.
func (m Message) Job() (*Job, error) {
	if m.Kind != Start {
		return nil, fmt.Errorf("message %q is not a job", m.Kind)
	}
	var job Job
	if err := json.Unmarshal(m.Body, &job); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	return &job, nil
}

// Writer writes messages, from any number of goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes a message.
func (w *Writer) Send(kind Kind, body []byte) error {
	if len(body) > MaxBody {
		return errors.New("message too long")
	}
	frame := make([]byte, headerSize, headerSize+len(body))
	frame[0] = byte(kind)
	binary.LittleEndian.PutUint32(frame[1:], uint32(len(body)))
	frame = append(frame, body...)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(frame)
	return err
}

// Text sends a message of text, what is too long of it cut off.
func (w *Writer) Text(kind Kind, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return w.Send(kind, []byte(text[:min(len(text), MaxBody)]))
}

// Job sends a job.
func (w *Writer) Job(job *Job) error {
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	return w.Send(Start, body)
}

// Exit sends an exit status.
func (w *Writer) Exit(status int) error {
	return w.Send(Exit, binary.LittleEndian.AppendUint32(nil, uint32(int32(status))))
}

// Write sends what a program prints. It implements io.Writer.
func (w *Writer) Write(p []byte) (n int, err error) {
	for n < len(p) {
		piece := p[n:min(len(p), n+MaxBody)]
		if err := w.Send(Output, piece); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}
