package nbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"diskwright/content"
)

// request is what a client asks for ("Request message").
type request struct {
	flags, kind uint16
	cookie      uint64
	offset      uint64
	length      uint32
}

const requestSize = 28

func (c *connection) readRequest() (r request, err error) {
	var h [requestSize]byte
	if _, err := io.ReadFull(c.conn, h[:]); err != nil {
		return r, err
	}
	if magic := be.Uint32(h[:]); magic != magicRequest {
		return r, fmt.Errorf("a request with magic %#x", magic)
	}
	return request{be.Uint16(h[4:]), be.Uint16(h[6:]), be.Uint64(h[8:]), be.Uint64(h[16:]), be.Uint32(h[24:])}, nil
}

// transmission answers requests, several at once, until the client is gone or
// ctx ends.
func (c *connection) transmission(ctx context.Context) error {
	w := &replies{connection: c}
	places := make(chan struct{}, maxInFlight)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		r, err := c.readRequest()
		switch {
		case err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
			return w.failed()
		case err != nil:
			return errors.Join(err, w.failed())
		case r.kind == cmdDisconnect:
			return w.failed()
		case r.kind == cmdWrite:
			// The data follows, and must be read to get to the next request.
			if r.length > maxRequest {
				return fmt.Errorf("a write of %d bytes", r.length)
			}
			if _, err := io.CopyN(io.Discard, c.conn, int64(r.length)); err != nil {
				return err
			}
		}
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			w.answer(r)
		})
		if err := w.failed(); err != nil {
			return err
		}
	}
}

// replies sends the answers to requests.
type replies struct {
	*connection
	mu  sync.Mutex
	err error // the first one of sending; nothing is sent after it
}

func (w *replies) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// send sends the parts of a reply, which nothing may come between.
func (w *replies) send(parts ...[]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range parts {
		if w.err != nil {
			return
		}
		w.conn.SetWriteDeadline(time.Now().Add(writeTime))
		if _, w.err = w.conn.Write(p); w.err != nil {
			w.conn.Close() // whoever reads requests is to notice
		}
	}
}

// answer answers a request.
func (w *replies) answer(r request) {
	switch code, message := w.check(r); {
	case code != 0:
		w.fail(r, code, message)
	case r.kind == cmdRead && w.structured:
		w.read(r)
	case r.kind == cmdRead:
		w.readSimple(r)
	case r.kind == cmdBlockStatus:
		w.blockStatus(r)
	default: // FLUSH and CACHE have nothing to do
		w.done(r)
	}
}

// check returns the error that a request is answered with, or 0.
func (w *replies) check(r request) (code uint32, message string) {
	size := uint64(w.m.Size())
	switch r.kind {
	case cmdRead, cmdCache, cmdBlockStatus:
	case cmdFlush:
		return 0, ""
	case cmdWrite, cmdTrim, cmdWriteZeroes:
		return errPermission, "the disk is read-only"
	default:
		return errInvalid, fmt.Sprintf("there is no request %d", r.kind)
	}
	switch {
	case r.offset > size || uint64(r.length) > size-r.offset:
		return errInvalid, fmt.Sprintf("the disk has %d bytes", size)
	case r.kind == cmdRead && r.length > maxRequest:
		return errOverflow, fmt.Sprintf("a request is for %d bytes at most", maxRequest)
	case r.kind == cmdBlockStatus && (r.length == 0 || !w.allocation):
		return errInvalid, "no metadata context was negotiated, or the range is empty"
	case r.flags&cmdFlagDF != 0 && !w.structured:
		return errInvalid, "structured replies were not negotiated"
	}
	return 0, ""
}

// done sends success without data.
func (w *replies) done(r request) {
	if w.structured {
		w.send(chunkHeader(r, chunkDone, chunkNone, 0))
		return
	}
	w.send(simpleHeader(r, 0))
}

// fail sends an error, with its message where there is room for one.
func (w *replies) fail(r request, code uint32, message string) {
	if !w.structured {
		w.send(simpleHeader(r, code))
		return
	}
	if len(message) > maxName {
		message = message[:maxName]
	}
	p := chunkHeader(r, chunkDone, chunkError, 6+len(message))
	p = be.AppendUint32(p, code)
	p = be.AppendUint16(p, uint16(len(message)))
	w.send(append(p, message...))
}

// simpleHeader is a "Simple reply message".
func simpleHeader(r request, code uint32) []byte {
	p := be.AppendUint32(make([]byte, 0, 16), magicSimple)
	p = be.AppendUint32(p, code)
	return be.AppendUint64(p, r.cookie)
}

