package partition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/diskmap"
	"diskwright/test/oracle"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// write makes a sparse image file.
func write(t *testing.T, m *diskmap.Map) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(m.Size()); err != nil {
		t.Fatal(err)
	}
	for e := range m.Extents(0, m.Size()) {
		b := make([]byte, e.Length)
		if _, err := e.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, e.Offset); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// ends returns the sectors of an image that a table may occupy: the first MiB
// and the last.
func ends(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2*mebibyte)
	if _, err := f.ReadAt(b[:mebibyte], 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(b[mebibyte:], fi.Size()-mebibyte); err != nil {
		t.Fatal(err)
	}
	return b
}

// script is what the reference has parted do, and sgdisk afterwards. The BIOS
// boot partition of hybrid is given in sectors, because parted before 3.6 reads
// the reference's "1024KiB" wrongly. R stands for rootGPUID, B for the boot size.
var script = map[Layout]struct{ parted, sgdisk string }{
	Legacy:     {"mklabel msdos mkpart primary ext4 1MiB 100%", ""},
	LegacyBoot: {"mklabel msdos mkpart primary fat32 1MiB B set 1 boot on mkpart primary ext4 B 100%", ""},
	LegacyGPT: {"mklabel gpt mkpart no-fs 1MiB 2MiB set 1 bios_grub on mkpart primary ext4 2MiB 100%",
		"1:1C06F03B-704E-4657-B9CD-681A087A2FDC 2:970C694F-AFD0-4B99-B750-CDB7A329AB6F 3:R"},
	EFI: {"mklabel gpt mkpart ESP fat32 8MiB B set 1 boot on mkpart primary ext4 B 100%",
		"1:1C06F03B-704E-4657-B9CD-681A087A2FDC 2:R"},
	EFIXBOOTLDR: {"mklabel gpt mkpart ESP fat32 8MiB 100MiB set 1 boot on mkpart BOOT fat32 100MiB B set 2 bls_boot on mkpart ROOT ext4 B 100%",
		"1:1C06F03B-704E-4657-B9CD-681A087A2FDC 2:970C694F-AFD0-4B99-B750-CDB7A329AB6F 3:R"},
	Hybrid: {"mklabel gpt mkpart ESP fat32 8MiB B set 1 boot on mkpart no-fs 34s 2047s set 2 bios_grub on mkpart primary ext4 B 100%",
		"1:1C06F03B-704E-4657-B9CD-681A087A2FDC 2:970C694F-AFD0-4B99-B750-CDB7A329AB6F 3:R"},
}

var olderScript = map[Layout]string{
	Legacy:    "mklabel msdos mkpart primary ext4 1MiB -1",
	LegacyGPT: "mklabel gpt mkpart no-fs 1MB 2MB set 1 bios_grub on mkpart primary ext4 2MB -1",
	EFI:       "mklabel gpt mkpart ESP fat32 8MiB B set 1 boot on mkpart primary ext4 B -1",
	Hybrid:    "mklabel gpt mkpart ESP fat32 8MiB B set 1 boot on mkpart no-fs 34s 2047s set 2 bios_grub on mkpart primary ext4 B -1",
}

// reference runs what the reference runs on an empty disk; sgdisk, which is
// slow, only if the disk is to be deterministic. It is false if that fails, or
// leaves a root that has no room for a file system.
func reference(t *testing.T, r Request) (path string, ok bool) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "reference.img")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, r.DiskSize); err != nil {
		t.Fatal(err)
	}
	commands, boot := script[r.Layout].parted, fmt.Sprintf("%dMiB", RoundBootSize(r.BootSize)>>20)
	if r.Compat == Older {
		commands, boot = olderScript[r.Layout], r.BootSizeText
	}
	args := append([]string{"--script", path, "--"}, strings.Fields(commands)...)
	for i := range args {
		if args[i] == "B" {
			args[i] = boot
		}
	}
	if _, status := oracle.Exit(t, "parted", args...); status != 0 {
		return path, false
	}
	if r.Deterministic && r.Layout.Scheme() == GPT {
		args = []string{"--disk-guid=97FD5997-D90B-4AA3-8D16-C1723AEA73C"}
		for _, guid := range strings.Fields(script[r.Layout].sgdisk) {
			args = append(args, "--partition-guid="+strings.Replace(guid, "R", r.RootGUID.String(), 1))
		}
		oracle.Run(t, "sgdisk", append(args, path)...)
	}
	partitions := readFile(t, path).Partitions
	return path, partitions[len(partitions)-1].Sectors >= minRoot
}

