package main

import (
	"io"
	"slices"

	"diskwright/inspect"
)

// printVariables writes what is in an EFI variable store: what the firmware
// starts, first what it tries first, and all variables.
func printVariables(w io.Writer, v *inspect.Variables) error {
	t := newTable(w)
	t.line("EFI VARIABLES %s", show(v.File))
	t.flush()
	t.line("  size\t%s", size(v.Size))
	t.line("  space\t%s", size(v.Space))
	t.line("  free\t%s", size(v.Free))
	printBootEntries(t, v)
	if len(v.Variables) == 0 {
		t.heading("VARIABLES: none")
		return t.flush()
	}
	t.heading("VARIABLES")
	t.line("  NAME\tATTRIBUTES\tBYTES\tVENDOR")
	for _, variable := range v.Variables {
		vendor := variable.VendorName
		if vendor == "" {
			vendor = variable.Vendor.String()
		}
		t.line("  %s\t%s\t%d\t%s", show(variable.Name), variable.ShortAttributes(), len(variable.Data), vendor)
	}
	return t.flush()
}

// printBootEntries writes the boot entries: those of the boot order, and then
// those that are started by hand only.
func printBootEntries(t *table, v *inspect.Variables) {
	if len(v.BootEntries) == 0 {
		t.heading("BOOT ENTRIES: none")
		return
	}
	t.heading("BOOT ENTRIES, in the order in which the firmware tries them")
	t.line("  #\tVARIABLE\tDESCRIPTION\tPATH")
	line := func(place any, e inspect.BootEntry) {
		t.line("  %v\t%s\t%s\t%s", place, e.Name, show(e.Description), show(e.DevicePath))
	}
	place := 0
	for _, name := range v.BootOrder {
		if n := slices.IndexFunc(v.BootEntries, func(e inspect.BootEntry) bool { return e.Name == name && e.Active }); n >= 0 {
			place++
			line(place, v.BootEntries[n])
		}
	}
	for _, e := range v.BootEntries {
		if !e.Active || !slices.Contains(v.BootOrder, e.Name) {
			line("-", e)
		}
	}
}
