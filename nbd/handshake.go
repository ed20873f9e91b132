package nbd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

const (
	// maxName is the longest string ("Values": 4096 bytes).
	maxName = 4096
	// maxOption is the longest data of an option: names and contexts.
	maxOption = 64 << 10
	// maxOptions is how many options a client may send.
	maxOptions = 1000

	// Sizes of requests that clients are told ("Block size constraints").
	minBlock       = 1
	preferredBlock = 4 << 10
)

// connection is a client and what was agreed on with it.
type connection struct {
	*server
	conn       net.Conn
	noZeroes   bool // behind the reply to EXPORT_NAME
	structured bool
	allocation bool // it may ask for the status of blocks
}

// handshake returns whether the client wants to go on to transmission.
func (c *connection) handshake() (goOn bool, err error) {
	hello := be.AppendUint64(nil, magicInit)
	hello = be.AppendUint64(hello, magicOption)
	hello = be.AppendUint16(hello, flagFixedNewstyle|flagNoZeroes)
	if _, err := c.conn.Write(hello); err != nil {
		return false, err
	}
	var flags [4]byte
	if _, err := io.ReadFull(c.conn, flags[:]); err != nil {
		if err == io.EOF {
			return false, nil // somebody looked whether there is a server
		}
		return false, err
	}
	f := be.Uint32(flags[:])
	if f&^(flagFixedNewstyle|flagNoZeroes) != 0 {
		return false, fmt.Errorf("a client with the unknown flags %#x", f)
	}
	c.noZeroes = f&flagNoZeroes != 0
	for range maxOptions {
		option, data, err := c.readOption()
		if err != nil {
			return false, err
		}
		switch option {
		case optExportName:
			return true, c.exportName(string(data))
		case optAbort:
			return false, c.reply(option, repAck, nil)
		case optGo:
			if goOn, err := c.info(option, data); goOn || err != nil {
				return goOn, err
			}
		default:
			if err := c.answer(option, data); err != nil {
				return false, err
			}
		}
	}
	return false, fmt.Errorf("a client with more than %d options", maxOptions)
}

// readOption reads an option. Data that is too long is not read: the connection
// cannot go on then, since nothing says that it would end.
func (c *connection) readOption() (option uint32, data []byte, err error) {
	var h [16]byte
	if _, err := io.ReadFull(c.conn, h[:]); err != nil {
		return 0, nil, err
	}
	if magic := be.Uint64(h[:]); magic != magicOption {
		return 0, nil, fmt.Errorf("an option with magic %#x", magic)
	}
	option, n := be.Uint32(h[8:]), be.Uint32(h[12:])
	if n > maxOption {
		return 0, nil, errors.Join(fmt.Errorf("option %d with %d bytes", option, n), c.reply(option, repErrTooBig, nil))
	}
	data = make([]byte, n)
	_, err = io.ReadFull(c.conn, data)
	return option, data, err
}

// reply sends a reply to an option.
func (c *connection) reply(option, kind uint32, data []byte) error {
	p := be.AppendUint64(nil, magicReply)
	p = be.AppendUint32(p, option)
	p = be.AppendUint32(p, kind)
	p = be.AppendUint32(p, uint32(len(data)))
	_, err := c.conn.Write(append(p, data...))
	return err
}

// answer answers the options that do not end the handshake.
func (c *connection) answer(option uint32, data []byte) error {
	switch option {
	case optList:
		if len(data) != 0 {
			return c.reply(option, repErrInvalid, nil)
		}
		name := be.AppendUint32(nil, uint32(len(c.opts.Name)))
		if err := c.reply(option, repServer, append(name, c.opts.Name...)); err != nil {
			return err
		}
		return c.reply(option, repAck, nil)
	case optInfo:
		_, err := c.info(option, data)
		return err
	case optStructuredReply:
		if len(data) != 0 {
			return c.reply(option, repErrInvalid, nil)
		}
		c.structured = true
		return c.reply(option, repAck, nil)
	case optListMetaContext, optSetMetaContext:
		return c.metaContext(option, data)
	}
	return c.reply(option, repErrUnsupported, nil)
}

