package nixstore

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"diskwright/test/oracle"
)

// nix is a store of its own, below root, in which the real Nix works.
type nix struct {
	t    testing.TB
	root string
}

// sampleExpression has what stores have: references, also to itself, executables,
// links, equal files, names that are not text, an output of another name.
const sampleExpression = `
let
  sh = name: outputs: script: derivation {
    inherit name outputs;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" ("export PATH=/usr/bin:/bin\n" + script) ];
  };
  tool = sh "tool-1.0" [ "out" "doc" ] ''
    mkdir -p $out/bin $doc/share
    echo '#!/bin/sh' >$out/bin/tool
    chmod +x $out/bin/tool
    cp $out/bin/tool $out/bin/text
    chmod -x $out/bin/text
    ln -s $out/bin/tool $out/self
    : >$out/empty
    : >$doc/share/empty
    echo "see $out" >$doc/share/manual
    mkdir $out/none
    touch $out/$(printf 'z\377')
  '';
  file = sh "file" [ "out" ] "echo ${tool} >$out; chmod +x $out";
  link = sh "link" [ "out" ] "ln -s ${file} $out";
  source = builtins.toFile "source" "text with \"quotes\" and \\ backslashes\n";
in
sh "system" [ "out" ] ''
  mkdir $out
  ln -s ${link} $out/link
  ln -s ${tool.doc}/share $out/share
  cp ${source} $out/source
  cp ${tool.doc}/share/manual $out/manual
  ln -s target $out/one
  ln -s target $out/two
  head -c 300000 /dev/zero >$out/zeros
  head -c 300001 /dev/zero | tr '\0' x >$out/xs
''
`

// newNix returns an empty store.
func newNix(t testing.TB) *nix {
	t.Helper()
	oracle.Need(t, "nix-store")
	n := &nix{t, filepath.Join(t.TempDir(), "root")}
	t.Cleanup(func() { removeStore(n.root) })
	return n
}

// run runs a program of Nix on the store and returns its standard output.
func (n *nix) run(tool string, args ...string) string {
	n.t.Helper()
	return n.runWith(nil, tool, args...)
}

// runWith is run with standard input.
func (n *nix) runWith(stdin []byte, tool string, args ...string) string {
	n.t.Helper()
	cmd := oracle.Command(n.t, tool, append([]string{"--store", n.root}, args...)...)
	home := n.t.TempDir()
	cmd.Env = append(cmd.Env, "HOME="+home, "NIX_CONF_DIR="+home, "XDG_CACHE_HOME="+home, "NIX_REMOTE=", "NIX_PATH=",
		"NIX_CONFIG=build-users-group =\nsubstituters =\nsandbox-paths = /bin /usr /lib /lib64?\nexperimental-features = nix-command")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("%s %q: %v\n%s", tool, args, err, stderr.Bytes())
	}
	return string(out)
}

// lines runs a program and returns the lines of its standard output, sorted.
func (n *nix) lines(tool string, args ...string) []string {
	n.t.Helper()
	lines := strings.Fields(n.run(tool, args...))
	slices.Sort(lines)
	return lines
}

// sampled is a store with the sample in it, built by the first test that needs
// it.
var sampled struct {
	sync.Mutex
	root string
	top  Path
}

// sampleNix returns a store of the test's own that has the sample and its
// derivations, and the path of the sample.
func sampleNix(t testing.TB) (*nix, Path) {
	t.Helper()
	n := newNix(t)
	sampled.Lock()
	defer sampled.Unlock()
	if sampled.root == "" {
		dir, err := os.MkdirTemp("", "nixstore-test-")
		if err != nil {
			t.Fatal(err)
		}
		sampled.root = dir // removed by TestMain
		first := &nix{t, dir}
		expression := filepath.Join(t.TempDir(), "default.nix")
		writeFile(t, expression, sampleExpression)
		sampled.top, err = ParsePath(strings.TrimSpace(first.run("nix-build", "--no-out-link", expression)))
		if err != nil {
			t.Fatal(err)
		}
	}
	if sampled.top == "" {
		t.Fatal("the sample could not be built: see the test before")
	}
	oracle.Run(t, "cp", "-a", sampled.root, n.root)
	return n, sampled.top
}

func TestMain(m *testing.M) {
	if path := os.Getenv(readAsOther); path != "" {
		os.Exit(readDatabase(path))
	}
	status := m.Run()
	if sampled.root != "" {
		removeStore(sampled.root)
	}
	os.Exit(status)
}

// removeStore removes a store, the objects of which forbid it.
func removeStore(root string) {
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(root)
}

func (n *nix) store() Store { return At(n.root) }

// closure reads the closure of roots from the store's database.
func (n *nix) closure(roots ...Path) Closure {
	n.t.Helper()
	c, err := FromDatabase(context.Background(), n.store().Database, roots...)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// paths returns the paths of a closure.
func (c Closure) paths() (list []string) {
	for n := range c {
		list = append(list, string(c[n].Path))
	}
	return list
}