// readFile reads the table of an image, which must have no problem.
func readFile(t *testing.T, path string) *Table {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Read(f, fi.Size())
	if err != nil || table.Problems != nil {
		t.Fatal(err, table.Problems)
	}
	return table
}

// compareReference requires that Plan and the reference's tools agree to the
// byte, or that both refuse. What the tools make random is taken from what they
// made.
func compareReference(t *testing.T, r Request) {
	t.Helper()
	path, works := reference(t, r)
	r.Identify = func(role string) uuid.UUID {
		made := readFile(t, path)
		switch role {
		case RoleSignature:
			return uuid.UUID{byte(made.Signature), byte(made.Signature >> 8), byte(made.Signature >> 16), byte(made.Signature >> 24)}
		case RoleDisk:
			return made.DiskGUID
		}
		for _, p := range made.Partitions {
			if role == PartitionRole(p.Number) {
				return p.GUID
			}
		}
		t.Fatalf("no partition for role %q", role)
		return uuid.Nil
	}
	name := fmt.Sprintf("%s %s, disk of %d MiB, bootSize %d %q", r.Compat, r.Layout, r.DiskSize>>20, r.BootSize, r.BootSizeText)
	table, err := Plan(r)
	if works != (err == nil) {
		t.Errorf("%s: parted works: %v, Plan: %v", name, works, err)
	}
	if !works || err != nil {
		return
	}
	m, err := table.Map(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ends(t, write(t, m)), ends(t, path)) {
		t.Errorf("%s: planned %+v, the reference has %+v", name, table.Partitions, readFile(t, path).Partitions)
	}
}

// runs is the number of cases, each of which runs parted, which syncs.
func runs(few, many int) int {
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		return many
	}
	return few
}

// TestReference has parted and sgdisk make every layout, deterministic.
func TestReference(t *testing.T) {
	oracle.Need(t, "parted")
	oracle.Need(t, "sgdisk")
	for _, layout := range Layouts()[1:] {
		t.Run(string(layout), func(t *testing.T) {
			t.Parallel() // sgdisk sleeps
			compareReference(t, Request{
				Layout: layout, DiskSize: 700 << 20, BootSize: 300e6,
				Deterministic: true, RootGUID: uuid.MustParse("0BADCAFE-0000-4000-8000-000000000001"),
			})
		})
	}
}

func TestReferenceSizes(t *testing.T) {
	oracle.Need(t, "parted")
	random := rand.New(rand.NewPCG(1, 2))
	layouts := Layouts()[1:]
	for i := range runs(18, 4000) {
		r := Request{Layout: layouts[i%len(layouts)], Compat: Current}
		switch random.IntN(3) {
		case 0: // about the limits
			r.BootSize = random.Int64N(120 << 20)
			r.DiskSize = RoundBootSize(r.BootSize) + (random.Int64N(5)-1)<<20
		case 1: // about 201 MiB
			r.BootSize = random.Int64N(150 << 20)
			r.DiskSize = (190 + random.Int64N(20)) << 20
		case 2:
			r.BootSize = random.Int64N(1 << 30)
			r.DiskSize = (1 + random.Int64N(1<<20)) << 20
		}
		if r.DiskSize > 0 {
			compareReference(t, r)
		}
	}
}

func TestReferenceHugeDisks(t *testing.T) {
	oracle.Need(t, "parted")
	for _, c := range []struct {
		layout     Layout
		disk, boot int64 // MiB
	}{
		{layout: Legacy, disk: 1 << 21},
		{layout: Legacy, disk: 1<<21 + 1},
		{layout: LegacyBoot, disk: 1<<21 + 256, boot: 256},
		{layout: LegacyBoot, disk: 1<<21 + 257, boot: 256},
		{layout: LegacyBoot, disk: 1<<21 + 8, boot: 1<<21 - 2},
		{layout: LegacyBoot, disk: 1<<21 + 8, boot: 1<<21 - 1},
		{layout: EFI, disk: 1<<21 + 8, boot: 1<<21 - 1},
	} {
		r := Request{Layout: c.layout, Compat: Current, DiskSize: c.disk << 20, BootSize: c.boot << 20}
		path := filepath.Join(t.TempDir(), "try")
		if f, err := os.Create(path); err != nil || f.Truncate(r.DiskSize) != nil || f.Close() != nil {
			t.Skip("the file system of the temporary directory cannot hold such a file")
		}
		compareReference(t, r)
	}
}

