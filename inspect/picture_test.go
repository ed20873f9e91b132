package inspect

import (
	"strings"
	"testing"
	"unicode/utf8"

	"diskwright/content"
	"diskwright/partition"

	"github.com/google/uuid"
)

func TestPicture(t *testing.T) {
	used := func(number int, used, size int64) FileSystem {
		return FileSystem{Partition: number, Type: "ext4", Detailed: true, Used: used << 20, Size: size << 20}
	}
	for _, c := range []struct {
		name   string
		layout partition.Layout
		fs     []FileSystem
		width  int
		want   string
	}{
		{"hybrid", partition.Hybrid, []FileSystem{used(1, 30, 57), used(3, 60, 234)}, 64, `
┌───┬───┬──────────┬───────────────────────────────────────────┐
│2  │   │1 ESP     │3 primary                                  │
│▒▒▒│   │█████░░░░░│███████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│
│   │   │57.0 MiB  │234 MiB                                    │
└───┴───┴──────────┴───────────────────────────────────────────┘
`},
		{"little used and almost full", partition.Hybrid, []FileSystem{used(1, 1, 57), used(3, 233, 234)}, 40, `
┌───┬───┬──────┬───────────────────────┐
│2  │   │1 ESP │3 primary              │
│▒▒▒│   │█░░░░░│██████████████████████░│
│   │   │57M   │234 MiB                │
└───┴───┴──────┴───────────────────────┘
`},
		{"empty and full", partition.LegacyBoot, []FileSystem{used(1, 0, 64), used(2, 235, 235)}, 40, `
┌────────┬─────────────────────────────┐
│1 FAT32 │2 Linux                      │
│░░░░░░░░│█████████████████████████████│
│64.0 MiB│235 MiB                      │
└────────┴─────────────────────────────┘
`},
		{"no partitions", partition.None, []FileSystem{used(0, 100, 300)}, 24, `
┌──────────────────────┐
│ext4                  │
│███████░░░░░░░░░░░░░░░│
│300 MiB               │
└──────────────────────┘
`},
		{"nothing", partition.None, nil, 24, `
┌──────────────────────┐
│                      │
│▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│
│300 MiB               │
└──────────────────────┘
`},
		{"too narrow", partition.Hybrid, nil, 0, `
┌───┬───┬───┬───┐
│2  │   │1  │3  │
│▒▒▒│   │▒▒▒│▒▒▒│
│   │   │57M│   │
└───┴───┴───┴───┘
`},
	} {
		img := open(t, disk(t, plan(t, c.layout, 300), nil))
		img.FileSystems = c.fs
		if got := img.Picture(c.width); got != c.want[1:] {
			t.Errorf("%s: got\n%swant%s", c.name, got, c.want)
		}
	}
}

// TestPictureOfMany draws more partitions than fit, with names that must not
// reach a terminal.
func TestPictureOfMany(t *testing.T) {
	table := plan(t, partition.LegacyGPT, 300)
	table.Partitions = nil
	for i := range int64(100) {
		table.Partitions = append(table.Partitions, partition.Partition{
			Number: int(i + 1), Start: 2048 + i*5000, Sectors: 5000,
			TypeGUID: partition.TypeLinux, GUID: uuid.New(), Name: "\x1b[31m🐧\n",
		})
	}
	picture := open(t, disk(t, table, nil)).Picture(80)
	if strings.ContainsAny(picture, "\x1b🐧") || strings.Count(picture, "\n") != 5 {
		t.Errorf("%q", picture)
	}
	lines := strings.Split(strings.TrimSpace(picture), "\n")
	for _, line := range lines {
		if utf8.RuneCountInString(line) != utf8.RuneCountInString(lines[0]) {
			t.Errorf("lines differ in width:\n%s", picture)
		}
	}
	if !strings.Contains(lines[1], "...") {
		t.Errorf("no sign of what is left out:\n%s", picture)
	}
}

// TestPictureWidth: a picture that has room is as wide as it should be.
func TestPictureWidth(t *testing.T) {
	for _, layout := range partition.Layouts() {
		if layout == partition.EFIXBOOTLDR { // needs a larger boot size
			continue
		}
		for _, mib := range []int64{67, 70, 100, 300, 5000, 1 << 20} {
			img := open(t, disk(t, plan(t, layout, mib), map[int]content.Source{}))
			for width := 20; width < 200; width += 7 {
				lines := strings.Split(img.Picture(width), "\n")
				for _, line := range lines[:5] {
					if n := utf8.RuneCountInString(line); n != width {
						t.Fatalf("%s of %d MiB, width %d: %d\n%s", layout, mib, width, n, img.Picture(width))
					}
				}
			}
		}
	}
}
