package spec

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every parameter has a flag of lower-case words, and no two have the same.
func TestFlagNames(t *testing.T) {
	var flags []string
	for _, p := range Parameters() {
		flags = append(flags, p.Flag())
	}
	for _, want := range []string{
		"root", "disk-size", "partition-table-type", "touch-efi-vars", "efi-smm", "efi-firmware", "root-gpuid", "root-fsuid",
		"post-vm", "only-nix-store", "fs-type", "config-file", "additional-paths", "install-boot-loader", "base-name",
	} {
		if !slices.Contains(flags, want) {
			t.Errorf("there is no --%s in %q", want, flags)
		}
	}
	slices.Sort(flags)
	if len(slices.Compact(flags)) != len(table) {
		t.Error("two parameters have the same flag")
	}
}

func TestSetFlag(t *testing.T) {
	s, err := read(t, "a.yaml", "contents: [{source: x, target: y}]\nlabel: 5\nrootFSUID: null\nroot: rootfs\nseed: aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee\n")
	if err == nil {
		t.Fatal("the label is wrong")
	}
	for name, texts := range map[string][]string{
		"contents": {
			"source=a,target=/b",
			"source=c=d,target=/e,mode=u=rwX,user=1,group=2",
			`{"source": "f,g", "target": "h", "user": 3, "group": "4"}`,
		},
		"label": {"first", "five"}, "rootFSUID": {""}, "root": {"relative"}, "seed": {""},
		"deterministic": {"false"}, "memSize": {"77"}, "diskSize": {"100"}, "partitionTableType": {"efi"}, "xattrs": {"a,b", "c"},
		"bootSize": {"64M"},
	} {
		if err := s.SetFlag(*lookup(name), texts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	wantContents := []Content{
		{Source: "a", Target: "/b"},
		{Source: "c=d", Target: "/e", Mode: "u=rwX", User: "1", Group: "2"},
		{Source: "f,g", Target: "h", User: "3", Group: "4"},
	}
	if diff := cmp.Diff(wantContents, s.Contents); diff != "" {
		t.Error(diff)
	}
	if s.VolumeLabel() != "five" || s.RootFSUID != "" || s.Root != "relative" || s.Seed != "" || s.Deterministic || s.MemSize != 77 ||
		s.DiskSize != (DiskSize{DiskSizeFixed, 100}) || s.PartitionTableType != "efi" || s.BootSize != "64M" {
		t.Errorf("the flags were not taken: %+v", s)
	}
	if diff := cmp.Diff([]string{"a,b", "c"}, s.Xattrs); diff != "" {
		t.Error(diff)
	}
	if err := s.SetFlag(*lookup("xattrs"), []string{""}); err != nil || s.Xattrs == nil || len(s.Xattrs) > 0 {
		t.Errorf("no xattrs became %q, %v", s.Xattrs, err)
	}
	if err := s.SetFlag(*lookup("rootFSUID"), []string{"null"}); err != nil || s.RootFSUID != Null {
		t.Errorf("null became %q, %v", s.RootFSUID, err)
	}
}

func TestSetFlagProblems(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"deterministic", "yes", `--deterministic: must be true or false, not "yes"`},
		{"memSize", "1e3", `--mem-size: must be a whole number, not "1e3"`},
		{"diskSize", "10G", `--disk-size: must be "auto", "min" or a whole number of MiB, not "10G"`},
		{"diskSize", "-1", `--disk-size: must be "auto", "min" or a whole number of MiB, not "-1"`},
		{"contents", "x", `--contents: "x" has "x", which is not key=value; it must be source=PATH,target=PATH, perhaps with mode=, user= and group= (or a JSON object, where a path holds a comma)`},
		{"contents", "source=a,tagret=b", `--contents: unknown key "tagret"; did you mean "target"?`},
		{"contents", "source=a,target=b,target=c", `--contents: "target" is given twice`},
		{"contents", `{"source"}`, `--contents: "{\"source\"}" is not JSON: character 10: invalid character '}' after object key`},
		{"contents", "{\"source\": \"\xff\"}", `--contents: "{\"source\": \"\xff\"}" is not JSON: character 13: this is not UTF-8`},
		{"bootLoader", `{"grub": {}`, `--boot-loader: "{\"grub\": {}" is not JSON: character 12: the specification ends too early`},
		{"bootLoader", "{\"grub\": \"\xff\"}", `--boot-loader: "{\"grub\": \"\xff\"}" is not JSON: character 11: this is not UTF-8`},
		{"bootLoader", "grub", `--boot-loader: must be "auto" or a mapping with the settings of a boot loader, not "grub"`},
	} {
		s := New()
		err := s.SetFlag(*lookup(test.name), []string{test.text})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s %q: got %v\nwant %s", test.name, test.text, err, test.want)
		}
	}
}
