package diff

import (
	"testing"

	"diskwright/inspect"
	"diskwright/nixstore"

	"github.com/google/go-cmp/cmp"
)

// TestSplitName has the examples of Nix's manual, and outputs.
func TestSplitName(t *testing.T) {
	for text, want := range map[string][2]string{
		"nix-0.12pre12876":             {"nix", "0.12pre12876"},
		"hello":                        {"hello", ""},
		"hello-2.12.1":                 {"hello", "2.12.1"},
		"linux-6.1.0-56-cloud-amd64":   {"linux", "6.1.0-56-cloud-amd64"},
		"openssl-3.0.13-dev":           {"openssl", "3.0.13"},
		"nixos-system-host-24.05.x":    {"nixos-system-host", "24.05.x"},
		"source-han-sans-2.004":        {"source-han-sans", "2.004"},
		"etc-os-release":               {"etc-os-release", ""},
		"hello-2.12.1.drv":             {"hello.drv", "2.12.1"},
		"name-":                        {"name-", ""},
		"unit-dbus.service":            {"unit-dbus.service", ""},
		"python3.11-requests-2.31.0":   {"python3.11-requests", "2.31.0"},
		"systemd-252.0-man":            {"systemd", "252.0"},
		"perl5.36.0-Net-SSLeay-1.92":   {"perl5.36.0-Net-SSLeay", "1.92"},
		"linux-6.1.0-56-amd64-modules": {"linux", "6.1.0-56-amd64"},
		"system-path":                  {"system-path", ""},
		"x-1":                          {"x", "1"},
		"-1":                           {"", "1"},
	} {
		if name, version := splitName(text); name != want[0] || version != want[1] {
			t.Errorf("%q is %q of %q, want %q", text, version, name, want)
		}
	}
}

// TestCompareVersions has the examples of Nix's manual (nix-env --upgrade).
func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0", "2.3", -1}, {"2.1", "2.3", -1}, {"2.3", "2.3", 0}, {"2.5", "2.3", 1}, {"3.1", "2.3", 1},
		{"2.3.1", "2.3", 1}, {"2.3.1", "2.3a", 1}, {"2.3pre1", "2.3", -1}, {"2.3pre3", "2.3pre12", -1}, {"2.3a", "2.3c", -1},
		{"2.3pre1", "2.3c", -1}, {"2.3pre1", "2.3q", -1}, {"", "", 0}, {"", "1", -1}, {"010", "9", 1}, {"24.05", "24.11", -1},
	} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := compareVersions(c.b, c.a); got != -c.want {
			t.Errorf("%q and %q: %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

func TestPackages(t *testing.T) {
	path := func(hash byte, name string) string {
		return nixstore.StoreDir + "/" + string([]byte{hash}) + "c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b-" + name
	}
	files := []File{
		{Name: inspect.Name{Path: "/etc/x"}, Only: "a", Type: "file", Size: 7},
		{Name: inspect.Name{Path: path('0', "gone-1")}, Only: "a", Type: "file", Size: 5},
		{Name: inspect.Name{Path: path('1', "tool-1.9")}, Only: "a", Type: "directory", Size: 4096},
		{Name: inspect.Name{Path: path('1', "tool-1.9") + "/bin/tool"}, Only: "a", Type: "file", Size: 100},
		{Name: inspect.Name{Path: path('2', "tool-1.10")}, Only: "b", Type: "directory", Size: 4096},
		{Name: inspect.Name{Path: path('2', "tool-1.10") + "/bin/tool"}, Only: "b", Type: "file", Size: 130},
		{Name: inspect.Name{Path: path('3', "tool-1.10-doc")}, Only: "b", Type: "file", Size: 1},
		{Name: inspect.Name{Path: path('4', "etc")}, Only: "a", Type: "directory"},
		{Name: inspect.Name{Path: path('5', "etc")}, Only: "b", Type: "directory"},
		{Name: inspect.Name{Path: path('6', "both-1") + "/more"}, Only: "b", Type: "file", Size: 9},
		{Name: inspect.Name{Path: path('7', "new")}, Only: "b", Type: "directory"},
		{Name: inspect.Name{Path: path('8', "old-2")}, Only: "a", Type: "directory"},
		{Name: inspect.Name{Path: path('9', "old-1")}, Only: "b", Type: "directory"},
		{Name: inspect.Name{Path: nixstore.StoreDir + "/.links"}, Only: "b", Type: "directory"},
	}
	got := packagesOf(files)
	want := []Package{
		{Name: "etc", Change: Rebuilt, VersionsA: []string{""}, VersionsB: []string{""}, PathsA: []string{path('4', "etc")}, PathsB: []string{path('5', "etc")}},
		{Name: "gone", Change: Removed, VersionsA: []string{"1"}, PathsA: []string{path('0', "gone-1")}, SizeA: 5},
		{Name: "new", Change: Added, VersionsB: []string{""}, PathsB: []string{path('7', "new")}},
		{Name: "old", Change: Downgraded, VersionsA: []string{"2"}, VersionsB: []string{"1"}, PathsA: []string{path('8', "old-2")}, PathsB: []string{path('9', "old-1")}},
		{
			Name: "tool", Change: Upgraded, VersionsA: []string{"1.9"}, VersionsB: []string{"1.10"}, PathsA: []string{path('1', "tool-1.9")},
			PathsB: []string{path('2', "tool-1.10"), path('3', "tool-1.10-doc")}, SizeA: 100, SizeB: 131,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	fs := FileSystem{Packages: got}
	for n, want := range map[int]string{0: "", 3: path('1', "tool-1.9"), 9: "", 10: path('7', "new"), 13: ""} {
		if p := fs.StorePath(files[n]); p != want {
			t.Errorf("%q is in %q, want %q", files[n].Path, p, want)
		}
	}
}
