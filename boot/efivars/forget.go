package efivars

import (
	"bytes"
	"slices"

	"github.com/google/uuid"
)

// SystemdLoader is the vendor of the variables of systemd-boot and bootctl.
var SystemdLoader = uuid.MustParse("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")

// SystemToken is the name of the variable in which bootctl keeps a random seed of
// the machine, of [SystemdLoader].
const SystemToken = "LoaderSystemToken"

// Forget deletes a variable, and makes zeros of all that was ever in it: what the
// store has of earlier values stays in the file otherwise, until the firmware
// erases it. It reports whether there was one.
func (s *Store) Forget(vendor uuid.UUID, name string) (found bool, err error) {
	wanted, err := appendUTF16(nil, name)
	if err != nil {
		return false, err
	}
	image := slices.Clone(s.image)
	for _, v := range s.variables {
		body := image[v.offset+variableHeader : v.offset+v.length]
		data, ok := bytes.CutPrefix(body, wanted)
		if v.Vendor != vendor || !ok || len(data) != len(v.Data) {
			continue
		}
		image[v.offset+offState] &= stateLeaving & stateDeleted
		clear(data) // which is clearing bits, as flash memory allows
		found = true
	}
	if !found {
		return false, nil
	}
	changed, err := Read(image)
	if err != nil {
		return false, err
	}
	*s = *changed
	return true, nil
}
