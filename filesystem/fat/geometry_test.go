package fat

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/tree"
)

// epoch is what the reference's builds have as SOURCE_DATE_EPOCH; it is their
// volume id too.
var epoch = tree.Time{Sec: 315532800}

const epochID = 0x12cea600

// golden is what mkfs.vfat makes of a partition.
type golden struct {
	Partition int64  `json:"partitionBytes"`
	Args      string `json:"args"`
	Boot      struct {
		Jump, OEM                           string
		BytesPerSector, SectorsPerCluster   int
		ReservedSectors, FATs, RootEntries  int
		TotalSectors16, TotalSectors32      int
		Media                               string
		FatSectors16, FatSectors32          int
		SectorsPerTrack, Heads              int
		HiddenSectors                       uint32
		ExtFlags, FsVersion, RootCluster    int
		FsInfoSector, BackupBootSector      int
		DriveNumber                         string
		Reserved1                           int
		ExtBootSig, VolumeID, Label, FsType string
		BootCodeHex, Signature              string
	}
	Derived struct {
		FatType, TotalSectors, FatSectors, RootDirSectors int
		FirstDataSector, Clusters, ClusterBytes           int
	}
	FatStartHex, RootEntry0Hex string
	FsInfo                     *struct {
		Lead, Struct, Trail string
		Free, Next          int
	}
}

