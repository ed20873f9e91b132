//go:build linux

package nix

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/test/oracle"

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

// datasets of images, as nixpkgs' modules have them.
const datasets = `rootSize = 320; bootSize = 48;
	datasets = {
		"tank/system/root".mount = "/";
		"tank/system/var".mount = "/var";
		"tank/local/nix".mount = "/nix";
		"tank/user/home".mount = "/home";
	};`

// grubFile returns a file of a pool as GRUB reads it.
func grubFile(t testing.TB, image, path string) string {
	t.Helper()
	return string(oracle.Output(t, "grub-fstest", image, "cat", path))
}

// Two disks: the FAT with the boot loader on one, the pool on the other. What GRUB
// reads there is the system, and the configuration has the file systems.
func TestZFSBuild(t *testing.T) {
	oracle.Need(t, "grub-fstest")
	s := shared(t)
	expression := zfsImage("multi", datasets+`
		configFile = pkgs.writeText "configuration.nix" "{ networking.hostName = \"zfs\"; }\n";
		contents = [ { source = pkgs.writeText "motd" "welcome\n"; target = "/etc/motd"; } { source = pkgs.writeText "log" "log\n"; target = "/var/log/first"; } ];`)
	out := s.build(t, expression)
	if diff := cmp.Diff([]string{"nixos.boot.img", "nixos.root.img"}, list(t, s.host(out))); diff != "" {
		t.Errorf("the output (-want +got):\n%s", diff)
	}
	s.build(t, expression, "--check")

	root := s.host(out + "/nixos.root.img")
	var text string
	s.value(t, "("+expression+").specification", &text)
	var spec struct{ System string }
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"system/root@/etc/motd": "welcome\n",
		"system/var@/log/first": "log\n",
		"local/nix@/store/" + filepath.Base(spec.System) + "/kernel-params": "console=ttyS0 quiet",
		"local/nix@/var/nix/db/schema":                                      "10",
	} {
		if got := grubFile(t, root, "(loop0,gpt1)/"+path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}

	// The configuration is one that Nix reads: the user's, and the file systems.
	configuration := filepath.Join(t.TempDir(), "configuration.nix")
	if err := os.WriteFile(configuration, []byte(grubFile(t, root, "(loop0,gpt1)/system/root@/etc/nixos/configuration.nix")), 0o644); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Name   string
		Device string
		Mounts []string
	}
	s.value(t, `let
		load = module: if builtins.isFunction module then module { } else module;
		modules = map load (import `+configuration+`).imports;
		fileSystems = (builtins.elemAt modules 0).fileSystems;
	in {
		name = (builtins.elemAt modules 1).networking.hostName;
		device = fileSystems."/nix".device;
		mounts = builtins.attrNames fileSystems;
	}`, &got)
	if got.Name != "zfs" || got.Device != "tank/local/nix" || !slices.Equal(got.Mounts, []string{"/", "/home", "/nix", "/var"}) {
		t.Errorf("configuration.nix has %+v", got)
	}

	boot := oracle.Run(t, "sfdisk", "--dump", s.host(out+"/nixos.boot.img"))
	for _, text := range []string{"start=        2048, size=        2048, type=21686148-6449-6E6F-744E-656564454649", "start=        4096", `name="ESP"`} {
		if !strings.Contains(boot, text) {
			t.Errorf("the boot disk lacks %q:\n%s", text, boot)
		}
	}
	if menu := oracle.Run(t, "mtype", "-i", s.host(out+"/nixos.boot.img")+"@@2M", "::/grub/grub.cfg"); !strings.Contains(menu, "init="+spec.System+"/init") {
		t.Errorf("GRUB's menu does not start the system:\n%s", menu)
	}
}

// One disk, and formats, by the names of the original.
func TestZFSOutputs(t *testing.T) {
	s := shared(t)
	for args, want := range map[string][]string{
		`single format = "qcow2-compressed";`: {"nixos.root.qcow2"},
		`single format = "vpc";`:              {"nixos.root.vhd"},
		`multi includeChannel = false; parameters = { baseName = "a b"; compress = "zstd"; }; postVM = ''
			test "$bootDiskImage" = "$out/a b.boot.img.zst"
			test "$rootDiskImage" = "$out/a b.root.img.zst"
			test -s "$bootDiskImage" && test -s "$rootDiskImage"
			rm "$bootDiskImage"
			yes | head -n 1
		'';`: {"a b.root.img.zst"},
		`multi format = "vdi"; includeChannel = false; parameters.features = "openzfs-2.1";`: {"nixos.boot.vdi", "nixos.root.vdi"},
	} {
		kind, args, _ := strings.Cut(args, " ")
		out := s.build(t, zfsImage(kind, datasets+args))
		if diff := cmp.Diff(want, list(t, s.host(out))); diff != "" {
			t.Errorf("%s { %s } (-want +got):\n%s", kind, args, diff)
		}
	}
}

// Callers give the images other names when they are complete, and modules of the
// patched nixpkgs do it with ours.
func TestZFSCallers(t *testing.T) {
	s := shared(t)
	patched := s.build(t, standin()+"import "+tree+"/nix/nixpkgs-with-diskwright.nix { inherit pkgs; }")
	copied := filepath.Join(t.TempDir(), "nixpkgs")
	oracle.Run(t, "cp", "-r", s.host(patched), copied)
	t.Cleanup(func() { removeStore(copied) })
	for builder, want := range map[string][]string{
		"make-multi-disk-zfs-image":  {hydra, "nixos-zfs.boot.qcow2", "nixos-zfs.root.qcow2"},
		"make-single-disk-zfs-image": {hydra, "nixos-zfs.root.qcow2"},
	} {
		out := s.build(t, standinWith(grub)+"import "+copied+"/nixos/modules/zfs-caller.nix { builder = \""+builder+"\"; inherit config lib pkgs; }")
		if diff := cmp.Diff(want, list(t, s.host(out))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", builder, diff)
		}
		if got, want := read(t, s.host(out+"/"+hydra)), "file qcow2 "+out+"/nixos-zfs.root.qcow2\n"; got != want {
			t.Errorf("%s: Hydra's file says %q, want %q", builder, got, want)
		}
	}
}

// What the program refuses makes the derivation fail, and it says why.
func TestZFSRefused(t *testing.T) {
	s := shared(t)
	for args, message := range map[string]string{
		`datasets."tank/root".mount = "/var";`:                                  "no dataset is mounted at \"/\"",
		`datasets."rpool/root".mount = "/";`:                                    `"rpool/root" is not in the pool "tank"`,
		`datasets."tank/root" = { mount = "/"; properties.mountpoint = "/"; };`: "must have the mountpoint \"legacy\"",
		datasets + `rootPoolProperties = { ashift = 8; autoexpand = "on"; };`:   "ashift",
		datasets + `rootPoolFilesystemProperties.compresion = "on";`:            "compresion",
	} {
		_, log, err := s.nix(t, "nix-build", "--no-out-link", "-E", zfsImage("multi", args))
		if err == nil || !strings.Contains(log, message) {
			t.Errorf("{ %s }: %v, want %q:\n%s", args, err, message, log)
		}
	}
}
