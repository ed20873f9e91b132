//go:build linux

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"diskwright/test/fixture"
	"diskwright/test/manifest"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// nixExpression is a system as Nix builds it, with what stores have: references,
// also to itself, executables, links, equal files, several outputs, derivations
// nobody wants in an image.
const nixExpression = `
let
  sh = name: outputs: script: derivation {
    inherit name outputs;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" ("export PATH=/usr/bin:/bin\n" + script) ];
  };
  users = builtins.toFile "users-groups.json" ''
    { "users": [ { "name": "web", "uid": null, "isSystemUser": true }, { "name": "alice", "uid": 1234, "isSystemUser": false } ],
      "groups": [ { "name": "web", "gid": 77 } ] }
  '';
  tool = sh "tool-1.0" [ "out" "doc" ] ''
    mkdir -p $out/bin $doc/share
    echo '#!/bin/sh' >$out/bin/tool
    chmod +x $out/bin/tool
    cp $out/bin/tool $out/bin/twin
    ln -s $out/bin/tool $out/self
    echo "see $out" >$doc/share/manual
    for n in 1 2 3 4 5; do head -c ${"$"}{n}00000 /dev/zero | tr '\0' $n >$doc/share/$n; cp $doc/share/$n $doc/share/twin-$n; done
    : >$out/empty
    mkdir $out/none
  '';
  file = sh "file" [ "out" ] "echo ${tool} >$out; chmod +x $out";
in
{
  system = sh "nixos-system-test-24.05" [ "out" ] ''
    mkdir $out
    printf 24.05.test >$out/nixos-version
    printf x86_64-linux >$out/system
    echo "perl -w x/update-users-groups.pl ${users}" >$out/activate
    ln -s ${file} $out/init
    ln -s ${tool.doc}/share $out/sw
    cp ${tool.doc}/share/manual $out/manual
  '';
  channel = sh "nixos-24.05" [ "out" ] "mkdir -p $out/nixos; ln -s ${tool} $out/nixos/tool";
  additional = sh "additional" [ "out" ] "ln -s ${tool} $out";
}
`

// nixStore is a store in a directory of its own, in which the real Nix works.
type nixStore struct {
	t    testing.TB
	root string
}

// run runs a program of Nix on the store and returns its standard output.
func (n nixStore) run(tool string, args ...string) string {
	n.t.Helper()
	cmd := oracle.Command(n.t, tool, append([]string{"--store", n.root}, args...)...)
	home := n.t.TempDir()
	cmd.Env = append(cmd.Env, "HOME="+home, "NIX_CONF_DIR="+home, "XDG_CACHE_HOME="+home, "NIX_REMOTE=", "NIX_PATH=",
		"NIX_CONFIG=build-users-group =\nsubstituters =\nsandbox-paths = /bin /usr /lib /lib64?\nexperimental-features = nix-command")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("%s %q: %v\n%s", tool, args, err, stderr.Bytes())
	}
	return string(out)
}

// lines returns what a program prints, sorted by line.
func (n nixStore) lines(tool string, args ...string) []string {
	n.t.Helper()
	lines := strings.Split(strings.TrimSpace(n.run(tool, args...)), "\n")
	slices.Sort(lines)
	return lines
}

// records is what nix-store --dump-db says of paths, for each of them, without
// derivers, which an image does not have (nor do those of the reference).
func (n nixStore) records(paths []string) (list []string) {
	n.t.Helper()
	lines := strings.SplitAfter(n.run("nix-store", append([]string{"--dump-db"}, paths...)...), "\n")
	for len(lines) > 5 { // path, hash, size, deriver, number of references
		count, err := strconv.Atoi(strings.TrimSpace(lines[4]))
		if err != nil {
			n.t.Fatal(err)
		}
		lines[3] = "\n"
		list = append(list, strings.Join(lines[:5+count], ""))
		lines = lines[5+count:]
	}
	if len(list) != len(paths) {
		n.t.Fatalf("nix-store --dump-db has %d records of %d paths", len(list), len(paths))
	}
	return list
}

