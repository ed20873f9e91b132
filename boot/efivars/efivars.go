// Package efivars reads and writes EFI variable stores: the file in which QEMU
// keeps the variables of UEFI firmware (OVMF_VARS.fd, efi-vars.fd).
//
// # Vocabulary
//
// A variable has a name, the GUID of the vendor that the name belongs to,
// attributes and data. Boot#### variables, #### being four hexadecimal digits,
// are load options: what the firmware can start, described by a device path
// from the disk's partition to the file in it. BootOrder lists their numbers.
//
// # What is in the file
//
// EDK II, which OVMF is made from, gives the variables a firmware volume, as if
// it were flash memory: bits can be cleared one by one, but set only by erasing
// a whole block.
//
//	┌─────────────────────────────── firmware volume ───────────────────────────────┐
//	│ volume │ store  │ variable │ variable │ … │ free  │ event │ fault   │ spare   │ padding
//	│ header │ header │          │ (dead)   │   │ ff ff │ log   │ tol. w. │ blocks  │
//	└────────┴────────┴──────────┴──────────┴───┴───────┴───────┴─────────┴─────────┘
//	0        0x48     0x64                              0xe000 or 0x40000
//
// Hence a variable is never changed in place. A new one is appended, then the
// old one is marked as dead by clearing bits of its state. No checksum covers
// the variables. What follows the store (a log, and where the firmware keeps
// copies while it erases a block) is kept as it is.
//
// # Templates
//
// A store belongs to a build of the firmware: its size, and where its parts
// lie. Therefore nothing is made from scratch; [Read] takes the empty store that
// comes with the firmware, or one that was in use, and [Store.AddBootEntry] adds
// to it. A damaged store is refused. The firmware would erase it, or hang.
//
// Facts are from the UEFI specification (load options and device paths: 3.1.3
// and 10.3), the PI specification (volume 3, 3.2: firmware volumes) and EDK II's
// MdeModulePkg/Include/Guid/VariableFormat.h (the store).
package efivars

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
)

// Global is the vendor of the variables that the UEFI specification defines:
// EFI_GLOBAL_VARIABLE.
var Global = uuid.MustParse("8BE4DF61-93CA-11D2-AA0D-00E098032B8C")

// Attributes of variables (UEFI specification, 8.2).
const (
	NonVolatile       uint32 = 1 << 0 // survives a reset
	BootServiceAccess uint32 = 1 << 1 // until the operating system has taken over
	RuntimeAccess     uint32 = 1 << 2 // afterwards too
	HardwareError     uint32 = 1 << 3
	Authenticated     uint32 = 1 << 4 // with a counter; deprecated
	TimeAuthenticated uint32 = 1 << 5
)

// bootAttributes are those that variables for the boot manager must have.
const bootAttributes = NonVolatile | BootServiceAccess | RuntimeAccess

// MaxFile is the largest file that is read, in bytes: as large as the flash
// memory of QEMU's ARM machines, whose stores are padded to it.
const MaxFile = 64 << 20

// Variable is a variable of a store.
type Variable struct {
	Name       string
	Vendor     uuid.UUID
	Attributes uint32
	Data       []byte // must not be changed
}

// Store is a variable store.
type Store struct {
	image     []byte // the file
	variables []stored
	living    map[key]int // what names stand for, as indices of variables
	first     int         // offset of the first variable
	free      int         // where the next one goes
	end       int         // of the space for variables
}

// key is what tells variables apart.
type key struct {
	vendor uuid.UUID
	name   string
}

// stored is a variable, alive or dead, and its place.
type stored struct {
	Variable
	offset, length int // of everything, without the padding behind it
	state          byte
}

// Read reads the file of a store. The slice must not change afterwards.
func Read(file []byte) (*Store, error) {
	if len(file) > MaxFile {
		return nil, fmt.Errorf("a file of %d bytes is too large for a variable store: at most %d", len(file), MaxFile)
	}
	if !Sniff(file) {
		return nil, errors.New(describeOther(file))
	}
	start, end, err := findStore(file)
	if err != nil {
		return nil, err
	}
	s := &Store{image: file, first: start, end: end}
	return s, s.readVariables()
}

// Bytes returns the file. It must not be changed.
func (s *Store) Bytes() []byte { return s.image }

// Capacity returns how many bytes the store has for variables, and Free how
// many of them are left. Dead variables are not free: only the firmware erases.
func (s *Store) Capacity() int { return s.end - s.first }

// Free returns how many bytes are left for more variables.
func (s *Store) Free() int { return s.end - s.free }

// Variables returns the variables that are alive, in the order of the store.
func (s *Store) Variables() []Variable {
	list := make([]Variable, 0, len(s.living))
	for _, n := range slices.Sorted(maps.Values(s.living)) {
		list = append(list, s.variables[n].Variable)
	}
	return list
}

// Lookup returns the variable of that vendor and name.
func (s *Store) Lookup(vendor uuid.UUID, name string) (Variable, bool) {
	n, ok := s.living[key{vendor, name}]
	if !ok {
		return Variable{}, false
	}
	return s.variables[n].Variable, true
}

// findLiving decides which variable a name stands for. As in EDK II's
// FindVariableEx, that is the first that is valid, or else the last of those
// that were about to be replaced when the machine was switched off.
func (s *Store) findLiving() {
	s.living = make(map[key]int)
	for n, v := range s.variables {
		if !v.alive() {
			continue
		}
		k := key{v.Vendor, v.Name}
		if old, ok := s.living[k]; !ok || s.variables[old].state != stateAdded {
			s.living[k] = n
		}
	}
}

// Set adds variables of different names, which replace those that have these
// names already: all of them, or in case of an error none. One that would not
// change stays where it is.
func (s *Store) Set(variables ...Variable) error {
	variables = slices.DeleteFunc(slices.Clone(variables), func(v Variable) bool {
		old, ok := s.Lookup(v.Vendor, v.Name)
		return ok && old.Attributes == v.Attributes && bytes.Equal(old.Data, v.Data)
	})
	var added []byte
	for _, v := range variables {
		b, err := encodeVariable(v)
		if err != nil {
			return err
		}
		added = append(added, b...)
	}
	if len(added) > s.Free() {
		return fmt.Errorf("the variable store is full: %d more bytes need room, %d of %d are free; take a template that was used less",
			len(added), s.Free(), s.Capacity())
	}
	image := slices.Clone(s.image)
	for _, v := range s.variables {
		if v.alive() && slices.ContainsFunc(variables, func(n Variable) bool { return n.Vendor == v.Vendor && n.Name == v.Name }) {
			// Both bits, as EDK II leaves it: first it is leaving, then dead.
			image[v.offset+offState] &= stateLeaving & stateDeleted
		}
	}
	copy(image[s.free:], added)
	changed, err := Read(image)
	if err != nil {
		return err
	}
	*s = *changed
	return nil
}
