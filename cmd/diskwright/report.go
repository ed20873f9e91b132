package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"diskwright/builder"
	"diskwright/inspect"
	"diskwright/partition"
	"diskwright/progress"
)

// table writes aligned columns.
type table struct {
	w       io.Writer
	text    bytes.Buffer
	columns *tabwriter.Writer
	err     error // the first one of w
}

func newTable(w io.Writer) *table {
	t := &table{w: w}
	t.columns = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	return t
}

// line writes cells that are separated by tabs.
func (t *table) line(format string, args ...any) { fmt.Fprintf(t.columns, format+"\n", args...) }

// heading begins another set of columns.
func (t *table) heading(format string, args ...any) {
	t.flush()
	t.line("\n"+format, args...)
	t.flush()
}

// flush aligns what was written since the last time, and writes it without
// the blanks at the ends of lines.
func (t *table) flush() error {
	t.columns.Flush() // into memory: it cannot fail
	for line := range strings.Lines(t.text.String()) {
		if _, err := io.WriteString(t.w, strings.TrimRight(line, " \n")+"\n"); t.err == nil {
			t.err = err
		}
	}
	t.text.Reset()
	return t.err
}

// show returns a name that comes from the user or from an image: as it is, or
// quoted if it would not stay within its cell.
func show(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// showName is show for a path of an image.
func showName(n inspect.Name) string {
	if n.PathBase64 != "" {
		return "base64:" + n.PathBase64
	}
	return show(n.Path)
}

// size writes a size for people, and exactly, in two cells.
func size(n int64) string { return fmt.Sprintf("%s\t%d", progress.Bytes(n), n) }

// printReport writes what an image is and how it came about.
func printReport(w io.Writer, r *builder.Report) error {
	t := newTable(w)
	disks := r.All()
	for n, d := range disks {
		if n > 0 {
			t.heading("IMAGE %s", show(d.File))
		} else {
			t.line("IMAGE %s", show(d.File))
		}
		printDisk(t, r, d)
	}
	printSystem(t, r.System)
	printBootLoader(t, r.BootLoader)
	printSize(t, r)
	for _, d := range disks {
		if len(disks) > 1 {
			t.heading("DISK %s", d.Role)
		}
		printPartitions(t, &d.Table)
		printFileSystems(t, plannedRows(d.FileSystems))
		printPlannedDatasets(t, d.FileSystems)
	}
	printIdentifiers(t, r)
	if len(r.Notes) > 0 {
		t.heading("NOTES")
		for _, note := range r.Notes {
			t.line("  %s", note)
		}
	}
	return t.flush()
}

// printDisk says what the image of a disk is like, and for the last one what is true
// of all.
func printDisk(t *table, r *builder.Report, d *builder.Disk) {
	t.flush()
	t.line("  format\t%s", r.Format)
	t.line("  disk (%s)\t%s", r.DiskSizeMode, size(d.DiskSize))
	t.line("  data\t%s", size(d.DataBytes))
	if all := r.All(); d != all[len(all)-1] {
		return
	}
	if r.SpoolBytes > 0 {
		t.line("  spooled\t%s", size(r.SpoolBytes))
	}
	t.line("  own files' time\t%s\t%d", time.Unix(r.Epoch, 0).UTC().Format(time.RFC3339), r.Epoch)
}

// printSystem says what NixOS system is in the image.
func printSystem(t *table, s *builder.System) {
	if s == nil {
		return
	}
	t.heading("SYSTEM %s", s.Toplevel)
	if s.Version != "" {
		t.line("  version\t%s", show(s.Version))
	}
	if s.Platform != "" {
		t.line("  platform\t%s", show(s.Platform))
	}
	if s.Channel != "" {
		t.line("  channel\t%s", s.Channel)
	}
	for _, path := range s.AdditionalPaths {
		t.line("  additional path\t%s", path)
	}
	t.flush()
	verified := ""
	if s.Verified {
		verified = "\tverified"
	}
	t.line("  store (%d paths)\t%s%s", s.StorePaths, size(s.NarBytes), verified)
	if s.DatabaseBytes > 0 {
		t.line("  its database\t%s", size(s.DatabaseBytes))
	}
	if o := s.Optimised; o != nil {
		t.line("  saved by hard links (%d files)\t%s", o.Files, size(o.Bytes))
	}
}

// printBootLoader says what starts the image.
func printBootLoader(t *table, b *builder.BootLoader) {
	if b == nil {
		return
	}
	t.heading("BOOT LOADER %s", b.Name)
	settings := "bootLoader"
	if b.Detected {
		settings = "of the system"
	}
	t.line("  settings\t%s", settings)
	if e := b.EFIEntry; e != nil {
		t.line("  boot entry\t%s\t%s", show(e.Description), show(e.Path))
	}
}

// printSize explains the size of the disk.
func printSize(t *table, r *builder.Report) {
	a := r.AutoSize
	if a == nil {
		return
	}
	t.heading("SIZE OF THE DISK")
	t.line("  content, in blocks of 4 KiB, and two blocks for each name\t%s", size(a.ContentBytes))
	for _, addition := range a.Additions {
		t.line("    of which %s\t%s", addition.What, size(addition.Bytes))
	}
	t.line("  + 5.2 %% for the file system's own\t%s", size(a.FudgeBytes))
	t.line("  = root file system\t%s", size(a.FileSystemBytes))
	t.line("  + additionalSpace\t%s", size(a.AdditionalBytes))
	t.line("  + partition table and boot partitions\t%s", size(a.ReservedBytes))
	t.line("  = disk, in whole MiB\t%s", size(a.FormulaBytes))
	if a.Raised {
		t.line("  raised until the content fits with 10 %% and 4,096 inodes free\t%s", size(r.DiskSize))
	}
}

func printPartitions(t *table, table *partition.Table) {
	if table.Scheme == partition.Unpartitioned {
		t.heading("PARTITIONS: none")
		return
	}
	t.heading("PARTITIONS, %s, in sectors of %d bytes", strings.TrimSpace(fmt.Sprintf("%s %s", table.Scheme, table.Layout)), table.SectorSize)
	named, mounted := "NAME", ""
	if table.Scheme == partition.MBR {
		named = "CODE"
	}
	if table.Layout != "" { // a table that was read does not know where
		mounted = "MOUNTED AT"
	}
	t.line("  #\tFIRST\tLAST\tSIZE\tBYTES\tTYPE\t%s\t%s", named, mounted)
	for _, p := range table.Partitions {
		name := show(p.Name)
		if table.Scheme == partition.MBR {
			name = fmt.Sprintf("0x%02x", p.TypeCode)
			if p.Active {
				name += ", active"
			}
		}
		t.line("  %d\t%d\t%d\t%s\t%s\t%s\t%s", p.Number, p.Start, p.Last(), size(table.Size(p)), p.TypeName(), name, p.MountPoint)
	}
}

// fileSystemRow is a file system of a plan or of an image.
type fileSystemRow struct {
	partition               int
	mountPoint, kind, label string
	known                   bool // the sizes are known
	size, used, free        int64
	inodes, freeInodes      int64 // 0 if there are none
}

func plannedRows(list []builder.FileSystem) []fileSystemRow {
	rows := make([]fileSystemRow, len(list))
	for i, fs := range list {
		rows[i] = fileSystemRow{
			partition: fs.Partition, mountPoint: fs.MountPoint, kind: fs.Type, label: fs.Label, known: true,
			size: fs.Size, used: fs.Used, free: fs.Free, inodes: fs.Inodes, freeInodes: fs.FreeInodes,
		}
	}
	return rows
}

func printFileSystems(t *table, rows []fileSystemRow) {
	if len(rows) == 0 {
		t.heading("FILE SYSTEMS: none")
		return
	}
	t.heading("FILE SYSTEMS")
	t.line("  #\tTYPE\tLABEL\tSIZE\tBYTES\tUSED\tBYTES\tFREE\tBYTES\tINODES\tFREE\t%s", mountedAt(rows))
	for _, fs := range rows {
		sizes := "\t\t\t\t\t"
		if fs.known {
			sizes = size(fs.size) + "\t" + size(fs.used) + "\t" + size(fs.free)
		}
		inodes := "\t"
		if fs.inodes > 0 {
			inodes = fmt.Sprintf("%d\t%d", fs.inodes, fs.freeInodes)
		}
		t.line("  %d\t%s\t%s\t%s\t%s\t%s", fs.partition, fs.kind, show(fs.label), sizes, inodes, fs.mountPoint)
	}
}

// printPlannedDatasets writes the file systems of a pool that is planned.
func printPlannedDatasets(t *table, list []builder.FileSystem) {
	for _, fs := range list {
		if len(fs.Datasets) == 0 {
			continue
		}
		t.heading("DATASETS OF %s", show(fs.Label))
		t.line("  NAME\tMOUNTED AT")
		for _, d := range fs.Datasets {
			t.line("  %s\t%s", show(d.Name), d.MountPoint)
		}
	}
}

// mountedAt is the heading of mount points, if there are any.
func mountedAt(rows []fileSystemRow) string {
	for _, fs := range rows {
		if fs.mountPoint != "" {
			return "MOUNTED AT"
		}
	}
	return ""
}

// printIdentifiers writes what systems find the disk and its parts by.
func printIdentifiers(t *table, r *builder.Report) {
	t.heading("IDENTIFIERS")
	for _, d := range r.All() {
		if d.Role != "" && len(r.Disks) > 0 {
			t.line("  %s disk", d.Role)
		}
		printTableIdentifiers(t, &d.Table)
		for _, fs := range d.FileSystems {
			t.line("  %s on %s\t%s", fs.Type, fs.MountPoint, fs.UUID)
		}
	}
	if r.Deterministic {
		t.line("  seed of all others\t%s", r.Seed)
	} else {
		t.line("  all are random: another build has others")
	}
}

// printTableIdentifiers writes the identifiers of the disk and its partitions.
func printTableIdentifiers(t *table, table *partition.Table) {
	switch table.Scheme {
	case partition.GPT:
		t.line("  disk\t%s", table.DiskGUID)
		for _, p := range table.Partitions {
			t.line("  partition %d\t%s", p.Number, p.GUID)
		}
	case partition.MBR:
		t.line("  disk signature\t%08x", table.Signature)
	}
}