func readGoldens(t *testing.T, variant string) map[string]golden {
	t.Helper()
	paths, err := filepath.Glob("testdata/goldens/fat-*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	goldens := make(map[string]golden)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file map[string]json.RawMessage
		if err := json.Unmarshal(b, &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var g golden
		if err := json.Unmarshal(file[variant], &g); err != nil {
			t.Fatalf("%s: %s: %v", path, variant, err)
		}
		goldens[strings.TrimSuffix(filepath.Base(path), ".json")] = g
	}
	return goldens
}

// TestGoldens compares all fields that the goldens have with an empty file
// system, with the kind of FAT that mkfs.vfat chose and with FAT32 forced.
func TestGoldens(t *testing.T) {
	for _, variant := range []string{"virtioBlkGeometry", "forcedFat32_virtioBlkGeometry"} {
		for name, g := range readGoldens(t, variant) {
			t.Run(variant+"/"+name, func(t *testing.T) {
				geo := geometry32(g.Partition)
				if g.Boot.FsType != "FAT32   " {
					geo = geometry16(g.Partition, 12, 16)
				}
				fs := emptyFileSystem(t, g, geo)
				compareGolden(t, g, fs)
			})
		}
	}
}

// emptyFileSystem plans an empty tree with a given geometry: with FAT32 forced,
// mkfs.vfat makes some that New refuses.
func emptyFileSystem(t *testing.T, g golden, geo geometry) *FileSystem {
	t.Helper()
	fs, err := prepare(tree.NewDir(epoch), Options{
		Label:         strings.TrimRight(g.Boot.Label, " "),
		VolumeID:      epochID,
		Size:          g.Partition,
		HiddenSectors: g.Boot.HiddenSectors,
		Time:          epoch,
	})
	if err != nil {
		t.Fatal(err)
	}
	fs.geo = geo
	fs.allocate()
	return fs
}

func compareGolden(t *testing.T, g golden, fs *FileSystem) {
	t.Helper()
	m, err := fs.Map()
	if err != nil {
		t.Fatal(err)
	}
	read := func(off, n int64) []byte {
		p := make([]byte, n)
		if err := content.ReadFull(m, p, off); err != nil {
			t.Fatal(err)
		}
		return p
	}
	b := read(0, sectorSize)
	u16 := func(off int) int { return int(le.Uint16(b[off:])) }
	u32 := func(off int) int { return int(le.Uint32(b[off:])) }
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want := g.Boot
	check("jump", hex.EncodeToString(b[:3]), want.Jump)
	check("OEM name", string(b[3:11]), want.OEM)
	check("bytes per sector", u16(11), want.BytesPerSector)
	check("sectors per cluster", int(b[13]), want.SectorsPerCluster)
	check("reserved sectors", u16(14), want.ReservedSectors)
	check("FATs", int(b[16]), want.FATs)
	check("root entries", u16(17), want.RootEntries)
	check("sectors, 16 bits", u16(19), want.TotalSectors16)
	check("media", fmt.Sprintf("%#x", b[21]), want.Media)
	check("sectors of the FAT, 16 bits", u16(22), want.FatSectors16)
	check("sectors per track", u16(24), want.SectorsPerTrack)
	check("heads", u16(26), want.Heads)
	check("hidden sectors", u32(28), int(want.HiddenSectors))
	check("sectors, 32 bits", u32(32), want.TotalSectors32)
	extension := extension16
	if fs.geo.bits == 32 {
		extension = extension32
		check("sectors of the FAT, 32 bits", u32(36), want.FatSectors32)
		check("flags", u16(40), want.ExtFlags)
		check("version", u16(42), want.FsVersion)
		check("root cluster", u32(44), want.RootCluster)
		check("FSInfo sector", u16(48), want.FsInfoSector)
		check("backup boot sector", u16(50), want.BackupBootSector)
	}
	e := b[extension:]
	check("drive number", fmt.Sprintf("%#x", e[0]), want.DriveNumber)
	check("reserved", int(e[1]), want.Reserved1)
	check("extended signature", fmt.Sprintf("%#x", e[2]), want.ExtBootSig)
	check("volume id", fmt.Sprintf("%#x", le.Uint32(e[3:])), want.VolumeID)
	check("label", string(e[7:18]), want.Label)
	check("type", string(e[18:26]), want.FsType)
	code := strings.TrimRight(string(b[extension+bootCodeOff:510]), "\x00")
	check("boot code", hex.EncodeToString([]byte(code)), strings.TrimSuffix(want.BootCodeHex, "00"))
	check("signature", hex.EncodeToString(b[510:]), want.Signature)

	check("start of the FAT", hex.EncodeToString(read(fs.geo.tableOffset(0), 16)), g.FatStartHex)
	check("start of the second FAT", hex.EncodeToString(read(fs.geo.tableOffset(1), 16)), g.FatStartHex)
	check("label entry", hex.EncodeToString(read(fs.directoryOffset(fs.dirs[0]), 32)), g.RootEntry0Hex)
	if g.FsInfo != nil {
		i := read(sectorSize, sectorSize)
		check("FSInfo lead", hex.EncodeToString(i[:4]), g.FsInfo.Lead)
		check("FSInfo structure", hex.EncodeToString(i[484:488]), g.FsInfo.Struct)
		check("FSInfo trail", hex.EncodeToString(i[508:]), g.FsInfo.Trail)
		check("free clusters", int(le.Uint32(i[488:])), g.FsInfo.Free)
		check("next cluster", int(le.Uint32(i[492:])), g.FsInfo.Next)
		check("backups", string(read(backupSector*sectorSize, 2*sectorSize)), string(b)+string(i))
	}

	d := g.Derived
	check("all sectors", int(fs.geo.sectors), d.TotalSectors)
	check("sectors of the FAT", int(fs.geo.tableSectors), d.FatSectors)
	check("sectors of the root", int(fs.geo.rootSectors), d.RootDirSectors)
	check("first data sector", int(fs.geo.dataSector()), d.FirstDataSector)
	check("clusters", int(fs.geo.clusters), d.Clusters)
	check("bytes of a cluster", int(fs.geo.clusterSize()), d.ClusterBytes)

	info, err := ReadInfo(m, m.Size())
	if err != nil {
		t.Fatal(err)
	}
	check("Info read", info, fs.Info())
}

// TestChoice: FAT32 wherever 65,525 clusters are possible, else what mkfs.vfat
// chooses.
func TestChoice(t *testing.T) {
	chosen, forced := readGoldens(t, "virtioBlkGeometry"), readGoldens(t, "forcedFat32_virtioBlkGeometry")
	for name, want := range forced {
		if want.Derived.Clusters < minClusters32 {
			want = chosen[name]
		}
		fs, err := New(tree.NewDir(epoch), Options{Label: strings.TrimRight(want.Boot.Label, " "), VolumeID: epochID,
			Size: want.Partition, HiddenSectors: want.Boot.HiddenSectors, Time: epoch})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Run(name, func(t *testing.T) { compareGolden(t, want, fs) })
	}
}
