package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Attributes of load options (UEFI specification, 3.1.3).
const (
	Active uint32 = 1 << 0 // the boot manager tries it by itself
	Hidden uint32 = 1 << 3 // menus do not show it
)

// loadOptionHeader is the size of what precedes the description of an
// EFI_LOAD_OPTION: attributes, 32 bits, and the length of the device path, 16.
const loadOptionHeader = 6

// LoadOption is a Boot#### variable that was read.
type LoadOption struct {
	Number      uint16 // ####
	Attributes  uint32
	Description string
	DevicePath  DevicePath
	Data        []byte // for the program that is started
}

// ParseLoadOption decodes the data of a Boot#### variable.
func ParseLoadOption(number uint16, data []byte) (LoadOption, error) {
	o := LoadOption{Number: number}
	if len(data) < loadOptionHeader {
		return o, fmt.Errorf("a load option of %d bytes ends in its header", len(data))
	}
	o.Attributes = binary.LittleEndian.Uint32(data)
	length := int(binary.LittleEndian.Uint16(data[4:]))
	description, rest, ok := cutUTF16(data[loadOptionHeader:])
	if !ok {
		return o, errors.New("the load option's description does not end")
	}
	o.Description = description
	if length > len(rest) {
		return o, fmt.Errorf("the load option's device path has %d bytes, where %d are left", length, len(rest))
	}
	o.Data = rest[length:]
	var err error
	o.DevicePath, err = parseDevicePath(rest[:length])
	return o, err
}

// encode returns the data of a Boot#### variable.
func (o *LoadOption) encode() ([]byte, error) {
	path := o.DevicePath.encode()
	if len(path) > 0xffff {
		return nil, fmt.Errorf("a device path of %d bytes is too long", len(path))
	}
	b := binary.LittleEndian.AppendUint32(nil, o.Attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	b, err := appendUTF16(b, o.Description)
	if err != nil {
		return nil, fmt.Errorf("description: %w", err)
	}
	return slices.Concat(b, path, o.Data), nil
}

// BootEntry is a boot loader in a file of an EFI system partition.
type BootEntry struct {
	Description string // as menus show it: "Linux Boot Manager"
	Partition   HardDrive
	File        string // path in the partition, with slashes of either kind
}

// HardDrive is a partition of a GPT.
type HardDrive struct {
	Number         uint32
	Start, Sectors uint64    // in the disk's sectors
	GUID           uuid.UUID // which is what firmware finds it by
}

// option returns the entry as a load option.
func (e *BootEntry) option() (LoadOption, error) {
	file := strings.ReplaceAll(e.File, "/", `\`)
	switch {
	case e.Description == "":
		return LoadOption{}, errors.New("it has no description")
	case e.Partition.GUID == uuid.Nil || e.Partition.Number == 0:
		return LoadOption{}, errors.New("its partition has no number or no GUID: it must be one of a GPT")
	case !strings.HasPrefix(file, `\`) || strings.HasSuffix(file, `\`):
		return LoadOption{}, fmt.Errorf("file %q: want the absolute path of a file", e.File)
	}
	path, err := filePathNode(file)
	return LoadOption{
		Attributes:  Active,
		Description: e.Description,
		DevicePath:  DevicePath{hardDriveNode(e.Partition), path},
	}, err
}

// AddBootEntry makes the firmware start what the entry says, before all that it
// was told to start until now. An entry of the same description is replaced, as
// grub-install and NixOS's installer of limine do; otherwise the entry gets the
// first free number. It returns the number.
//
// OVMF removes an entry whose partition it does not find when its turn comes.
func (s *Store) AddBootEntry(e BootEntry) (number uint16, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("boot entry %q: %w", e.Description, err)
		}
	}()
	option, err := e.option()
	if err != nil {
		return 0, err
	}
	data, err := option.encode()
	if err != nil {
		return 0, err
	}
	if number, err = s.bootNumber(e.Description); err != nil {
		return 0, err
	}
	order := slices.DeleteFunc(s.BootOrder(), func(n uint16) bool { return n == number })
	order = slices.Insert(order, 0, number)
	return number, s.Set(
		Variable{Name: BootName(number), Vendor: Global, Attributes: bootAttributes, Data: data},
		// Without an order OVMF takes the number for its own menu.
		Variable{Name: bootOrder, Vendor: Global, Attributes: bootAttributes, Data: encodeBootOrder(order)},
	)
}

// bootNumber returns the number of the entry with that description, or the
// first one that no entry has.
func (s *Store) bootNumber(description string) (uint16, error) {
	used := make(map[uint16]bool)
	for _, v := range s.Variables() {
		number, ok := bootNumberOf(v)
		if !ok {
			continue
		}
		used[number] = true
		if o, err := ParseLoadOption(number, v.Data); err == nil && o.Description == description {
			return number, nil
		}
	}
	for n := range 1 << 16 {
		if !used[uint16(n)] {
			return uint16(n), nil
		}
	}
	return 0, errors.New("all 65536 numbers of boot entries are in use")
}

const (
	bootOrder  = "BootOrder"
	bootPrefix = "Boot"
)

// BootName returns the name of the variable of an entry.
func BootName(number uint16) string { return fmt.Sprintf("%s%04X", bootPrefix, number) }

// bootNumberOf returns the number of a variable, if it is a boot entry.
func bootNumberOf(v Variable) (uint16, bool) {
	digits, ok := strings.CutPrefix(v.Name, bootPrefix)
	if !ok || v.Vendor != Global || len(digits) != 4 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 16)
	return uint16(number), err == nil && BootName(uint16(number)) == v.Name
}

// BootOrder returns the numbers of the boot entries in the order in which the
// firmware tries them.
func (s *Store) BootOrder() []uint16 {
	v, _ := s.Lookup(Global, bootOrder)
	var order []uint16
	for data := v.Data; len(data) >= 2; data = data[2:] {
		order = append(order, binary.LittleEndian.Uint16(data))
	}
	return order
}

func encodeBootOrder(order []uint16) []byte {
	var b []byte
	for _, number := range order {
		b = binary.LittleEndian.AppendUint16(b, number)
	}
	return b
}

// BootEntries returns the load options of the Boot#### variables, by their
// numbers. Those that are damaged are left out, as the firmware leaves them.
func (s *Store) BootEntries() []LoadOption {
	var list []LoadOption
	for _, v := range s.Variables() {
		number, ok := bootNumberOf(v)
		if !ok {
			continue
		}
		if o, err := ParseLoadOption(number, v.Data); err == nil {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b LoadOption) int { return int(a.Number) - int(b.Number) })
	return list
}
