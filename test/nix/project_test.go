//go:build linux

package nix

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/test/oracle"

	"github.com/google/go-cmp/cmp"
)

// nix/vendor-hash.txt is the hash of the modules that go.mod says.
func TestVendorHash(t *testing.T) {
	oracle.Need(t, "nix")
	s := shared(t)
	cmd := exec.Command(tree + "/nix/vendor-hash")
	cmd.Env = s.env
	// The modules are where they are for the user who runs the test.
	for _, variable := range []string{"GOMODCACHE", "GOCACHE", "GOPROXY"} {
		cmd.Env = append(cmd.Env, variable+"="+goEnv(t, variable))
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nix/vendor-hash: %v", err)
	}
	if want := read(t, tree+"/nix/vendor-hash.txt"); string(out) != want {
		t.Errorf("the modules of go.mod have the hash %snix/vendor-hash.txt says %snix/vendor-hash --update writes it", out, want)
	}
}

// The package is made of the program's source, and of nothing that changes with
// documentation or tests.
func TestPackage(t *testing.T) {
	s := shared(t)
	path := s.must(t, "nix-instantiate", "-E", "import "+tree+"/nix/tests/standin { overlays = [ (import "+tree+"/nix/overlay.nix) ]; }", "-A", "diskwright")
	var drv map[string]struct{ Env map[string]string }
	if err := json.Unmarshal([]byte(s.must(t, "nix", "show-derivation", path)), &drv); err != nil {
		t.Fatal(err)
	}
	for _, d := range drv {
		if got, want := d.Env["vendorHash"], strings.TrimSpace(read(t, tree+"/nix/vendor-hash.txt")); got != want {
			t.Errorf("vendorHash is %q, want %q", got, want)
		}
		source := list(t, s.host(d.Env["src"]))
		for _, name := range []string{"go.mod", "go.sum", "LICENSE"} {
			if !slices.Contains(source, name) {
				t.Errorf("the source lacks %s", name)
			}
		}
		// The hash is that of the modules that all packages need.
		for _, name := range list(t, tree) {
			if filepath.Ext(name) == ".go" && !slices.Contains(source, name) {
				t.Errorf("the source lacks %s", name)
			}
		}
		for _, name := range source {
			if dir, _, _ := strings.Cut(name, "/"); slices.Contains([]string{".git", "docs", "nix", "diskwright"}, dir) {
				t.Errorf("the source has %s", name)
				break
			}
		}
	}
}

// The package builds: with the modules that vendorHash says, as buildGoModule would
// do it. It compiles everything anew, which takes minutes.
func TestPackageBuild(t *testing.T) {
	if os.Getenv("DISKWRIGHT_LONG") == "" {
		t.Skip("long; set DISKWRIGHT_LONG=1 (make test-long)")
	}
	root, modules := goEnv(t, "GOROOT"), goEnv(t, "GOMODCACHE")
	s := newStore(t)
	s.env = append(s.env, "NIX_CONFIG="+config+"extra-sandbox-paths = "+root+" "+modules+"\n")
	out := s.build(t, "(import "+tree+"/nix/tests/standin { overlays = [ (import "+tree+"/nix/overlay.nix) ]; go = { root = \""+root+"\"; modules = \""+modules+"\"; }; }).diskwright")
	if got := string(oracle.Output(t, s.host(out+"/bin/diskwright"), "--version")); !strings.HasPrefix(got, "diskwright ") {
		t.Errorf("the program says that it is %q", got)
	}
	if want, got := []string{"diskwright.bash", "diskwright.fish", "diskwright.zsh"}, list(t, s.host(out+"/share")); !slices.Equal(got, want) {
		t.Errorf("completions %q, want %q", got, want)
	}
}

// goEnv returns what Go says of its environment.
func goEnv(t testing.TB, variable string) string {
	t.Helper()
	value, err := exec.Command("go", "env", variable).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}

// The overlay's program is the one that images are built with.
func TestOverlay(t *testing.T) {
	var got struct{ Program, Image string }
	shared(t).value(t, `let
		pkgs = import `+tree+`/nix/tests/standin { overlays = [ (import `+tree+`/nix/overlay.nix) ]; };
		config = import `+tree+`/nix/tests/standin/system.nix { inherit pkgs; };
	in {
		program = pkgs.diskwright.outPath;
		image = toString (pkgs.diskwrightImage { inherit config; installBootLoader = false; }).nativeBuildInputs;
	}`, &got)
	if got.Program == "" || got.Image != got.Program {
		t.Errorf("images are built with %q, not with %q", got.Image, got.Program)
	}
}

