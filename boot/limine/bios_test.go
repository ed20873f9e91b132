package limine

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"diskwright/boot/internal/boottest"
	"diskwright/content"
	"diskwright/partition"
)

// testImage returns a boot image that has what is looked for in a real one, and
// a stage 2 of n bytes.
func testImage(n int) []byte {
	const decompressorSize = 96
	b := make([]byte, sectorSize+n)
	copy(b, "\xeb\x58\x90LIMINE  \x00\x02")
	for i := range 6 {
		b[offTimestamp+i] = 0
	}
	const code = 0x170
	copy(b[code:], "\x6a\x00\x52\x68....\x68....\xe8")
	binary.LittleEndian.PutUint32(b[code+4:], uint32(n-decompressorSize))
	binary.LittleEndian.PutUint32(b[code+9:], loadAddress+decompressorSize)
	copy(b[offMagic:], "\x55\xaa")
	for i := sectorSize; i < len(b); i++ {
		b[i] = byte(i % 251)
	}
	copy(b[sectorSize+decompressorSize:], gzipMagic)
	return b
}

func parse(t *testing.T, b []byte) *BootImage {
	t.Helper()
	image, err := ParseBootImage(b)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// It is found by itself, in a program, and as C's source.
func TestParseBootImage(t *testing.T) {
	want := testImage(20991)
	var source strings.Builder
	source.WriteString("const unsigned char binary_limine_hdd_bin_data[] = {\n  ")
	for i, c := range want {
		fmt.Fprintf(&source, "0x%02x, ", c)
		if i%12 == 11 {
			source.WriteString("\n  ")
		}
	}
	source.WriteString("\n};\nint x[] = {0x01};\n")
	for name, file := range map[string][]byte{
		"bin":     want,
		"program": []byte("\x7fELF LIMINE  LIMINE  not yet" + string(want) + strings.Repeat("behind", 99)),
		"source":  []byte(source.String()),
	} {
		image := parse(t, file)
		if !bytes.Equal(image.sector, want[:512]) || !bytes.Equal(image.stage2, want[512:]) {
			t.Errorf("%s: %d bytes of stage 2", name, len(image.stage2))
		}
	}
}

func TestParseBootImageRefuses(t *testing.T) {
	put := func(at int, b ...byte) []byte { c := testImage(1000); copy(c[at:], b); return c }
	for name, file := range map[string][]byte{
		"nothing": nil, "text": []byte("LIMINE  "), "cut": testImage(1000)[:1511],
		"magic": put(offMagic, 0), "code": put(0x172, 0), "size": put(0x174, 0xff, 0xff, 0xff, 0xff), "address": put(0x179, 0, 0, 0),
		"compression": put(sectorSize+96, 0), "source": []byte("{0x01}"), "no source": []byte("}{"),
	} {
		if image, err := ParseBootImage(file); err == nil {
			t.Errorf("%s: %d bytes", name, len(image.stage2))
		}
	}
}

// Places and fields are those of limine 8.2.0 with a stage 2 of 20,991 bytes
// (boot facts; TestRealLimine compares whole disks), but for the last two.
func TestEmbed(t *testing.T) {
	image := parse(t, testImage(20991))
	for _, c := range []struct {
		layout partition.Layout
		index  int
		fields string // sizes of the halves, places of the halves
		offset int64
		active int
	}{
		{partition.LegacyBoot, 0, "002a" + "0028" + "0002000000000000" + "002c000000000000", 0x200, 1},
		{partition.Hybrid, 2, "002a" + "0028" + "0044000000000000" + "006e000000000000", 0x4400, 0},
		{partition.LegacyGPT, 1, "002a" + "0028" + "0000100000000000" + "002a100000000000", 0x100000, 0},
		{partition.LegacyGPT, 0, "002a" + "0028" + "0000100000000000" + "002a100000000000", 0x100000, 0},
		{partition.EFI, 0, "002a" + "0028" + "0044000000000000" + "006e000000000000", 0x4400, 0},
	} {
		e, err := image.Embed(boottest.Disk(t, c.layout).Table, c.index)
		if err != nil {
			t.Errorf("%s: %v", c.layout, err)
			continue
		}
		if got := hex.EncodeToString(e.BootCode[offHalves:]); got != c.fields || len(e.BootCode) != 440 {
			t.Errorf("%s: fields %s, want %s", c.layout, got, c.fields)
		}
		if e.Active != c.active || e.Stage2.Offset != c.offset {
			t.Errorf("%s: active %d, at %#x", c.layout, e.Active, e.Stage2.Offset)
		}
		if !bytes.Equal(e.Stage2.Data, image.stage2) || !bytes.Equal(e.BootCode[:offHalves], image.sector[:offHalves]) {
			t.Errorf("%s: other bytes", c.layout)
		}
	}
}

// What a disk has no room for is refused.
func TestEmbedRefuses(t *testing.T) {
	image := parse(t, testImage(20991))
	for _, c := range []struct {
		layout partition.Layout
		index  int
		change func(*partition.Table)
		want   string
	}{
		{partition.LegacyBoot, 0, func(t *partition.Table) { t.Partitions[0].Start = 41 }, "begins at sector 41, and stage 2 needs those before sector 42"},
		{partition.EFI, 0, func(t *partition.Table) { t.Partitions[0].Start = 74 }, "begins at sector 74, and stage 2 needs those before sector 75"},
		{partition.Hybrid, 2, func(t *partition.Table) { t.Partitions[1].Sectors = 40 }, "has 20480 bytes, and stage 2 20992"},
		{partition.LegacyBoot, 1, func(*partition.Table) {}, "an MBR needs none"},
		{partition.None, 0, func(*partition.Table) {}, "without partitions"},
	} {
		table := boottest.Disk(t, c.layout).Table
		c.change(table)
		if _, err := image.Embed(table, c.index); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.layout, err, c.want)
		}
	}
}

// The boot code goes where a partition table leaves room for it.
func TestBootCodeFits(t *testing.T) {
	table := boottest.Disk(t, partition.LegacyBoot).Table
	e, err := parse(t, testImage(20991)).Embed(table, 0)
	if err != nil {
		t.Fatal(err)
	}
	table.BootCode = e.BootCode
	m, err := table.Map(nil)
	if err != nil {
		t.Fatal(err)
	}
	sector := make([]byte, sectorSize)
	if err := content.ReadFull(m, sector, 0); err != nil || !bytes.Equal(sector[:440], e.BootCode) {
		t.Errorf("%v", err)
	}
}
