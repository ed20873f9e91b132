package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"diskwright/content"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// plan returns a table of an efi disk of 20 MiB, small enough to keep in
// memory.
func plan(t testing.TB, layout Layout) *Table {
	t.Helper()
	table, err := Plan(Request{
		Layout: layout, DiskSize: 20 << 20, BootSize: 9 << 20,
		Deterministic: true, RootGUID: rootGUID,
		Identify: func(string) uuid.UUID { return uuid.UUID{0x78, 0x56, 0x34, 0x12} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// image returns the bytes of a disk.
func image(t testing.TB, table *Table) []byte {
	t.Helper()
	m, err := table.Map(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, m.Size())
	if err := content.ReadFull(m, b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// asRead returns what of a planned table can be read back.
func asRead(table *Table) *Table {
	want := *table
	want.Layout = ""
	want.Partitions = slices.Clone(table.Partitions)
	for i := range want.Partitions {
		p := &want.Partitions[i]
		p.Role = roleOf(*p)
		p.MountPoint, p.Label = "", ""
	}
	if want.Scheme == Unpartitioned {
		want.Partitions = []Partition{}
	}
	return &want
}

func TestReadWhatIsPlanned(t *testing.T) {
	for _, layout := range Layouts() {
		if layout == EFIXBOOTLDR { // needs more than 100 MiB
			continue
		}
		table := plan(t, layout)
		got, err := Read(bytes.NewReader(image(t, table)), table.DiskSize)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asRead(table), got); diff != "" {
			t.Errorf("%s (-planned +read):\n%s", layout, diff)
		}
	}
}

// fixGPT corrects the CRCs of a copy whose header is in the given sector.
func fixGPT(b []byte, lba int64) {
	h := decodeGPTHeader(b[lba*SectorSize:])
	array := b[h.array*SectorSize:][:h.entries*h.entrySize]
	binary.LittleEndian.PutUint32(b[lba*SectorSize+88:], crc32.ChecksumIEEE(array))
	_, crc := headerCRC(b[lba*SectorSize:], h.size)
	binary.LittleEndian.PutUint32(b[lba*SectorSize+16:], crc)
}

func TestReadDamagedGPT(t *testing.T) {
	const size = 20 << 20
	const last = size/SectorSize - 1
	entry := func(b []byte, n int64) []byte { return b[2*SectorSize+(n-1)*gptEntrySize:] }
	backupEntry := func(b []byte, n int64) []byte { return b[(last-32)*SectorSize+(n-1)*gptEntrySize:] }
	cases := map[string]struct {
		damage     func(b []byte) []byte
		problems   []ProblemKind
		partitions int
		scheme     Scheme
	}{
		"intact": {func(b []byte) []byte { return b }, nil, 3, GPT},
		"bit of the primary header": {func(b []byte) []byte { b[SectorSize+40] ^= 1; return b },
			[]ProblemKind{BadPrimary}, 3, GPT},
		"bit of the primary entries": {func(b []byte) []byte { entry(b, 1)[60] ^= 1; return b },
			[]ProblemKind{BadPrimary}, 3, GPT},
		"bit of the backup header": {func(b []byte) []byte { b[last*SectorSize+40] ^= 1; return b },
			[]ProblemKind{BadBackup}, 3, GPT},
		"bit of both entries": {func(b []byte) []byte { entry(b, 1)[60] ^= 1; backupEntry(b, 1)[60] ^= 1; return b },
			[]ProblemKind{BadPrimary, BadBackup}, 3, GPT},
		"no primary": {func(b []byte) []byte { clear(b[SectorSize : 34*SectorSize]); return b },
			[]ProblemKind{BadPrimary}, 3, GPT},
		"no start at all": {func(b []byte) []byte { clear(b[:mebibyte]); return b },
			[]ProblemKind{BadProtectiveMBR, BadPrimary}, 3, GPT},
		"no start, but something else": {func(b []byte) []byte { clear(b[:mebibyte]); b[1080], b[1081] = 0x53, 0xef; return b },
			[]ProblemKind{StaleGPT}, 0, Unpartitioned},
		"no protective MBR": {func(b []byte) []byte { clear(b[:SectorSize]); return b },
			[]ProblemKind{BadProtectiveMBR}, 3, GPT},
		"no backup": {func(b []byte) []byte { clear(b[last*SectorSize:]); return b },
			[]ProblemKind{BadBackup}, 3, GPT},
		"neither": {func(b []byte) []byte { clear(b[SectorSize:]); return b },
			[]ProblemKind{BadPrimary}, 0, GPT},
		"grown": {func(b []byte) []byte { return append(b, make([]byte, mebibyte)...) },
			[]ProblemKind{BackupNotAtEnd}, 3, GPT},
		"cut": {func(b []byte) []byte { return b[:size-2*mebibyte] },
			[]ProblemKind{BadBackup, BackupNotAtEnd, OutOfBounds}, 3, GPT},
		"copies differ": {func(b []byte) []byte { entry(b, 1)[56] ^= 1; fixGPT(b, 1); return b },
			[]ProblemKind{CopiesDiffer}, 3, GPT},
		"overlap": {func(b []byte) []byte {
			for _, e := range [][]byte{entry(b, 2), backupEntry(b, 2)} {
				binary.LittleEndian.PutUint64(e[40:], 16384)
			}
			fixGPT(b, 1)
			fixGPT(b, last)
			return b
		}, []ProblemKind{Overlap}, 3, GPT},
		"partition that ends before it starts, one beyond every disk": {func(b []byte) []byte {
			for _, e := range [][]byte{entry(b, 1), backupEntry(b, 1)} {
				binary.LittleEndian.PutUint64(e[40:], 1)
			}
			for _, e := range [][]byte{entry(b, 3), backupEntry(b, 3)} {
				binary.LittleEndian.PutUint64(e[40:], 1<<62)
			}
			fixGPT(b, 1)
			fixGPT(b, last)
			return b
		}, []ProblemKind{BadEntry, BadEntry}, 1, GPT},
		"a million entries": {func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[SectorSize+80:], 1e6)
			_, crc := headerCRC(b[SectorSize:], gptHeaderSize)
			binary.LittleEndian.PutUint32(b[SectorSize+16:], crc)
			return b
		}, []ProblemKind{BadPrimary}, 3, GPT},
		"entries behind the end, odd size of an entry": {func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b[SectorSize+72:], 1<<63)
			binary.LittleEndian.PutUint32(b[last*SectorSize+84:], 100)
			return b
		}, []ProblemKind{BadPrimary, BadPrimary, BadBackup, BadBackup}, 0, GPT},
		"header of 7 bytes": {func(b []byte) []byte { b[SectorSize+12] = 7; return b },
			[]ProblemKind{BadPrimary}, 3, GPT},
		"MBR with partitions too": {func(b []byte) []byte {
			putMBREntry(b, 2, mbrEntry{0, CodeLinux, 2048, 2048}, [3]byte{}, [3]byte{})
			return b
		}, []ProblemKind{HybridMBR}, 3, GPT},
		"MBR instead": {func(b []byte) []byte {
			putMBREntry(b, 1, mbrEntry{0, CodeLinux, 2048, 2048}, [3]byte{}, [3]byte{})
			return b
		}, []ProblemKind{StaleGPT}, 1, MBR},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := c.damage(image(t, plan(t, Hybrid)))
			table, err := Read(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			var kinds []ProblemKind
			for _, p := range table.Problems {
				t.Log(p)
				kinds = append(kinds, p.Kind)
			}
			if diff := cmp.Diff(c.problems, kinds); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(table.Partitions) != c.partitions || table.Scheme != c.scheme {
				t.Errorf("%s with %d partitions", table.Scheme, len(table.Partitions))
			}
		})
	}
}

