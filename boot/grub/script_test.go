package grub

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		script string
		want   [][]string
	}{
		{"", nil},
		{"\n  # nothing\n", nil},
		{"/nix/store/x/bin/install -Dp \"/nix/store/y\" \"/boot/\"'a b'\n", [][]string{{"/nix/store/x/bin/install", "-Dp", "/nix/store/y", "/boot/a b"}}},
		{"ln -fs /boot/grub /boot/grub2", [][]string{{"ln", "-fs", "/boot/grub", "/boot/grub2"}}},
		{"ln -fs $a b", [][]string{{"ln -fs $a b"}}},
		{"true; rm x", [][]string{{"true; rm x"}}},
		{"echo 'open", [][]string{{"echo 'open"}}},
	} {
		if diff := cmp.Diff(c.want, commands(c.script)); diff != "" {
			t.Errorf("%q (-want +have):\n%s", c.script, diff)
		}
	}
}

func TestKernelWords(t *testing.T) {
	for _, c := range []struct {
		options string
		want    []string
	}{
		{"", nil},
		{"root=LABEL=nixos  quiet", []string{"root=LABEL=nixos", "quiet"}},
		{`dyndbg="file a.c +p" x`, []string{`"dyndbg=file a.c +p"`, "x"}},
		{"a=$b;c", []string{`"a=\$b;c"`}},
		{"*", []string{`"*"`}},
	} {
		if diff := cmp.Diff(c.want, kernelWords(c.options)); diff != "" {
			t.Errorf("%q (-want +have):\n%s", c.options, diff)
		}
	}
}
