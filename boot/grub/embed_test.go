package grub

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// fakeBoot and fakeCore have what GRUB's images have where it counts.
func fakeBoot() []byte {
	b := bytes.Repeat([]byte{0xcc}, sectorSize)
	b[0], b[1], b[2] = 0xeb, 0x63, 0x90
	clear(b[bootBPB:bootBPBEnd])
	binary.LittleEndian.PutUint64(b[bootKernelSector:], 1)
	b[bootDrive], b[bootDriveCheck], b[bootDriveCheck+1] = driveOfBIOS, 0xeb, 0x05
	b[sectorSize-2], b[sectorSize-1] = 0x55, 0xaa
	return b
}

func fakeCore(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	sectors := (size + sectorSize - 1) / sectorSize
	binary.LittleEndian.PutUint64(b[blockList:], 2)
	binary.LittleEndian.PutUint16(b[blockListLength:], uint16(sectors-1))
	binary.LittleEndian.PutUint16(b[blockListSegment:], coreSegment)
	binary.LittleEndian.PutUint32(b[coreRedundancy:], 0)
	binary.LittleEndian.PutUint16(b[coreUnprotected:], 100)
	return b
}

func TestBootCode(t *testing.T) {
	old := bytes.Repeat([]byte{0x11}, 0x4b)
	code, err := bootCode(fakeBoot(), old, 2048)
	if err != nil {
		t.Fatal(err)
	}
	want := fakeBoot()[:440]
	copy(want[3:], old[3:])
	copy(want[0x5c:], []byte{0, 8, 0, 0, 0, 0, 0, 0})
	want[0x66], want[0x67] = 0x90, 0x90
	if !bytes.Equal(code, want) {
		t.Errorf("have\n%x\nwant\n%x", code, want)
	}
	for name, broken := range map[string][]byte{
		"short":     fakeBoot()[:511],
		"no magic":  append(fakeBoot()[:511], 0),
		"not known": append([]byte{0}, fakeBoot()[1:]...),
	} {
		if _, err := bootCode(broken, nil, 1); err == nil || !strings.Contains(err.Error(), "boot.img") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestEmbeddedCore(t *testing.T) {
	const n = 53
	core := fakeCore(n*sectorSize - 100)
	for _, c := range []struct {
		start, room int64
		sectors     int
	}{
		{1, 2047, 2 * n},
		{2048, 2048, 2 * n},
		{34, n, n},
		{34, n + 10, n + 10},
	} {
		out, err := embeddedCore(core, c.start, c.room)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) != c.sectors*sectorSize {
			t.Errorf("room for %d: %d bytes, want %d sectors", c.room, len(out), c.sectors)
		}
		if have := binary.LittleEndian.Uint64(out[0x1f4:]); have != uint64(c.start+1) {
			t.Errorf("the rest begins in sector %d, want %d", have, c.start+1)
		}
		if have := binary.LittleEndian.Uint16(out[0x1fc:]); int(have) != c.sectors-1 {
			t.Errorf("the rest has %d sectors, want %d", have, c.sectors-1)
		}
		if have := binary.LittleEndian.Uint32(out[0x210:]); int(have) != len(out)-len(core) {
			t.Errorf("redundancy is %d, want %d", have, len(out)-len(core))
		}
		if !bytes.Equal(out[0x218:len(core)], core[0x218:]) {
			t.Error("the core image itself was changed")
		}
	}
}

func TestEmbeddedCoreRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		core []byte
		room int64
		want string
	}{
		"too large for the gap":  {fakeCore(100 * sectorSize), 99, "has 100 sectors, and there are 99"},
		"too large for memory":   {fakeCore(890 * sectorSize), 2047, "890 sectors, more than the 889"},
		"too short":              {make([]byte, 1023), 2047, "too few"},
		"not one":                {make([]byte, 4096), 2047, "block list"},
		"all of it is a decoder": {func() []byte { b := fakeCore(1024); b[coreUnprotected+1] = 0xff; return b }(), 2047, "shorter than"},
	} {
		if _, err := embeddedCore(c.core, 1, c.room); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}
