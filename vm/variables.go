package vm

import (
	"bytes"
	"fmt"
	"os"

	"diskwright/boot/efivars"
)

// Variables are names of variables of the firmware, in the order of its store.
type Variables struct {
	Added, Changed, Removed []string
	// Left are variables that were made at random, and are not in the store.
	Left []string
}

// readVariables reads the store of the firmware's variables and what it was.
//
// Of what an installer leaves there, bootctl's token is random: a seed for this
// machine. Firmware writes the same each time that it starts the same machine.
func (r *Result) readVariables(before, after string) error {
	was, err := readStore(before)
	if err != nil {
		return err
	}
	is, err := readStore(after)
	if err != nil {
		return fmt.Errorf("as the virtual machine has left it: %w", err)
	}
	v := &Variables{}
	if _, ok := was.Lookup(efivars.SystemdLoader, efivars.SystemToken); !ok {
		found, err := is.Forget(efivars.SystemdLoader, efivars.SystemToken)
		if err != nil {
			return err
		}
		if found {
			v.Left = append(v.Left, efivars.SystemToken)
		}
	}
	for _, now := range is.Variables() {
		old, ok := was.Lookup(now.Vendor, now.Name)
		switch {
		case !ok:
			v.Added = append(v.Added, now.Name)
		case old.Attributes != now.Attributes || !bytes.Equal(old.Data, now.Data):
			v.Changed = append(v.Changed, now.Name)
		}
	}
	for _, old := range was.Variables() {
		if _, ok := is.Lookup(old.Vendor, old.Name); !ok {
			v.Removed = append(v.Removed, old.Name)
		}
	}
	r.Variables, r.ChangedVariables = is.Bytes(), v
	return nil
}

// readStore reads the file of a variable store.
func readStore(name string) (*efivars.Store, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if fi.Size() > efivars.MaxFile {
		return nil, fmt.Errorf("%q has more than %d bytes", name, efivars.MaxFile)
	}
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s, err := efivars.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return s, nil
}
