//go:build linux

package nix

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// zfsImage is the expression of an image on ZFS: of nix/make-multi-disk-zfs-image.nix,
// or its sibling with "single".
func zfsImage(kind, args string) string {
	return standinWith(grub) + fmt.Sprintf("import %s/nix/make-%s-disk-zfs-image.nix { inherit pkgs lib config; %s }", tree, kind, args)
}

// Arguments of nixpkgs' make-multi-disk-zfs-image.nix, and whether they have a
// default.
var zfsArguments = map[string]bool{
	"pkgs": false, "lib": false, "config": false,
	"bootSize": true, "rootSize": true, "rootPoolName": true, "rootPoolProperties": true, "rootPoolFilesystemProperties": true,
	"datasets": true, "contents": true, "configFile": true, "postVM": true, "memSize": true, "name": true, "format": true, "includeChannel": true,
	// Of our own.
	"disks": true, "diskwright": true, "parameters": true,
}

func TestZFSArguments(t *testing.T) {
	s := shared(t)
	var got map[string]bool
	s.value(t, "builtins.functionArgs (import "+tree+"/nix/make-multi-disk-zfs-image.nix)", &got)
	if diff := cmp.Diff(zfsArguments, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	s.fails(t, zfsImage("single", "rootsize = 4096;"), "called with unexpected argument 'rootsize'")
}

// The specification that the builder gets has what nixpkgs' expressions would have
// done by default, and what is asked for.
func TestZFSSpecification(t *testing.T) {
	type object = map[string]any
	defaults := func() object {
		return object{
			"builder": "zfs", "disks": 2.0, "bootSize": 1024.0, "rootSize": 2048.0,
			"rootPoolName":                 "tank",
			"rootPoolProperties":           object{"autoexpand": "on"},
			"rootPoolFilesystemProperties": object{"acltype": "posixacl", "atime": "off", "compression": "on", "mountpoint": "legacy", "xattr": "sa"},
			"datasets":                     object{}, "contents": []any{}, "configFile": nil,
			"format": "raw", "includeChannel": true, "installBootLoader": true,
		}
	}
	for _, test := range []struct {
		kind, args string
		change     func(object)
	}{
		{"multi", "", func(o object) {}},
		{"single", "", func(o object) { o["disks"] = 1.0 }},
		{"multi", `memSize = 4096; name = "other"; format = "vpc"; rootPoolName = "rpool"; bootSize = 1000;`, func(o object) {
			o["format"], o["rootPoolName"], o["bootSize"] = "vpc", "rpool", 1000.0
		}},
		{"single", `rootPoolProperties = { ashift = 12; autoexpand = "on"; }; rootPoolFilesystemProperties = { };
			datasets = {
				"tank/system/root".mount = "/";
				"tank/local/nix" = { mount = "/nix"; properties = { atime = "off"; copies = 2; }; };
				"tank/reserved".properties.mountpoint = "none";
			};`, func(o object) {
			o["disks"] = 1.0
			o["rootPoolProperties"] = object{"ashift": "12", "autoexpand": "on"}
			o["rootPoolFilesystemProperties"] = object{}
			o["datasets"] = object{
				"tank/system/root": object{"mount": "/", "properties": object{}},
				"tank/local/nix":   object{"mount": "/nix", "properties": object{"atime": "off", "copies": "2"}},
				"tank/reserved":    object{"mount": nil, "properties": object{"mountpoint": "none"}},
			}
		}},
		{"multi", `contents = [ { source = "/a"; target = "b"; user = "1"; group = "2"; } ]; includeChannel = false;
			parameters = { features = "openzfs-2.1"; seed = "11111111-2222-4333-8444-555555555555"; };`, func(o object) {
			o["contents"] = []any{object{"source": "/a", "target": "b", "user": "1", "group": "2"}}
			o["includeChannel"], o["features"], o["seed"] = false, "openzfs-2.1", "11111111-2222-4333-8444-555555555555"
		}},
		// A system without a boot loader: the machine gets one from elsewhere.
		{"multi", `parameters.installBootLoader = false;`, func(o object) { o["installBootLoader"] = false }},
	} {
		var text string
		shared(t).value(t, "("+zfsImage(test.kind, test.args)+").specification", &text)
		var got object
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		want := defaults()
		test.change(want)
		// Store paths are looked at where images are built.
		for name, there := range map[string]bool{
			"system": true, "closureInfo": true, "additionalPaths": true,
			"channel": want["includeChannel"].(bool), "bootLoader": want["installBootLoader"].(bool),
		} {
			if _, ok := got[name]; ok != there {
				t.Errorf("%s { %s }: has %s: %v", test.kind, test.args, name, ok)
			}
			delete(got, name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s { %s } (-want +got):\n%s", test.kind, test.args, diff)
		}
	}
}
