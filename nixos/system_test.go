package nixos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/nixstore"
	"diskwright/test/oracle"
	"diskwright/tree"

	"golang.org/x/sys/unix"
)

var ctx = context.Background()

// epoch is the time of tests.
var epoch = tree.Time{Sec: 315532800}

const hash = "0c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b"

func storePath(name string) nixstore.Path { return nixstore.Path("/nix/store/" + hash + "-" + name) }

// sample returns a system with a toplevel, a channel and an additional path.
func sample(t testing.TB) *System {
	t.Helper()
	s := &System{
		Toplevel:        storePath("nixos-system-x"),
		Channel:         storePath("nixos-channel"),
		AdditionalPaths: []nixstore.Path{storePath("additional")},
		Store:           tree.NewDir(nixstore.Mtime),
	}
	var infos []nixstore.PathInfo
	for _, p := range []nixstore.Path{s.Toplevel, s.Channel, s.AdditionalPaths[0], storePath("users-groups.json")} {
		infos = append(infos, nixstore.PathInfo{Path: p, NarSize: 112, Deriver: storePath("x.drv")})
		s.Store.SetChild(p.Base(), tree.NewDir(nixstore.Mtime))
	}
	s.Store.SetChild(storePath("users-groups.json").Base(), text(`{"users": [{"name": "web", "uid": null, "isSystemUser": true}], "groups": []}`))
	top := s.Store.Child(s.Toplevel.Base())
	top.SetChild("nixos-version", text("24.05.x"))
	top.SetChild("system", text("x86_64-linux"))
	top.SetChild("activate", text("perl -w /nix/store/"+hash+"-update-users-groups.pl "+string(storePath("users-groups.json"))+"\n"))
	var err error
	if s.Closure, err = nixstore.NewClosure(infos); err != nil {
		t.Fatal(err)
	}
	return s
}

func text(s string) *tree.Inode { return tree.NewFile(content.Bytes(s), nixstore.Mtime) }

// dump writes everything that a tree says, but the content of the database.
func dump(root *tree.Inode) string {
	var b strings.Builder
	var walk func(path string, i *tree.Inode)
	walk = func(path string, i *tree.Inode) {
		fmt.Fprintf(&b, "%s %o %d:%d %d", path, i.Mode, i.UID, i.GID, i.Mtime.Sec)
		switch {
		case i.IsSymlink():
			fmt.Fprintf(&b, " -> %s", i.Target())
		case i.IsRegular() && i.Size() < 100:
			data, _ := io.ReadAll(io.NewSectionReader(reader(i), 0, i.Size()))
			fmt.Fprintf(&b, " %q", data)
		}
		b.WriteString("\n")
		for _, e := range i.Entries {
			walk(strings.TrimSuffix(path, "/")+"/"+e.Name, e.Inode)
		}
	}
	walk("/", root)
	return strings.ReplaceAll(b.String(), hash, "H")
}

func reader(i *tree.Inode) io.ReaderAt {
	if i.Content == nil {
		return content.Bytes(nil)
	}
	return i.Content
}

