package nbd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"
)

// disk returns a map with extents of all sizes, and its bytes.
func disk(t testing.TB) (*diskmap.Map, []byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	image := make([]byte, 5<<20+777)
	var b diskmap.Builder
	for at := int64(0); ; {
		n := 1 + rng.Int64N(1+rng.Int64N(100_000))
		if at+n > int64(len(image)) {
			break
		}
		p := image[at : at+n]
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		b.Place(at, content.Bytes(p))
		at += n + rng.Int64N(1+rng.Int64N(200_000))*rng.Int64N(2)
	}
	m, err := b.Map(int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	return m, image
}

// start serves a map on a socket until the test ends.
func start(t testing.TB, m *diskmap.Map, opts Options) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nbd") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, l, m, opts) }()
	t.Cleanup(func() {
		stop := errors.New("the test is over")
		cancel(stop)
		select {
		case err := <-ended:
			if err != stop {
				t.Errorf("Serve returned %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve does not end")
		}
	})
	return socket
}

// testClient speaks the protocol by the specification.
type testClient struct {
	t    testing.TB
	conn net.Conn
}

func dial(t testing.TB, socket string) *testClient {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &testClient{t, conn}
	if got, want := c.read(18), []byte("NBDMAGICIHAVEOPT\x00\x03"); !bytes.Equal(got, want) {
		t.Fatalf("the server begins with %q", got)
	}
	c.write([]byte{0, 0, 0, 3})
	return c
}

func (c *testClient) read(n int) []byte {
	c.t.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(c.conn, p); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *testClient) write(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// option sends an option and returns the replies up to the last, as
// "TYPE:data".
func (c *testClient) option(option uint32, data string) (replies []string) {
	c.t.Helper()
	c.write(fmt.Appendf(nil, "IHAVEOPT%s%s%s", be.AppendUint32(nil, option), be.AppendUint32(nil, uint32(len(data))), data))
	for {
		h := c.read(20)
		if be.Uint64(h) != 0x3e889045565a9 || be.Uint32(h[8:]) != option {
			c.t.Fatalf("reply %x to option %d", h, option)
		}
		kind := be.Uint32(h[12:])
		replies = append(replies, fmt.Sprintf("%x:%s", kind, c.read(int(be.Uint32(h[16:])))))
		if kind == 1 || kind >= 1<<31 {
			return replies
		}
	}
}

func str(s string) string { return string(be.AppendUint32(nil, uint32(len(s)))) + s }

func (c *testClient) request(flags, kind uint16, cookie, offset uint64, length uint32) {
	c.t.Helper()
	p := be.AppendUint32(nil, 0x25609513)
	p = be.AppendUint16(p, flags)
	p = be.AppendUint16(p, kind)
	p = be.AppendUint64(p, cookie)
	p = be.AppendUint64(p, offset)
	c.write(be.AppendUint32(p, length))
}

// chunk reads a chunk of a structured reply.
func (c *testClient) chunk() (done bool, kind uint16, cookie uint64, payload []byte) {
	c.t.Helper()
	h := c.read(20)
	if be.Uint32(h) != 0x668e33ef {
		c.t.Fatalf("no chunk: %x", h)
	}
	return be.Uint16(h[4:])&1 != 0, be.Uint16(h[6:]), be.Uint64(h[8:]), c.read(int(be.Uint32(h[16:])))
}

// TestOptions: what is answered in the handshake.
func TestOptions(t *testing.T) {
	m, _ := disk(t)
	c := dial(t, start(t, m, Options{Name: "disk", Description: "of a test"}))
	export := string(be.AppendUint64(nil, uint64(m.Size())))
	for _, o := range []struct {
		option uint32
		data   string
		want   []string
	}{
		{3, "", []string{"2:" + str("disk"), "1:"}},
		{3, "x", []string{"80000003:"}},
		{5, "", []string{"80000001:"}}, // TLS
		{99, strings.Repeat("x", 1000), []string{"80000001:"}},
		{6, str("other") + "\x00\x00", []string{"80000006:"}},
		{6, str("disk"), []string{"80000003:"}},
		{6, "\xff\xff\xff\xff", []string{"80000003:"}},
		{6, str("disk") + "\x00\x02\x00\x01\x00\x02", []string{
			"3:\x00\x00" + export + "\x05\x03", "3:\x00\x03\x00\x00\x00\x01\x00\x00\x10\x00\x02\x00\x00\x00",
			"3:\x00\x01disk", "3:\x00\x02of a test", "1:"}},
		{10, str("disk") + "\x00\x00\x00\x01" + str("base:allocation"), []string{"80000003:"}}, // not structured yet
		{8, "", []string{"1:"}},
		{9, str("") + "\x00\x00\x00\x00", []string{"4:\x00\x00\x00\x00base:allocation", "1:"}},
		{9, str("") + "\x00\x00\x00\x01" + str("qemu:"), []string{"1:"}},
		{10, str("disk") + "\x00\x00\x00\x02" + str("qemu:x") + str("base:allocation"), []string{"4:\x00\x00\x00\x01base:allocation", "1:"}},
		{10, str("disk") + "\x00\x00\x00\x02" + str("qemu:x"), []string{"80000003:"}},
		{7, str("") + "\x00\x00", []string{"3:\x00\x00" + export + "\x05\x83", "3:\x00\x03\x00\x00\x00\x01\x00\x00\x10\x00\x02\x00\x00\x00", "1:"}},
	} {
		if got := c.option(o.option, o.data); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", o.want) {
			t.Errorf("option %d %q: %q, want %q", o.option, o.data, got, o.want)
		}
	}
	// Errors of requests.
	for _, r := range []struct {
		kind   uint16
		offset uint64
		length uint32
		want   uint32
	}{
		{0, uint64(m.Size()), 1, 22}, {0, 1 << 63, 1, 22}, {0, 0, 1 << 31, 22}, {4, 0, 10, 1}, {6, 0, 10, 1}, {42, 0, 0, 22}, {7, 0, 0, 22},
	} {
		c.request(0, r.kind, 7, r.offset, r.length)
		done, kind, cookie, payload := c.chunk()
		if !done || kind != 0x8001 || cookie != 7 || be.Uint32(payload) != r.want || int(be.Uint16(payload[4:])) != len(payload)-6 {
			t.Errorf("%+v: %v %x %d %q", r, done, kind, cookie, payload)
		}
	}
	c.request(0, 1, 8, 0, 5)
	c.write([]byte("write"))
	if _, kind, _, payload := c.chunk(); kind != 0x8001 || be.Uint32(payload) != 1 {
		t.Errorf("a write: %x %q", kind, payload)
	}
	for _, kind := range []uint16{3, 5} {
		c.request(0, kind, 9, 0, 5)
		if done, kind, _, _ := c.chunk(); !done || kind != 0 {
			t.Errorf("flush or cache: %x", kind)
		}
	}
}

// TestReads: what is read is the disk, in any pieces, and so are the holes.
func TestReads(t *testing.T) {
	m, image := disk(t)
	socket := start(t, m, Options{})
	structured := dial(t, socket)
	structured.option(8, "")
	structured.option(10, str("")+"\x00\x00\x00\x01"+str("base:allocation"))
	structured.option(7, str("")+"\x00\x00")
	simple := dial(t, socket)
	simple.write([]byte("IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x00"))
	if got := simple.read(10); be.Uint64(got) != uint64(len(image)) || be.Uint16(got[8:]) != 0x503 {
		t.Fatalf("export %x", got)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range uint64(300) {
		from := rng.IntN(len(image))
		length := rng.IntN(min(len(image)-from, 1+rng.IntN(3<<20)) + 1)
		want := image[from : from+length]

		simple.request(0, 0, n, uint64(from), uint32(length))
		if h := simple.read(16); be.Uint32(h) != 0x67446698 || be.Uint32(h[4:]) != 0 || be.Uint64(h[8:]) != n {
			t.Fatalf("reply %x", h)
		}
		if !bytes.Equal(simple.read(length), want) {
			t.Fatalf("%d bytes at %d differ", length, from)
		}

		df := uint16(rng.IntN(2)) * 4
		structured.request(df, 0, n, uint64(from), uint32(length))
		got := bytes.Repeat([]byte{0xaa}, length)
		seen := 0
		for chunks := 1; ; chunks++ {
			done, kind, cookie, payload := structured.chunk()
			if cookie != n || chunks > maxChunks || df != 0 && chunks > 1 {
				t.Fatalf("chunk %d has cookie %d", chunks, cookie)
			}
			switch kind {
			case 0:
			case 1:
				seen += copy(got[be.Uint64(payload)-uint64(from):], payload[8:])
			case 2:
				hole := got[be.Uint64(payload)-uint64(from):][:be.Uint32(payload[8:])]
				clear(hole)
				seen += len(hole)
			default:
				t.Fatalf("chunk of type %x: %q", kind, payload)
			}
			if done {
				break
			}
		}
		if seen != length || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes at %d differ, %d were sent", length, from, seen)
		}
		if length == 0 {
			continue
		}

		one := uint16(rng.IntN(2)) * 8
		structured.request(one, 7, n, uint64(from), uint32(length))
		done, kind, _, payload := structured.chunk()
		if !done || kind != 5 || be.Uint32(payload) != 1 || one != 0 && len(payload) != 12 {
			t.Fatalf("status %x: %x", kind, payload)
		}
		at := 0
		for p := payload[4:]; len(p) > 0; p = p[8:] {
			part := want[at:][:be.Uint32(p)]
			if be.Uint32(p[4:]) == 3 && len(bytes.Trim(part, "\x00")) > 0 {
				t.Fatalf("data is said to be a hole at %d", from+at)
			}
			at += len(part)
		}
		if one == 0 && at != length {
			t.Fatalf("status of %d bytes of %d", at, length)
		}
	}
}

// TestErrors: a source that fails is an error of the request, and the next one
// is answered; what is no request ends the connection.
func TestErrors(t *testing.T) {
	var b diskmap.Builder
	b.Place(0, &content.Generated{Length: 4096, Fill: func([]byte, int64) error { return errors.New("the host's file changed") }})
	b.Place(8192, content.Bytes("fine"))
	m, err := b.Map(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var logged []string
	c := dial(t, start(t, m, Options{Log: func(_ string, err error) {
		mu.Lock()
		defer mu.Unlock()
		logged = append(logged, err.Error())
	}}))
	c.option(8, "")
	c.option(7, str("")+"\x00\x00")
	c.request(0, 0, 1, 0, 10)
	if _, kind, _, payload := c.chunk(); kind != 0x8001 || !strings.Contains(string(payload), "the host's file changed") {
		t.Errorf("%x %q", kind, payload)
	}
	c.request(0, 0, 2, 8192, 4)
	if _, kind, _, payload := c.chunk(); kind != 1 || string(payload[8:]) != "fine" {
		t.Errorf("%x %q", kind, payload)
	}
	c.request(0, 0, 3, 0, 1<<31)
	if _, kind, _, payload := c.chunk(); kind != 0x8001 || be.Uint32(payload) != 75 {
		t.Errorf("%x %q", kind, payload)
	}
	c.write(make([]byte, 28))
	if _, err := c.conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
	for range 100 {
		mu.Lock()
		n := len(logged)
		mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(logged) != 1 || !strings.Contains(logged[0], "a request with magic 0x0") {
		t.Errorf("logged: %q", logged)
	}
}

// TestStops: a client that sends nothing, or reads nothing, does not keep the
// server.
func TestStops(t *testing.T) {
	m, _ := disk(t)
	socket := start(t, m, Options{})
	dial(t, socket)
	deaf := dial(t, socket)
	deaf.option(7, str("")+"\x00\x00")
	for n := range uint64(40) {
		deaf.request(0, 0, n, 0, 1<<20)
	}
}

// TestClients: QEMU and libnbd read the disk.
func TestClients(t *testing.T) {
	m, image := disk(t)
	socket := start(t, m, Options{Name: "disk"})
	uri := "nbd+unix:///disk?socket=" + socket
	raw := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(raw, image, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("qemu-img", func(t *testing.T) {
		out := oracle.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", raw, uri)
		if !strings.Contains(out, "Images are identical") {
			t.Error(out)
		}
		if out = oracle.Run(t, "qemu-img", "map", "-f", "raw", "--output=json", uri); !strings.Contains(out, `"zero": true`) {
			t.Errorf("no holes: %s", out)
		}
	})
	t.Run("nbdinfo", func(t *testing.T) {
		out := oracle.Run(t, "nbdinfo", uri)
		for _, want := range []string{fmt.Sprintf("export-size: %d", len(image)), "is_read_only: true", "can_multi_conn: true", "base:allocation", "structured"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in %s", want, out)
			}
		}
		if out = oracle.Run(t, "nbdinfo", "--list", strings.Replace(uri, "/disk?", "/?", 1)); !strings.Contains(out, `export="disk"`) {
			t.Error(out)
		}
	})
	t.Run("nbdcopy", func(t *testing.T) {
		copied := filepath.Join(t.TempDir(), "copied")
		oracle.Run(t, "nbdcopy", uri, copied)
		got, err := os.ReadFile(copied)
		if err != nil || !bytes.Equal(got, image) {
			t.Errorf("the copy differs: %v", err)
		}
	})
}

// script is a connection whose client says what it has to say and goes.
type script struct {
	net.Conn // nothing else is used
	r        io.Reader
}

func (s *script) Read(p []byte) (int, error)       { return s.r.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzConnection: whatever a client sends, its connection ends.
func FuzzConnection(f *testing.F) {
	goOption := "IHAVEOPT\x00\x00\x00\x07\x00\x00\x00\x06" + str("") + "\x00\x00"
	read := "\x25\x60\x95\x13\x00\x00\x00\x00cookie!!\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00"
	f.Add([]byte("\x00\x00\x00\x03" + goOption + read + strings.Replace(read, "\x00\x00\x00\x00", "\x00\x00\x00\x07", 1)))
	f.Add([]byte("\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x08\x00\x00\x00\x00IHAVEOPT\x00\x00\x00\x0a\x00\x00\x00\x1b" +
		str("") + "\x00\x00\x00\x01" + str("base:allocation") + goOption + read))
	f.Add([]byte("\x00\x00\x00\x01IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x00" + read))
	m, _ := disk(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &server{m: m, memory: newMemory()}
		_ = s.serve(context.Background(), &script{r: bytes.NewReader(input)})
	})
}
