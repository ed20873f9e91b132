package efivars

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// The header of a firmware volume (PI specification, volume 3, 3.2.1:
// EFI_FIRMWARE_VOLUME_HEADER).
const (
	offZeroVector   = 0
	offFileSystem   = 16 // GUID
	offVolumeLength = 32 // 64 bits
	offSignature    = 40
	offHeaderLength = 48 // 16 bits
	offRevision     = 55
	offBlockMap     = 56 // pairs of 32 bits, number and length, the last one zero
	minVolumeHeader = 72 // with one entry

	volumeSignature = "_FVH"
	volumeRevision  = 2
)

// The header of a variable store (EDK II: VARIABLE_STORE_HEADER), which is the
// first thing in the volume.
const (
	offStoreSize    = 16 // 32 bits, with this header
	offStoreFormat  = 20
	offStoreState   = 21
	storeHeaderSize = 28

	storeFormatted = 0x5a
	storeHealthy   = 0xfe
)

var (
	// variableVolume is gEfiSystemNvDataFvGuid: the volume's "file system".
	variableVolume = uuid.MustParse("FFF12B8D-7696-4C8B-A985-2747075B4F50")
	// authenticatedStore is gEfiAuthenticatedVariableGuid: a store whose
	// variables have room for what signed updates need. OVMF's is always one.
	authenticatedStore = uuid.MustParse("AAF32C78-947B-439A-A180-2E144EC37792")
	// plainStore is gEfiVariableGuid, which OVMF's was before 2015 in builds
	// without Secure Boot.
	plainStore = uuid.MustParse("DDCF3616-3275-4164-98B6-FE85707FFE7D")
)

// SniffLength is how many bytes of a file's start [Sniff] looks at.
const SniffLength = offSignature + len(volumeSignature)

// Sniff reports whether a file that begins like this is meant to be a variable
// store, be it damaged or not.
func Sniff(start []byte) bool {
	return len(start) >= SniffLength &&
		getGUID(start[offFileSystem:]) == variableVolume &&
		string(start[offSignature:SniffLength]) == volumeSignature
}

// describeOther says what a file is that is no variable store.
func describeOther(file []byte) string {
	const want = "want one like the firmware's OVMF_VARS.fd"
	switch {
	case len(file) == 0:
		return "it is empty: " + want
	case bytes.HasPrefix(file, []byte("QFI\xfb")):
		return `it is a disk image in the format qcow2: "qemu-img convert -O raw" makes a variable store of it`
	case file[0] == 0 && isPadding(file):
		return "it is all zeros: firmware that comes with such a file (for ARM) makes a variable store of it when it starts; start a machine with it once, and take what that leaves"
	case len(file) >= SniffLength && string(file[offSignature:SniffLength]) == volumeSignature:
		return fmt.Sprintf("it is a firmware volume, but not one of variables (file system %s): %s", getGUID(file[offFileSystem:]), want)
	}
	return "it is no variable store: " + want
}

// findStore checks the headers and returns where the space for variables begins
// and ends. Each of these checks is one of the firmware's: if the volume's fail,
// OVMF erases the store and crashes; if the store's fail, it hangs.
func findStore(file []byte) (start, end int, err error) {
	header, length, err := checkVolume(file)
	if err != nil {
		return 0, 0, err
	}
	if header+storeHeaderSize > length {
		return 0, 0, fmt.Errorf("the firmware volume of %d bytes ends in the header of the variable store", length)
	}
	store := file[header:length]
	switch guid := getGUID(store); guid {
	case authenticatedStore:
	case plainStore:
		return 0, 0, errors.New("it is a variable store without authentication, which OVMF has not used since 2015: take the template of a current firmware")
	default:
		return 0, 0, fmt.Errorf("the variable store is damaged: its GUID is %s, not %s", guid, authenticatedStore)
	}
	if format, state := store[offStoreFormat], store[offStoreState]; format != storeFormatted || state != storeHealthy {
		return 0, 0, fmt.Errorf("the variable store is damaged: format %#02x, state %#02x, not %#02x and %#02x",
			format, state, storeFormatted, storeHealthy)
	}
	size := int64(binary.LittleEndian.Uint32(store[offStoreSize:]))
	if size < storeHeaderSize || size > int64(len(store)) {
		return 0, 0, fmt.Errorf("the variable store is damaged: a size of %d bytes, in a firmware volume that has %d for it", size, len(store))
	}
	return align(header + storeHeaderSize), header + int(size), nil
}