func TestGraft(t *testing.T) {
	root := tree.NewDir(epoch)
	if err := sample(t).Graft(ctx, root, epoch); err != nil {
		t.Fatal(err)
	}
	const want = `/ 40755 0:0 315532800
/dev 40755 0:0 315532800
/etc 40755 0:0 315532800
/etc/NIXOS 100644 0:0 315532800 ""
/etc/nixos 40755 0:0 315532800
/nix 40755 0:0 315532800
/nix/store 41775 0:30000 315532800
/nix/store/.links 40755 0:0 315532800
/nix/store/H-additional 40755 0:0 1
/nix/store/H-nixos-channel 40755 0:0 1
/nix/store/H-nixos-system-x 40755 0:0 1
/nix/store/H-nixos-system-x/activate 100644 0:0 1
/nix/store/H-nixos-system-x/nixos-version 100644 0:0 1 "24.05.x"
/nix/store/H-nixos-system-x/system 100644 0:0 1 "x86_64-linux"
/nix/store/H-users-groups.json 100644 0:0 1 "{\"users\": [{\"name\": \"web\", \"uid\": null, \"isSystemUser\": true}], \"groups\": []}"
/nix/var 40755 0:0 315532800
/nix/var/nix 40755 0:0 315532800
/nix/var/nix/db 40755 0:0 315532800
/nix/var/nix/db/big-lock 100600 0:0 315532800 ""
/nix/var/nix/db/db.sqlite 100644 0:0 315532800
/nix/var/nix/db/schema 100644 0:0 315532800 "10"
/nix/var/nix/gc.lock 100600 0:0 315532800 ""
/nix/var/nix/gcroots 40755 0:0 315532800
/nix/var/nix/gcroots/auto 40755 0:0 315532800
/nix/var/nix/gcroots/per-user 40755 0:0 315532800
/nix/var/nix/gcroots/profiles 120777 0:0 315532800 -> /nix/var/nix/profiles
/nix/var/nix/profiles 40755 0:0 315532800
/nix/var/nix/profiles/per-user 40755 0:0 315532800
/nix/var/nix/profiles/per-user/root 40755 0:0 315532800
/nix/var/nix/profiles/per-user/root/channels 120777 0:0 315532800 -> channels-1-link
/nix/var/nix/profiles/per-user/root/channels-1-link 120777 0:0 315532800 -> /nix/store/H-nixos-channel
/nix/var/nix/profiles/system 120777 0:0 315532800 -> system-1-link
/nix/var/nix/profiles/system-1-link 120777 0:0 315532800 -> /nix/store/H-nixos-system-x
/nix/var/nix/temproots 40755 0:0 315532800
/proc 40755 0:0 315532800
/root 40700 0:0 315532800
/root/.nix-defexpr 40700 0:0 315532800
/root/.nix-defexpr/channels 120777 0:0 315532800 -> /nix/var/nix/profiles/per-user/root/channels
/run 40755 0:0 315532800
/sys 40755 0:0 315532800
/tmp 41777 0:0 315532800
/var 40755 0:0 315532800
`
	if got := dump(root); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestGraftWithoutChannel(t *testing.T) {
	root := tree.NewDir(epoch)
	s := sample(t)
	s.Channel = ""
	if err := s.Graft(ctx, root, epoch); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"root", "nix/var/nix/profiles/per-user/root"} {
		if root.Lookup(path) != nil {
			t.Errorf("there is a %s", path)
		}
	}
	if root.Lookup("nix/var/nix/profiles/per-user") == nil {
		t.Error("there are no profiles of users")
	}
}

// What contents have made stays.
func TestGraftOverContents(t *testing.T) {
	root := tree.NewDir(epoch)
	later := tree.Time{Sec: 500000000}
	for _, path := range []string{"/tmp", "/root", "/nix/store/mine", "/usr/var"} {
		if _, err := tree.MakeDir(root, path, later); err != nil {
			t.Fatal(err)
		}
	}
	root.SetChild("var", tree.NewSymlink("usr/var", later))
	if err := tree.PutFile(root, "/etc/NIXOS", text("mine"), later); err != nil {
		t.Fatal(err)
	}
	if err := sample(t).Graft(ctx, root, epoch); err != nil {
		t.Fatal(err)
	}
	got := dump(root)
	for _, want := range []string{
		"/tmp 40755 0:0 500000000\n", "/root 40755 0:0 500000000\n", "/etc/NIXOS 100644 0:0 1 \"mine\"\n",
		"/nix/store 41775 0:30000 500000000\n", "/nix/store/mine 40755 0:0 500000000\n", "/var 120777",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if err := sample(t).Graft(ctx, root, epoch); err == nil || !strings.Contains(err.Error(), "db already") {
		t.Errorf("a second system: %v", err)
	}
}

func TestOnlyStore(t *testing.T) {
	s := sample(t)
	want := len(s.Closure)
	root := s.OnlyStore(epoch)
	if root.Mode != tree.TypeDir|0o755 || root.Mtime != epoch || len(root.Entries) != want {
		t.Errorf("%s", dump(root))
	}
}

func TestValidate(t *testing.T) {
	s := sample(t)
	s.Toplevel, s.Channel, s.AdditionalPaths = storePath("x"), storePath("y"), []nixstore.Path{storePath("z")}
	err := s.Graft(ctx, tree.NewDir(epoch), epoch)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`system: "` + string(storePath("x")), `channel: "` + string(storePath("y")), `additionalPaths: "` + string(storePath("z"))} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	s = sample(t)
	s.Toplevel = storePath("users-groups.json")
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("%v", err)
	}
}

