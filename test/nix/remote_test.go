//go:build linux

package nix

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"diskwright/test/oracle"
)

// remote is a machine that builds for others: a store of its own, reached by ssh
// over the loopback device, with keys that live as long as the test.
type remote struct {
	store   *nixStore
	dir     string
	port    int
	builder string // for --builders
}

// newRemote starts an sshd and returns the machine behind it, which offers no
// system feature.
func newRemote(t testing.TB) *remote {
	t.Helper()
	sshd := oracle.Need(t, "sshd")
	oracle.Need(t, "ssh")
	needShell(t)
	r := &remote{store: newStore(t), dir: t.TempDir(), port: freePort(t)}
	if os.Geteuid() == 0 {
		// Where sshd, started by root, locks up what reads from the network.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"host", "user"} {
		oracle.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", r.path(key))
	}
	r.write(t, "authorized_keys", read(t, r.path("user.pub")), 0o600)
	r.write(t, "sshd_config", fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %s
AuthorizedKeysFile %s
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
`, r.port, r.path("host"), r.path("authorized_keys")), 0o600)

	// The remote end of Nix's protocol works in its own store.
	var serve strings.Builder
	serve.WriteString("#!/bin/sh\n")
	for _, variable := range []string{"HOME", "XDG_CACHE_HOME", "NIX_CONF_DIR"} {
		fmt.Fprintf(&serve, "export %s='%s'\n", variable, r.store.home)
	}
	fmt.Fprintf(&serve, "export NIX_REMOTE= NIX_PATH= NIX_CONFIG='%s'\n", config)
	fmt.Fprintf(&serve, "exec %s \"$@\" --store '%s'\n", oracle.Need(t, "nix-store"), r.store.root)
	r.write(t, "nix-store", serve.String(), 0o755)

	r.start(t, sshd)
	// URI, systems, key, jobs, speed, supported and mandatory features, host key.
	r.builder = fmt.Sprintf("ssh://127.0.0.1?remote-program=%s %s %s 2 1 - - %s", r.path("nix-store"), system(t), r.path("user"),
		base64.StdEncoding.EncodeToString([]byte(read(t, r.path("host.pub")))))
	return r
}

func (r *remote) path(name string) string { return filepath.Join(r.dir, name) }

func (r *remote) write(t testing.TB, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// start starts sshd and waits until it answers.
func (r *remote) start(t testing.TB, sshd string) {
	t.Helper()
	log, err := os.Create(r.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(sshd, "-D", "-e", "-f", r.path("sshd_config"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("sshd says:\n%s", read(t, r.path("log")))
		}
	})
	for range 100 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("sshd does not answer")
}

// options have Nix build nothing itself, and all on the remote machine.
func (r *remote) options() []string { return []string{"--max-jobs", "0", "--builders", r.builder} }

// reach has ssh find the machine.
func (r *remote) reach(t testing.TB, s *nixStore) {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "USER="+u.Username, fmt.Sprintf("NIX_SSHOPTS=-F none -p %d", r.port))
}

// needShell skips the test of a user whom nobody lets in, such as nobody.
func needShell(t testing.TB) {
	t.Helper()
	entry := strings.TrimSpace(string(oracle.Output(t, "getent", "passwd", strconv.Itoa(os.Getuid()))))
	if shell := entry[strings.LastIndexByte(entry, ':')+1:]; strings.HasSuffix(shell, "/nologin") || strings.HasSuffix(shell, "/false") {
		t.Skipf("%s is no shell that sshd could start", shell)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func system(t testing.TB) (name string) {
	t.Helper()
	shared(t).value(t, "builtins.currentSystem", &name)
	return name
}

// An image that a remote builder made, from a closure that it made, is the local
// one. The builder has no feature; the original would ask it for kvm.
func TestRemoteBuilder(t *testing.T) {
	expression := image(`partitionTableType = "legacy+gpt"; additionalSpace = "1M";`)
	local := shared(t)
	out := local.build(t, expression)

	away := newStore(t)
	r := newRemote(t)
	r.reach(t, away)
	if got := away.build(t, expression, r.options()...); got != out {
		t.Errorf("the remote builder makes %s, not %s", got, out)
	}
	checkOutput(t, away, out, "raw", "nixos.img")
	if _, err := os.Lstat(r.store.host(out)); err != nil {
		t.Errorf("the image was not built remotely: %v", err)
	}
	if l, a := digest(t, local.host(out+"/nixos.img")), digest(t, away.host(out+"/nixos.img")); l != a {
		t.Errorf("SHA-256 %s locally, %s from the remote builder", l, a)
	}

	// The same machine refuses what asks for kvm.
	_, log, err := away.nix(t, "nix-build", append([]string{"--no-out-link", "-E",
		standin() + `pkgs.runCommand "vm" { requiredSystemFeatures = [ "kvm" ]; } "touch $out"`}, r.options()...)...)
	if err == nil || !strings.Contains(log, "kvm") {
		t.Errorf("a derivation that needs kvm: %v\n%s", err, log)
	}
}
