//go:build linux

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/scratch"
)

// program is the path of the binary under test.
var program string

// TestMain builds the program once, where every user may run it (or takes the one
// that the variable DISKWRIGHT names), and removes the trees that tests share.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if dir := os.Getenv(readManifest); dir != "" {
		return saveManifest(dir, os.Getenv(writeManifest))
	}
	os.Unsetenv("SOURCE_DATE_EPOCH")
	defer removeShared()
	defer removeSampled()
	if program = os.Getenv("DISKWRIGHT"); program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "diskwright-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	program = filepath.Join(dir, "diskwright")
	build := exec.Command("go", "build", "-o", program, "diskwright/cmd/diskwright")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// With these variables set, the test binary writes the manifest of a directory
// to a file, and nothing else: what guests run.
const (
	readManifest  = "DISKWRIGHT_TEST_MANIFEST_OF"
	writeManifest = "DISKWRIGHT_TEST_MANIFEST_TO"
)

func saveManifest(dir, file string) int {
	m, err := manifest.Read(dir)
	if err == nil {
		err = m.Save(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// guestManifest is the shell command that has a guest write the manifest of dir
// to a file.
func guestManifest(t testing.TB, dir, file string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s=%s %s=%s %s\n", readManifest, dir, writeManifest, file, self)
}

// long skips the test unless long ones are asked for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("DISKWRIGHT_LONG") == "" {
		t.Skip("long; set DISKWRIGHT_LONG=1 (make test-long)")
	}
}

// command returns the program, ready to be run.
func command(args ...string) *exec.Cmd { return exec.Command(program, args...) }

// must runs the program, which has to succeed, and returns its standard output.
func must(t testing.TB, args ...string) []byte {
	t.Helper()
	return mustRun(t, command(args...))
}

func mustRun(t testing.TB, cmd *exec.Cmd) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, cmd); err != nil {
		t.Fatalf("diskwright %q: %v\n%s", cmd.Args[1:], err, stderr.Bytes())
	}
	return stdout.Bytes()
}

// patience is how long a program may take that does not hang.
const patience = 2 * time.Minute

// wait waits for a program that was started, and kills it if it hangs.
func wait(t testing.TB, cmd *exec.Cmd) error {
	t.Helper()
	timer := time.AfterFunc(patience, func() {
		t.Errorf("diskwright %q hangs", cmd.Args[1:])
		cmd.Process.Kill()
	})
	defer timer.Stop()
	return cmd.Wait()
}

// fails runs the program, which has to end with the status, without a panic,
// and with every one of the texts in its message. It returns the message.
func fails(t testing.TB, cmd *exec.Cmd, status int, texts ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := wait(t, cmd); err != nil && !errors.As(err, &exit) {
		t.Fatalf("diskwright %q: %v", cmd.Args[1:], err)
	}
	checkFailure(t, cmd, stderr.String(), status, texts...)
	return stderr.String()
}

// checkFailure is the judgement of fails, of a program that has ended.
func checkFailure(t testing.TB, cmd *exec.Cmd, message string, status int, texts ...string) {
	t.Helper()
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("diskwright %q: exit status %d, want %d\n%s", cmd.Args[1:], got, status, message)
	}
	if strings.Contains(message, "goroutine ") {
		t.Errorf("diskwright %q panics:\n%s", cmd.Args[1:], message)
	}
	for _, text := range texts {
		if !strings.Contains(message, text) {
			t.Errorf("diskwright %q: the message lacks %q:\n%s", cmd.Args[1:], text, message)
		}
	}
}

// build builds an image into a new directory and returns its path.
func build(t testing.TB, args ...string) (image string) {
	t.Helper()
	dir := scratch.Dir(t)
	must(t, append([]string{"build", "--no-sync", "-q", "-o", dir}, args...)...)
	return only(t, dir)
}

// only returns the path of the only file in a directory: the image.
func only(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Fatalf("%s holds %v, want the image only", dir, entries)
	}
	return filepath.Join(dir, entries[0].Name())
}

// report is what --json of plan and build says, as far as tests want to know.
type report struct {
	File         string   `json:"file"`
	DiskSize     int64    `json:"diskSize"`
	DiskSizeMode string   `json:"diskSizeMode"`
	Notes        []string `json:"notes"`
	AutoSize     *struct {
		FormulaBytes int64 `json:"formulaBytes"`
		Raised       bool  `json:"raised"`
	} `json:"autoSize"`
	FileSystems []struct {
		Partition  int    `json:"partition"`
		MountPoint string `json:"mountPoint"`
		Type       string `json:"type"`
		Label      string `json:"label"`
		UUID       string `json:"uuid"`
		Size       int64  `json:"size"`
		Used       int64  `json:"used"`
		Inodes     int64  `json:"inodes"`
		FreeInodes int64  `json:"freeInodes"`
	} `json:"fileSystems"`
}

// plan returns the report on an image that is not built.
func plan(t testing.TB, args ...string) report {
	t.Helper()
	var r report
	output := must(t, append([]string{"plan", "--json"}, args...)...)
	if err := json.Unmarshal(output, &r); err != nil {
		t.Fatalf("plan --json: %v\n%s", err, output)
	}
	return r
}

// shared are trees that several tests read, by their options.
var shared struct {
	sync.Mutex
	trees map[nasty.Options]string
}

// nastyTree returns a nasty tree that nobody may change.
func nastyTree(t testing.TB, o nasty.Options) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if dir := shared.trees[o]; dir != "" {
		return dir
	}
	dir := scratch.Keep(t)
	if shared.trees == nil {
		shared.trees = make(map[nasty.Options]string)
	}
	shared.trees[o] = dir
	if err := nasty.Make(dir, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func removeShared() {
	for _, dir := range shared.trees {
		os.RemoveAll(dir)
	}
}

// write makes the files of a tree, with the directories above them. A name that
// ends in a slash is an empty directory.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