func TestToplevel(t *testing.T) {
	s := sample(t)
	top, err := ReadToplevel(ctx, s.Store, s.Toplevel)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Toplevel{s.Toplevel, "24.05.x", "x86_64-linux", storePath("users-groups.json")}); *top != want {
		t.Errorf("%+v, want %+v", *top, want)
	}
	users, err := ReadUsers(ctx, s.Store, top)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := users.UID("web"); id != 999 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
	if _, err := users.UID("db"); err == nil || !strings.Contains(err.Error(), `users-groups.json" has none of that name`) {
		t.Errorf("%v", err)
	}

	// A toplevel that says nothing.
	other, err := ReadToplevel(ctx, s.Store, s.Channel)
	if err != nil || *other != (Toplevel{Path: s.Channel}) {
		t.Fatalf("%+v, %v", other, err)
	}
	if users, err = ReadUsers(ctx, s.Store, other); err != nil {
		t.Fatal(err)
	}
	if id, err := users.UID("root"); id != 0 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
	if _, err := users.GID("web"); err == nil || !strings.Contains(err.Error(), "has no users-groups.json") {
		t.Errorf("%v", err)
	}
	if _, err := ReadToplevel(ctx, s.Store, storePath("x")); err == nil {
		t.Error("no error for a toplevel that is not there")
	}
}

// nixExpression is a system, a channel and an additional path as Nix builds
// them.
const nixExpression = `
let
  sh = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" ("export PATH=/usr/bin:/bin\n" + script) ];
  };
  users = builtins.toFile "users-groups.json" ''{"users": [{"name": "web", "uid": null, "isSystemUser": true}], "groups": []}'';
  dependency = sh "dependency" "mkdir $out; ln -s $out $out/self; echo x >$out/f; chmod +x $out/f";
in
{
  system = sh "nixos-system-x" ''
    mkdir $out
    echo "perl ${users} ${dependency}" >$out/activate
    printf 24.05 >$out/nixos-version
  '';
  channel = sh "channel" "mkdir $out; ln -s ${dependency} $out/nixos";
  additional = sh "additional" "ln -s ${dependency} $out";
}
`

// runNix runs a program of Nix on the store below root.
func runNix(t testing.TB, root, tool string, args ...string) string {
	t.Helper()
	cmd := oracle.Command(t, tool, append([]string{"--store", root}, args...)...)
	home := t.TempDir()
	cmd.Env = append(cmd.Env, "HOME="+home, "NIX_CONF_DIR="+home, "XDG_CACHE_HOME="+home, "NIX_REMOTE=", "NIX_PATH=",
		"NIX_CONFIG=build-users-group =\nsubstituters =\nsandbox-paths = /bin /usr /lib /lib64?\nexperimental-features = nix-command")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, stderr.Bytes())
	}
	return string(out)
}

// removeStore removes a store, the objects of which forbid it.
func removeStore(root string) {
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
}

