package efivars

import (
	"bytes"
	"testing"
)

// Nothing of a variable is left, nor of what was in it before; others stay.
func TestForget(t *testing.T) {
	s := read(t, small.template())
	set := func(name, data string) {
		t.Helper()
		if err := s.Set(Variable{Name: name, Vendor: SystemdLoader, Attributes: bootAttributes, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	set(SystemToken, "first secret")
	set("Loader", "nothing")
	set(SystemToken, "second secret")
	if found, err := s.Forget(Global, SystemToken); err != nil || found {
		t.Errorf("another vendor's: %v, %v", found, err)
	}
	if found, err := s.Forget(SystemdLoader, SystemToken); err != nil || !found {
		t.Errorf("%v, %v", found, err)
	}
	if bytes.Contains(s.Bytes(), []byte("secret")) {
		t.Error("the store still has a value")
	}
	again := read(t, s.Bytes())
	if v := again.Variables(); len(v) != 1 || v[0].Name != "Loader" {
		t.Errorf("there are %+v", v)
	}
	set(SystemToken, "third")
	if v, ok := s.Lookup(SystemdLoader, SystemToken); !ok || string(v.Data) != "third" {
		t.Errorf("set again it is %+v", v)
	}
}
