package nbd

import "encoding/binary"

var be = binary.BigEndian

// Magic numbers.
const (
	magicInit       uint64 = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption     uint64 = 0x49484156454f5054 // "IHAVEOPT"
	magicReply      uint64 = 0x0003e889045565a9 // to an option
	magicRequest    uint32 = 0x25609513
	magicSimple     uint32 = 0x67446698
	magicStructured uint32 = 0x668e33ef
)

// "Handshake flags", of the server and of the client.
const (
	flagFixedNewstyle = 1 << 0
	flagNoZeroes      = 1 << 1
)

// "Option types".
const (
	optExportName      uint32 = 1
	optAbort           uint32 = 2
	optList            uint32 = 3
	optInfo            uint32 = 6
	optGo              uint32 = 7
	optStructuredReply uint32 = 8
	optListMetaContext uint32 = 9
	optSetMetaContext  uint32 = 10
)

// "Option reply types".
const (
	repAck         uint32 = 1
	repServer      uint32 = 2
	repInfo        uint32 = 3
	repMetaContext uint32 = 4

	repErrUnsupported uint32 = 1<<31 + 1
	repErrInvalid     uint32 = 1<<31 + 3
	repErrUnknown     uint32 = 1<<31 + 6
	repErrTooBig      uint32 = 1<<31 + 9
)

// Kinds of information in replies to INFO and GO.
const (
	infoExport      uint16 = 0
	infoName        uint16 = 1
	infoDescription uint16 = 2
	infoBlockSize   uint16 = 3
)

// "Transmission flags": what the export can do.
const (
	canFlags       uint16 = 1 << 0
	canReadOnly    uint16 = 1 << 1
	canDF          uint16 = 1 << 7
	canMultiConn   uint16 = 1 << 8
	canCache       uint16 = 1 << 10
	exportFlags           = canFlags | canReadOnly | canMultiConn | canCache
	exportFlagsFor        = exportFlags | canDF // of clients with structured replies
)

// "Request types" and "Command flags".
const (
	cmdRead        uint16 = 0
	cmdWrite       uint16 = 1
	cmdDisconnect  uint16 = 2
	cmdFlush       uint16 = 3
	cmdTrim        uint16 = 4
	cmdCache       uint16 = 5
	cmdWriteZeroes uint16 = 6
	cmdBlockStatus uint16 = 7

	cmdFlagDF     uint16 = 1 << 2 // one chunk of data
	cmdFlagReqOne uint16 = 1 << 3 // one extent of status
)

// "Structured reply flags" and "Structured reply types".
const (
	chunkDone uint16 = 1 << 0

	chunkNone        uint16 = 0
	chunkOffsetData  uint16 = 1
	chunkOffsetHole  uint16 = 2
	chunkBlockStatus uint16 = 5
	chunkError       uint16 = 1<<15 + 1
)

// "Error values".
const (
	errPermission   uint32 = 1
	errIO           uint32 = 5
	errInvalid      uint32 = 22
	errOverflow     uint32 = 75
	errNotSupported uint32 = 95
)

// "base:allocation metadata context".
const (
	contextAllocation        = "base:allocation"
	contextID         uint32 = 1

	stateHole uint32 = 1 << 0
	stateZero uint32 = 1 << 1
)
