package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"diskwright/partition"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// disk returns an empty disk with a table, and its bytes.
func disk(t *testing.T, layout partition.Layout) (*partition.Table, []byte) {
	t.Helper()
	table, err := partition.Plan(partition.Request{
		Layout: layout, DiskSize: 64 << 20, BootSize: 32 << 20, Deterministic: true, RootGUID: uuid.NewSHA1(uuid.Nil, []byte("root")),
		Identify: func(role string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(role)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := table.Map(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, m.Size())
	if _, err := m.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return table, b
}

// grub writes a boot sector whose core is at a sector, and whose list leads to
// another.
func grub(b []byte, first, second int64) {
	copy(b[0x180:], "GRUB \x00Geom")
	binary.LittleEndian.PutUint64(b[grubKernelSector:], uint64(first))
	core := b[first*sector:]
	core[0] = 0x52
	binary.LittleEndian.PutUint64(core[grubFirstList:], uint64(second))
	binary.LittleEndian.PutUint16(core[grubFirstList+8:], 1)
	b[second*sector] = 0x53
}

func TestAreas(t *testing.T) {
	for _, c := range []struct {
		name   string
		layout partition.Layout
		change func(b []byte, p []partition.Partition)
		want   *Areas // without data
		err    string
	}{
		{"nothing", partition.Hybrid, func([]byte, []partition.Partition) {}, &Areas{}, ""},
		{"gap", partition.Legacy, func(b []byte, _ []partition.Partition) { grub(b, 1, 2) },
			&Areas{BootCode: []byte{}, Embedded: []Area{{Offset: 512}}}, ""},
		{"BIOS boot", partition.LegacyGPT, func(b []byte, p []partition.Partition) { grub(b, p[0].Start, p[0].Start+1) },
			&Areas{BootCode: []byte{}, Embedded: []Area{{Offset: 1 << 20}}}, ""},
		{"two areas", partition.Legacy, func(b []byte, _ []partition.Partition) { b[600], b[2000] = 1, 2 },
			&Areas{Embedded: []Area{{Offset: 512}, {Offset: 1536}}}, ""},
		{"active", partition.LegacyBoot, func(b []byte, _ []partition.Partition) { b[tableOffset+entrySize] = active },
			&Areas{Active: 2}, ""},
		{"MBR changed", partition.Legacy, func(b []byte, _ []partition.Partition) { b[tableOffset+8]++ }, nil, "partition table"},
		{"GPT changed", partition.EFI, func(b []byte, _ []partition.Partition) { b[1024+56]++ }, nil, "partition table, at byte 1024"},
		{"backup changed", partition.EFI, func(b []byte, _ []partition.Partition) { b[len(b)-1]++ }, nil, "partition table"},
		{"block of a file", partition.Legacy, func(b []byte, p []partition.Partition) { grub(b, p[0].Start+100, p[0].Start+101) }, nil, "starts from block 2148, in the file system of partition 1"},
		{"blocks of a file", partition.Legacy, func(b []byte, p []partition.Partition) { grub(b, 1, p[0].Start+9) }, nil, "starts from block 2057"},
		{"LILO", partition.Legacy, func(b []byte, _ []partition.Partition) { copy(b, "\xfa\xeb\x21\x01\xb4\x01LILO") }, nil, "LILO"},
		{"boot sector of a file system", partition.Legacy, func(b []byte, p []partition.Partition) { b[p[0].Start*sector+600] = 1 }, nil, "boot sector of partition 1"},
		{"files", partition.Legacy, func(b []byte, p []partition.Partition) { b[p[0].Start*sector+5000] = 1 }, &Areas{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, before := disk(t, c.layout)
			after := bytes.Clone(before)
			c.change(after, table.Partitions)
			got, err := ReadAreas(bytes.NewReader(before), bytes.NewReader(after), table)
			if c.err != "" {
				var place *PlaceError
				if !errors.As(err, &place) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Put back, they make the first disk the second, outside of file systems.
			copy(before, got.BootCode)
			for n, a := range got.Embedded {
				copy(before[a.Offset:], a.Data)
				got.Embedded[n].Data = nil
			}
			if got.Active != 0 {
				before[tableOffset+(got.Active-1)*entrySize] = active
			}
			if c.name != "files" && !bytes.Equal(before, after) {
				t.Error("what was read does not make up the difference")
			}
			if got.BootCode != nil {
				got.BootCode = []byte{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
