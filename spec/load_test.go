package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/partition"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// read reads a specification that is called name and lies in /dir.
func read(t *testing.T, name, text string) (*Spec, error) {
	t.Helper()
	return Read(strings.NewReader(text), name, "/dir")
}

const everythingJSON = `{
	"$schema": "../spec/schema.json",
	"root": "rootfs",
	"contents": [
		{"source": "a", "target": "/b"},
		{"source": "/abs/*", "target": "c", "mode": "u=rwX,go=rX", "user": "1000", "group": 100},
		{"source": "../d", "target": "d", "mode": null, "user": null, "group": null}
	],
	"configFile": "configuration.nix",
	"owners": "keep",
	"xattrs": ["user.*", "security.selinux"],
	"diskSize": 2048, "additionalSpace": "0.5G", "bootSize": "100M",
	"partitionTableType": "efi", "compat": "current",
	"fsType": "ext4", "fsProfile": "compatible", "label": "übungen",
	"deterministic": true,
	"rootGPUID": "11111111-2222-3333-4444-555555555555",
	"rootFSUID": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
	"seed": "01234567-89ab-cdef-0123-456789ABCDEF",
	"name": "image", "format": "raw", "baseName": "disk",
	"system": null, "closureInfo": null, "storeDir": null, "additionalPaths": [], "copyChannel": false, "channel": null,
	"onlyNixStore": false, "installBootLoader": false, "bootLoader": null, "touchEFIVars": false, "postVM": "",
	"efiFirmware": "/fw", "efiVariables": "vars.fd", "efiSMM": true, "memSize": 512
}`

const everythingYAML = `# The same.
$schema: ../spec/schema.json
root: rootfs
contents:
  - source: a
    target: /b
  - {source: "/abs/*", target: c, mode: "u=rwX,go=rX", user: "1000", group: 100}
  - source: ../d
    target: d
    mode:
    user: ~
    group: null
configFile: configuration.nix
owners: keep
xattrs: ["user.*", security.selinux]
diskSize: 2048
additionalSpace: 0.5G
bootSize: &size 100M
partitionTableType: efi
compat: current
fsType: ext4
fsProfile: compatible
label: übungen
deterministic: true
rootGPUID: 11111111-2222-3333-4444-555555555555
rootFSUID: aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee
seed: 01234567-89ab-cdef-0123-456789ABCDEF
name: image
format: raw
baseName: disk
system: null
additionalPaths: []
copyChannel: false
onlyNixStore: false
installBootLoader: false
touchEFIVars: false
postVM: ''
efiFirmware: /fw
efiVariables: vars.fd
efiSMM: true
memSize: 512
`

func everything() *Spec {
	s := New()
	s.Root = "/dir/rootfs"
	s.Contents = []Content{
		{Source: "/dir/a", Target: "/b"},
		{Source: "/abs/*", Target: "c", Mode: "u=rwX,go=rX", User: "1000", Group: "100"},
		{Source: "/dir/../d", Target: "d"},
	}
	s.ConfigFile = "/dir/configuration.nix"
	s.Owners = OwnersKeep
	s.Xattrs = []string{"user.*", "security.selinux"}
	s.DiskSize = DiskSize{DiskSizeFixed, 2048}
	s.AdditionalSpace, s.BootSize = "0.5G", "100M"
	s.PartitionTableType = partition.EFI
	s.FSProfile, s.Label = ProfileCompatible, new("übungen")
	s.RootGPUID = "11111111-2222-3333-4444-555555555555"
	s.RootFSUID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	s.Seed = "01234567-89ab-cdef-0123-456789ABCDEF"
	s.Name, s.BaseName = "image", "disk"
	s.AdditionalPaths, s.CopyChannel, s.InstallBootLoader = []string{}, new(false), new(false)
	s.EFIFirmware, s.EFIVariables, s.EFISMM, s.MemSize = "/fw", "/dir/vars.fd", true, 512
	return s
}

