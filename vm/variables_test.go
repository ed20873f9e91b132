package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"diskwright/boot/efivars"
	qemu "diskwright/test/boot"

	"github.com/google/go-cmp/cmp"
)

// What an installer has done to the firmware's variables is told by name; the seed
// that it has made is not among them, unless it was there before.
func TestReadVariables(t *testing.T) {
	template, err := os.ReadFile(qemu.Variables(t))
	if err != nil {
		t.Fatal(err)
	}
	const attributes = efivars.NonVolatile | efivars.BootServiceAccess | efivars.RuntimeAccess
	write := func(name string, file []byte, variables ...efivars.Variable) (string, []byte) {
		t.Helper()
		s, err := efivars.Read(bytes.Clone(file))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Set(variables...); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, s.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path, s.Bytes()
	}
	variable := func(name, data string) efivars.Variable {
		v := efivars.Variable{Name: name, Vendor: efivars.Global, Attributes: attributes, Data: []byte(data)}
		if name == efivars.SystemToken {
			v.Vendor = efivars.SystemdLoader
		}
		return v
	}
	before, was := write("before", template, variable("Timeout", "\x01\x00"), variable("Lang", "eng"))
	after, _ := write("after", was, variable("Timeout", "\x02\x00"), variable("Boot0000", "entry"), variable(efivars.SystemToken, "secret"))
	var r Result
	if err := r.readVariables(before, after); err != nil {
		t.Fatal(err)
	}
	want := &Variables{Added: []string{"Boot0000"}, Changed: []string{"Timeout"}, Left: []string{efivars.SystemToken}}
	if diff := cmp.Diff(want, r.ChangedVariables); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if bytes.Contains(r.Variables, []byte("secret")) {
		t.Error("the seed is in the store")
	}

	known, was := write("known", was, variable(efivars.SystemToken, "known"))
	later, _ := write("later", was, variable("Lang", "deu"))
	if err := r.readVariables(known, later); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Variables{Changed: []string{"Lang"}}, r.ChangedVariables); diff != "" {
		t.Errorf("a seed that was there: (-want +got)\n%s", diff)
	}
	if err := r.readVariables(later, before); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Variables{Changed: []string{"Lang"}, Removed: []string{efivars.SystemToken}}, r.ChangedVariables); diff != "" {
		t.Errorf("a seed that has gone: (-want +got)\n%s", diff)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, make([]byte, len(template)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.readVariables(before, broken); err == nil {
		t.Error("what is no store was read")
	}
}
