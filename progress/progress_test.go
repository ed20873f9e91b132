package progress

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNilSink(t *testing.T) {
	Phase(nil, "x", 1)
	Warn(nil, "x")
	if Adder(nil) != nil {
		t.Error("there is something to call")
	}
}

// work reports two phases, the second of 4 GiB at 100 MiB/s.
func work(s Sink, seconds int) {
	Phase(s, "reading tree", 0)
	time.Sleep(1500 * time.Millisecond)
	Phase(s, "writing", 4<<30)
	add := Adder(s)
	for i := range seconds {
		time.Sleep(time.Second)
		add(100 << 20)
		if i == 5 {
			Warn(s, "%s is odd", "it")
		}
	}
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := NewLog(&out, "me: ")
		work(r, 41)
		r.Close()
		r.Close()
		want := `me: reading tree: done in 1.5 s
me: warning: it is odd
me: writing: 19 %, 800 MiB of 4.00 GiB, 94.1 MiB/s, 0:35 left
me: writing: 43 %, 1.76 GiB of 4.00 GiB, 100 MiB/s, 0:23 left
me: writing: 68 %, 2.73 GiB of 4.00 GiB, 100 MiB/s, 0:13 left
me: writing: 92 %, 3.71 GiB of 4.00 GiB, 100 MiB/s, 0:03 left
me: writing: done in 41.0 s, 4.00 GiB, 100 MiB/s
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}

// A phase that did not come to its end is not done.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := NewLog(&out, "")
		work(r, 3)
		r.Close()
		if strings.Contains(out.String(), "writing: done") {
			t.Errorf("got %q", out.String())
		}
		r.Phase("late", 1)
		r.Add(1)
	})
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := NewJSON(&out)
		work(r, 2)
		r.Warn("x")
		r.Add(4<<30 - 200<<20)
		time.Sleep(250 * time.Millisecond)
		r.Close()
		want := `{"event":"progress","phase":"reading tree","doneBytes":0,"seconds":1}
{"event":"done","phase":"reading tree","doneBytes":0,"seconds":1.5}
{"event":"progress","phase":"writing","doneBytes":0,"totalBytes":4294967296,"seconds":0.5}
{"event":"progress","phase":"writing","doneBytes":104857600,"totalBytes":4294967296,"seconds":1.5,"bytesPerSecond":69905066,"secondsLeft":59.94}
{"event":"warning","message":"x"}
{"event":"done","phase":"writing","doneBytes":4294967296,"totalBytes":4294967296,"seconds":2.25,"bytesPerSecond":1908874353}
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := NewTerminal(&out, func() int { return 80 }, "me: ")
		work(r, 7)
		r.Close()
		if n := strings.Count(out.String(), "\r"); n > 88 {
			t.Errorf("drawn %d times in 8.5 seconds", n)
		}
		for _, want := range []string{
			"\rreading tree  0:01\x1b[K",
			"\rwriting  [#..............]   12 %  500 MiB of 4.00 GiB  100 MiB/s  0:36 left\x1b[K",
			"\r\x1b[Kme: warning: it is odd\n",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("there is no %q in %q", want, out.String())
			}
		}
		if !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Error("the bar was left behind")
		}
		for _, text := range strings.Split(out.String(), "\r") {
			if len(strings.TrimSuffix(text, "\x1b[K")) >= 80 && !strings.Contains(text, "\n") {
				t.Errorf("%q is too long", text)
			}
		}
	})
}

// What is printed above the bar stays, and the bar comes back.
func TestAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := NewTerminal(&out, func() int { return 80 }, "")
		r.Phase("x", 0)
		time.Sleep(redraw + 1)
		r.Above(func() { out.WriteString("line\n") })
		time.Sleep(redraw)
		r.Close()
		const shown = "\rx  0:00\x1b[K"
		if want := shown + "\r\x1b[Kline\n" + shown + "\r\x1b[K"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

func TestLine(t *testing.T) {
	s := State{Phase: "writing", Done: 50 << 20, Total: 200 << 20, Rate: 10 << 20, Left: 15 * time.Second}
	for width, want := range map[int]string{
		120: "writing  [##########..............................]   25 %  50.0 MiB of 200 MiB  10.0 MiB/s  0:15 left",
		64:  "writing   25 %  50.0 MiB of 200 MiB  10.0 MiB/s  0:15 left",
		20:  "writing   25 %  50.",
		0:   "writing   25 %  50.0 MiB of 200 MiB  10.0 MiB/s  0:15 left",
	} {
		if got := line(s, width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	if got := line(State{Phase: "x", Done: 5, Total: 2, Left: -1}, 79); got != "x  [####################]  100 %  5 B of 2 B" {
		t.Errorf("more than everything: %q", got)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 1536: "1.50 KiB", 10 << 10: "10.0 KiB", 100 << 20: "100 MiB", 1<<30 - 1: "1024 MiB",
		1 << 60: "1.00 EiB", 1<<63 - 1: "8.00 EiB", -2048: "-2.00 KiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0:00", 61 * time.Second: "1:01", 3*time.Hour + 5*time.Second: "3:00:05"} {
		if got := clock(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// Everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	r := newReporter(&log{&out, ""}, time.Millisecond)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 1000 {
				r.Add(1)
				if i%100 == 0 {
					r.Warn("x")
				}
			}
		})
	}
	r.Phase("a", 0)
	group.Wait()
	r.Close()
}

func BenchmarkAdd(b *testing.B) {
	r := NewLog(&bytes.Buffer{}, "")
	defer r.Close()
	add := Adder(r)
	for b.Loop() {
		add(1)
	}
}
