package nixstore

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"diskwright/test/oracle"
)

// An ordinary user reads a database of root's, whether Nix is using it, has
// left its files there, or not.
func TestFromDatabaseOfRoot(t *testing.T) {
	oracle.NeedRoot(t)
	n, top := sampleNix(t)
	path := n.store().Database
	want := fmt.Sprintln(len(n.closure(top)), "paths")

	// The test's program, and the database, where others may come.
	dir, err := os.MkdirTemp("", "nixstore-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	oracle.Run(t, "cp", self, program)
	oracle.Run(t, "cp", path, dir)
	path = filepath.Join(dir, "db.sqlite")
	run := func() (string, error) {
		cmd := exec.Command(program)
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), readAsOther+"="+path, readAsOther+"_ROOT="+string(top))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	read := func(when string) {
		t.Helper()
		if got, err := run(); err != nil || got != want {
			t.Errorf("%s: %v, %s", when, err, got)
		}
	}
	read("unused")

	writer, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	writer.SetMaxOpenConns(1)
	for _, s := range []string{"PRAGMA journal_mode = wal", "PRAGMA wal_autocheckpoint = 0", "UPDATE ValidPaths SET registrationTime = 1"} {
		if _, err := writer.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	read("in use")

	// A log that a crash has left.
	crashed := filepath.Join(dir, "crashed")
	if err := os.Mkdir(crashed, 0o755); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "cp", path, path+"-wal", path+"-shm", crashed)
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(crashed, "db.sqlite")
	read("after a crash")

	// Without its index, which this user cannot make anew.
	if err := os.Remove(path + "-shm"); err != nil {
		t.Fatal(err)
	}
	if got, err := run(); err == nil || !strings.Contains(got, "run as the store's owner") {
		t.Errorf("%v, %s", err, got)
	}
}