// logical returns a disk with an extended partition at sector 100 and logical
// ones that the chain leads to.
func logical(links ...[2]mbrEntry) []byte {
	b := make([]byte, 1000*SectorSize)
	putMBREntry(b, 2, mbrEntry{0, CodeExtendedLBA, 100, 900}, [3]byte{}, [3]byte{})
	at := uint32(100)
	for _, link := range links {
		s := b[at*SectorSize:]
		s[510], s[511] = 0x55, 0xaa
		putMBREntry(s, 1, link[0], [3]byte{}, [3]byte{})
		putMBREntry(s, 2, link[1], [3]byte{}, [3]byte{})
		at = 100 + link[1].start
	}
	b[510], b[511] = 0x55, 0xaa
	return b
}

func TestReadLogical(t *testing.T) {
	linux := func(start, length uint32) mbrEntry { return mbrEntry{0, CodeLinux, start, length} }
	next := func(start, length uint32) mbrEntry { return mbrEntry{0, CodeExtended, start, length} }
	read := func(b []byte) (numbers, starts []int64, problems []ProblemKind) {
		table, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range table.Partitions {
			numbers, starts = append(numbers, int64(p.Number)), append(starts, p.Start)
		}
		for _, p := range table.Problems {
			problems = append(problems, p.Kind)
		}
		return numbers, starts, problems
	}
	for name, c := range map[string]struct {
		disk     []byte
		numbers  []int64
		starts   []int64
		problems []ProblemKind
	}{
		"three, out of order": {
			logical([2]mbrEntry{linux(10, 40), next(200, 50)}, [2]mbrEntry{linux(10, 40), next(100, 50)}, [2]mbrEntry{linux(10, 40)}),
			[]int64{2, 5, 6, 7}, []int64{100, 110, 310, 210}, nil,
		},
		"circle": {
			logical([2]mbrEntry{linux(10, 40), next(100, 50)}, [2]mbrEntry{linux(10, 40), next(0, 50)}),
			[]int64{2, 5, 6}, []int64{100, 110, 210}, []ProblemKind{BadChain},
		},
		"into the void": {
			logical([2]mbrEntry{linux(10, 40), next(100, 50)}),
			[]int64{2, 5}, []int64{100, 110}, []ProblemKind{BadChain},
		},
		"overlapping": {
			logical([2]mbrEntry{linux(10, 140), next(100, 50)}, [2]mbrEntry{linux(10, 40)}),
			[]int64{2, 5, 6}, []int64{100, 110, 210}, []ProblemKind{Overlap},
		},
		"behind the disk": {
			logical([2]mbrEntry{linux(10, 1<<32-1)}),
			[]int64{2, 5}, []int64{100, 110}, []ProblemKind{OutOfBounds},
		},
	} {
		numbers, starts, problems := read(c.disk)
		if !slices.Equal(numbers, c.numbers) || !slices.Equal(starts, c.starts) || !slices.Equal(problems, c.problems) {
			t.Errorf("%s: %d at %d, %s", name, numbers, starts, problems)
		}
	}

	// Each link is a sector behind the one before: a chain that would go on for
	// the whole disk.
	var chain [][2]mbrEntry
	for i := range uint32(500) {
		chain = append(chain, [2]mbrEntry{linux(1, 1), next(i+1, 2)})
	}
	if numbers, _, problems := read(logical(chain...)); len(numbers) != 1+maxLogical || !slices.Contains(problems, BadChain) {
		t.Errorf("long chain: %d partitions, %s", len(numbers), problems)
	}
}

