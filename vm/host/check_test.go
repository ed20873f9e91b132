package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "OVMF.fd")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		m    Machine
		want string
	}{
		{Machine{Arch: "riscv64", QEMU: "x"}, `no virtual machine for the architecture "riscv64": want x86_64 or aarch64`},
		{Machine{Arch: "x86_64", QEMU: "x"}, ""},
		{Machine{Arch: "x86_64", QEMU: "x", Firmware: &Firmware{Code: file, Variables: file}}, ""},
		{Machine{Arch: "x86_64", QEMU: "x", Firmware: &Firmware{Code: file, Variables: file + "x"}}, "no such file"},
		{Machine{Arch: "x86_64", QEMU: "x", Firmware: &Firmware{Code: dir, Variables: file}}, "is not a file"},
	} {
		if err := test.m.Check(); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: have %v, want %q", test.m, err, test.want)
		}
	}
	t.Setenv("PATH", dir)
	if err := (&Machine{Arch: "aarch64"}).Check(); err == nil || !strings.Contains(err.Error(), "qemu-system-aarch64 is not in PATH") {
		t.Errorf("without QEMU: %v", err)
	}
}