func TestReadEverything(t *testing.T) {
	for name, text := range map[string]string{
		"x.json": everythingJSON, "x.yaml": everythingYAML, "stdin json": everythingJSON, "stdin yaml": everythingYAML,
		"flow.yaml": strings.ReplaceAll(everythingJSON, "\t", " "), "bom.json": "\ufeff" + everythingJSON,
		"crlf.yaml": strings.ReplaceAll(everythingYAML, "\n", "\r\n"),
	} {
		got, err := read(t, name, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(everything(), got, cmpopts.IgnoreUnexported(Spec{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadNothing(t *testing.T) {
	for name, text := range map[string]string{"a.yaml": "", "b.yaml": "# nothing\n", "c.yaml": "---\n", "d.json": "{}", "e": " { } "} {
		got, err := read(t, name, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(New(), got, cmpopts.IgnoreUnexported(Spec{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// The defaults are those of make-disk-image.nix and make-multi-disk-zfs-image.nix.
func TestDefaults(t *testing.T) {
	want := &Spec{
		Builder:         "disk",
		AdditionalSpace: "512M", PartitionTableType: "legacy", Compat: "current",
		FSType: "ext4", FSProfile: "upstream",
		Deterministic: true, RootGPUID: "F222513B-DED1-49FA-B591-20CE86A2FE7F",
		Name: "nixos-disk-image", Format: "raw", BaseName: "nixos",
		Disks: 2, RootSize: 2048, RootPoolName: "tank", Features: "minimal",
		RootPoolProperties: map[string]string{"autoexpand": "on"},
		RootPoolFilesystemProperties: map[string]string{
			"acltype": "posixacl", "atime": "off", "compression": "on", "mountpoint": "legacy", "xattr": "sa",
		},
		InstallMethod: InstallNative, VMAccel: AccelAuto, VMTimeout: 1800, MemSize: 1024,
	}
	if diff := cmp.Diff(want, New(), cmpopts.IgnoreUnexported(Spec{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Every mistake is reported, where it is, in the order of the file.
func TestReadProblems(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"a.yaml", "disksize: 5\n", []string{`a.yaml:1:1: unknown parameter "disksize"; did you mean "diskSize"?`}},
		{"a.yaml", "partition-table-type: efi\n", []string{`a.yaml:1:1: unknown parameter "partition-table-type"; did you mean "partitionTableType"?`}},
		{"a.yaml", "frobnicate: 1\n", []string{`a.yaml:1:1: unknown parameter "frobnicate"`}},
		{"a.yaml", "OVMF: x\n", []string{`a.yaml:1:1: unknown parameter "OVMF"; it is a Nix package; give "efiFirmware" and "efiVariables"`}},
		{"a.yaml", "label: a\nname: b\nlabel: c\n", []string{`a.yaml:3:1: label: "label" is given twice; the first is at 1:1`}},
		{"a.json", "{\"label\": \"a\",\n \"label\": \"b\"}", []string{`a.json:2:2: label: "label" is given twice; the first is at 1:2`}},
		{"a.yaml", "deterministic: yes\nlabel: 5\nmemSize: \"5\"\nroot: [a]\ncontents: x\n", []string{
			`a.yaml:1:16: deterministic: must be true or false, without quotes, not the string "yes"`,
			`a.yaml:2:8: label: must be a string, in quotes, not the number 5`,
			`a.yaml:3:10: memSize: must be a whole number, without quotes, not the string "5"`,
			`a.yaml:4:7: root: must be a path in a string, not a list`,
			`a.yaml:5:11: contents: must be a list of mappings with source and target, not the string "x"`,
		}},
		{"a.yaml", "diskSize: 5G\nbootSize: 512\nadditionalSpace: null\nrootGPUID: {}\nmemSize: 1.5\n", []string{
			`a.yaml:1:11: diskSize: must be "auto", "min" or a whole number of MiB, not the string "5G"`,
			`a.yaml:3:18: additionalSpace: must be a size such as "512M", not null`,
			`a.yaml:4:12: rootGPUID: must be a UUID in a string, not a mapping`,
			`a.yaml:5:10: memSize: must be a whole number, not the number 1.5`,
		}},
		{"a.yaml", "contents:\n- source: a\n  target: b\n  mode: 0755\n  usr: x\n- x\n- source: ''\n  user: 010\n- source: a\n  source: b\n", []string{
			`a.yaml:4:9: contents[0].mode: must be a string, in quotes, not the number 0755`,
			`a.yaml:5:3: contents[0]: unknown key "usr"; did you mean "user"?`,
			`a.yaml:6:3: contents[1]: must be a mapping with source and target, not the string "x"`,
			`a.yaml:7:11: contents[2].source: the path is empty`,
			`a.yaml:8:9: contents[2].user: 010 must be written in decimal`,
			`a.yaml:10:3: contents[3].source: "source" is given twice; the first is at 9:3`,
		}},
		{"a.yaml", "xattrs: [user.*, 5]\n", []string{`a.yaml:1:18: xattrs[1]: must be a string, in quotes, not the number 5`}},
		{"a.yaml", "- a\n", []string{`a.yaml:1:1: a specification is a mapping from parameters to values, not a list`}},
		{"a.json", `"x"`, []string{`a.json:1:1: a specification is a mapping from parameters to values, not the string "x"`}},
		// Syntax.
		{"a.json", "{\"label\": \"a\",\n}", []string{`a.json:2:1: invalid character '}'`}},
		{"a.json", "{\n  \"label\" \"a\"}", []string{`a.json:2:11: invalid character '"' after object key`}},
		{"a.json", "{\n  label: \"a\"}", []string{`a.json:2:3: invalid character 'l'`}},
		{"a.json", "{\"label\": ", []string{`a.json:1:11: the specification ends too early`}},
		{"a.json", "{\"label\": \"a", []string{`a.json:1:13: the specification ends too early`}},
		{"a.json", "", []string{`a.json:1:1: the specification ends too early`}},
		{"a.json", "{}\n{}", []string{`a.json:2:1: there is something behind the end of the specification`}},
		{"a.json", `{"label": "\ud800"}`, []string{`a.json:1:11: the string has an escape of half a character (an unpaired surrogate)`}},
		{"a.json", strings.Repeat("[", 5000), []string{`a.json:1:102: lists and mappings nest too deep`}},
		{"a.yaml", strings.Repeat("[", 5000), []string{`a.yaml:1:1001: lists and mappings nest too deep`}},
		{"a.yaml", strings.Repeat("- ", 5000), []string{`a.yaml:1:2001: lists and mappings nest too deep`}},
		{"a.yaml", "a: [1\nb: 2", []string{`a.yaml:2:1: ',' or ']' must be specified`}},
		{"a.yaml", "label: a: b\n", []string{`a.yaml:1:8: mapping value is not allowed in this context`}},
		{"a.yaml", "label: \xff\n", []string{`a.yaml:1:8: this is not UTF-8`}},
		{"a.yaml", "label: a\n---\nlabel: b\n", []string{`a.yaml:3:6: there is a second document; a specification is one`}},
		{"a.yaml", "label: !!str 5\n", []string{`a.yaml:1:8: tags such as !!str are not supported; put strings into quotes`}},
		{"a.yaml", "label: *x\n", []string{`a.yaml:1:8: there is no anchor &x before this`}},
		{"a.yaml", "label: &x [*x]\n", []string{`a.yaml:1:12: there is no anchor &x before this`}},
		{"a.yaml", "<<: {label: a}\n", []string{`a.yaml:1:1: a key must be a plain name (no merge keys, no "? ")`}},
	} {
		s, err := read(t, test.name, test.text)
		if s == nil || err == nil {
			t.Errorf("%q: no error", test.text)
			continue
		}
		got := strings.Split(err.Error(), "\n")
		for i, want := range test.want {
			if i < len(got) && strings.HasPrefix(got[i], want) && strings.HasPrefix(want, "a.json") {
				got[i] = want // what encoding/json says further changes between releases
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%.60q: (-want +got)\n%s", test.text, diff)
		}
	}
}

func TestAnchors(t *testing.T) {
	s, err := read(t, "a.yaml", "contents:\n- &c {source: /a, target: &t b}\n- *c\n- {source: /c, target: *t}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Content{{Source: "/a", Target: "b"}, {Source: "/a", Target: "b"}, {Source: "/c", Target: "b"}}
	if diff := cmp.Diff(want, s.Contents); diff != "" {
		t.Error(diff)
	}
}

// Relative paths start at the specification's directory, without being
// cleaned: ".." behind a symbolic link is for the system to follow.
func TestLoadPaths(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image.yaml")
	text := "root: link/../rootfs\nconfigFile: /etc/passwd\ncontents: [{source: './x', target: x}]\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.Root, s.ConfigFile, s.Contents[0].Source}
	want := []string{dir + "/link/../rootfs", "/etc/passwd", dir + "/./x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	s, err = Read(strings.NewReader("root: '-'\n"), path, dir)
	if err != nil || s.Root != "-" {
		t.Errorf("standard input became %q, %v", s.Root, err)
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a missing specification: %v", err)
	}
}

// The directory of the specification is no part of a pattern.
func TestPatternsAndDirectories(t *testing.T) {
	text := "contents: [{source: '*.conf', target: /etc}, {source: a, target: b}, {source: '/x*', target: c}]\n"
	s, err := Read(strings.NewReader(text), "a.yaml", `/od[d?\`)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{s.Contents[0].Source, s.Contents[1].Source, s.Contents[2].Source}
	want := []string{`/od\[d\?\\/*.conf`, `/od[d?\/a`, `/x*`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = Read(strings.NewReader("contents: [{source: a, target: b}]"), "a.yaml", `/star*`)
	if err == nil || !strings.Contains(err.Error(), "has a '*'") {
		t.Errorf("a directory with a star: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a.json", everythingJSON)
	f.Add("a.yaml", everythingYAML)
	f.Add("a.yaml", "contents:\n- &c {source: /a, target: &t b}\n- *c\n- {source: /c, target: *t}\n")
	f.Add("a", "? [a]\n: |\n  b\n<<: *c\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		s, err := Read(strings.NewReader(text), name, "/dir")
		if s == nil {
			t.Fatalf("no Spec: %v", err)
		}
		_ = s.Validate()
	})
}