func TestOlderReference(t *testing.T) {
	oracle.Need(t, "parted")
	random := rand.New(rand.NewPCG(3, 4))
	layouts := []Layout{EFI, Hybrid, Legacy, LegacyGPT}
	for i := range runs(12, 4000) {
		r := Request{Layout: layouts[i%len(layouts)], Compat: Older}
		r.DiskSize = (1 + random.Int64N([]int64{16, 300, 4000, 1 << 20}[random.IntN(4)])) << 20
		unit := []string{"", "K", "M", "M", "M", "MB", "MiB", "MiB", "G", "GB", "GiB", "T", "B"}[random.IntN(13)]
		digits := random.IntN(4)
		number := random.Float64() * float64(r.DiskSize) / float64(partedUnits[strings.ToLower(unit)])
		r.BootSizeText = fmt.Sprintf("%.*f%s", digits, number, unit)
		compareReference(t, r)
	}
	// Locations whose distance to a multiple of a MiB is about parted's
	// tolerance, or half a MiB, and about where the ESP begins.
	rests := []float64{1, 976, 1023, 1071, 0, 974, 975, 977, 978, 1022, 1024, 1025, 1070, 1072, 1073, 2047}
	for _, rest := range rests[:runs(4, len(rests))] {
		for _, r := range []Request{
			{DiskSize: 1 << 30, BootSizeText: fmt.Sprintf("%.6fM", (2048*150+rest+.5)*512/1e6)},
			{DiskSize: 1 << 30, BootSizeText: fmt.Sprintf("%.6fM", (2048*8+rest+.5)*512/1e6)},
			{DiskSize: 1 << 30, BootSizeText: fmt.Sprintf("%.6fM", (2048*1022+rest+.5)*512/1e6)},
			{DiskSize: 1 << 33, BootSizeText: fmt.Sprintf("%.9fG", (2048*2000+rest+.5)*512/1e9)},
		} {
			r.Layout, r.Compat = EFI, Older
			compareReference(t, r)
		}
	}
}

// TestSgdiskAndParted checks images with programs that had no part in making
// them.
func TestSgdiskAndParted(t *testing.T) {
	for _, g := range goldens(t) {
		if g.DiskBytes != 600<<20 {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			table, err := Plan(g.request(t))
			if err != nil {
				t.Fatal(err)
			}
			m, err := table.Map(nil)
			if err != nil {
				t.Fatal(err)
			}
			path := write(t, m)
			if g.GPT != nil {
				if out := oracle.Run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
					t.Errorf("sgdisk: %s", out)
				}
			}
			if diff := cmp.Diff(fromJSON(t, g.SfdiskJSON), fromJSON(t, []byte(oracle.Run(t, "sfdisk", "--json", path)))); diff != "" {
				t.Errorf("sfdisk (-want +got):\n%s", diff)
			}
			out := oracle.Run(t, "parted", "--script", "--machine", path, "unit", "s", "print")
			for _, p := range table.Partitions {
				if want := fmt.Sprintf("\n%d:%ds:%ds:%ds:", p.Number, p.Start, p.Last(), p.Sectors); !strings.Contains(out, want) {
					t.Errorf("parted does not print %q: %s", want, out)
				}
			}
		})
	}
}

// fromJSON decodes what sfdisk prints, without the name of the image.
func fromJSON(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	table := value["partitiontable"].(map[string]any)
	delete(table, "device")
	delete(table, "unit")
	for _, p := range table["partitions"].([]any) {
		delete(p.(map[string]any), "node")
	}
	return value
}

// TestTypes requires that sfdisk knows the types that have names here.
func TestTypes(t *testing.T) {
	guids := strings.ToLower(oracle.Run(t, "sfdisk", "--list-types", "--label", "gpt"))
	for id, name := range guidNames {
		if !strings.Contains(guids, "\n"+id.String()+"  ") {
			t.Errorf("sfdisk does not know %s, %s", id, name)
		}
	}
	codes := oracle.Run(t, "sfdisk", "--list-types", "--label", "dos")
	for code, name := range codeNames {
		if !strings.Contains(codes, fmt.Sprintf("\n%2x  ", code)) {
			t.Errorf("sfdisk does not know %#x, %s", code, name)
		}
	}
}