// TestReadSector0 has sectors 0 that look like an MBR and are none, and the
// other way around.
func TestReadSector0(t *testing.T) {
	sector := func(start string, entries string) []byte {
		b := make([]byte, 64*SectorSize)
		copy(b, start)
		copy(b[446:], entries)
		b[510], b[511] = 0x55, 0xaa
		return b
	}
	linux := "\x80\x00\x00\x00\x83\x00\x00\x00\x01\x00\x00\x00\x10\x00\x00\x00"
	for name, c := range map[string]struct {
		disk   []byte
		scheme Scheme
	}{
		"empty disk":              {make([]byte, 1<<20), Unpartitioned},
		"no bytes":                {nil, Unpartitioned},
		"few bytes":               {[]byte{1, 2, 3}, Unpartitioned},
		"empty MBR":               {sector("", ""), MBR},
		"MBR":                     {sector("", linux), MBR},
		"FAT of mkfs.fat":         {sector("\xeb\x3c\x90mkfs.fat\x00\x02\x04\x01\x00", ""), Unpartitioned},
		"FAT of Windows":          {sector("\xeb\x58\x90MSDOS5.0\x00\x02\x04\x01\x00", "\x00\x00\x00\x00Remove disks or other media"), Unpartitioned},
		"NTFS":                    {sector("\xeb\x52\x90NTFS    \x00\x02\x08\x00\x00", "is compressed\x00\x0d\x0aPress Ctrl"), Unpartitioned},
		"exFAT":                   {sector("\xeb\x76\x90EXFAT   ", ""), Unpartitioned},
		"FAT that is an MBR also": {sector("\xeb\x3c\x90mkfs.fat\x00\x02\x04\x01\x00", linux), MBR},
		"code of GRUB":            {sector("\xeb\x63\x90\x10\x8e\xd0\xbc\x00\xb0\xb8\x00\x00", linux), MBR},
	} {
		table, err := Read(bytes.NewReader(c.disk), int64(len(c.disk)))
		if err != nil || table.Scheme != c.scheme {
			t.Errorf("%s: %+v %v", name, table, err)
		}
	}
}

