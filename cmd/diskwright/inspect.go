package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"diskwright/inspect"
	"diskwright/progress"

	"github.com/spf13/cobra"
)

type inspectOptions struct {
	json bool
}

func newInspectCommand(a *app) *cobra.Command {
	var opts inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect IMAGE [flags]",
		Short: "Show what a disk image is and holds",
		Long: `Show the partition table of a disk image or block device that anybody may have
made, its file systems and how full they are, and a picture of it. What is wrong
with the image is listed; that is no failure of inspect.

Images may be in any format: raw, qcow2, vdi, vpc, vhdx, vmdk. Of one that is
compressed, or in a tar, a temporary copy is made.

Of an EFI variable store (efi-vars.fd, OVMF_VARS.fd) show the boot entries and
the variables.
` + exitStatusHelp,
		Example: `  diskwright inspect out/nixos.img
  diskwright inspect out/efi-vars.fd
  diskwright inspect --json /dev/sda`,
		Args: arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.runInspect(opts, args[0])
		},
	}
	cmd.Flags().BoolVar(&opts.json, "json", false, "write the result as JSON")
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

// runInspect shows the image at path.
func (a *app) runInspect(opts inspectOptions, path string) error {
	a.begin(workOptions{json: opts.json})
	if inspect.IsVariables(path) {
		variables, err := inspect.OpenVariables(path)
		if err != nil {
			return fmt.Errorf("cannot inspect the EFI variable store: %w", err)
		}
		return a.ui.result(variables, func(w io.Writer) error { return printVariables(w, variables) })
	}
	image, err := inspect.Open(path)
	if err != nil {
		return fmt.Errorf("cannot inspect the image: %w", err)
	}
	defer image.Close()
	width := columns(a.ui.stdout)
	return a.ui.result(image, func(w io.Writer) error { return printImage(w, image, width) })
}

// printImage writes what an image is and holds, in a picture and in tables.
func printImage(w io.Writer, image *inspect.Image, width int) error {
	t := newTable(w)
	t.line("IMAGE %s", show(image.File))
	t.flush()
	t.line("  format\t%s", image.Format)
	printContainer(t, image)
	t.line("  disk\t%s", size(image.DiskSize))
	t.line("  boot code\t%s", image.BootCode)
	t.flush()
	t.line("\n%s%s", image.Picture(width), inspect.Legend)
	printPartitions(t, image.Table)
	printFileSystems(t, inspectedRows(image.FileSystems))
	printDetails(t, image.FileSystems)
	printImageIdentifiers(t, image)
	if problems := image.Problems(); len(problems) > 0 {
		t.heading("PROBLEMS")
		for _, problem := range problems {
			t.line("  %s", show(problem))
		}
	}
	return t.flush()
}

// printContainer writes what there is to say about the format.
func printContainer(t *table, image *inspect.Image) {
	if image.Tar {
		t.line("  packed in\ttar")
	}
	if image.Compress != "" {
		t.line("  compressed\t%s", image.Compress)
	}
	if image.FileSize != image.DiskSize {
		t.line("  file\t%s", size(image.FileSize))
	}
	for _, f := range image.Properties {
		switch v := f.Value.(type) {
		case bool:
			if v { // what is not so goes without saying
				t.line("  %s\tyes", words(f.Name))
			}
		case []string:
			t.line("  %s\t%s", words(f.Name), show(strings.Join(v, ", ")))
		default:
			t.line("  %s\t%s", words(f.Name), show(fmt.Sprint(v)))
		}
	}
}

// words makes words of a key: "block size" of "blockSize".
func words(key string) string {
	var b strings.Builder
	for i, c := range key {
		if i > 0 && c >= 'A' && c <= 'Z' && key[i-1] >= 'a' && key[i-1] <= 'z' {
			b.WriteByte(' ')
			if i+1 == len(key) || key[i+1] >= 'a' && key[i+1] <= 'z' {
				c += 'a' - 'A'
			}
		}
		b.WriteRune(c)
	}
	return b.String()
}

func inspectedRows(list []inspect.FileSystem) []fileSystemRow {
	rows := make([]fileSystemRow, len(list))
	for i, fs := range list {
		rows[i] = fileSystemRow{
			partition: fs.Partition, kind: fs.Type, label: fs.Label, known: fs.Detailed,
			size: fs.Size, used: fs.Used, free: fs.Free, inodes: fs.Inodes, freeInodes: fs.FreeInodes,
		}
	}
	return rows
}

// printDetails writes what the superblocks of ext file systems say.
func printDetails(t *table, list []inspect.FileSystem) {
	for _, fs := range list {
		if len(fs.Features) == 0 && fs.Pool == nil {
			continue
		}
		t.heading("%s", strings.ToUpper(fs.Type)+" "+inPartition(fs.Partition))
		t.line("  state\t%s", show(fs.State))
		if fs.Pool == nil {
			t.line("  reserved\t%s", size(fs.Reserved))
			t.line("  blocks, inodes\tof %d and %d bytes", fs.BlockSize, fs.InodeSize)
		} else {
			t.line("  ashift\t%d", fs.Pool.Ashift)
			t.line("  transaction group\t%d", fs.Pool.TXG)
		}
		for _, moment := range []struct {
			name string
			at   *time.Time
		}{{"created", fs.Created}, {"written", fs.Written}, {"mounted", fs.Mounted}, {"checked", fs.Checked}} {
			if moment.at != nil {
				t.line("  %s\t%s", moment.name, moment.at.UTC().Format(time.RFC3339))
			}
		}
		if fs.LastMounted != "" {
			t.line("  mounted on\t%s", show(fs.LastMounted))
		}
		if len(fs.Features) > 0 {
			name := "features"
			for _, line := range wrap(fs.Features, 60) {
				t.line("  %s\t%s", name, line)
				name = ""
			}
		}
		if fs.Pool != nil {
			printDatasets(t, fs.Pool)
		}
	}
}

// printDatasets writes what there is in a pool. Properties are those that are not
// the same above.
func printDatasets(t *table, p *inspect.Pool) {
	t.flush()
	t.line("\n  DATASET\tUSED\tREFERENCED\tFILES IN\tPROPERTIES")
	known := make(map[string]map[string]string)
	for _, d := range p.Datasets {
		known[d.Name] = d.Properties
		above := known[d.Name[:max(strings.LastIndexAny(d.Name, "/@"), 0)]]
		var properties []string
		for _, name := range slices.Sorted(maps.Keys(d.Properties)) {
			if value := d.Properties[name]; above[name] != value {
				properties = append(properties, show(name+"="+value))
			}
		}
		used := "" // a snapshot's is not known
		if d.Kind != "snapshot" {
			used = progress.Bytes(d.Used)
		}
		t.line("  %s\t%s\t%s\t%s\t%s", show(d.Name), used, progress.Bytes(d.Referenced), showLabel(d.Mounted), strings.Join(properties, " "))
	}
	t.flush()
}

func inPartition(number int) string {
	if number == 0 {
		return "ON THE WHOLE DISK"
	}
	return fmt.Sprintf("IN PARTITION %d", number)
}

// wrap joins words to lines of at most width bytes, longer words aside.
func wrap(words []string, width int) (lines []string) {
	line := ""
	for _, word := range words {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

func printImageIdentifiers(t *table, image *inspect.Image) {
	t.heading("IDENTIFIERS")
	printTableIdentifiers(t, image.Table)
	for _, fs := range image.FileSystems {
		if fs.UUID != "" {
			t.line("  %s %s\t%s", fs.Type, strings.ToLower(inPartition(fs.Partition)), fs.UUID)
		}
	}
}