// extract writes a tree into a directory of the host, owners aside.
func extract(t testing.TB, i *tree.Inode, path string) {
	t.Helper()
	var err error
	switch {
	case i.IsSymlink():
		err = os.Symlink(i.Target(), path)
	case i.IsRegular():
		data, readErr := io.ReadAll(io.NewSectionReader(reader(i), 0, i.Size()))
		if err = readErr; err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
	default:
		if err = os.Mkdir(path, 0o700); err == nil {
			for _, e := range i.Entries {
				extract(t, e.Inode, filepath.Join(path, e.Name))
			}
		}
	}
	if err == nil && !i.IsSymlink() {
		err = unix.Chmod(path, i.Mode&tree.PermMask)
	}
	if err == nil {
		time := unix.Timespec{Sec: i.Mtime.Sec}
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{time, time}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Real Nix takes what is grafted for its own: the store is valid, the profile
// has its generation, only what has no root is garbage, and more is installed.
func TestNixAcceptsSystem(t *testing.T) {
	oracle.Need(t, "nix-store")
	host := filepath.Join(t.TempDir(), "host")
	image := filepath.Join(t.TempDir(), "image")
	t.Cleanup(func() { removeStore(host); removeStore(image) })
	expression := filepath.Join(t.TempDir(), "default.nix")
	if err := os.WriteFile(expression, []byte(nixExpression), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(attribute string) nixstore.Path {
		p, err := nixstore.ParsePath(strings.TrimSpace(runNix(t, host, "nix-build", "--no-out-link", "-A", attribute, expression)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	s := &System{Toplevel: build("system"), Channel: build("channel"), AdditionalPaths: []nixstore.Path{build("additional")}}
	store := nixstore.At(host)
	var err error
	if s.Closure, err = nixstore.FromDatabase(ctx, store.Database, s.Toplevel, s.Channel, s.AdditionalPaths[0]); err != nil {
		t.Fatal(err)
	}
	if s.Store, err = nixstore.Tree(ctx, s.Closure, store.Dir, nixstore.TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	root := tree.NewDir(epoch)
	if err := s.Graft(ctx, root, epoch); err != nil {
		t.Fatal(err)
	}
	extract(t, root, image)

	runNix(t, image, "nix-store", "--verify", "--check-contents")
	for _, p := range []nixstore.Path{s.Toplevel, s.Channel} {
		want := strings.Fields(runNix(t, host, "nix", "path-info", "--recursive", string(p)))
		got := strings.Fields(runNix(t, image, "nix", "path-info", "--recursive", string(p)))
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("closure of %s: %q, want %q", p, got, want)
		}
	}
	if got := strings.TrimSpace(runNix(t, image, "nix-store", "--query", "--deriver", string(s.Toplevel))); got != "unknown-deriver" {
		t.Errorf("deriver %q", got)
	}
	generations := runNix(t, image, "nix-env", "--profile", filepath.Join(image, "nix/var/nix/profiles/system"), "--list-generations")
	if !strings.HasPrefix(strings.TrimSpace(generations), "1 ") || !strings.Contains(generations, "(current)") || strings.Count(generations, "\n") != 1 {
		t.Errorf("generations:\n%s", generations)
	}
	if got := strings.TrimSpace(runNix(t, image, "nix-store", "--gc", "--print-dead")); got != string(s.AdditionalPaths[0]) {
		t.Errorf("garbage: %q, want %q", got, s.AdditionalPaths)
	}
	before := runNix(t, image, "nix", "path-info", "--all")
	runNix(t, image, "nix-build", "--no-out-link", "-E", `derivation { name = "more"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo >$out" ]; }`)
	if after := runNix(t, image, "nix", "path-info", "--all"); len(after) <= len(before) {
		t.Errorf("nothing was installed:\n%s", after)
	}
	runNix(t, image, "nix-env", "--profile", filepath.Join(image, "nix/var/nix/profiles/system"), "--set", string(s.AdditionalPaths[0]))
	runNix(t, image, "nix-env", "--profile", filepath.Join(image, "nix/var/nix/profiles/system"), "--rollback")
	runNix(t, image, "nix-collect-garbage")
	runNix(t, image, "nix-store", "--verify", "--check-contents")
}