// host is the path at which an object of the store lies on this machine.
func (n nixStore) host(path string) string { return filepath.Join(n.root, path) }

// nixSample is a store with the system of nixExpression in it.
type nixSample struct {
	nixStore
	system, channel, additional string
}

var sampled struct {
	sync.Mutex
	nixSample
}

// newNixSample returns a sample that nobody may change. The first test that
// needs it builds it.
func newNixSample(t testing.TB) nixSample {
	t.Helper()
	oracle.Need(t, "nix-store")
	sampled.Lock()
	defer sampled.Unlock()
	if sampled.root == "" {
		dir := scratch.Keep(t)
		sampled.root = dir
		expression := filepath.Join(t.TempDir(), "default.nix")
		if err := os.WriteFile(expression, []byte(nixExpression), 0o644); err != nil {
			t.Fatal(err)
		}
		store := nixStore{t, dir}
		for attribute, path := range map[string]*string{
			"system": &sampled.system, "channel": &sampled.channel, "additional": &sampled.additional,
		} {
			*path = strings.TrimSpace(store.run("nix-build", "--no-out-link", "-A", attribute, expression))
		}
	}
	if sampled.additional == "" {
		t.Fatal("the sample could not be built: see the test before")
	}
	s := sampled.nixSample
	s.t = t
	return s
}

// removeSampled removes the shared sample, whose objects forbid it.
func removeSampled() {
	if sampled.root != "" {
		allowRemoval(sampled.root)
		os.RemoveAll(sampled.root)
	}
}

func allowRemoval(root string) {
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
}

// copy returns a copy of the sample that may be changed.
func (s nixSample) copy(t testing.TB) nixSample {
	t.Helper()
	root := filepath.Join(scratch.Dir(t), "store")
	t.Cleanup(func() { allowRemoval(root) })
	oracle.Run(t, "cp", "-a", s.root, root)
	s.nixStore = nixStore{t, root}
	return s
}

// args are the flags that put the whole sample into an image.
func (s nixSample) args(more ...string) []string {
	return append([]string{"--system", s.host(s.system), "--store-dir", s.root, "--additional-paths", s.host(s.additional),
		"--channel", s.host(s.channel), "--install-boot-loader=false", "--partition-table-type", "none"}, more...)
}

// closure returns the paths that belong into the image.
func (s nixSample) closure() []string {
	return s.lines("nix-store", "--query", "--requisites", s.system, s.channel, s.additional)
}

// registration returns the records of the closure with Nix's own spelling of
// hashes, as nixpkgs' closureInfo has them.
func (s nixSample) registration() []string {
	closure := s.closure()
	records := s.records(closure)
	hashes := strings.Fields(s.run("nix-store", append([]string{"--query", "--hash"}, closure...)...))
	for n, record := range records {
		lines := strings.SplitAfter(record, "\n")
		lines[1] = hashes[n] + "\n"
		records[n] = strings.Join(lines, "")
	}
	return records
}

// closureInfo writes what nixpkgs' closureInfo would.
func closureInfo(t testing.TB, records, paths []string) (dir string) {
	t.Helper()
	dir = scratch.Dir(t)
	write(t, dir, map[string]string{"registration": strings.Join(records, ""), "store-paths": strings.Join(paths, "\n") + "\n"})
	return dir
}

// nixReport is what plan says of a system and its size.
type nixReport struct {
	AutoSize struct {
		ContentBytes int64
		Additions    []struct {
			What  string
			Bytes int64
		}
	}
	System struct {
		Toplevel, Version, Platform, Channel string
		AdditionalPaths                      []string
		StorePaths                           int
		NarBytes, DatabaseBytes              int64
		Verified                             bool
		Optimised                            struct{ Files, Bytes int64 }
	}
}

