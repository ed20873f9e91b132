//go:build linux

package nasty

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// BeyondMtools is a name with a character of two UTF-16 units, which FAT holds
// and mtools shows as two underscores.
const BeyondMtools = "\U0001f4a3 beyond 16 bits"

// portable holds what FAT can hold, to its limits: names that need generated
// short names, names beyond ASCII, of 255 characters, directories of several
// clusters, times before its first and behind its last.
func portable(d *node) {
	for _, name := range []string{
		"README.TXT", "lower.txt", "Mixed.Case", "NOEXT", "a", "B", "long file name with spaces.text", ".hidden", "many.dots.in.a.name",
		"plus+comma,semi;equal=[x]", "percent%dollar$at@", "~", "TILDE~1.TXT", "tilde one.txt", "tilde two.txt", "TILDE~2", "é", "ÀÉÎ.TXT",
		"日本語", BeyondMtools, "ß", "'quoted' & (more)", strings.Repeat("l", 255), strings.Repeat("é", 127), "x." + strings.Repeat("e", 200),
		"  leading spaces", "exactly8.thr", "ninechars.txt", "12345678.1234", "13 chars long", "26 characters long is here", "27 characters long is here.",
	} {
		d.file(strings.TrimRight(name, "."), int64(len(name)*100))
	}
	for _, n := range []int64{0, 1, 511, 512, 513, 4095, 4096, 4097, 32767, 32768, 32769, 1<<20 + 1} {
		d.file(fmt.Sprintf("size-%d", n), n)
	}
	d.dir("empty")
	collide := d.dir("collisions")
	for i := range 150 {
		collide.file(fmt.Sprintf("collision number %d.txt", i), 10)
	}
	many := d.dir("many")
	for i := range 600 {
		many.file(fmt.Sprintf("file number %d of many", i), int64(i%3))
	}
	at := d
	for i := range 20 {
		at = at.dir(fmt.Sprintf("level %d", i))
	}
	at.file("bottom", 10)
	for _, sec := range []int64{-1, 0, 315_532_799, 315_532_800, 315_532_801, 1_000_000_001, 1<<31 + 1, 4_354_819_198, 4_354_819_199, 4_354_819_200, 1 << 33} {
		d.file(fmt.Sprintf("time %d", sec), 1).mtime = unix.Timespec{Sec: sec, Nsec: 999_999_999}
	}
}
