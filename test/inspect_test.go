//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"diskwright/test/nasty"
	"diskwright/test/scratch"
)

// inspected is what inspect --json says, as far as tests want to know.
type inspected struct {
	DiskSize int64 `json:"diskSize"`
	Table    struct {
		Scheme     string `json:"scheme"`
		Partitions []struct {
			Number   int    `json:"number"`
			Start    int64  `json:"start"`
			Sectors  int64  `json:"sectors"`
			TypeGUID string `json:"typeGuid"`
			GUID     string `json:"guid"`
			Name     string `json:"name"`
			TypeCode int    `json:"typeCode"`
			Active   bool   `json:"active"`
		} `json:"partitions"`
		Problems []any `json:"problems"`
	} `json:"table"`
	FileSystems []struct {
		Partition  int    `json:"partition"`
		Type       string `json:"type"`
		Label      string `json:"label"`
		UUID       string `json:"uuid"`
		Used       int64  `json:"used"`
		Free       int64  `json:"free"`
		Inodes     int64  `json:"inodes"`
		FreeInodes int64  `json:"freeInodes"`
	} `json:"fileSystems"`
}

// inspect says of an image what sfdisk and dumpe2fs say, and what plan said
// before there was one.
func TestInspect(t *testing.T) {
	tree := nastyTree(t, nasty.Options{Readable: true})
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			args := []string{"--root", tree, "--partition-table-type", l.name, "--disk-size", "450", "--boot-size", "200M"}
			planned := plan(t, args...)
			image := build(t, args...)
			var got inspected
			if err := json.Unmarshal(must(t, "inspect", "--json", image), &got); err != nil {
				t.Fatal(err)
			}
			if got.DiskSize != 450<<20 || len(got.Table.Problems) > 0 {
				t.Errorf("%d bytes, problems %v", got.DiskSize, got.Table.Problems)
			}
			if l.root > 0 {
				table := sfdisk(t, image).PartitionTable
				if len(got.Table.Partitions) != len(table.Partitions) {
					t.Fatalf("%d partitions, sfdisk finds %d", len(got.Table.Partitions), len(table.Partitions))
				}
				for i, p := range got.Table.Partitions {
					says := fmt.Sprintf("%s%d start=%d size=%d type=%s uuid=%s name=%s bootable=%v", image, p.Number, p.Start, p.Sectors,
						strings.ToUpper(p.TypeGUID), strings.ToUpper(p.GUID), p.Name, p.Active)
					if !l.gpt {
						says = strings.Replace(says, "type=", fmt.Sprintf("type=%x", p.TypeCode), 1)
					}
					w := table.Partitions[i]
					want := fmt.Sprintf("%s start=%d size=%d type=%s uuid=%s name=%s bootable=%v", w.Node, w.Start, w.Size, w.Type, w.UUID, w.Name, w.Bootable)
					if says != want {
						t.Errorf("inspect: %s\nsfdisk:  %s", says, want)
					}
				}
			}
			if len(got.FileSystems) != len(planned.FileSystems) {
				t.Fatalf("%d file systems, planned %d", len(got.FileSystems), len(planned.FileSystems))
			}
			for _, fs := range got.FileSystems {
				for _, p := range planned.FileSystems {
					if p.Partition == fs.Partition && (p.Type != fs.Type || p.Label != fs.Label || p.UUID != fs.UUID || p.Used != fs.Used ||
						p.Inodes != fs.Inodes || p.FreeInodes != fs.FreeInodes) {
						t.Errorf("inspect finds %+v, planned was %+v", fs, p)
					}
				}
				if fs.Type != "ext4" {
					continue
				}
				header := l.rootOf(t, image).header(t)
				if fs.Label != header["Filesystem volume name"] || fs.UUID != header["Filesystem UUID"] ||
					fs.Inodes != number(t, header, "Inode count") || fs.FreeInodes != number(t, header, "Free inodes") ||
					fs.Free != number(t, header, "Free blocks")*4096 {
					t.Errorf("inspect finds %+v, dumpe2fs %v", fs, header)
				}
			}
		})
	}
}

// Damaged images are told about, in finite time, without a panic.
func TestInspectDamaged(t *testing.T) {
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"etc/hostname": "example\n", "boot/loader": "loader"})
	for _, l := range []string{"none", "legacy+boot", "efi"} {
		image := build(t, "--root", tree, "--partition-table-type", l, "--disk-size", "100", "--boot-size", "40M")
		root := findLayout(l).rootOf(t, image)
		f, err := os.OpenFile(image, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 30 {
			var undo []func()
			for range 1 + r.IntN(20) {
				// Where structures are: the table, the start of the FAT and of ext4.
				at := []int64{0, 0, 1 << 20, 8 << 20, root.offset + 1024}[r.IntN(5)] + int64(r.IntN(1024))
				before := make([]byte, 1+r.IntN(8))
				p := make([]byte, len(before))
				for j := range p {
					p[j] = byte(r.Uint32())
				}
				if _, err := f.ReadAt(before, at); err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteAt(p, at); err != nil {
					t.Fatal(err)
				}
				undo = append(undo, func() { f.WriteAt(before, at) })
			}
			inspectDamaged(t, fmt.Sprintf("%s, damage %d", l, i), image)
			for _, u := range slices.Backward(undo) {
				u()
			}
		}
		for size := int64(100 << 20); size > 0; size = size*2/3 - 1 {
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
			inspectDamaged(t, fmt.Sprintf("%s, %d bytes", l, size), image)
		}
	}
}

func inspectDamaged(t *testing.T, what, image string) {
	t.Helper()
	cmd := command("inspect", "--json", image)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, cmd)
	if status := cmd.ProcessState.ExitCode(); status != 0 && status != 1 || strings.Contains(stderr.String(), "goroutine ") {
		t.Errorf("%s: exit status %d\n%s", what, status, stderr.String())
	}
}
