package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// A conversation arrives as it was sent, in whichever pieces the channel has it.
func TestConversation(t *testing.T) {
	job := &Job{
		Mounts:   []Mount{{Partition: 2, Type: "ext4", Path: "/"}, {Partition: 1, Type: "vfat", Path: "/boot", Data: "iocharset=ascii"}},
		Links:    []string{"/dev/sda"},
		Commands: []Command{{Args: []string{"true", "a b\n"}, Env: []string{"A=b"}}},
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	long := bytes.Repeat([]byte("x"), MaxBody+10)
	for _, err := range []error{w.Text(Hello, Version), w.Job(job), w.Text(Step, "step %d", 1), w.Exit(-9), w.Send(Done, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.Write(long); n != len(long) || err != nil {
		t.Fatal(n, err)
	}
	r := iotest.HalfReader(&b)
	next := func(kind Kind) Message {
		t.Helper()
		m, err := Read(r)
		if err != nil || m.Kind != kind {
			t.Fatalf("%q, %v; want %q", m.Kind, err, kind)
		}
		return m
	}
	if m := next(Hello); string(m.Body) != Version {
		t.Errorf("%q", m.Body)
	}
	got, err := next(Start).Job()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(job, got); diff != "" {
		t.Error(diff)
	}
	next(Step)
	if status, err := next(Exit).Status(); status != -9 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	next(Done)
	if m := next(Output); len(m.Body) != MaxBody {
		t.Errorf("%d bytes", len(m.Body))
	}
	if m := next(Output); len(m.Body) != 10 {
		t.Errorf("%d bytes", len(m.Body))
	}
	if _, err := Read(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestDamaged(t *testing.T) {
	for _, c := range []struct{ bytes, want string }{
		{"H\x05\x00\x00\x00abc", "unexpected EOF"},
		{"H\x05\x00", "unexpected EOF"},
		{"\x00\x00\x00\x00\x00", "no kind"},
		{"O\x00\x00\x00\x10", "at most"},
	} {
		if _, err := Read(strings.NewReader(c.bytes)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.bytes, err, c.want)
		}
	}
	if _, err := (Message{Start, []byte("{")}).Job(); err == nil {
		t.Error("half a job is none")
	}
	if _, err := (Message{Exit, []byte("1")}).Status(); err == nil {
		t.Error("a status has four bytes")
	}
}

// Messages of several goroutines do not mix.
func TestConcurrency(t *testing.T) {
	r, pipe := io.Pipe()
	w := NewWriter(pipe)
	var senders sync.WaitGroup
	for i := range 8 {
		senders.Go(func() {
			for range 50 {
				w.Text(Output, "%s", strings.Repeat(fmt.Sprint(i), 100))
			}
		})
	}
	go func() { senders.Wait(); pipe.Close() }()
	count := 0
	for {
		m, err := Read(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || strings.Trim(string(m.Body), string(m.Body[:1])) != "" {
			t.Fatalf("%q, %v", m.Body, err)
		}
		count++
	}
	if count != 400 {
		t.Errorf("%d messages, want 400", count)
	}
}

// What is read is what was sent, and nothing that is sent makes a reader panic or
// take memory that was not sent.
func FuzzRead(f *testing.F) {
	f.Add([]byte("H\x0f\x00\x00\x00diskwright vm 1D\x00\x00\x00\x00"))
	f.Add([]byte("X\x04\x00\x00\x00\x01\x00\x00\x00"))
	f.Add([]byte("J\x02\x00\x00\x00{}O\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		var again bytes.Buffer
		w := NewWriter(&again)
		r := bytes.NewReader(sent)
		for {
			before := r.Len()
			m, err := Read(r)
			if err != nil {
				sent = sent[:len(sent)-before]
				break
			}
			m.Job()
			m.Status()
			if err := w.Send(m.Kind, m.Body); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again.Bytes(), sent) {
			t.Errorf("sent again: %q, want %q", again.Bytes(), sent)
		}
	})
}
