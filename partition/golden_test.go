package partition

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// golden is a case of testdata/pt-seed*.json.
type golden struct {
	Name          string
	Seed          string
	Layout        Layout
	DiskBytes     int64
	BootSize      *string
	Deterministic bool
	MBR           struct {
		BootCodeHex   string
		DiskSignature string
		Entries       []string
		Bytes444      string `json:"bytes444_445"`
		Signature     string
	}
	GPT *struct {
		Primary, Backup goldenHeader
	}
	Partitions          []goldenPartition
	NonZeroSectorRanges [][2]int64
	RootPartition       int
	Mkfs                struct{ OffsetBytes, SizeKiB int64 }
	SfdiskJSON          json.RawMessage
}

type goldenHeader struct {
	Signature             string
	Revision              string
	HeaderSize            uint32
	HeaderCRC32           string
	Reserved              uint32
	MyLBA, AlternateLBA   int64
	FirstUsableLBA        int64
	LastUsableLBA         int64
	DiskGUID              uuid.UUID
	PartitionEntryLBA     int64
	NumEntries, EntrySize uint32
	EntriesCRC32          string
	RestOfSectorZero      bool
}

type goldenPartition struct {
	Index                int
	Status, Type         string
	TypeGUID, UniqueGUID uuid.UUID
	Name                 string
	Attributes           string
	FirstLBA, LastLBA    int64
	Sectors              int64
}

// rootGUID is the reference's default of rootGPUID.
var rootGUID = uuid.MustParse("F222513B-DED1-49FA-B591-20CE86A2FE7F")

func load(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func goldens(t testing.TB) (all []golden) {
	t.Helper()
	for _, name := range []string{"pt-seed000.json", "pt-seed001.json"} {
		var some []golden
		load(t, name, &some)
		all = append(all, some...)
	}
	return all
}

// bytesOf reads a number such as "256M" as numfmt --from=iec does, as far as
// goldens need it. Package spec has the real thing.
func bytesOf(t testing.TB, text string) int64 {
	t.Helper()
	unit := int64(1)
	for suffix, u := range map[string]int64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = rest, u
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n * float64(unit))
}

