package partition

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestPlan checks what must hold on every disk, and that a table is read as
// it was planned.
func TestPlan(t *testing.T) {
	identify := func(role string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(role)) }
	rapid.Check(t, func(t *rapid.T) {
		r := Request{
			Compat:        rapid.SampledFrom([]Compat{Current, Older}).Draw(t, "compat"),
			Layout:        rapid.SampledFrom(Layouts()).Draw(t, "layout"),
			BootSize:      rapid.Int64Range(0, 3<<40).Draw(t, "boot"),
			DiskSize:      rapid.Int64Range(1, 3<<20).Draw(t, "disk") << 20,
			Deterministic: rapid.Bool().Draw(t, "deterministic"),
			RootGUID:      rootGUID,
			Identify:      identify,
		}
		r.BootSizeText = rapid.StringMatching(`[0-9]{1,4}(\.[0-9])?(M|G|MiB|K|GB)`).Draw(t, "text")
		if rapid.Bool().Draw(t, "small") {
			r.BootSize %= 1 << 30
			r.DiskSize = r.DiskSize>>20%2000<<20 + 1<<20
		}
		table, err := Plan(r)
		if err != nil {
			checkRefusal(t, r, err)
			return
		}
		first, last := int64(0), r.DiskSize/SectorSize-1
		switch table.Scheme {
		case MBR:
			first = 1
		case GPT:
			first, last = 34, last-33
		}
		for i, p := range table.Partitions {
			if p.Start < first || p.Last() > last || p.Sectors < 1 {
				t.Errorf("partition %d is %d to %d", p.Number, p.Start, p.Last())
			}
			for _, q := range table.Partitions[:i] {
				if p.Start <= q.Last() && q.Start <= p.Last() {
					t.Errorf("partitions %d and %d overlap", p.Number, q.Number)
				}
			}
		}
		m, err := table.Map(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(m, m.Size())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asRead(table), got); diff != "" {
			t.Errorf("planned and read differ:\n%s", diff)
		}
		checkMinDisk(t, r, table)
	})
}

// checkRefusal requires that the disk size that an error asks for is the
// smallest that works.
func checkRefusal(t *rapid.T, r Request, err error) {
	var size *SizeError
	if !errors.As(err, &size) {
		if !strings.Contains(err.Error(), "bootSize") && !strings.Contains(err.Error(), "partitionTableType") {
			t.Errorf("%v", err)
		}
		return
	}
	if size.Parameter != "diskSize" || size.TooLarge {
		return
	}
	r.DiskSize = size.Limit
	if _, err := Plan(r); err != nil && !strings.Contains(err.Error(), "too many") {
		t.Errorf("%d bytes: %v", r.DiskSize, err)
	}
	if r.DiskSize -= mebibyte; r.DiskSize == 0 {
		return
	}
	if _, err := Plan(r); err == nil {
		t.Errorf("%d bytes work", r.DiskSize)
	}
}

// checkMinDisk requires that MinDiskSize finds the smallest disk for the root
// of a disk.
func checkMinDisk(t *rapid.T, r Request, table *Table) {
	root, ok := table.ByRole(Root)
	if !ok {
		t.Fatal("no root")
	}
	got, err := MinDiskSize(r, table.Size(root))
	if err != nil {
		t.Fatal(err)
	}
	if got > r.DiskSize {
		t.Errorf("%d bytes are enough, not %d", r.DiskSize, got)
	}
	for _, disk := range []int64{got, got - mebibyte} {
		r.DiskSize = disk
		sectors := int64(0)
		if smaller, err := Plan(r); err == nil {
			root, _ := smaller.ByRole(Root)
			sectors = root.Sectors
		}
		if enough := sectors >= root.Sectors; enough != (disk == got) {
			t.Errorf("MinDiskSize for %d sectors is %d, but with %d there are %d", root.Sectors, got, disk, sectors)
		}
	}
}

func TestMinDiskSize(t *testing.T) {
	for _, c := range []struct {
		layout Layout
		root   int64
		want   int64 // MiB; 0 is an error
	}{
		{None, 100 << 20, 100},
		{None, 100<<20 + 1, 101},
		{Legacy, 0, 2},
		{Legacy, 100 << 20, 101},
		{LegacyGPT, 100 << 20, 103},
		{LegacyGPT, 98<<20 - 17408, 100},
		{EFI, 1 << 30, 257 + 1024 + 1},
		{Legacy, 2 << 40, 0},
		{LegacyGPT, 2 << 40, 2<<20 + 3},
		{EFI, 1 << 60, 0},
		{EFI, 1<<63 - 1, 0},
	} {
		got, err := MinDiskSize(Request{Layout: c.layout, BootSize: 256 << 20}, c.root)
		if (c.want == 0) != (err != nil) || err == nil && got != c.want<<20 {
			t.Errorf("%s with %d: %d MiB, want %d: %v", c.layout, c.root, got>>20, c.want, err)
		}
	}
}