// TestRead4K reads a GPT of a disk with sectors of 4,096 bytes.
func TestRead4K(t *testing.T) {
	const sector, sectors = 4096, 1000
	b := make([]byte, sectors*sector)
	array := make([]byte, gptArraySize)
	putEntry(array[gptEntrySize:], Partition{Start: 256, Sectors: 100, TypeGUID: TypeLinux, GUID: rootGUID, Name: "Ünïcode 🐧"})
	h := gptHeader{
		self: 1, other: sectors - 1, firstUsable: 6, lastUsable: sectors - 6, disk: rootGUID,
		array: 2, entries: gptEntries, entrySize: gptEntrySize, arrayCRC: crc32.ChecksumIEEE(array),
	}
	copy(b, (&Table{DiskSize: sectors * SectorSize}).protectiveMBR())
	copy(b[sector:], h.encode())
	copy(b[2*sector:], array)
	h.self, h.other, h.array = h.other, h.self, sectors-5
	copy(b[(sectors-1)*sector:], h.encode())
	copy(b[(sectors-5)*sector:], array)

	table, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Partitions) != 1 || table.Problems != nil || table.SectorSize != sector {
		t.Fatalf("%+v", table)
	}
	p := table.Partitions[0]
	if p.Number != 2 || p.Name != "Ünïcode 🐧" || table.Offset(p) != 256*sector || table.Size(p) != 100*sector {
		t.Errorf("%+v", p)
	}
	if _, err := table.Map(nil); err == nil {
		t.Error("it was written")
	}
}

// failing is a disk that cannot be read from an offset on.
type failing struct {
	r    io.ReaderAt
	from int64
}

var errBroken = errors.New("broken")

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.from {
		return 0, errBroken
	}
	return f.r.ReadAt(b, off)
}

func TestReadErrors(t *testing.T) {
	b := image(t, plan(t, EFI))
	for _, from := range []int64{0, 600, 1100, int64(len(b)) - 600} {
		if _, err := Read(failing{bytes.NewReader(b), from}, int64(len(b))); !errors.Is(err, errBroken) {
			t.Errorf("broken from %d on: %v", from, err)
		}
	}
	if _, err := Read(bytes.NewReader(b[:1<<20]), int64(len(b))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("shorter than it says: %v", err)
	}
}

func TestMapErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *Table)
		parts  map[int]content.Source
		want   string
	}{
		"too much content": {func(*Table) {}, map[int]content.Source{1: &content.Generated{Length: 1 << 30}}, "partition 1 has 2097152 bytes"},
		"no partition 7":   {func(*Table) {}, map[int]content.Source{7: content.Bytes("x")}, "content for 1 partitions"},
		"overlap":          {func(t *Table) { t.Partitions[1].Start-- }, nil, "overlap"},
		"same number":      {func(t *Table) { t.Partitions[1].Number = 1 }, nil, "two partitions have number 1"},
		"number":           {func(t *Table) { t.Partitions[1].Number = 129 }, nil, "entries 1 to 128"},
		"in the table":     {func(t *Table) { t.Partitions[0].Start = 33 }, nil, "usable 34 to"},
		"behind the end":   {func(t *Table) { t.Partitions[1].Sectors += 10000 }, nil, "usable 34 to"},
		"no length":        {func(t *Table) { t.Partitions[1].Sectors = 0 }, nil, "usable 34 to"},
		"overflow":         {func(t *Table) { t.Partitions[1].Sectors = 1<<63 - 1 }, nil, "usable 34 to"},
		"no type":          {func(t *Table) { t.Partitions[1].TypeGUID = uuid.Nil }, nil, "no type"},
		"name":             {func(t *Table) { t.Partitions[1].Name = strings.Repeat("🐧", 19) }, nil, "longer than 36"},
		"boot code":        {func(t *Table) { t.BootCode = make([]byte, 441) }, nil, "boot code of 441 bytes"},
		"tiny disk":        {func(t *Table) { t.DiskSize = 66 * SectorSize }, nil, "at least 67"},
		"scheme":           {func(t *Table) { t.Scheme = "apm" }, nil, "unknown partition table"},
		"MBR without type": {func(t *Table) { t.Scheme = MBR }, nil, "an MBR needs a type"},
	} {
		table := plan(t, EFI)
		c.change(table)
		if _, err := table.Map(c.parts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestMapContent places content of every partition, of which one is shorter
// than its partition.
func TestMapContent(t *testing.T) {
	for _, layout := range Layouts() {
		table, err := Plan(Request{
			Layout: layout, DiskSize: 200 << 20, BootSize: 128 << 20,
			Deterministic: true, RootGUID: rootGUID, Identify: func(string) uuid.UUID { return rootGUID },
		})
		if err != nil {
			t.Fatal(err)
		}
		parts := map[int]content.Source{}
		for _, p := range table.Partitions {
			parts[p.Number] = content.Bytes(fmt.Sprintf("content of %s", p.Role))
		}
		m, err := table.Map(parts)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range table.Partitions {
			want := string(parts[p.Number].(content.Bytes))
			got := make([]byte, len(want))
			if _, err := m.ReadAt(got, table.Offset(p)); err != nil || string(got) != want {
				t.Errorf("%s: %q %v", layout, got, err)
			}
		}
	}
}
