package inspect

import (
	"math"
	"strconv"
	"strings"

	"diskwright/partition"
	"diskwright/progress"
)

// What a picture is drawn with.
const (
	shadeUsed    = "█"
	shadeFree    = "░"
	shadeUnknown = "▒"
	shadeGap     = " "
)

// Legend says what the shades of a picture mean.
const Legend = shadeUsed + " used  " + shadeFree + " free  " + shadeUnknown + " unknown  blank: no partition"

const (
	smallGap    = 2 << 20 // gaps that only align partitions are left out, if
	smallPart   = 50      // they are less than that part of the disk
	maxSegments = 64      // what follows is left out
	minWidth    = 3
)

// segment is a part of the disk in a picture.
type segment struct {
	bytes int64 // of the disk
	// What is written into it, the longest first: the first that fits is taken.
	titles, sizes []string
	gap           bool
	used          float64 // part of the width that is used; negative if not known
	width         int
}

// Picture draws the disk, width columns wide: partitions in proportion to their
// size, in the order of their places, and the used part of their file systems
// shaded. Each is at least three columns wide, so that the picture of many is
// wider than asked for. It has five lines, each with a line feed.
//
//	┌───┬───────────┬───────────────────────────────┐
//	│   │1 ESP      │2 primary                      │
//	│   │█░░░░░░░░░░│██████████████░░░░░░░░░░░░░░░░░│
//	│   │249 MiB    │766 MiB                        │
//	└───┴───────────┴───────────────────────────────┘
func (img *Image) Picture(width int) string {
	segments := img.segments()
	spread(segments, width-len(segments)-1)
	var top, titles, bars, sizes, bottom strings.Builder
	for i, s := range segments {
		line := strings.Repeat("─", s.width)
		if i > 0 {
			top.WriteString("┬" + line)
			bottom.WriteString("┴" + line)
		} else {
			top.WriteString("┌" + line)
			bottom.WriteString("└" + line)
		}
		titles.WriteString("│" + fit(s.titles, s.width))
		bars.WriteString("│" + s.bar())
		sizes.WriteString("│" + fit(s.sizes, s.width))
	}
	return top.String() + "┐\n" + titles.String() + "│\n" + bars.String() + "│\n" + sizes.String() + "│\n" + bottom.String() + "┘\n"
}

// segments cuts the disk into partitions and gaps.
func (img *Image) segments() []segment {
	partitions := img.Table.Placed()
	if len(partitions) == 0 {
		return []segment{img.segment(0, img.DiskSize, img.DiskSize)}
	}
	var list []segment
	left := img.Gaps
	for _, p := range partitions {
		for ; len(left) > 0 && left[0].Offset < img.Table.Offset(p); left = left[1:] {
			list = img.appendGap(list, left[0])
		}
		if len(list) >= maxSegments {
			return append(list, segment{titles: []string{"..."}, gap: true})
		}
		list = append(list, img.segment(p.Number, img.Content(p).Size(), img.Table.Size(p), titles(p)...))
	}
	for _, g := range left {
		list = img.appendGap(list, g)
	}
	return list
}

func (img *Image) appendGap(list []segment, g Gap) []segment {
	if g.Size < smallGap && g.Size < img.DiskSize/smallPart {
		return list
	}
	return append(list, segment{bytes: g.Size, gap: true})
}

// segment returns the segment of a partition, of which bytes lie on the disk.
func (img *Image) segment(number int, bytes, size int64, titles ...string) segment {
	text := progress.Bytes(size)
	s := segment{bytes: bytes, titles: titles, sizes: []string{text, brief(text)}, used: -1}
	fs := img.FileSystem(number)
	if fs == nil {
		return s
	}
	if titles == nil {
		s.titles = []string{fs.Type}
	}
	if fs.Detailed && size > 0 {
		s.used = min(float64(fs.Used)/float64(size), 1)
	}
	return s
}

// titles returns a partition's number with its name or type, and the number
// alone.
func titles(p partition.Partition) []string {
	name, number := p.Name, strconv.Itoa(p.Number)
	if name == "" {
		name = p.TypeName()
	}
	return []string{number + " " + name, number + " " + firstWord(name), number}
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

// brief shortens a size: "1.70 MiB" to "2M".
func brief(size string) string {
	number, unit, _ := strings.Cut(size, " ")
	value, _ := strconv.ParseFloat(number, 64)
	return strconv.Itoa(int(math.Round(value))) + unit[:1]
}

// bar shades a segment. A file system that is not empty has at least one
// column, and one that is not full leaves one.
func (s segment) bar() string {
	switch {
	case s.gap:
		return strings.Repeat(shadeGap, s.width)
	case s.used < 0:
		return strings.Repeat(shadeUnknown, s.width)
	}
	used := int(math.Round(s.used * float64(s.width)))
	if s.used > 0 {
		used = max(used, 1)
	}
	if s.used < 1 {
		used = min(used, s.width-1)
	}
	return strings.Repeat(shadeUsed, used) + strings.Repeat(shadeFree, s.width-used)
}

// spread gives the segments their widths, which together are total columns, or
// more if that is too few. Segments that would be too narrow get the smallest
// width; the others share the rest in proportion.
func spread(segments []segment, total int) {
	narrow := map[int]bool{}
	for {
		columns, bytes := float64(total-minWidth*len(narrow)), 0.0
		for i, s := range segments {
			if !narrow[i] {
				bytes += float64(s.bytes)
			}
		}
		found := len(narrow)
		for i, s := range segments {
			if !narrow[i] && !(float64(s.bytes)*columns >= minWidth*bytes && bytes > 0) {
				narrow[i] = true
			}
		}
		if len(narrow) > found {
			continue
		}
		// Rounding the ends, not the widths, leaves no column over.
		end, at := 0.0, 0
		for i := range segments {
			s := &segments[i]
			if narrow[i] {
				s.width = minWidth
				continue
			}
			end += float64(s.bytes) * columns / bytes
			s.width = int(math.Round(end)) - at
			at += s.width
		}
		return
	}
}

// fit returns the first of some texts that fits into a column, and blanks
// behind it. Names come from the image: what is not plain ASCII might not be
// one column wide, or control the terminal.
func fit(texts []string, width int) string {
	for _, text := range texts {
		clean := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, text)
		if len(clean) <= width {
			return clean + strings.Repeat(" ", width-len(clean))
		}
	}
	return strings.Repeat(" ", width)
}