// The patched nixpkgs has modules that make images with ours, and is otherwise
// the same. An image by such a module is that of the drop-in.
func TestPatchedNixpkgs(t *testing.T) {
	s := shared(t)
	patched := s.build(t, standin()+"import "+tree+"/nix/nixpkgs-with-diskwright.nix { inherit pkgs; }")
	source := filepath.Join(tree, "nix/tests/standin")
	replaced := []string{"nixos/lib/make-disk-image.nix", "nixos/lib/make-multi-disk-zfs-image.nix", "nixos/lib/make-single-disk-zfs-image.nix"}
	files := list(t, s.host(patched))
	for _, name := range list(t, source) {
		if !slices.Contains(files, name) {
			t.Errorf("%s is missing", name)
		} else if !slices.Contains(replaced, name) && read(t, filepath.Join(source, name)) != read(t, s.host(patched+"/"+name)) {
			t.Errorf("%s differs", name)
		}
	}
	for _, name := range files {
		if strings.HasPrefix(name, "nixos/lib/diskwright/docs/") || strings.HasPrefix(name, "nixos/lib/diskwright/.git/") {
			t.Fatalf("%s has nothing to do there", name)
		}
	}

	// As an expression of the patched nixpkgs evaluates.
	copied := filepath.Join(t.TempDir(), "nixpkgs")
	oracle.Run(t, "cp", "-r", s.host(patched), copied)
	t.Cleanup(func() { removeStore(copied) })
	const args = `installBootLoader = false; additionalSpace = "1M"; copyChannel = false;`
	direct := s.build(t, image(args))
	caller := s.build(t, standin()+"import "+copied+"/nixos/modules/caller.nix { inherit config lib pkgs; }")
	if direct != caller {
		t.Errorf("a module of the patched nixpkgs makes %s, the drop-in %s", caller, direct)
	}
	unpatched := s.must(t, "nix-instantiate", "-E", standin()+"import "+source+"/nixos/modules/caller.nix { inherit config lib pkgs; }")
	if !strings.Contains(s.must(t, "nix", "show-derivation", unpatched), "kvm") {
		t.Error("the module of the stand-in as it is makes its image without a virtual machine")
	}
}

// The comparisons with the original, for machines that can, are at least derivations.
func TestCallers(t *testing.T) {
	s := shared(t)
	var got struct{ Names, Compare, Tests []string }
	text := s.must(t, "nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode", "-E", standin()+`
		let callers = import `+tree+`/nix/tests/callers.nix { inherit pkgs; };
		in {
			names = builtins.attrNames callers;
			compare = builtins.filter (name: name != "tests" && builtins.substring 0 11 callers.${name}.drvPath != "/nix/store/") (builtins.attrNames callers);
			tests = builtins.attrNames callers.tests;
		}`)
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	want := []string{"amazon", "contents", "efi", "efi-grub", "efixbootldr", "hybrid", "legacy", "legacy-boot", "legacy-gpt", "qemu", "store-image", "system-image", "tests"}
	if diff := cmp.Diff(want, got.Names); diff != "" {
		t.Errorf("comparisons (-want +got):\n%s", diff)
	}
	if len(got.Compare) > 0 {
		t.Errorf("no derivations: %q", got.Compare)
	}
	if diff := cmp.Diff([]string{"image-contents", "recurseForDerivations"}, got.Tests); diff != "" {
		t.Errorf("nixpkgs' tests (-want +got):\n%s", diff)
	}
}

// The flake has what its users ask for, for all systems.
func TestFlake(t *testing.T) {
	s := shared(t)
	// As a checkout has it, without what is not in the repository.
	dir := t.TempDir()
	for _, name := range []string{"flake.nix", "go.mod", "go.sum", "nix"} {
		oracle.Run(t, "cp", "-r", filepath.Join(tree, name), dir)
	}
	eval := func(attribute, apply string, v any) {
		t.Helper()
		text := s.must(t, "nix", "eval", "--json", "path:"+dir+"#"+attribute, "--apply", apply,
			"--override-input", "nixpkgs", "path:"+tree+"/nix/tests/standin", "--no-write-lock-file")
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	var systems []string
	eval("packages", `packages: builtins.filter (system: packages.${system}.default.drvPath == packages.${system}.diskwright.drvPath) (builtins.attrNames packages)`, &systems)
	if diff := cmp.Diff([]string{"aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux"}, systems); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	var arguments bool
	eval("lib.makeDiskImage", "make: (builtins.functionArgs make).partitionTableType", &arguments)
	if !arguments {
		t.Error("lib.makeDiskImage is no make-disk-image.nix")
	}
	for _, name := range []string{"makeMultiDiskZFSImage", "makeSingleDiskZFSImage"} {
		var function bool
		if eval("lib."+name, "builtins.isFunction", &function); !function {
			t.Errorf("lib.%s is no function", name)
		}
	}
	var module bool
	eval("nixosModules.default", "module: builtins.isFunction (import module)", &module)
	if !module {
		t.Error("nixosModules.default is no module")
	}
	var overlay []string
	eval("overlays.default", "overlay: builtins.attrNames (overlay { } { })", &overlay)
	if diff := cmp.Diff([]string{"diskwright", "diskwrightImage"}, overlay); diff != "" {
		t.Errorf("overlay (-want +got):\n%s", diff)
	}
	var path string
	eval("legacyPackages.x86_64-linux.nixpkgs-with-diskwright", "drv: drv.drvPath", &path)
}

// What needs the real nixpkgs is at least an expression.
func TestParse(t *testing.T) {
	s := shared(t)
	for _, name := range list(t, filepath.Join(tree, "nix")) {
		if filepath.Ext(name) == ".nix" {
			s.must(t, "nix-instantiate", "--parse", filepath.Join(tree, "nix", name))
		}
	}
}
