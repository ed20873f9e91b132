// Package nbd serves a disk map to clients of the network block device protocol:
// QEMU, nbdcopy, the kernel's nbd-client. An image can be booted, converted or
// compared without ever having been written.
//
//	client                          server
//	                             <- NBDMAGIC IHAVEOPT flags
//	flags ->
//	option (GO, STRUCTURED_REPLY, SET_META_CONTEXT, …) ->
//	                             <- reply to the option
//	request (READ, BLOCK_STATUS, DISC) ->
//	                             <- reply: one or more chunks
//
// The handshake is the fixed newstyle one. Clients that ask for structured
// replies are told which parts of what they read are holes, and may ask for
// that alone (the metadata context base:allocation). The disk is read-only, and
// all of its connections see the same bytes, so that a client may open several.
//
// Source of all numbers: doc/proto.md of the project NetworkBlockDevice/nbd.
// Section names in quotation marks below are its.
package nbd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"diskwright/diskmap"

	"golang.org/x/sync/semaphore"
)

// Options of serving. The zero value is good.
type Options struct {
	// Name is the export's; clients that ask for no name get it too.
	Name string
	// Description is for people who list the exports.
	Description string
	// Log is told about connections that ended in an error. It may be nil.
	Log func(client string, err error)
}

// Limits of what clients can make the server hold and do.
const (
	maxConnections = 64
	maxRequest     = 32 << 20 // bytes that one request may ask for; clients are told
	maxInFlight    = 16       // requests of one connection
	maxMemory      = 128 << 20
	handshakeTime  = 30 * time.Second // for the whole of it
	writeTime      = 60 * time.Second // for one reply
	drainTime      = 2 * time.Second  // for the requests in flight when serving ends
)

// Serve answers the clients of l until ctx ends, and closes it. Requests that are
// in flight then are answered. It returns the cause of ctx's end, or the error
// of l.
func Serve(ctx context.Context, l net.Listener, m *diskmap.Map, opts Options) error {
	s := &server{m: m, opts: opts, memory: newMemory()}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	places := make(chan struct{}, maxConnections)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return context.Cause(ctx)
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Out of descriptors, an aborted connection: others may go on.
			s.log("", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			conn.Close()
			s.log(client(conn), fmt.Errorf("refused: there are %d connections", maxConnections))
			continue
		}
		running.Go(func() {
			defer func() { <-places }()
			defer conn.Close()
			if err := s.serve(ctx, conn); err != nil && ctx.Err() == nil {
				s.log(client(conn), err)
			}
		})
	}
}

// client names the other end of a connection.
func client(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		return a.String()
	}
	return "a client"
}

type server struct {
	m      *diskmap.Map
	opts   Options
	memory *semaphore.Weighted // bytes of replies in the making
}

func (s *server) log(client string, err error) {
	if s.opts.Log != nil {
		s.opts.Log(client, err)
	}
}

// serve has the handshake with a client and then answers its requests.
func (s *server) serve(ctx context.Context, conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	// What waits for the client ends with ctx; replies get a while longer.
	stop := context.AfterFunc(ctx, func() {
		conn.SetReadDeadline(time.Now())
		time.AfterFunc(drainTime, func() { conn.Close() })
	})
	defer stop()
	c := &connection{server: s, conn: conn}
	goOn, err := c.handshake()
	if err != nil || !goOn {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if ctx.Err() != nil { // its deadline has just been removed
		return nil
	}
	return c.transmission(ctx)
}

func newMemory() *semaphore.Weighted { return semaphore.NewWeighted(maxMemory) }
