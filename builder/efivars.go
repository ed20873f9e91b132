package builder

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"diskwright/boot/efivars"
	"diskwright/partition"
)

// efiVarsFile is the name of the file with the firmware's variables.
const efiVarsFile = "efi-vars.fd"

// planEFIVars makes the file with the firmware's variables: the template, and the
// boot entry of the loader if it has one. It is nil if none is asked for.
func (p *planner) planEFIVars(table *partition.Table) ([]byte, error) {
	if !p.spec.TouchEFIVars || p.spec.OnlyNixStore || p.efiVars != nil {
		return p.efiVars, nil
	}
	name := p.spec.Called("efiVariables")
	file, err := readAtMost(p.spec.EFIVariables, efivars.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	store, err := efivars.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %q: %w", name, p.spec.EFIVariables, err)
	}
	esp, hasESP := table.ByRole(partition.ESP)
	if p.loader == nil || p.loader.EFIEntry == nil || !hasESP {
		return file, nil
	}
	_, err = store.AddBootEntry(efivars.BootEntry{
		Description: p.loader.EFIEntry.Description,
		Partition: efivars.HardDrive{
			Number:  uint32(esp.Number),
			Start:   uint64(esp.Start),
			Sectors: uint64(esp.Sectors),
			GUID:    esp.GUID,
		},
		File: p.loader.EFIEntry.Path,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %q: %w", name, p.spec.EFIVariables, err)
	}
	return store.Bytes(), nil
}

// readAtMost reads the file at path, which must not be longer than limit.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%q has more than %d bytes", path, limit)
	}
	return b, err
}

// writeEFIVars writes the file with the firmware's variables.
func (o *output) writeEFIVars() error {
	b := o.build
	if b.efiVars == nil {
		return nil
	}
	path := filepath.Join(o.dir, efiVarsFile)
	o.efiVars = filepath.Join(o.absolute, efiVarsFile)
	return o.write(path, nil, func(f *os.File) error {
		_, err := f.Write(b.efiVars)
		return err
	})
}
