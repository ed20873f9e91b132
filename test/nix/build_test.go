//go:build linux

package nix

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/test/oracle"
)

// digest returns the SHA-256 of a file.
func digest(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// list returns the paths of the files in a directory, sorted.
func list(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

const hydra = "nix-support/hydra-build-products"

// checkOutput checks that an output has the image and Hydra's file, and nothing
// else but further files.
func checkOutput(t testing.TB, s *nixStore, out, format, image string, further ...string) {
	t.Helper()
	want := append([]string{hydra, image}, further...)
	slices.Sort(want)
	if got := list(t, s.host(out)); !slices.Equal(got, want) {
		t.Errorf("the output has %q, want %q", got, want)
	}
	if got, want := read(t, s.host(out+"/"+hydra)), "file "+format+"-image "+out+"/"+image+"\n"; got != want {
		t.Errorf("Hydra's file says %q, want %q", got, want)
	}
}

// debugfs runs a command on the file system of an image without partitions.
func debugfs(t testing.TB, image, command string) string {
	t.Helper()
	return string(oracle.Output(t, "debugfs", "-R", command, image))
}

// The image of the drop-in is the one that the command line makes of the same
// specification from outside, where the store lies elsewhere.
func TestBuild(t *testing.T) {
	s := shared(t)
	const small = `additionalSpace = "16M";`
	out := s.build(t, image(small))
	checkOutput(t, s, out, "raw", "nixos.img")

	var spec map[string]any
	specify(t, image(small), &spec)
	spec["storeDir"] = s.root
	spec["closureInfo"] = s.host(spec["closureInfo"].(string))
	delete(spec, "hydraBuildProducts")
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(program, "build", "-", "-q", "-o", dir)
	cmd.Stdin = strings.NewReader(string(text))
	// The environment of builds has it.
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=315532800")
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("diskwright build: %v\n%s", err, log)
	}
	if inside, outside := digest(t, s.host(out+"/nixos.img")), digest(t, filepath.Join(dir, "nixos.img")); inside != outside {
		t.Errorf("SHA-256 %s in a derivation, %s from the command line", inside, outside)
	}
}

// Nix builds it again, and the bytes are the same.
func TestCheck(t *testing.T) {
	s := shared(t)
	for _, args := range []string{
		`additionalSpace = "1M";`,
		`partitionTableType = "hybrid"; bootSize = "48M"; additionalSpace = "1M"; additionalPaths = [ (pkgs.writeText "further" "text") ];
		contents = [ { source = "${config.system.build.toplevel}/init"; target = "/x"; user = "alice"; group = "users"; } ];`,
		`onlyNixStore = true; partitionTableType = "none"; additionalSpace = "1M";`,
	} {
		s.build(t, image(args))
		s.build(t, image(args), "--check")
	}
}

// Everything that goes into a root file system.
func TestContents(t *testing.T) {
	s := shared(t)
	motd := filepath.Join(t.TempDir(), "motd")
	if err := os.WriteFile(motd, []byte("welcome\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := `
		partitionTableType = "none"; baseName = "disk"; additionalSpace = "1M";
		configFile = pkgs.writeText "configuration.nix" "{ }\n";
		additionalPaths = [ (pkgs.writeText "further" "text") config.system.build.toplevel ];
		contents = [
			{ source = ` + motd + `; target = "/etc/motd"; mode = "640"; user = "alice"; group = "users"; }
			{ source = "${config.system.build.toplevel}/*-version"; target = "srv"; user = "1234"; group = "5678"; }
		];`
	out := s.build(t, image(args))
	checkOutput(t, s, out, "raw", "disk.img")
	disk := s.host(out + "/disk.img")
	var spec struct {
		System, Channel string
		AdditionalPaths []string
	}
	specify(t, image(args), &spec)
	if len(spec.AdditionalPaths) != 1 || !strings.HasSuffix(spec.AdditionalPaths[0], "-further") {
		t.Errorf("additionalPaths: %q, want the one that is no other root", spec.AdditionalPaths)
	}

	for path, want := range map[string]string{
		"/etc/motd":                             "welcome\n",
		"/etc/NIXOS":                            "",
		"/etc/nixos/configuration.nix":          "{ }\n",
		spec.AdditionalPaths[0]:                 "text",
		spec.Channel + "/nixos/.version-suffix": ".standin",
		spec.Channel + "/nixos/lib.nix":         read(t, tree+"/nix/tests/standin/lib.nix"),
		spec.System + "/kernel-params":          "console=ttyS0 quiet",
		// Through the links of the profiles.
		"/nix/var/nix/profiles/system/nixos-version":        "25.05.standin",
		"/root/.nix-defexpr/channels/nixos/.version-suffix": ".standin",
		"/nix/var/nix/db/schema":                            "10",
	} {
		if got := debugfs(t, disk, "cat "+path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string][]string{
		"/etc/motd":                   {"Mode:  0640", "User:  1000   Group:   100"}, // the first free uid, and the gid of users-groups.json
		"/srv/nixos-version":          {"User:  1234   Group:  5678"},
		"/srv/init-interface-version": {"User:  1234   Group:  5678"},
	} {
		stat := debugfs(t, disk, "stat "+path)
		for _, text := range want {
			if !strings.Contains(stat, text) {
				t.Errorf("%s lacks %q:\n%s", path, text, stat)
			}
		}
	}
	oracle.Run(t, "e2fsck", "-fn", disk)
}

func TestOnlyNixStore(t *testing.T) {
	s := shared(t)
	args := `onlyNixStore = true; partitionTableType = "none"; copyChannel = false; baseName = "store"; additionalSpace = "1M";`
	out := s.build(t, image(args))
	checkOutput(t, s, out, "raw", "store.img")
	disk := s.host(out + "/store.img")
	var spec struct{ System string }
	specify(t, image(args), &spec)
	if got := debugfs(t, disk, "cat /"+filepath.Base(spec.System)+"/kernel-params"); got != "console=ttyS0 quiet" {
		t.Errorf("the toplevel at the root has kernel-params %q", got)
	}
	if info := oracle.Run(t, "dumpe2fs", "-h", disk); !strings.Contains(info, "Filesystem volume name:   nix-store") {
		t.Errorf("the label is not nix-store:\n%s", info)
	}
}

// A program that fails makes the derivation fail, and says why.
func TestBuildFails(t *testing.T) {
	s := shared(t)
	_, log, err := s.nix(t, "nix-build", "--no-out-link", "-E", image(`diskSize = 1;`))
	if err == nil || !strings.Contains(log, "diskSize") {
		t.Errorf("a disk of 1 MiB: %v\n%s", err, log)
	}
}

// postVM runs when everything is in place, in a directory where it may write.
func TestPostVM(t *testing.T) {
	s := shared(t)
	out := s.build(t, image(`additionalSpace = "1M"; baseName = "a b"; postVM = ''
		test "$diskImage" = "$out/a b.img"
		test -s "$diskImage"
		test -z "$efiVars"
		test "$(cat "$out/nix-support/hydra-build-products")" = "file raw-image $diskImage"
		test "$HOME" = "$TMPDIR"
		: >here
		mkdir there
		# Neither pipefail nor nounset, as in the original.
		yes | head -n 1
		echo "$undefined"
		# Bash, not any shell.
		array=(one two)
		[[ "''${array[1]}" == two ]]
		echo "file other $out/other" >>"$out/nix-support/hydra-build-products"
		gzip <"$diskImage" >"$out/disk.gz"
		rm "$diskImage"
	'';`))
	if got := list(t, s.host(out)); !slices.Equal(got, []string{"disk.gz", hydra}) {
		t.Errorf("the output has %q", got)
	}
	want := "file raw-image " + out + "/a b.img\nfile other " + out + "/other\n"
	if got := read(t, s.host(out+"/"+hydra)); got != want {
		t.Errorf("Hydra's file: %q, want %q", got, want)
	}
}

// It runs with errexit, and if it fails nothing is left.
func TestPostVMFails(t *testing.T) {
	s := shared(t)
	expression := image(`additionalSpace = "1M"; postVM = "false\ntouch $out/reached";`)
	drv := s.must(t, "nix-instantiate", "-E", expression)
	out := s.must(t, "nix-store", "-q", "--outputs", drv)
	if _, _, err := s.nix(t, "nix-build", "--no-out-link", "-E", expression); err == nil {
		t.Error("the derivation succeeds")
	}
	if _, err := os.Lstat(s.host(out)); err == nil {
		t.Errorf("%s is left: %q", out, list(t, s.host(out)))
	}
}

// Formats have the file names and Hydra's types of the original.
func TestFormats(t *testing.T) {
	s := shared(t)
	for args, want := range map[string]struct{ hydra, file string }{
		`format = "qcow2";`:            {"qcow2", "nixos.qcow2"},
		`format = "qcow2-compressed";`: {"qcow2", "nixos.qcow2"},
		`format = "vdi";`:              {"vdi", "nixos.vdi"},
		`format = "vpc";`:              {"vpc", "nixos.vhd"},
		// Of our own.
		`parameters.compress = "zstd";`: {"raw", "nixos.img.zst"},
	} {
		t.Run(want.file, func(t *testing.T) {
			expression := image(`additionalSpace = "1M"; postVM = "test $diskImage = $out/` + want.file + `"; ` + args)
			checkOutput(t, s, s.build(t, expression), want.hydra, want.file)
			s.build(t, expression, "--check")
		})
	}
	_, log, err := s.nix(t, "nix-build", "--no-out-link", "-E", image(`format = "parallels";`))
	if err == nil || !strings.Contains(log, "parallels") {
		t.Errorf("a format that only qemu-img knows: %v\n%s", err, log)
	}
}