// request is the request that a golden answers. What is random in the golden is
// taken from it, so that everything, the CRCs included, must be equal.
func (g golden) request(t testing.TB) Request {
	r := Request{
		Layout: g.Layout, Compat: Current, DiskSize: g.DiskBytes,
		Deterministic: g.Deterministic, RootGUID: rootGUID,
		Identify: func(role string) uuid.UUID {
			if role == RoleSignature {
				n, err := strconv.ParseUint(g.MBR.DiskSignature, 0, 32)
				if err != nil {
					t.Fatal(err)
				}
				return uuid.UUID{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
			}
			if role == RoleDisk {
				return g.GPT.Primary.DiskGUID
			}
			for _, p := range g.Partitions {
				if role == PartitionRole(p.Index) {
					return p.UniqueGUID
				}
			}
			t.Fatalf("unknown role %q", role)
			return uuid.Nil
		},
	}
	if g.BootSize != nil {
		r.BootSizeText = *g.BootSize
		r.BootSize = bytesOf(t, *g.BootSize)
	}
	if g.Seed == "000" {
		r.Compat = Older
	}
	return r
}

func TestGoldens(t *testing.T) {
	all := goldens(t)
	if len(all) != 64+112 {
		t.Errorf("%d goldens", len(all))
	}
	for _, g := range all {
		t.Run(g.Name, func(t *testing.T) {
			table, err := Plan(g.request(t))
			if err != nil {
				t.Fatal(err)
			}
			root, _ := table.ByRole(Root)
			if root.Number != g.RootPartition || table.Offset(root) != g.Mkfs.OffsetBytes || table.Size(root)/1024 != g.Mkfs.SizeKiB {
				t.Errorf("root is %+v", root)
			}
			g.compare(t, table)
		})
	}
}

// compare requires that a table is that of the golden, in every byte.
func (g golden) compare(t *testing.T, table *Table) {
	t.Helper()
	m, err := table.Map(nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Size() != g.DiskBytes {
		t.Errorf("size %d", m.Size())
	}
	comparePartitions(t, table, g.Partitions)
	compareMBR(t, g, sectorOf(t, m, 0))
	if g.GPT != nil {
		compareHeader(t, g.GPT.Primary, sectorOf(t, m, 1))
		compareHeader(t, g.GPT.Backup, sectorOf(t, m, g.DiskBytes/SectorSize-1))
		compareEntries(t, g, m, g.GPT.Primary)
		compareEntries(t, g, m, g.GPT.Backup)
	}
	if diff := cmp.Diff(g.NonZeroSectorRanges, nonZero(t, m)); diff != "" {
		t.Errorf("sectors that are not zero (-want +got):\n%s", diff)
	}
}

func comparePartitions(t *testing.T, table *Table, want []goldenPartition) {
	t.Helper()
	var got []goldenPartition
	for _, p := range table.Partitions {
		g := goldenPartition{Index: p.Number, FirstLBA: p.Start, LastLBA: p.Last(), Sectors: p.Sectors}
		if table.Scheme == MBR {
			status := 0
			if p.Active {
				status = 0x80
			}
			g.Status, g.Type = fmt.Sprintf("0x%02x", status), fmt.Sprintf("0x%02x", p.TypeCode)
		} else {
			g.TypeGUID, g.UniqueGUID, g.Name = p.TypeGUID, p.GUID, p.Name
			g.Attributes = fmt.Sprintf("0x%016x", p.Attributes)
		}
		got = append(got, g)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
}

func sectorOf(t *testing.T, m *diskmap.Map, lba int64) []byte {
	t.Helper()
	b := make([]byte, SectorSize)
	if err := content.ReadFull(m, b, lba*SectorSize); err != nil {
		t.Fatal(err)
	}
	return b
}

// compareMBR compares all 512 bytes.
func compareMBR(t *testing.T, g golden, got []byte) {
	t.Helper()
	signature, err := strconv.ParseUint(g.MBR.DiskSignature, 0, 32)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%-880s%08x%s%s%s", g.MBR.BootCodeHex, swap32(uint32(signature)),
		g.MBR.Bytes444, strings.Join(g.MBR.Entries, ""), g.MBR.Signature)
	if diff := cmp.Diff(strings.ReplaceAll(want, " ", "0"), hex.EncodeToString(got)); diff != "" {
		t.Errorf("MBR (-want +got):\n%s", diff)
	}
}

func swap32(n uint32) uint32 { return n>>24 | n>>8&0xff00 | n<<8&0xff0000 | n<<24 }

func compareHeader(t *testing.T, want goldenHeader, got []byte) {
	t.Helper()
	h := decodeGPTHeader(got)
	written, actual := headerCRC(got, h.size)
	if written != actual {
		t.Errorf("CRC of the header is %08x, not %08x", written, actual)
	}
	rest := strings.Trim(string(got[gptHeaderSize:]), "\x00") == ""
	if diff := cmp.Diff(want, goldenHeader{
		Signature: string(got[:8]), Revision: fmt.Sprintf("0x%02x%02x%02x%02x", got[11], got[10], got[9], got[8]),
		HeaderSize: h.size, HeaderCRC32: fmt.Sprintf("0x%08x", written), Reserved: uint32(got[20]),
		MyLBA: int64(h.self), AlternateLBA: int64(h.other),
		FirstUsableLBA: int64(h.firstUsable), LastUsableLBA: int64(h.lastUsable),
		DiskGUID: h.disk, PartitionEntryLBA: int64(h.array),
		NumEntries: h.entries, EntrySize: h.entrySize, EntriesCRC32: fmt.Sprintf("0x%08x", h.arrayCRC),
		RestOfSectorZero: rest,
	}); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// compareEntries decodes the entries where the header says that they are.
func compareEntries(t *testing.T, g golden, m *diskmap.Map, h goldenHeader) {
	t.Helper()
	b := make([]byte, gptArraySize)
	if err := content.ReadFull(m, b, h.PartitionEntryLBA*SectorSize); err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Partitions {
		e := decodeGPTEntry(b[(p.Index-1)*gptEntrySize:])
		want := gptEntry{
			typ: p.TypeGUID, guid: p.UniqueGUID, name: p.Name,
			first: uint64(p.FirstLBA), last: uint64(p.LastLBA),
		}
		if e != want {
			t.Errorf("entry %d is %+v, not %+v", p.Index, e, want)
		}
	}
}

// nonZero lists the runs of sectors that have a byte that is not zero.
func nonZero(t *testing.T, m *diskmap.Map) (runs [][2]int64) {
	t.Helper()
	for e := range m.Extents(0, m.Size()) {
		for lba := e.Offset / SectorSize; lba*SectorSize < e.End(); lba++ {
			if strings.Trim(string(sectorOf(t, m, lba)), "\x00") == "" {
				continue
			}
			if n := len(runs); n > 0 && runs[n-1][1] == lba-1 {
				runs[n-1][1] = lba
			} else {
				runs = append(runs, [2]int64{lba, lba})
			}
		}
	}
	return runs
}

func TestEdgeCases(t *testing.T) {
	var cases []struct {
		Seed       string
		Layout     Layout
		DiskMiB    int64
		BootSize   *string
		Fails      bool
		Partitions []goldenPartition
		MBREntry0  string
		GPTPrimary *goldenHeader
	}
	load(t, "pt-edge-cases.json", &cases)
	if len(cases) != 104 {
		t.Errorf("%d cases", len(cases))
	}
	for _, c := range cases {
		boot := ""
		if c.BootSize != nil {
			boot = *c.BootSize
		}
		t.Run(fmt.Sprintf("%s %s %dM boot %s", c.Seed, c.Layout, c.DiskMiB, boot), func(t *testing.T) {
			r := Request{
				Layout: c.Layout, DiskSize: c.DiskMiB << 20, Deterministic: true, RootGUID: rootGUID,
				Identify: func(string) uuid.UUID { return uuid.UUID{1} },
			}
			if c.Seed == "000" {
				r.Compat, r.BootSizeText = Older, boot
			} else if boot != "" {
				r.BootSize = bytesOf(t, boot)
			}
			table, err := Plan(r)
			if c.Fails {
				checkSizeError(t, r, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Partitions { // the record has only some fields
				if c.Partitions[i].UniqueGUID == uuid.Nil && table.Scheme == GPT {
					c.Partitions[i].UniqueGUID = table.Partitions[i].GUID
					c.Partitions[i].Attributes = fmt.Sprintf("0x%016x", 0)
				}
				if c.Partitions[i].Status == "" && table.Scheme == MBR {
					c.Partitions[i].Status = map[bool]string{true: "0x80", false: "0x00"}[table.Partitions[i].Active]
				}
			}
			comparePartitions(t, table, c.Partitions)
			m, err := table.Map(nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.MBREntry0 != "" {
				if got := hex.EncodeToString(sectorOf(t, m, 0)[446:462]); got != c.MBREntry0 {
					t.Errorf("protective entry %s, not %s", got, c.MBREntry0)
				}
			}
			if c.GPTPrimary != nil {
				compareHeader(t, *c.GPTPrimary, sectorOf(t, m, 1))
			}
		})
	}
}

// checkSizeError requires that the error names the parameter, and that what
// it asks for works, and no less (no more) does.
func checkSizeError(t *testing.T, r Request, err error) {
	t.Helper()
	var size *SizeError
	if !errors.As(err, &size) {
		t.Fatalf("error %v", err)
	}
	t.Log(err)
	set := func(bytes int64) Request {
		changed := r
		switch size.Parameter {
		case "diskSize":
			changed.DiskSize = bytes
		case "bootSize":
			changed.BootSize = bytes
		default:
			t.Errorf("parameter %q", size.Parameter)
		}
		return changed
	}
	if _, err := Plan(set(size.Limit)); err != nil {
		t.Errorf("%d bytes should work, but: %v", size.Limit, err)
	}
	step := int64(-1)
	if size.Parameter == "diskSize" {
		step = -mebibyte
	}
	if size.TooLarge {
		step = -step
	}
	if _, err := Plan(set(size.Limit + step)); err == nil {
		t.Errorf("%d bytes should not work", size.Limit+step)
	}
}