func planNixOS(t testing.TB, args ...string) (r nixReport) {
	t.Helper()
	if err := json.Unmarshal(must(t, append([]string{"plan", "--json"}, args...)...), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Real Nix takes the image's store for its own.
func TestNixOSSystem(t *testing.T) {
	oracle.NeedRoot(t)
	s := newNixSample(t)
	config := filepath.Join(scratch.Dir(t), "configuration.nix")
	if err := os.WriteFile(config, []byte("{ }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	contents := scratch.Dir(t)
	write(t, contents, map[string]string{"file": "x"})
	image := build(t, s.args("--verify-store", "--config-file", config,
		"--contents", "source="+contents+",target=/srv/web,user=web,group=web",
		"--contents", "source="+contents+",target=/etc,user=alice,group=5678")...)
	v := findLayout("none").rootOf(t, image)
	v.fsck(t)
	root := v.mount(t, "rw")

	got := read(t, root)
	checkNixOSTree(t, s, got)
	for path, owner := range map[string][2]uint32{
		"srv": {0, 0}, "srv/web": {999, 77}, "srv/web/file": {999, 77},
		// chown comes last, as in the reference.
		"etc": {1234, 5678}, "etc/file": {1234, 5678}, "etc/NIXOS": {1234, 5678}, "etc/nixos/configuration.nix": {1234, 5678},
	} {
		if f := got.Find(path); f == nil || f.UID != owner[0] || f.GID != owner[1] {
			t.Errorf("%s: %+v, want the owner %v", path, f, owner)
		}
	}
	nixWorksOn(t, s, nixStore{t, root})
	oracle.Unmount(t, root)
	v.fsckWritten(t)
}

// checkNixOSTree compares a root file system with what the system is to become.
func checkNixOSTree(t *testing.T, s nixSample, got manifest.Manifest) {
	t.Helper()
	const epoch = 315532800
	for path, want := range map[string]manifest.File{
		"nix/store":                                          {Mode: 0o41775, GID: 30000, Sec: epoch},
		"nix/store/.links":                                   {Mode: 0o40755, Sec: epoch},
		"nix/var/nix/db/db.sqlite":                           {Mode: 0o100644, Sec: epoch},
		"nix/var/nix/db/schema":                              {Mode: 0o100644, Sec: epoch, Size: 2},
		"nix/var/nix/profiles/system":                        {Mode: 0o120777, Sec: epoch, Target: "system-1-link"},
		"nix/var/nix/profiles/system-1-link":                 {Mode: 0o120777, Sec: epoch, Target: s.system},
		"nix/var/nix/gcroots/profiles":                       {Mode: 0o120777, Sec: epoch, Target: "/nix/var/nix/profiles"},
		"root/.nix-defexpr":                                  {Mode: 0o40700, Sec: epoch},
		"root/.nix-defexpr/channels":                         {Mode: 0o120777, Sec: epoch, Target: "/nix/var/nix/profiles/per-user/root/channels"},
		"nix/var/nix/profiles/per-user/root":                 {Mode: 0o40755, Sec: epoch},
		strings.TrimPrefix(s.system, "/"):                    {Mode: 0o40555, Sec: 1},
		s.system[1:] + "/manual":                             {Mode: 0o100444, Sec: 1},
		s.system[1:] + "/init":                               {Mode: 0o120777, Sec: 1},
		"nix/var/nix/profiles/per-user/root/channels-1-link": {Mode: 0o120777, Sec: epoch, Target: s.channel},
	} {
		f := got.Find(path)
		if f == nil {
			t.Errorf("%s is missing", path)
			continue
		}
		if f.Mode != want.Mode || f.UID != want.UID || f.GID != want.GID || f.Sec != want.Sec ||
			want.Target != "" && f.Target != want.Target || want.Size != 0 && f.Size != want.Size {
			t.Errorf("%s: %+v, want %+v", path, *f, want)
		}
	}
	for _, f := range got.Below("nix/var/nix/gcroots/auto") {
		if f.Path != "." {
			t.Errorf("the garbage collector's root %q is of another machine", f.Path)
		}
	}
	for _, path := range []string{"nix/var/nix/db/db.sqlite-wal", "nix/var/nix/db/db.sqlite-shm", "nix/var/nix/db/reserved"} {
		if got.Find(path) != nil {
			t.Errorf("there is %s", path)
		}
	}
	store := got.Below("nix/store")
	for _, f := range store {
		if f.Path != "." && f.Path != ".links" && (f.UID != 0 || f.GID != 0 || f.Sec != 1 || len(f.Xattrs) > 0 || f.Links > 1) {
			t.Errorf("store object %+v", f)
		}
	}
}

// nixWorksOn asks Nix whether the store of an image has what that of the host
// has, and then works with it.
func nixWorksOn(t *testing.T, s nixSample, image nixStore) {
	t.Helper()
	image.run("nix-store", "--verify", "--check-contents")
	want := s.closure()
	if got := image.lines("nix", "path-info", "--all"); !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
	for _, path := range []string{s.system, s.channel, s.additional} {
		if got, want := image.lines("nix", "path-info", "-r", path), s.lines("nix", "path-info", "-r", path); !slices.Equal(got, want) {
			t.Errorf("closure of %s: %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{s.system, s.channel, s.additional} {
		if got, want := image.lines("nix-store", "-q", "--references", path), s.lines("nix-store", "-q", "--references", path); !slices.Equal(got, want) {
			t.Errorf("references of %s: %q, want %q", path, got, want)
		}
	}
	if got, want := image.records(want), s.records(want); !slices.Equal(got, want) {
		t.Errorf("nix-store --dump-db:\n%s\nwant\n%s", got, want)
	}
	dead := without(want, s.lines("nix-store", "--query", "--requisites", s.system, s.channel))
	if got := image.lines("nix-store", "--gc", "--print-dead"); !slices.Equal(got, dead) {
		t.Errorf("garbage: %q, want %q", got, dead)
	}
	profile := filepath.Join(image.root, "nix/var/nix/profiles/system")
	generations := image.run("nix-env", "--profile", profile, "--list-generations")
	if !strings.HasPrefix(strings.TrimSpace(generations), "1 ") || !strings.Contains(generations, "(current)") || strings.Count(generations, "\n") != 1 {
		t.Errorf("generations:\n%s", generations)
	}
	more := strings.TrimSpace(image.run("nix-build", "--no-out-link", "-E",
		`derivation { name = "more"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo >$out" ]; }`))
	image.run("nix-env", "--profile", profile, "--set", more)
	image.run("nix-env", "--profile", profile, "--rollback")
	image.run("nix-collect-garbage")
	image.run("nix-store", "--optimise")
	image.run("nix-store", "--verify", "--check-contents")
	if _, err := os.Lstat(image.host(s.additional)); err == nil {
		t.Error("garbage was not collected")
	}
}

// without returns the elements of list that are not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

// The same without a kernel's help, and so without being root.
func TestNixOSExtracted(t *testing.T) {
	s := newNixSample(t)
	root := filepath.Join(scratch.Dir(t), "root")
	t.Cleanup(func() { allowRemoval(root) })
	must(t, "extract", build(t, s.args("--partition-table-type", "hybrid")...), "-o", root)
	nixWorksOn(t, s, nixStore{t, root})
}

// The same with some hundred paths, from a closureInfo, in a partition.
func TestNixOSFixture(t *testing.T) {
	oracle.NeedRoot(t)
	f := fixture.Build(t, "none")
	s := nixSample{nixStore{t, f.Root}, f.Toplevel, f.Channel, f.Additional}
	args := s.args("--partition-table-type", "efi", "--verify-store")
	image := build(t, append(args, "--closure-info", f.FullClosureInfo)...)
	if got, want := digest(t, build(t, args...)), digest(t, image); got != want {
		t.Errorf("with the database of the store the image is %s, with closureInfo %s", got, want)
	}
	v := findLayout("efi").rootOf(t, image)
	v.fsck(t)
	root := v.mount(t, "")
	nixWorksOn(t, s, nixStore{t, root})
	oracle.Unmount(t, root)
	v.fsckWritten(t)
}

// The size is by the reference's formula, the database counts in it, and plan
// says how much.
func TestNixOSPlan(t *testing.T) {
	oracle.NeedRoot(t)
	s := newNixSample(t)
	r := planNixOS(t, s.args("--verify-store", "--optimise-store")...)
	if r.System.Toplevel != s.system || r.System.Version != "24.05.test" || r.System.Platform != "x86_64-linux" || r.System.Channel != s.channel ||
		!slices.Equal(r.System.AdditionalPaths, []string{s.additional}) || r.System.StorePaths != len(s.closure()) || !r.System.Verified {
		t.Errorf("system %+v", r.System)
	}
	// Five files of 100,000 to 500,000 bytes have twins. So has a script, the
	// twin of which cannot be executed, and a manual.
	if o := r.System.Optimised; o.Bytes < 1500000 || o.Bytes > 1501000 || o.Files < 6 || o.Files > 10 {
		t.Errorf("optimised %+v", o)
	}
	if len(r.AutoSize.Additions) != 1 || !strings.Contains(r.AutoSize.Additions[0].What, "database") ||
		r.AutoSize.Additions[0].Bytes < r.System.DatabaseBytes || r.AutoSize.Additions[0].Bytes > r.System.DatabaseBytes+3*4096 {
		t.Errorf("additions %+v", r.AutoSize.Additions)
	}
	root := findLayout("none").rootOf(t, build(t, s.args("--optimise-store")...)).mount(t, "")
	want := int64(0)
	linked := 0
	for _, f := range read(t, root).Without("lost+found") {
		want += 2 * 4096
		if f.Mode&0o170000 != 0o040000 {
			want += (f.Size + 4095) / 4096 * 4096
		}
		if f.Links > 1 {
			linked++
		}
	}
	if r.AutoSize.ContentBytes != want {
		t.Errorf("the content counts as %d bytes, want %d", r.AutoSize.ContentBytes, want)
	}
	if linked < 12 {
		t.Errorf("%d names are hard links", linked)
	}
	nixStore{t, root}.run("nix-store", "--verify", "--check-contents")
}

// Whatever the host's store looks like, and wherever it lies: what is said about
// paths decides.
func TestNixOSDeterminism(t *testing.T) {
	s := newNixSample(t)
	want := digest(t, build(t, s.args()...))
	check := func(what string, args []string) {
		t.Helper()
		if got := digest(t, build(t, args...)); got != want {
			t.Errorf("%s: %s, not %s", what, got, want)
		}
	}
	info := closureInfo(t, s.registration(), s.closure())
	check("closureInfo", s.args("--closure-info", info))
	check("verified, one worker", s.args("--verify-store", "--workers", "1"))

	other := s.copy(t)
	other.run("nix-store", "--optimise") // hard links
	other.run("nix-build", "--no-out-link", "-E",
		`derivation { name = "other"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo >$out" ]; }`)
	oracle.Run(t, "find", other.host("/nix/store"), "-exec", "touch", "-h", "-d", "2001-02-03", "{}", "+")
	oracle.Run(t, "find", other.host("/nix/store"), "-type", "d", "-exec", "chmod", "u+w", "{}", "+")
	check("other store", other.args())

	// A database of other pages, with other times, made by another way.
	loaded := s.copy(t)
	if err := os.RemoveAll(loaded.host("/nix/var")); err != nil {
		t.Fatal(err)
	}
	load := oracle.Command(t, "nix-store", "--store", loaded.root, "--load-db")
	registration, err := os.Open(filepath.Join(info, "registration"))
	if err != nil {
		t.Fatal(err)
	}
	defer registration.Close()
	home := t.TempDir()
	load.Stdin, load.Env = registration, append(load.Env, "HOME="+home, "NIX_CONF_DIR="+home, "NIX_CONFIG=build-users-group =", "NIX_REMOTE=")
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("nix-store --load-db: %v\n%s", err, out)
	}
	check("other database", loaded.args())
}

// SOURCE_DATE_EPOCH is the time of what is made and of registrations, and leaves
// store objects alone, which are later than 0.
func TestNixOSEpoch(t *testing.T) {
	oracle.NeedRoot(t)
	s := newNixSample(t)
	for _, epoch := range []int64{0, 1700000000} {
		out := scratch.Dir(t)
		cmd := command(append([]string{"build", "--no-sync", "-q", "-o", out}, s.args()...)...)
		cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch))
		mustRun(t, cmd)
		root := findLayout("none").rootOf(t, only(t, out)).mount(t, "")
		for _, f := range read(t, root).Without("lost+found") {
			want := epoch
			if strings.HasPrefix(f.Path, "nix/store/") && f.Path != "nix/store/.links" {
				want = 1
			}
			if f.Sec != want {
				t.Errorf("epoch %d: %s has the time %d", epoch, f.Path, f.Sec)
			}
		}
		var info []struct{ RegistrationTime int64 }
		if err := json.Unmarshal([]byte(nixStore{t, root}.run("nix", "path-info", "--json", "--all")), &info); err != nil || len(info) == 0 {
			t.Fatal(err)
		}
		for _, path := range info {
			if path.RegistrationTime != epoch {
				t.Errorf("epoch %d: a path is registered at %d", epoch, path.RegistrationTime)
			}
		}
	}
}

// The image of a store alone has the objects in its root.
func TestOnlyNixStore(t *testing.T) {
	oracle.NeedRoot(t)
	s := newNixSample(t)
	v := findLayout("none").rootOf(t, build(t, s.args("--only-nix-store")...))
	v.fsck(t)
	if label := v.header(t)["Filesystem volume name"]; label != "nix-store" {
		t.Errorf("label %q", label)
	}
	var got []string
	for _, f := range read(t, v.mount(t, "ro")) {
		if f.Path != "." && f.Path != "lost+found" && !strings.Contains(f.Path, "/") {
			got = append(got, "/nix/store/"+f.Path)
		}
	}
	if want := s.closure(); !slices.Equal(got, want) {
		t.Errorf("the root has %q, want %q", got, want)
	}
	// As with the reference, a boot partition stays empty.
	var r report
	if err := json.Unmarshal(must(t, append([]string{"plan", "--json"}, s.args("--only-nix-store", "--partition-table-type", "efi")...)...), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.FileSystems) != 1 || r.FileSystems[0].Type != "ext4" {
		t.Errorf("file systems %+v", r.FileSystems)
	}
}

// What is wrong with a store is an error that names it, and nothing is written.
func TestNixOSErrors(t *testing.T) {
	s := newNixSample(t)
	records, closure := s.registration(), s.closure()
	with := func(records, paths []string) []string {
		return s.args("--closure-info", closureInfo(t, records, paths))
	}
	stranger := "/nix/store/" + strings.Repeat("0", 32) + "-x"
	cut := append(slices.Clone(records[:len(records)-1]), records[len(records)-1][:40])
	changed := s.copy(t)
	manual := changed.host(s.system) + "/manual"
	oracle.Run(t, "chmod", "u+w", manual)
	if err := os.WriteFile(manual, []byte("something else"), 0o444); err != nil {
		t.Fatal(err)
	}
	missing := s.copy(t)
	oracle.Run(t, "chmod", "-R", "u+w", missing.host(s.channel))
	if err := os.RemoveAll(missing.host(s.channel)); err != nil {
		t.Fatal(err)
	}
	special := s.copy(t)
	oracle.Run(t, "chmod", "u+w", special.host(s.system))
	oracle.Run(t, "mkfifo", special.host(s.system)+"/fifo")

	for _, test := range []struct {
		what  string
		args  []string
		texts []string
	}{
		{"registered twice", with(append(slices.Clone(records), records[0]), closure), []string{"--closure-info: ", closure[0], "registered twice"}},
		{"outside of the closure", with(records[1:], closure[1:]), []string{"--closure-info: ", closure[0], "missing from the closure"}},
		{"listed, not registered", with(records, append(slices.Clone(closure), stranger)), []string{"does not agree", stranger, "is not registered"}},
		{"cut", with(cut, closure), []string{"--closure-info: ", "line "}},
		{"no registration", s.args("--closure-info", scratch.Dir(t)), []string{"--closure-info: ", "registration: no such file"}},
		{"changed", changed.args("--verify-store"), []string{"--verify-store: ", s.system, "its NAR has ", "sha256:", "should have"}},
		{"missing", missing.args(), []string{s.channel, "is registered, but missing from"}},
		{"no store object", special.args(), []string{"/fifo", "is neither a regular file, a directory nor a symbolic link"}},
		{"not in the store", s.args("--additional-paths", "/etc"), []string{"--additional-paths: ", `"/etc"`, "not in the store"}},
		{"not valid", s.args("--additional-paths", stranger), []string{stranger, "is not a valid path of the store"}},
		{"not the path itself", s.args("--additional-paths", s.host(s.system)+"/sw"), []string{"--additional-paths: ", "inside of"}},
		{"not a toplevel", append(s.args(), "--system", s.additional), []string{"system: ", s.additional, "is not a directory: want the toplevel of a NixOS system"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			out := filepath.Join(scratch.Dir(t), "out")
			fails(t, command(append([]string{"build", "-q", "-o", out}, test.args...)...), 1, test.texts...)
			if _, err := os.Lstat(out); err == nil {
				t.Error("there is an output directory")
			}
		})
	}
	// Without asking, nobody looks; the image says what the host has.
	must(t, append([]string{"plan"}, changed.args()...)...)
}

// The reference's assertions, with its messages.
func TestReferenceAssertions(t *testing.T) {
	const onlyStore = "In a only Nix store image, the contents must be empty, no configuration must be provided and no bootloader should be installed."
	for _, test := range []struct {
		want string
		args []string
	}{
		{`must be one of [ "legacy" "legacy+boot" "legacy+gpt" "efi" "efixbootldr" "hybrid" "none" ], but is: "gpt"`, []string{"--partition-table-type", "gpt"}},
		{"In deterministic mode with a ext4 partition, rootFSUID must be non-null, by default, it is equal to rootGPUID.", []string{"--root-fsuid", "null"}},
		{"to produce a partition table, we need to use -E offset flag which is support only for fsType = ext4", []string{"--fs-type", "ext3"}},
		{"EFI variables can be used only with a partition table of type: hybrid, efi, efixbootldr, or legacy+gpt.", []string{"--touch-efi-vars"}},
		{onlyStore, []string{"--only-nix-store", "--config-file", "/x", "--install-boot-loader=false"}},
		{onlyStore, []string{"--only-nix-store", "--contents", "source=/x,target=/y", "--install-boot-loader=false"}},
		{onlyStore, []string{"--only-nix-store"}}, // the default of installBootLoader is true
		{"Contents of the disk image should set none of {user, group} or both at the same time.", []string{"--contents", "source=/x,target=/y,user=root"}},
	} {
		fails(t, command(append([]string{"plan", "--system", "/x"}, test.args...)...), 2, test.want)
	}
}