// exports reports whether there is an export of that name.
func (c *connection) exports(name string) bool { return name == "" || name == c.opts.Name }

func (c *connection) flags() uint16 {
	if c.structured {
		return exportFlagsFor
	}
	return exportFlags
}

// exportName answers the oldest way of choosing an export: there is no way to
// refuse but to hang up.
func (c *connection) exportName(name string) error {
	if !c.exports(name) {
		return fmt.Errorf("there is no export %q", name)
	}
	p := be.AppendUint64(nil, uint64(c.m.Size()))
	p = be.AppendUint16(p, c.flags())
	if !c.noZeroes {
		p = append(p, make([]byte, 124)...)
	}
	_, err := c.conn.Write(p)
	return err
}

// info answers INFO and GO: what the export is.
func (c *connection) info(option uint32, data []byte) (found bool, err error) {
	name, rest, ok := cutString(data)
	if !ok || len(rest) < 2 || len(rest) != 2+2*int(be.Uint16(rest)) {
		return false, c.reply(option, repErrInvalid, nil)
	}
	if !c.exports(name) {
		return false, c.reply(option, repErrUnknown, nil)
	}
	export := be.AppendUint16(nil, infoExport)
	export = be.AppendUint64(export, uint64(c.m.Size()))
	export = be.AppendUint16(export, c.flags())
	sizes := be.AppendUint16(nil, infoBlockSize)
	sizes = be.AppendUint32(sizes, minBlock)
	sizes = be.AppendUint32(sizes, preferredBlock)
	sizes = be.AppendUint32(sizes, maxRequest)
	replies := [][]byte{export, sizes}
	for wanted := rest[2:]; len(wanted) > 0; wanted = wanted[2:] {
		switch kind := be.Uint16(wanted); kind {
		case infoName:
			replies = append(replies, append(be.AppendUint16(nil, kind), c.opts.Name...))
		case infoDescription:
			replies = append(replies, append(be.AppendUint16(nil, kind), c.opts.Description...))
		}
		if len(replies) > 16 { // the same again and again
			return false, c.reply(option, repErrInvalid, nil)
		}
	}
	for _, r := range replies {
		if err := c.reply(option, repInfo, r); err != nil {
			return false, err
		}
	}
	return true, c.reply(option, repAck, nil)
}

// metaContext answers what there is to know about blocks, and notes what the
// client wants to know ("Metadata querying").
func (c *connection) metaContext(option uint32, data []byte) error {
	name, rest, ok := cutString(data)
	if !ok || len(rest) < 4 || option == optSetMetaContext && !c.structured {
		return c.reply(option, repErrInvalid, nil)
	}
	if !c.exports(name) {
		return c.reply(option, repErrUnknown, nil)
	}
	queries, rest := be.Uint32(rest), rest[4:]
	wanted := queries == 0 && option == optListMetaContext // lists all
	for range queries {
		var query string
		if query, rest, ok = cutString(rest); !ok {
			return c.reply(option, repErrInvalid, nil)
		}
		if query == contextAllocation || query == "base:" && option == optListMetaContext {
			wanted = true
		}
	}
	if len(rest) != 0 {
		return c.reply(option, repErrInvalid, nil)
	}
	id := uint32(0)
	if option == optSetMetaContext {
		c.allocation = wanted
		id = contextID
	}
	if wanted {
		if err := c.reply(option, repMetaContext, append(be.AppendUint32(nil, id), contextAllocation...)); err != nil {
			return err
		}
	}
	return c.reply(option, repAck, nil)
}

// cutString takes a string with its length in front from data.
func cutString(data []byte) (s string, rest []byte, ok bool) {
	if len(data) < 4 {
		return "", nil, false
	}
	n := be.Uint32(data)
	if n > maxName || int(n) > len(data)-4 {
		return "", nil, false
	}
	s = string(data[4 : 4+n])
	return s, data[4+n:], !strings.ContainsRune(s, 0)
}
