//go:build linux

package nix

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Arguments of nixpkgs' make-disk-image.nix, and whether they have a default.
var arguments = map[string]bool{
	"pkgs": false, "lib": false, "config": false,
	"diskSize": true, "additionalSpace": true, "bootSize": true, "contents": true, "partitionTableType": true,
	"installBootLoader": true, "touchEFIVars": true, "OVMF": true, "efiFirmware": true, "efiVariables": true,
	"fsType": true, "label": true, "configFile": true, "postVM": true, "memSize": true, "onlyNixStore": true,
	"name": true, "format": true, "baseName": true, "deterministic": true, "rootGPUID": true, "rootFSUID": true,
	"copyChannel": true, "additionalPaths": true,
	// Of newer versions, without effect here.
	"reproducible": true, "populateRootWith": true, "rootFSHashSeed": true,
	// Of our own.
	"diskwright": true, "parameters": true, "installMethod": true, "vmAccel": true, "keepDisk": true,
}

func TestArguments(t *testing.T) {
	var got map[string]bool
	shared(t).value(t, "builtins.functionArgs (import "+tree+"/nix/make-disk-image.nix)", &got)
	if diff := cmp.Diff(arguments, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

// specification of an image as Diskwright reads it, without store paths.
type specification struct {
	System, ClosureInfo, Channel, EFIVariables string
	ConfigFile                                 *string
	DiskSize                                   any
	AdditionalSpace, BootSize                  string
	PartitionTableType, FSType, Label          string
	Format, BaseName                           string
	RootGPUID                                  string
	RootFSUID                                  *string
	Contents                                   []map[string]string
	AdditionalPaths                            []string
	CopyChannel, Deterministic                 bool
	InstallBootLoader, OnlyNixStore            bool
	TouchEFIVars, HydraBuildProducts           bool
	VerifyStore                                bool
}

// specify evaluates an image into the specification that its builder will get.
func specify(t testing.TB, image string, v any) {
	t.Helper()
	var text string
	shared(t).value(t, "("+image+").specification", &text)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func pointer[T any](v T) *T { return &v }

func TestSpecification(t *testing.T) {
	const guid = "F222513B-DED1-49FA-B591-20CE86A2FE7F"
	defaults := func() specification {
		return specification{
			DiskSize: "auto", AdditionalSpace: "512M", BootSize: "256M",
			PartitionTableType: "legacy", FSType: "ext4", Label: "nixos",
			Format: "raw", BaseName: "nixos",
			RootGPUID: guid, RootFSUID: pointer(guid),
			Contents: []map[string]string{}, AdditionalPaths: []string{},
			CopyChannel: true, Deterministic: true, HydraBuildProducts: true,
		}
	}
	for _, test := range []struct {
		args   string
		change func(*specification)
	}{
		{"", func(s *specification) {}},
		{"diskSize = 4096; bootSize = \"1G\"; partitionTableType = \"efi\";", func(s *specification) {
			s.DiskSize, s.BootSize, s.PartitionTableType = 4096.0, "1G", "efi"
		}},
		{`diskSize = "4096"; additionalSpace = "0M";`, func(s *specification) { s.DiskSize, s.AdditionalSpace = "4096", "0M" }},
		{`fsType = "ext3"; partitionTableType = "none";`, func(s *specification) {
			s.FSType, s.PartitionTableType, s.RootFSUID = "ext3", "none", nil
		}},
		{`rootGPUID = "11111111-2222-4333-8444-555555555555";`, func(s *specification) {
			s.RootGPUID = "11111111-2222-4333-8444-555555555555"
			s.RootFSUID = &s.RootGPUID
		}},
		{`deterministic = false; rootFSUID = null;`, func(s *specification) { s.Deterministic, s.RootFSUID = false, nil }},
		{`onlyNixStore = true; partitionTableType = "none"; copyChannel = false;`, func(s *specification) {
			s.OnlyNixStore, s.PartitionTableType, s.Label, s.CopyChannel = true, "none", "nix-store", false
		}},
		{`contents = [
			{ source = "/etc/*"; target = "/srv"; }
			{ source = "/a"; target = "b"; mode = "755"; user = "1234"; group = "5678"; }
			{ source = "/c"; target = "/d"; mode = null; user = null; group = null; }
		];`, func(s *specification) {
			s.Contents = []map[string]string{
				{"source": "/etc/*", "target": "/srv"},
				{"source": "/a", "target": "b", "mode": "755", "user": "1234", "group": "5678"},
				{"source": "/c", "target": "/d"},
			}
		}},
		// Without effect, unless there is a virtual machine.
		{`memSize = 4096; reproducible = true; populateRootWith = "mke2fs"; efiFirmware = throw "looked at"; OVMF = throw "looked at";`,
			func(s *specification) {}},
		{`parameters = { verifyStore = true; label = "other"; };`, func(s *specification) { s.VerifyStore, s.Label = true, "other" }},
	} {
		var got specification
		specify(t, image(test.args), &got)
		want := defaults()
		test.change(&want)
		// Store paths are looked at where images are built.
		if got.System == "" || got.ClosureInfo == "" || (got.Channel != "") != got.CopyChannel {
			t.Errorf("{ %s }: system %q, closureInfo %q, channel %q", test.args, got.System, got.ClosureInfo, got.Channel)
		}
		got.System, got.ClosureInfo, got.Channel = "", "", ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("{ %s } (-want +got):\n%s", test.args, diff)
		}
	}
}

// Each assertion of the original fails at evaluation, before anything is built,
// with its message.
func TestAssertions(t *testing.T) {
	const (
		uuid  = "In deterministic mode with a ext4 partition, rootFSUID must be non-null, by default, it is equal to rootGPUID."
		table = "to produce a partition table, we need to use -E offset flag which is support only for fsType = ext4"
		vars  = "EFI variables can be used only with a partition table of type: hybrid, efi, efixbootldr, or legacy+gpt."
		only  = "In a only Nix store image, the contents must be empty, no configuration must be provided and no bootloader should be installed."
		owner = "Contents of the disk image should set none of {user, group} or both at the same time."
	)
	for args, message := range map[string]string{
		`partitionTableType = "gpt";`:                                                    "partitionTableType must be one of",
		`rootFSUID = null;`:                                                              uuid,
		`fsType = "ext3";`:                                                               table,
		`fsType = "btrfs"; partitionTableType = "efi";`:                                  table,
		`touchEFIVars = true;`:                                                           vars,
		`touchEFIVars = true; partitionTableType = "legacy+boot";`:                       vars,
		`touchEFIVars = true; partitionTableType = "none";`:                              vars,
		`onlyNixStore = true; contents = [ { source = "/a"; target = "/b"; } ];`:         only,
		`onlyNixStore = true; configFile = ./configuration.nix;`:                         only,
		`onlyNixStore = true; installBootLoader = true;`:                                 only,
		`contents = [ { source = "/a"; target = "/b"; user = "root"; } ];`:               owner,
		`contents = [ { source = "/a"; target = "/b"; group = "root"; } ];`:              owner,
		`contents = [ { source = "/a"; target = "/b"; user = "root"; group = null; } ];`: owner,
		// A typo must not be ignored.
		`disksize = 4096;`: "called with unexpected argument 'disksize'",
	} {
		shared(t).fails(t, image(args), message)
	}
	// What is right next to what is wrong.
	for _, args := range []string{
		`deterministic = false; rootFSUID = null;`,
		`fsType = "ext3"; partitionTableType = "none"; rootFSUID = null;`,
		`touchEFIVars = true; partitionTableType = "efi";`,
		`touchEFIVars = true; partitionTableType = "efixbootldr";`,
		`touchEFIVars = true; partitionTableType = "hybrid";`,
		`touchEFIVars = true; partitionTableType = "legacy+gpt";`,
		`contents = [ { source = "/a"; target = "/b"; user = null; } ];`,
	} {
		shared(t).must(t, "nix-instantiate", "-E", image(args))
	}
}

// Any builder takes it: it asks for no feature, above all not for kvm.
func TestPlainDerivation(t *testing.T) {
	s := shared(t)
	path := s.must(t, "nix-instantiate", "-E", image(""))
	var features struct{ Features, LocalOnly string }
	s.value(t, standin()+`let drv = make { }; in {
		features = toString (drv.requiredSystemFeatures or [ ]);
		localOnly = toString (drv.preferLocalBuild or false);
	}`, &features)
	if features.Features != "" || features.LocalOnly != "" {
		t.Errorf("%s asks for features %q, prefers to be local: %q", path, features.Features, features.LocalOnly)
	}
}

// Files of the evaluating machine become store paths wherever they are given.
func TestPaths(t *testing.T) {
	var got struct {
		ConfigFile string
		Contents   []map[string]string
		Seed       string
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	specify(t, image(`configFile = `+file+`; contents = [ { source = `+file+`; target = "/a"; } ]; parameters.seed = `+file+`;`), &got)
	for name, path := range map[string]string{"configFile": got.ConfigFile, "contents": got.Contents[0]["source"], "parameters": got.Seed} {
		if !strings.HasPrefix(path, "/nix/store/") || !strings.HasSuffix(path, "-file") {
			t.Errorf("%s: %q is no store path", name, path)
		}
	}
}
