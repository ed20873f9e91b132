package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"diskwright/test/oracle"

	"github.com/google/uuid"
)

// zfsRequest is the request that a golden of a ZFS builder answers.
func (g golden) zfsRequest(t testing.TB) ZFSRequest {
	identify := g.request(t).Identify
	return ZFSRequest{
		Layout: g.Layout, DiskSize: g.DiskBytes,
		Identify: func(role string) uuid.UUID {
			if role != RolePool {
				return identify(role)
			}
			n, err := strconv.ParseUint(strings.TrimPrefix(g.Partitions[0].Name, "zfs-"), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			var id uuid.UUID
			binary.LittleEndian.PutUint64(id[:], n)
			return id
		},
	}
}

// TestZFSGoldens compares every sector of the tables with those that parted and
// `zpool create` wrote.
func TestZFSGoldens(t *testing.T) {
	var boots, pools []golden
	load(t, "pt-seed004.json", &boots)
	load(t, "pt-zpool-create.json", &pools)
	if len(boots) != 4 || len(pools) != 8 {
		t.Errorf("%d and %d goldens", len(boots), len(pools))
	}
	for i := range boots {
		boots[i].Layout = ZFSBoot
	}
	for _, g := range append(boots, pools...) {
		t.Run(g.Name, func(t *testing.T) {
			table, err := PlanZFS(g.zfsRequest(t))
			if err != nil {
				t.Fatal(err)
			}
			g.compare(t, table)
		})
	}
}

func anyIdentity(string) uuid.UUID { return uuid.UUID{1, 2, 3, 4, 5, 6, 0x87, 8, 0x89, 10} }

// TestZFSSingle has parted make the table of the single disk.
func TestZFSSingle(t *testing.T) {
	oracle.Need(t, "parted")
	for _, c := range []struct{ boot, root int64 }{{1024, 2048}, {3, 65}, {512, 100}, {1000, 8192}} {
		path := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, (c.boot+c.root)<<20); err != nil {
			t.Fatal(err)
		}
		oracle.Run(t, "parted", "--script", path, "--", "mklabel", "gpt", "mkpart", "no-fs", "1MiB", "2MiB", "set", "1", "bios_grub", "on",
			"mkpart", "primary", "fat32", "2MiB", fmt.Sprintf("%dMiB", c.boot), "mkpart", "primary", fmt.Sprintf("%dMiB", c.boot), "-1MiB")
		want := readFile(t, path)
		table, err := PlanZFS(ZFSRequest{Layout: ZFSSingle, DiskSize: (c.boot + c.root) << 20, BootSize: c.boot << 20, Identify: anyIdentity})
		if err != nil {
			t.Fatal(err)
		}
		m, err := table.Map(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := readFile(t, write(t, m))
		if len(want.Problems)+len(got.Problems) > 0 || len(got.Partitions) != len(want.Partitions) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		for i, p := range got.Partitions {
			p.GUID = want.Partitions[i].GUID // which are random there
			if p != want.Partitions[i] {
				t.Errorf("got %+v\nwant %+v", p, want.Partitions[i])
			}
		}
	}
}

func TestZFSTables(t *testing.T) {
	for _, r := range []ZFSRequest{
		{Layout: ZFSBoot, DiskSize: 4 << 20}, {Layout: ZFSBoot, DiskSize: 1 << 30, ESPType: true},
		{Layout: ZFSRoot, DiskSize: 74 << 20}, {Layout: ZFSRoot, DiskSize: 4 << 40}, {Layout: ZFSRoot, DiskSize: 1<<30 + 1536},
		{Layout: ZFSSingle, DiskSize: 68 << 20, BootSize: 3 << 20}, {Layout: ZFSSingle, DiskSize: 1 << 30, BootSize: 1 << 29, ESPType: true},
	} {
		t.Run(fmt.Sprintf("%s of %d", r.Layout, r.DiskSize), func(t *testing.T) {
			r.Identify = anyIdentity
			table, err := PlanZFS(r)
			if err != nil {
				t.Fatal(err)
			}
			m, err := table.Map(nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.DiskSize <= 1<<31 {
				if out := oracle.Run(t, "sgdisk", "-v", write(t, m)); !strings.Contains(out, "No problems found") {
					t.Errorf("sgdisk: %s", out)
				}
			}
			if fat, ok := table.ByRole(ESP); ok && (fat.TypeGUID == TypeESP) != r.ESPType {
				t.Errorf("the FAT has type %s", fat.TypeName())
			}
			if pool, ok := table.ByRole(Root); ok && table.Size(pool) < zfsMinPool {
				t.Errorf("the pool has %d bytes", table.Size(pool))
			}
		})
	}
}

// TestZFSTooSmall requires that what an error asks for works, and no less does.
func TestZFSTooSmall(t *testing.T) {
	for _, c := range []struct {
		layout Layout
		// of takes the value of a parameter.
		parameter string
		of        func(bytes int64) ZFSRequest
	}{
		{ZFSBoot, "bootSize", func(n int64) ZFSRequest { return ZFSRequest{DiskSize: n} }},
		{ZFSRoot, "rootSize", func(n int64) ZFSRequest { return ZFSRequest{DiskSize: n} }},
		{ZFSSingle, "bootSize", func(n int64) ZFSRequest { return ZFSRequest{DiskSize: n + 100<<20, BootSize: n} }},
		{ZFSSingle, "rootSize", func(n int64) ZFSRequest { return ZFSRequest{DiskSize: n + 100<<20, BootSize: 100 << 20} }},
	} {
		try := func(bytes int64) error {
			r := c.of(bytes)
			r.Layout, r.Identify = c.layout, anyIdentity
			_, err := PlanZFS(r)
			return err
		}
		var size *SizeError
		if err := try(1 << 20); !errors.As(err, &size) || size.Parameter != c.parameter {
			t.Errorf("%s: %v", c.layout, err)
			continue
		}
		if err := try(size.Limit); err != nil {
			t.Errorf("%s: %d bytes should do, but: %v", c.layout, size.Limit, err)
		}
		if err := try(size.Limit - 1<<20); err == nil {
			t.Errorf("%s: %d bytes should be too few", c.layout, size.Limit-1<<20)
		}
	}
}
