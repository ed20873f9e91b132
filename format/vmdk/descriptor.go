package vmdk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	noParent = "ffffffff"

	// defaultContentID is what VMware gives new disks.
	defaultContentID = 0xffff_fffe

	defaultAdapter  = "lsilogic"
	defaultHardware = 4
	defaultName     = "disk.vmdk"
)

// adapters maps the kinds of controllers to the heads of their disks: BIOSes
// translate those of SCSI disks otherwise. Disks have 63 sectors per track.
var adapters = map[string]int64{"ide": 16, "buslogic": 255, "lsilogic": 255, "legacyESX": 255}

const (
	tracks          = 63
	maxIDECylinders = 16383
)

// descriptor returns the text for a disk of sectors, in its place of
// descriptorSectors.
func (o Options) descriptor(sectors int64) ([]byte, error) {
	adapter, hardware, name := o.Adapter, o.HardwareVersion, o.Name
	if adapter == "" {
		adapter = defaultAdapter
	}
	if hardware == 0 {
		hardware = defaultHardware
	}
	if name == "" {
		name = defaultName
	}
	heads, ok := adapters[adapter]
	if !ok {
		return nil, fmt.Errorf("vmdk: unknown adapter %q; there are ide, buslogic, lsilogic and legacyESX", adapter)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' }) || len(name) > 255 {
		return nil, fmt.Errorf("vmdk: %q cannot be a file name in a descriptor: quotes and control characters cannot be written, nor more than 255 bytes", name)
	}
	cylinders := sectors / (heads * tracks)
	if adapter == "ide" {
		cylinders = min(cylinders, maxIDECylinders)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Disk DescriptorFile
version=1
CID=%08x
parentCID=%s
createType="%s"

# Extent description
RW %d SPARSE "%s"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "%d"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.adapterType = "%s"
ddb.toolsVersion = "2147483647"
`, o.contentID(), noParent, o.Subformat, sectors, name, hardware, cylinders, heads, tracks, adapter)
	return append(b.Bytes(), make([]byte, descriptorSectors*sectorSize-b.Len())...), nil
}

// contentID changes with the content of a disk, so that a child knows that its
// parent is what it was.
func (o Options) contentID() uint32 {
	id := o.ID("vmdk-content")
	n := binary.BigEndian.Uint32(id[:4])
	if n == 0 || n == 0xffff_ffff { // which stand for nothing
		return defaultContentID
	}
	return n
}

// description is what a descriptor says.
type description struct {
	createType string
	contentID  string
	parentID   string
	parentName string
	adapter    string
	hardware   string
	extents    []string // file names
}

// decodeDescriptor reads a descriptor, which may be followed by zeros. It knows
// the few lines that matter and skips all others.
func decodeDescriptor(p []byte) *description {
	text, _, _ := bytes.Cut(p, []byte{0})
	var d description
	fields := map[string]*string{
		"createType":           &d.createType,
		"CID":                  &d.contentID,
		"parentCID":            &d.parentID,
		"parentFileNameHint":   &d.parentName,
		"ddb.adapterType":      &d.adapter,
		"ddb.virtualHWVersion": &d.hardware,
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := extentName(line); ok {
			if len(d.extents) < maxExtents {
				d.extents = append(d.extents, name)
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if field := fields[strings.TrimSpace(key)]; ok && field != nil {
			*field = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return &d
}

const maxExtents = 1000

// extentName returns the file name in a line that describes an extent:
//
//	RW 204800 SPARSE "disk.vmdk"
func extentName(line string) (name string, ok bool) {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "RW" && words[0] != "RDONLY" && words[0] != "NOACCESS" {
		return "", false
	}
	if _, err := strconv.ParseUint(words[1], 10, 64); err != nil {
		return "", false
	}
	_, quoted, _ := strings.Cut(line, `"`)
	name, _, _ = strings.Cut(quoted, `"`)
	return name, true
}

// isDescriptor reports whether p, the beginning of a file, is a descriptor by
// itself, of a disk that lies in other files.
func isDescriptor(p []byte) bool {
	return bytes.HasPrefix(bytes.ToLower(p[:min(len(p), 100)]), []byte("# disk descriptorfile"))
}

// check refuses disks that are not in this file alone.
func (d *description) check() error {
	switch {
	case d.parentID != "" && !strings.EqualFold(d.parentID, noParent) || d.parentName != "":
		return fmt.Errorf("it has only what differs from its parent, %q; \"qemu-img convert\" makes an image without one", d.parentName)
	case d.createType == "monolithicSparse" || d.createType == "streamOptimized":
		if len(d.extents) <= 1 {
			return nil
		}
		return fmt.Errorf("its data lies in %d files; \"qemu-img convert\" makes one of them", len(d.extents))
	case d.createType == "":
		return fmt.Errorf("it does not say how it was made: perhaps it is a part of a disk that another file describes; \"qemu-img convert\" of that one makes one file")
	}
	return fmt.Errorf("a disk of type %s, whose data lies in other files (%q); \"qemu-img convert -O vmdk\" makes one file of them", d.createType, d.extents)
}
