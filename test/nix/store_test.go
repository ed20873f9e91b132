//go:build linux

package nix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"diskwright/test/oracle"
)

// program is the path of the binary under test, tree that of the project.
var program, tree string

// TestMain builds the program once, or takes the one that the variable
// DISKWRIGHT names.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	os.Unsetenv("SOURCE_DATE_EPOCH")
	dir, err := os.MkdirTemp("", "diskwright-nix-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	tree, err = filepath.Abs("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if program = os.Getenv("DISKWRIGHT"); program == "" {
		program = filepath.Join(dir, "diskwright")
		build := exec.Command("go", "build", "-trimpath", "-o", program, "diskwright/cmd/diskwright")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
	}
	defer func() { removeStore(sharedStore.root) }()
	return m.Run()
}

// nixStore is a store of Nix below a directory of the tests: it has its own
// database, and /nix/store inside of the sandbox of builds, whatever the
// machine has there.
type nixStore struct {
	root string
	home string   // configuration and caches
	env  []string // more of the environment
}

// config lets builds see the shell and the tools of the machine.
const config = `build-users-group =
substituters =
sandbox-paths = /bin /usr /lib /lib64?
experimental-features = nix-command flakes
`

var sharedStore struct {
	sync.Mutex
	root string
}

// shared returns the store that tests share which do not care what else is in it.
func shared(t testing.TB) *nixStore {
	t.Helper()
	sharedStore.Lock()
	defer sharedStore.Unlock()
	if sharedStore.root == "" {
		dir, err := os.MkdirTemp("", "diskwright-nix-store-")
		if err != nil {
			t.Fatal(err)
		}
		sharedStore.root = dir
	}
	return at(t, sharedStore.root)
}

// newStore returns an empty store.
func newStore(t testing.TB) *nixStore {
	t.Helper()
	root := t.TempDir()
	t.Cleanup(func() { removeStore(root) })
	return at(t, root)
}

func at(t testing.TB, root string) *nixStore {
	t.Helper()
	oracle.Need(t, "nix-build")
	s := &nixStore{root: filepath.Join(root, "root"), home: filepath.Join(root, "home")}
	if err := os.MkdirAll(s.home, 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), "HOME="+s.home, "XDG_CACHE_HOME="+s.home, "NIX_CONF_DIR="+s.home,
		"NIX_REMOTE=", "NIX_PATH=", "NIX_CONFIG="+config, "TMPDIR="+os.TempDir(), "LC_ALL=C")
	return s
}

// removeStore removes a directory that has a store in it, whose objects forbid it.
func removeStore(root string) {
	if root == "" {
		return
	}
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(root)
}

// host returns where a store path lies on the machine.
func (s *nixStore) host(path string) string { return filepath.Join(s.root, path) }

// nix runs a program of Nix on the store and returns its standard output, its
// standard error, and the error of a failure.
func (s *nixStore) nix(t testing.TB, tool string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.Command(oracle.Need(t, tool), append(args, "--store", s.root)...)
	cmd.Env = s.env
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}

// must is nix for what has to succeed.
func (s *nixStore) must(t testing.TB, tool string, args ...string) string {
	t.Helper()
	stdout, stderr, err := s.nix(t, tool, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, stderr)
	}
	return strings.TrimSpace(stdout)
}

// build builds an expression and returns its store path.
func (s *nixStore) build(t testing.TB, expression string, args ...string) string {
	t.Helper()
	return s.must(t, "nix-build", append([]string{"--no-out-link", "-E", expression}, args...)...)
}

// fails evaluates an expression, which has to fail with a message.
func (s *nixStore) fails(t testing.TB, expression, message string) {
	t.Helper()
	stdout, stderr, err := s.nix(t, "nix-instantiate", "-E", expression)
	switch {
	case err == nil:
		t.Errorf("%s\nevaluates to %s, but should fail: %s", expression, stdout, message)
	case !strings.Contains(stderr, message):
		t.Errorf("%s\nfails, but not with %q:\n%s", expression, message, stderr)
	}
}

// value evaluates an expression into v.
func (s *nixStore) value(t testing.TB, expression string, v any) {
	t.Helper()
	text := s.must(t, "nix-instantiate", "--eval", "--strict", "--json", "-E", expression)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s\nevaluates to %s: %v", expression, text, err)
	}
}

// standin is the beginning of expressions about an image: nixpkgs, a system, and
// a function from arguments of make-disk-image.nix to an image of that system.
// It installs no boot loader unless the arguments say so.
func standin() string { return standinWith("") }

// standinWith is standin with a boot.loader of the system.
func standinWith(loader string) string {
	return fmt.Sprintf(`let
  pkgs = import %[1]s/nix/tests/standin { diskwright = %[2]s; };
  inherit (pkgs) lib;
  config = import %[1]s/nix/tests/standin/system.nix { inherit pkgs; loader = { %[3]s }; };
  make = args: import %[1]s/nix/make-disk-image.nix
    ({ inherit pkgs lib config; installBootLoader = false; } // args);
in
`, tree, program, loader)
}

// image is the expression of an image with these arguments.
func image(args string) string { return standin() + "make { " + args + " }" }

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
