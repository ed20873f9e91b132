package efivars

import (
	"bytes"
	"testing"
)

// FuzzRead reads stores whose space for variables begins with the fuzzer's
// bytes.
func FuzzRead(f *testing.F) {
	f.Add([]byte{}, []byte{})
	s := read(f, small.template())
	if _, err := s.AddBootEntry(sample); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, s.Bytes()[0x64:][:324])
	interrupted := bytes.Clone(s.Bytes()[0x64:][:324])
	interrupted[offState] = stateAdded & stateLeaving
	f.Add([]byte{}, interrupted)
	f.Add(s.Bytes()[:0x64], []byte{0xaa, 0x55, 0xff})
	f.Fuzz(func(t *testing.T, head, variables []byte) {
		file := small.template()
		copy(file, head)
		copy(file[0x64:], variables)
		s, err := Read(file)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Bytes(), file) || s.Free() < 0 || s.Free() > s.Capacity() {
			t.Fatal(s.Free(), s.Capacity())
		}
		for _, o := range s.BootEntries() {
			_ = o.DevicePath.String()
		}
		before := s.Variables()
		number, err := s.AddBootEntry(sample)
		if err != nil {
			if !bytes.Equal(s.Bytes(), file) {
				t.Error("an error changed the store")
			}
			return
		}
		again := read(t, s.Bytes())
		for _, v := range before {
			now, ok := again.Lookup(v.Vendor, v.Name)
			if !ok || v.Name != bootOrder && v.Name != BootName(number) && !bytes.Equal(now.Data, v.Data) {
				t.Errorf("%q is %x, was %x", v.Name, now.Data, v.Data)
			}
		}
		if order := again.BootOrder(); order[0] != number {
			t.Errorf("order %d, number %d", order, number)
		}
	})
}
