package grub

import (
	"testing"

	"diskwright/boot"

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

// Labels may have blanks, and what means something to GRUB's shell.
func TestLabels(t *testing.T) {
	for label, want := range map[string]string{
		"nixos":   "--label nixos",
		"my disk": `--label "my disk"`,
		`a"$b\;c`: `--label "a\"\$b\\;c"`,
	} {
		for _, fs := range []boot.FileSystem{{Type: boot.TypeExt4, Label: label}, {Type: boot.TypeExt4, Provided: "/dev/disk/by-label/" + label}} {
			identifier := boot.GRUBByLabel
			if fs.Provided != "" {
				identifier = boot.GRUBProvided
			}
			if have, _, err := identify(fs, identifier, "/"); err != nil || have != want {
				t.Errorf("%q by %s: have %s, %v; want %s", label, identifier, have, err, want)
			}
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