// TestRounding has the table of section 1 of the recorded facts.
func TestRounding(t *testing.T) {
	for size, want := range map[int64]int64{
		268435456: 269484032,
		104857600: 105906176,
		536870912: 537919488,
		1 << 30:   1074790400,
		267386880: 268435456,
		268435455: 268435456,
		0:         1048576,
		1:         1048576,
		1 << 62:   1<<60 + 1<<20,
	} {
		if got := RoundBootSize(size); got != want {
			t.Errorf("RoundBootSize(%d) = %d, want %d", size, got, want)
		}
	}
	for _, c := range []struct {
		layout  Layout
		current int64
		older   int64
	}{
		{None, 0, 0},
		{Legacy, 1 << 20, 1 << 20},
		{LegacyBoot, 257 << 20, 0},
		{LegacyGPT, 17408 + 2<<20, 17408 + 2<<20},
		{EFI, 17408 + 257<<20, 17408 + 256<<20},
		{EFIXBOOTLDR, 17408 + 257<<20, 0},
		{Hybrid, 17408 + 257<<20, 17408 + 256<<20},
	} {
		if got := Reserved(c.layout, 256<<20, Current); got != c.current {
			t.Errorf("Reserved(%s) = %d, want %d", c.layout, got, c.current)
		}
		if got := Reserved(c.layout, 256<<20, Older); c.older != 0 && got != c.older {
			t.Errorf("Reserved(%s) = %d, want %d for the older one", c.layout, got, c.older)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{Layout: "gpt", DiskSize: 1 << 30}, `partitionTableType "gpt"`},
		{Request{Layout: LegacyBoot, Compat: Older, DiskSize: 1 << 30}, "older make-disk-image.nix knows only"},
		{Request{Layout: EFIXBOOTLDR, Compat: Older, DiskSize: 1 << 30}, "older make-disk-image.nix knows only"},
		{Request{Layout: Legacy, Compat: "newer", DiskSize: 1 << 30}, `compat "newer"`},
		{Request{Layout: Legacy}, "diskSize: 0 bytes"},
		{Request{Layout: Legacy, DiskSize: -1 << 20}, "diskSize: -1048576 bytes"},
		{Request{Layout: Legacy, DiskSize: 1<<30 + 512}, "whole number of MiB"},
		{Request{Layout: Legacy, DiskSize: 1<<60 + 1<<20}, "diskSize: "},
		{Request{Layout: Legacy, DiskSize: 1 << 30, Deterministic: true}, "identifiers"},
		{Request{Layout: LegacyGPT, DiskSize: 1 << 30}, "identifiers"},
		{Request{Layout: EFI, DiskSize: 1 << 30, BootSize: 1 << 28, Deterministic: true}, "rootGPUID is zero"},
		{Request{Layout: EFI, DiskSize: 1 << 30, BootSize: -1}, "bootSize: -1 bytes are negative"},
		{Request{Layout: EFI, DiskSize: 1 << 30, BootSize: 1 << 62}, "diskSize: "},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30}, `bootSize "" is not a size`},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30, BootSizeText: "256P"}, `bootSize "256P" is not a size`},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30, BootSizeText: "-1"}, `bootSize "-1" is not a size`},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30, BootSizeText: "1.2.3M"}, `bootSize "1.2.3M" is not a size`},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30, BootSizeText: "0.5G"}, "below 1"},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30, BootSizeText: "9999999999999T"}, "larger than any disk"},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30, BootSizeText: "262144K"}, "overlap by a sector"},
		{Request{Layout: EFI, Compat: Older, DiskSize: 1 << 30, BootSizeText: "157.835008M"}, "change the last digit"},
	} {
		if _, err := Plan(c.r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c.r, err)
		}
	}
}

func TestSignature(t *testing.T) {
	for id, want := range map[uuid.UUID]uint32{
		{0x78, 0x56, 0x34, 0x12, 9}: 0x12345678,
		{0, 0, 0, 0, 1}:             1,
		{15: 0xff}:                  0xff000000,
		{}:                          1,
	} {
		if got := signature(id); got != want {
			t.Errorf("signature of %s is %#x, want %#x", id, got, want)
		}
	}
}
