package boot

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

// newRoot returns a tree with files; a text that begins with "-> " is a link.
func newRoot(t testing.TB, files map[string]string) *tree.Inode {
	t.Helper()
	root := tree.NewDir(tree.Time{})
	for name, text := range files {
		i := tree.NewFile(content.Bytes(text), tree.Time{})
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			i = tree.NewSymlink(target, tree.Time{})
		}
		if err := tree.PutFile(root, name, i, tree.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLookup(t *testing.T) {
	f := Files{newRoot(t, map[string]string{
		"/a/b/file":   "text",
		"/a/relative": "-> b/file",
		"/a/up":       "-> ../../../a/b",
		"/absolute":   "-> /a/up",
		"/loop":       "-> /loop",
		"/dangling":   "-> nothing",
		"/chain":      "-> absolute/file",
	})}
	tests := []struct{ name, real string }{ // an empty real is an error
		{"/", "/"},
		{"//a/./b/file", "/a/b/file"},
		{"/a/relative", "/a/b/file"},
		{"/absolute", "/a/b"},
		{"/absolute/file", "/a/b/file"},
		{"/absolute/..", "/a"},
		{"/chain", "/a/b/file"},
		{"/../a/b", "/a/b"},
		{"/a/b/", "/a/b"},
		{"/loop", ""},
		{"/dangling", ""},
		{"/a/b/file/", ""},
		{"/a/b/file/more", ""},
		{"a/b", ""},
		{"", ""},
	}
	for _, test := range tests {
		i, real, err := f.Lookup(test.name)
		if (err != nil) != (test.real == "") || real != test.real {
			t.Errorf("%q: have %q, %v; want %q", test.name, real, err, test.real)
		}
		if err == nil && f.Root.Lookup(real) != i {
			t.Errorf("%q: %q is another file", test.name, real)
		}
	}
	if _, err := f.Read("/dangling"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("have %v, want ErrNotExist", err)
	}
	if i, err := f.Lstat("/dangling"); err != nil || !i.IsSymlink() {
		t.Errorf("have %v, %v", i, err)
	}
	if b, err := f.Read("/chain"); err != nil || string(b) != "text" {
		t.Errorf("have %q, %v", b, err)
	}
	if _, err := f.Read("/a"); err == nil {
		t.Error("a directory was read as a file")
	}
}

func TestBelow(t *testing.T) {
	for _, test := range []struct {
		name, dir, rest string
		ok              bool
	}{
		{"/boot/a", "/boot", "/a", true},
		{"/boot", "/boot", "", true},
		{"/boots", "/boot", "", false},
		{"/boot/a", "/", "/boot/a", true},
		{"/a", "/boot/", "", false},
	} {
		rest, ok := Below(test.name, test.dir)
		if ok != test.ok || ok && rest != test.rest {
			t.Errorf("%v: have %q, %v", test, rest, ok)
		}
	}
}

const document = `{
  "org.nixos.bootspec.v1": {"system": "x86_64-linux", "init": "/t/init", "kernel": "/k/bzImage", "initrd": "/i/initrd",
    "kernelParams": ["a", "b=c"], "label": "NixOS", "toplevel": "/t"},
  "org.nixos.specialisation.v1": {"z": {"org.nixos.bootspec.v1": {"init": "/z/init", "kernel": "/k/bzImage", "kernelParams": [],
    "label": "Z", "system": "x86_64-linux", "toplevel": "/z"}}, "a": {"org.nixos.bootspec.v1": {"init": "/a/init", "kernel": "/k/bzImage",
    "kernelParams": [], "label": "A", "system": "x86_64-linux", "toplevel": "/a"}}},
  "org.nixos.systemd-boot": {"sortKey": "x", "devicetree": "/d/a.dtb"},
  "org.nixos.extra-initrd.v1": {"paths": ["e/1", "e/2"]},
  "org.xenproject.bootspec.v2": {"params": []}
}`

func TestParseDocument(t *testing.T) {
	d, err := ParseDocument([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if d.Init != "/t/init" || d.Initrd != "/i/initrd" || d.SortKey != "x" || d.DeviceTree != "/d/a.dtb" ||
		!slices.Equal(d.KernelParams, []string{"a", "b=c"}) || !slices.Equal(d.ExtraInitrds, []string{"e/1", "e/2"}) {
		t.Errorf("have %+v", d)
	}
	if len(d.Specialisations) != 2 || d.Specialisations[0].Name != "a" || d.Specialisations[1].Label != "Z" {
		t.Errorf("have %+v", d.Specialisations)
	}
	if len(d.Extensions) != 1 || d.Extensions["org.xenproject.bootspec.v2"] == nil {
		t.Errorf("have %v", d.Extensions)
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte(`{"org.nixos.bootspec.v1": null}`))
	f.Add([]byte(strings.Repeat(`{"org.nixos.specialisation.v1":{"a":`, 100)))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDocument(text)
		if err == nil && (d.Init == "" || d.Kernel == "" || d.Toplevel == "") {
			t.Errorf("accepted %+v", d)
		}
	})
}

// Systems older than NixOS 23.05 have no document.
func TestSynthesize(t *testing.T) {
	const secrets = "#!/bin/bash -e\nif [ \"$1\"x = \"--helpx\" ]; then\n  exit 0\nfi\n\nexit 0\nexport PATH=/bin\n"
	f := Files{newRoot(t, map[string]string{
		"/nix/var/nix/profiles/system":                   "-> system-12-link",
		"/nix/var/nix/profiles/system-12-link":           "-> /nix/store/t",
		"/nix/var/nix/profiles/system-2-link":            "-> /nix/store/t",
		"/nix/var/nix/profiles/system-02-link":           "-> /nowhere",
		"/nix/var/nix/profiles/system-x-link":            "-> /nowhere",
		"/nix/var/nix/profiles/system-profiles/w":        "-> w-1-link",
		"/nix/var/nix/profiles/system-profiles/w-1-link": "-> /nix/store/t",
		"/nix/store/t/kernel":                            "-> ../k/bzImage",
		"/nix/store/t/initrd":                            "-> /nix/store/i/initrd",
		"/nix/store/t/append-initrd-secrets":             secrets,
		"/nix/store/t/kernel-params":                     "a b",
		"/nix/store/t/nixos-version":                     "22.11",
		"/nix/store/t/system":                            "x86_64-linux",
		"/nix/store/t/kernel-modules":                    "-> ../m",
		"/nix/store/t/specialisation/s":                  "-> /nix/store/s",
		"/nix/store/s/kernel":                            "-> ../k/bzImage",
		"/nix/store/s/kernel-params":                     "s",
		"/nix/store/s/nixos-version":                     "22.11",
		"/nix/store/s/system":                            "x86_64-linux",
		"/nix/store/s/kernel-modules":                    "-> ../m",
		"/nix/store/k/bzImage":                           "kernel",
		"/nix/store/i/initrd":                            "initrd",
		"/nix/store/m/lib/modules/6.1/modules.order":     "",
	})}
	s, err := ReadSystem(context.Background(), f, "/nix/store/t", 7)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Profiles) != 2 || len(s.Profiles[0].Generations) != 2 || s.Profiles[1].Name != "w" || len(s.Profiles[1].Generations) != 1 {
		t.Fatalf("have %+v", s.Profiles)
	}
	g := s.Profiles[0].Generations[1]
	if g.Number != 12 || g.Top != "/nix/store/t" || g.Version != "22.11" || g.Built != 7 || g.Linked != 7 {
		t.Errorf("have %+v", g)
	}
	child := Document{System: "x86_64-linux", Init: "/nix/store/s/init", Kernel: "/nix/store/k/bzImage", KernelParams: []string{"s"},
		Label: "NixOS 22.11 (Linux 6.1)", Toplevel: "/nix/store/s"}
	want := Document{System: "x86_64-linux", Init: "/nix/store/t/init", Kernel: "/nix/store/k/bzImage", Initrd: "/nix/store/i/initrd",
		InitrdSecrets: "/nix/store/t/append-initrd-secrets", KernelParams: []string{"a", "b"}, Label: "NixOS 22.11 (Linux 6.1)",
		Toplevel: "/nix/store/t", Specialisations: []Specialisation{{Name: "s", Document: child, Built: 7}}}
	if d := cmp.Diff(want, g.Document); d != "" {
		t.Error(d)
	}
	if err := CheckSecrets(f, &g.Document); err != nil {
		t.Errorf("a program that appends nothing: %v", err)
	}
	with := Files{newRoot(t, map[string]string{"/s": strings.Replace(secrets, "\nexit 0\nexport", "\nexport", 1)})}
	if err := CheckSecrets(with, &Document{InitrdSecrets: "/s"}); err == nil || !strings.Contains(err.Error(), "boot.initrd.secrets") {
		t.Errorf("a program that appends: %v", err)
	}
}

func TestApply(t *testing.T) {
	root := newRoot(t, map[string]string{"/boot/EFI/old": "old", "/boot/Loader/keep": "keep", "/usr/Bin/x": "x"})
	var in Installation
	in.Remove = []string{"/boot/efi/OLD", "/boot/nothing", "/none/x"}
	in.AddDir("/boot/efi", 0o700, tree.Time{})
	in.AddText("/boot/efi/a/B", 0o640, "B", tree.Time{})
	in.AddText("/boot/EFI/A/b", 0o640, "b", tree.Time{})
	in.AddText("/boot/loader/x", 0o644, "", tree.Time{})
	in.AddText("/usr/bin/y", 0o755, "y", tree.Time{})
	if err := in.Apply(root, []string{"/boot"}, tree.Time{}); err != nil {
		t.Fatal(err)
	}
	f := Files{root}
	for name, want := range map[string]string{"/boot/EFI/a/B": "b", "/boot/Loader/x": "", "/boot/Loader/keep": "keep", "/usr/Bin/x": "x", "/usr/bin/y": "y"} {
		if b, err := f.Read(name); err != nil || string(b) != want {
			t.Errorf("%s: have %q, %v; want %q", name, b, err, want)
		}
	}
	if names, _ := f.ReadDir("/boot"); !slices.Equal(names, []string{"EFI", "Loader"}) {
		t.Errorf("/boot has %q", names)
	}
	if names, _ := f.ReadDir("/boot/EFI"); !slices.Equal(names, []string{"a"}) {
		t.Errorf("/boot/EFI has %q", names)
	}
	if i, _ := f.Lstat("/boot/EFI"); i.Mode&tree.PermMask != 0o755 {
		t.Errorf("a directory that was there became %o", i.Mode)
	}
}

func TestParseSettings(t *testing.T) {
	s, err := ParseSettings([]byte(`{"timeout": null, "efi": {"canTouchEfiVariables": true, "efiSysMountPoint": "/boot"},
		"systemd-boot": {"editor": false, "efiBinary": "x/systemd-bootx64.efi", "extraEntries": {"a.conf": "title a\n"}}}`), "/dir")
	if err != nil {
		t.Fatal(err)
	}
	want := NewSettings(SystemdBootName)
	want.Timeout = nil
	want.EFI = EFI{true, "/boot"}
	want.SystemdBoot.Editor = false
	want.SystemdBoot.EFIBinary = filepath.FromSlash("/dir/x/systemd-bootx64.efi")
	want.SystemdBoot.ExtraEntries = map[string]string{"a.conf": "title a\n"}
	if d := cmp.Diff(want, s); d != "" {
		t.Error(d)
	}
	for _, name := range loaders {
		text := `{"` + name + `": {}}`
		if name == GRUBName {
			text = `{"grub": {"devices": ["nodev"]}}` // has no default in NixOS either
		}
		s, err := ParseSettings([]byte(text), "/")
		if err != nil {
			t.Errorf("%s without settings: %v", name, err)
		} else if s.Loader() != name || s.Timeout == nil || *s.Timeout != DefaultTimeout {
			t.Errorf("%s: have %+v", name, s)
		}
	}
}

func TestParseSettingsProblems(t *testing.T) {
	tests := []struct{ text, want string }{
		{`[]`, "array"},
		{`{"grub": null}`, "grub is null"},
		{`{"grub": []}`, "grub: is of the type array: want object"},
		{`{"grub": {"device": 3}}`, "grub: device is of the type number: want string"},
		{`{"limine": {"style": {"interface": {"brandingColor": "x"}}}}`, "limine: style.interface.brandingColor is of the type string: want a whole number"},
		{`{"timeout": 1.5, "grub": {}}`, "timeout: is of the type number 1.5: want a whole number"},
		{`{}`, "exactly one boot loader"},
		{`{"grub": {}, "limine": {}}`, "exactly one boot loader"},
		{`{"systemd-boot": {"edit": 1}}`, `unknown field "edit"`},
		{`{"systemd-boot": {}, "time": 1}`, "time: is unknown"},
		{`{"systemd-boot": {"editor": "yes"}}`, "systemd-boot: "},
		{`{"systemd-boot": {"enable": false}}`, "installBootLoader"},
		{`{"systemd-boot": {"consoleMode": "big"}}`, "consoleMode"},
		{`{"systemd-boot": {"configurationLimit": -1}}`, "configurationLimit"},
		{`{"systemd-boot": {"extraInstallCommands": "rm x"}}`, "extraInstallCommands"},
		{`{"systemd-boot": {"builder": "22.05"}}`, "builder"},
		{`{"systemd-boot": {"builder": "25.05", "bootCounting": {"enable": true}}}`, "bootCounting"},
		{`{"systemd-boot": {"extraFiles": {"../x": "/y"}}}`, "extraFiles"},
		{`{"systemd-boot": {"extraFiles": {"x": "y"}}}`, "extraFiles"},
		{`{"systemd-boot": {"extraEntries": {"x": "y"}}}`, "extraEntries"},
		{`{"systemd-boot": {"xbootldrMountPoint": "boot"}}`, "xbootldrMountPoint"},
		{`{"systemd-boot": {"distroName": "a\nb"}}`, "distroName"},
		{`{"timeout": -1, "systemd-boot": {}}`, "timeout"},
		{`{"efi": {"efiSysMountPoint": "boot"}, "systemd-boot": {}}`, "efiSysMountPoint"},
		{`{"entries": [{"title": "", "kernel": "x", "initrd": "y", "options": "a\nb"}], "systemd-boot": {}}`, "entries[0]: initrd"},
		{`{"entries": [{"title": "a", "kernel": "/x"}], "limine": {}}`, "entries: limine takes none"},
		{`{"generic-extlinux-compatible": {"mirroredBoots": []}}`, "mirroredBoots"},
		{`{"generic-extlinux-compatible": {"mirroredBoots": [{"path": "boot"}]}}`, "mirroredBoots"},
		{`{"generic-extlinux-compatible": {"configurationLimit": -1}}`, "configurationLimit"},
		{`{"initScript": {"enable": false}}`, "initScript"},
	}
	for _, test := range tests {
		_, err := ParseSettings([]byte(test.text), "/")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have error %v, want one with %q", test.text, err, test.want)
		}
	}
}