// checkVolume checks the header of the firmware volume, and returns its length
// and that of the whole volume.
func checkVolume(file []byte) (header, length int, err error) {
	damaged := func(format string, args ...any) (int, int, error) {
		return 0, 0, fmt.Errorf("the firmware volume is damaged: "+format, args...)
	}
	if len(file) < minVolumeHeader {
		return damaged("it ends after %d bytes, in its header", len(file))
	}
	header = int(binary.LittleEndian.Uint16(file[offHeaderLength:]))
	if header < minVolumeHeader || header%8 != 0 || header > len(file) {
		return damaged("a header of %d bytes", header)
	}
	var sum uint16
	for n := 0; n < header; n += 2 {
		sum += binary.LittleEndian.Uint16(file[n:])
	}
	if sum != 0 {
		return damaged("the checksum of its header is wrong")
	}
	if revision := file[offRevision]; revision != volumeRevision {
		return damaged("revision %d, not %d", revision, volumeRevision)
	}
	volume := binary.LittleEndian.Uint64(file[offVolumeLength:])
	if volume < uint64(header) || volume > uint64(len(file)) {
		return damaged("it has %d bytes, the file %d", volume, len(file))
	}
	// ARM's firmware counts all blocks of the flash memory, which is larger.
	if blocks := blockMapLength(file[offBlockMap:header]); blocks != volume && blocks != uint64(len(file)) {
		return damaged("it has %d bytes, its blocks %d", volume, blocks)
	}
	if rest := file[volume:]; !isPadding(rest) {
		return 0, 0, fmt.Errorf("%d bytes follow the variable store that are no padding: want the variables only, without the firmware's code", len(rest))
	}
	return header, int(volume), nil
}

// blockMapLength returns how long the blocks are altogether.
func blockMapLength(blocks []byte) uint64 {
	var sum uint64
	for ; len(blocks) >= 8; blocks = blocks[8:] {
		sum += uint64(binary.LittleEndian.Uint32(blocks)) * uint64(binary.LittleEndian.Uint32(blocks[4:]))
	}
	return sum
}

// isPadding reports whether all bytes are zero, or all ff. QEMU's ARM machines
// want a file as large as their flash memory.
func isPadding(b []byte) bool {
	return len(b) == 0 || (b[0] == 0 || b[0] == erased) && bytes.Count(b, b[:1]) == len(b)
}

// getGUID decodes a GUID as EFI has it: its first three fields little-endian.
func getGUID(b []byte) (guid uuid.UUID) {
	binary.BigEndian.PutUint32(guid[0:], binary.LittleEndian.Uint32(b[0:]))
	binary.BigEndian.PutUint16(guid[4:], binary.LittleEndian.Uint16(b[4:]))
	binary.BigEndian.PutUint16(guid[6:], binary.LittleEndian.Uint16(b[6:]))
	copy(guid[8:], b[8:16])
	return guid
}

// appendGUID encodes a GUID as EFI has it.
func appendGUID(b []byte, guid uuid.UUID) []byte {
	b = binary.LittleEndian.AppendUint32(b, binary.BigEndian.Uint32(guid[0:]))
	b = binary.LittleEndian.AppendUint16(b, binary.BigEndian.Uint16(guid[4:]))
	b = binary.LittleEndian.AppendUint16(b, binary.BigEndian.Uint16(guid[6:]))
	return append(b, guid[8:]...)
}