// chunkHeader begins a "Structured reply chunk message" with n bytes of payload.
func chunkHeader(r request, flags, kind uint16, n int) []byte {
	p := be.AppendUint32(make([]byte, 0, 64), magicStructured)
	p = be.AppendUint16(p, flags)
	p = be.AppendUint16(p, kind)
	p = be.AppendUint64(p, r.cookie)
	return be.AppendUint32(p, uint32(n))
}

// readSimple answers a read with all of its bytes, once all are there: a simple
// reply cannot take back that there was no error.
func (w *replies) readSimple(r request) {
	w.withBuffer(int64(r.length), func(p []byte) {
		if err := content.ReadFull(w.m, p, int64(r.offset)); err != nil {
			w.fail(r, errIO, err.Error())
			return
		}
		w.send(simpleHeader(r, 0), p)
	})
}

// withBuffer calls f with a buffer, when there is memory for it: others are
// sending, and give up in time if their clients do not read.
func (w *replies) withBuffer(n int64, f func(p []byte)) {
	if w.memory.Acquire(context.Background(), n) != nil {
		return // cannot be: n is a fraction of what there is
	}
	defer w.memory.Release(n)
	f(make([]byte, n))
}

// stretch is a part of the disk that is all hole, or has data.
type stretch struct {
	from, to int64
	hole     bool
}

// granularity is the unit in which holes are told: less is not worth a chunk.
const granularity = 4 << 10

// stretches calls f for the parts of [from, to), until it returns false. Parts
// with data begin and end at multiples of the granularity.
func (c *connection) stretches(from, to int64, f func(stretch) bool) {
	data := stretch{from, from, false} // that f has not seen yet
	for e := range c.m.Extents(from, to) {
		start, end := max(e.Offset&^(granularity-1), from), min((e.End()+granularity-1)&^(granularity-1), to)
		if start <= data.to {
			data.to = max(data.to, end)
			continue
		}
		if data.to > data.from && !f(data) || !f(stretch{data.to, start, true}) {
			return
		}
		data = stretch{start, end, false}
	}
	if data.to > data.from && !f(data) {
		return
	}
	if data.to < to {
		f(stretch{data.to, to, true})
	}
}

// maxChunks bounds the chunks of one reply to a read; the last of them has all
// the rest, holes as zeros.
const maxChunks = 64

// read answers a read with a chunk for each stretch, or with one chunk if the
// client wants so.
func (w *replies) read(r request) {
	from, to := int64(r.offset), int64(r.offset)+int64(r.length)
	if from == to {
		w.done(r)
		return
	}
	var list []stretch
	if r.flags&cmdFlagDF == 0 {
		w.stretches(from, to, func(s stretch) bool {
			list = append(list, s)
			return len(list) < maxChunks
		})
	}
	if end := len(list) - 1; end < 0 {
		list = []stretch{{from, to, false}}
	} else if list[end].to < to {
		list[end] = stretch{list[end].from, to, false}
	}
	for n, s := range list {
		flags := uint16(0)
		if n == len(list)-1 {
			flags = chunkDone
		}
		if s.hole {
			p := chunkHeader(r, flags, chunkOffsetHole, 12)
			p = be.AppendUint64(p, uint64(s.from))
			w.send(be.AppendUint32(p, uint32(s.to-s.from)))
			continue
		}
		failed := false
		w.withBuffer(s.to-s.from, func(p []byte) {
			if err := content.ReadFull(w.m, p, s.from); err != nil {
				w.fail(r, errIO, err.Error())
				failed = true
				return
			}
			h := chunkHeader(r, flags, chunkOffsetData, 8+len(p))
			w.send(be.AppendUint64(h, uint64(s.from)), p)
		})
		if failed || w.failed() != nil {
			return
		}
	}
}

// maxStatus bounds the extents of one status; clients ask for the rest.
const maxStatus = 4096

// blockStatus answers which parts of a range are holes.
func (w *replies) blockStatus(r request) {
	limit := maxStatus
	if r.flags&cmdFlagReqOne != 0 {
		limit = 1
	}
	payload := be.AppendUint32(nil, contextID)
	w.stretches(int64(r.offset), int64(r.offset)+int64(r.length), func(s stretch) bool {
		state := uint32(0)
		if s.hole {
			state = stateHole | stateZero
		}
		payload = be.AppendUint32(payload, uint32(s.to-s.from))
		payload = be.AppendUint32(payload, state)
		limit--
		return limit > 0
	})
	w.send(chunkHeader(r, chunkDone, chunkBlockStatus, len(payload)), payload)
}
