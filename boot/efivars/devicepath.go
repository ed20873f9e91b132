package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// DevicePath is the way from the firmware to a device or a file: nodes, without
// the one that ends it (UEFI specification, 10.3).
type DevicePath []PathNode

// PathNode is a step of a device path. Data is what follows its header.
type PathNode struct {
	Type, Subtype byte
	Data          []byte
}

// A node's header: type and subtype, a byte each, and the length of the node
// with this header, 16 bits.
const nodeHeader = 4

// Types of nodes, and their subtypes.
const (
	typeHardware = 0x01
	hardwarePCI  = 0x01

	typeACPI   = 0x02
	acpiDevice = 0x01

	typeMessaging = 0x03
	messagingSATA = 0x12

	typeMedia          = 0x04
	mediaHardDrive     = 0x01
	mediaFilePath      = 0x04
	mediaFirmwareFile  = 0x06
	mediaFirmware      = 0x07
	typeEnd            = 0x7f
	endEntire          = 0xff
	hardDriveLength    = 38
	tableMBR           = 1 // hard drive: format of the partition table
	tableGPT           = 2
	signatureMBR       = 1 // hard drive: kind of the signature
	signatureGUID      = 2
	offDriveStart      = 4
	offDriveSectors    = 12
	offDriveSignature  = 20
	offDriveTable      = 36
	offDriveSignedWith = 37
)

// acpiPCIRoot is the compressed EISA id PNP0A03 of a PCI bus's root.
const acpiPCIRoot = 0x0a0341d0

// hardDriveNode encodes a partition (UEFI specification, 10.3.5.1).
func hardDriveNode(d HardDrive) PathNode {
	b := make([]byte, 0, hardDriveLength)
	b = binary.LittleEndian.AppendUint32(b, d.Number)
	b = binary.LittleEndian.AppendUint64(b, d.Start)
	b = binary.LittleEndian.AppendUint64(b, d.Sectors)
	b = appendGUID(b, d.GUID)
	return PathNode{typeMedia, mediaHardDrive, append(b, tableGPT, signatureGUID)}
}

// filePathNode encodes the path of a file, with backslashes (10.3.5.4).
func filePathNode(path string) (PathNode, error) {
	b, err := appendUTF16(nil, path)
	if err != nil {
		return PathNode{}, fmt.Errorf("file: %w", err)
	}
	if len(b) > 0xffff-nodeHeader {
		return PathNode{}, fmt.Errorf("file: a path of %d UTF-16 units is too long", len(b)/2)
	}
	return PathNode{typeMedia, mediaFilePath, b}, nil
}

// encode returns the path with the node that ends it.
func (p DevicePath) encode() []byte {
	var b []byte
	for _, n := range append(p[:len(p):len(p)], PathNode{Type: typeEnd, Subtype: endEntire}) {
		b = append(b, n.Type, n.Subtype)
		b = binary.LittleEndian.AppendUint16(b, uint16(nodeHeader+len(n.Data)))
		b = append(b, n.Data...)
	}
	return b
}

// parseDevicePath decodes nodes up to the one that ends them.
func parseDevicePath(b []byte) (DevicePath, error) {
	var p DevicePath
	for len(b) >= nodeHeader {
		length := int(binary.LittleEndian.Uint16(b[2:]))
		if length < nodeHeader || length > len(b) {
			return p, fmt.Errorf("a node of the device path has %d bytes, where %d are left", length, len(b))
		}
		if b[0] == typeEnd && b[1] == endEntire {
			return p, nil
		}
		p = append(p, PathNode{b[0], b[1], b[nodeHeader:length:length]})
		b = b[length:]
	}
	return p, errors.New("the device path does not end")
}

// String returns the path in the text form of the UEFI specification (10.6), in
// which other tools show it too: "HD(1,GPT,…)/\EFI\BOOT\BOOTX64.EFI". Nodes of
// kinds that boot entries of virtual machines do not have are shown in the
// generic form.
func (p DevicePath) String() string {
	texts := make([]string, len(p))
	for n, node := range p {
		texts[n] = node.String()
	}
	return strings.Join(texts, "/")
}

// String returns the text form of a node.
func (n PathNode) String() string {
	le := binary.LittleEndian
	switch d := n.Data; {
	case n.is(typeMedia, mediaHardDrive) && len(d) == hardDriveLength && d[offDriveTable] == tableGPT && d[offDriveSignedWith] == signatureGUID:
		return fmt.Sprintf("HD(%d,GPT,%s,0x%X,0x%X)", le.Uint32(d), guidText(d[offDriveSignature:]), le.Uint64(d[offDriveStart:]), le.Uint64(d[offDriveSectors:]))
	case n.is(typeMedia, mediaHardDrive) && len(d) == hardDriveLength && d[offDriveTable] == tableMBR && d[offDriveSignedWith] == signatureMBR:
		return fmt.Sprintf("HD(%d,MBR,0x%08X,0x%X,0x%X)", le.Uint32(d), le.Uint32(d[offDriveSignature:]), le.Uint64(d[offDriveStart:]), le.Uint64(d[offDriveSectors:]))
	case n.is(typeMedia, mediaFilePath):
		if path, rest, ok := cutUTF16(d); ok && len(rest) == 0 {
			return path
		}
	case n.is(typeMedia, mediaFirmware) && len(d) == 16:
		return fmt.Sprintf("Fv(%s)", guidText(d))
	case n.is(typeMedia, mediaFirmwareFile) && len(d) == 16:
		return fmt.Sprintf("FvFile(%s)", guidText(d))
	case n.is(typeACPI, acpiDevice) && len(d) == 8 && le.Uint32(d) == acpiPCIRoot:
		return fmt.Sprintf("PciRoot(0x%X)", le.Uint32(d[4:]))
	case n.is(typeMessaging, messagingSATA) && len(d) == 6:
		return fmt.Sprintf("Sata(0x%X,0x%X,0x%X)", le.Uint16(d), le.Uint16(d[2:]), le.Uint16(d[4:]))
	case n.is(typeHardware, hardwarePCI) && len(d) == 2:
		return fmt.Sprintf("Pci(0x%X,0x%X)", d[1], d[0])
	}
	return fmt.Sprintf("Path(%d,%d,%X)", n.Type, n.Subtype, n.Data)
}

func (n PathNode) is(typ, subtype byte) bool { return n.Type == typ && n.Subtype == subtype }

func guidText(b []byte) string { return strings.ToUpper(getGUID(b[:len(uuid.UUID{})]).String()) }
