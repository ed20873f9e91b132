package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"diskwright": main,
		"stall":      stall,
	})
}

// TestScripts runs every script in testdata/script. Each is a behaviour of the
// command line; a fixed bug gets a commented block in one of them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SOURCE_DATE_EPOCH", "")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": scriptStatus,
			"json":   scriptJSON,
			"size":   scriptSize,
			"await":  scriptAwait,
		},
	})
}

// scriptStatus runs diskwright and checks its exit status:
//
//	status 2 build --nonsense
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: status N [arguments]")
	}
	got := "0"
	if err := ts.Exec("diskwright", args[1:]...); err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("the exit status is %s, not %s", got, args[0])
	}
}

// scriptJSON checks what a file (stdout, stderr) of JSON values has at a path:
//
//	json stdout table.scheme gpt
//	json stderr 0.problems.1.where 'image.yaml:3:1'
//
// Values are compared as fmt prints them. A file of several values is a list
// of them, of which -1 is the last. Without a value the path must be there; negated, it must not.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: json FILE PATH [VALUE]")
	}
	value, err := jsonAt(ts.ReadFile(args[0]), args[1])
	switch {
	case neg && err == nil:
		ts.Fatalf("%s has %s: %v", args[0], args[1], value)
	case neg:
	case err != nil:
		ts.Fatalf("%s: %v", args[0], err)
	case len(args) == 3 && fmt.Sprint(value) != args[2]:
		ts.Fatalf("%s has %v at %s, not %s", args[0], value, args[1], args[2])
	}
}

func jsonAt(text, path string) (any, error) {
	var values []any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	for decoder.More() {
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	var value any = values
	if len(values) == 1 {
		value = values[0]
	}
	for key := range strings.SplitSeq(path, ".") {
		switch container := value.(type) {
		case map[string]any:
			var ok bool
			if value, ok = container[key]; !ok {
				return nil, fmt.Errorf("there is no %s of %s", key, path)
			}
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(container) || i < -len(container) {
				return nil, fmt.Errorf("there is no %s of %s", key, path)
			}
			if i < 0 {
				i += len(container)
			}
			value = container[i]
		default:
			return nil, fmt.Errorf("there is no %s of %s", key, path)
		}
	}
	return value, nil
}

// scriptSize checks the size of a file in bytes: size FILE N.
func scriptSize(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprint(info.Size()); (got == args[1]) == neg {
		ts.Fatalf("%s has %s bytes", args[0], got)
	}
}

// scriptAwait waits until a file is there.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	for range 600 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s does not come", args[0])
}

// stall writes to a FIFO the beginning of something that does not end. Once
// somebody has read most of it, it makes the file started, and stalls.
//
//	stall specification|tar FIFO STARTED
func stall() {
	beginning := bytes.Repeat([]byte("# a comment\n"), 1<<16)
	if os.Args[1] == "tar" {
		beginning = append(tarHeader("endless", 8<<30), beginning...)
	}
	err := stallAt(os.Args[2], os.Args[3], beginning)
	fmt.Fprintln(os.Stderr, "stall:", err)
	os.Exit(1)
}

func stallAt(fifo, started string, beginning []byte) error {
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(beginning); err != nil {
		return err
	}
	if err := os.WriteFile(started, nil, 0o644); err != nil {
		return err
	}
	time.Sleep(time.Minute)
	return errors.New("nobody stopped me")
}

// tarHeader returns a ustar header of a regular file.
func tarHeader(name string, size int64) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", size%(1<<33), 0))
	copy(h[148:], "        0")
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// A name cannot leave its cell.
func TestTableKeepsCells(t *testing.T) {
	var out bytes.Buffer
	table := newTable(&out)
	table.line("  a\tb\t%s", show("x\ty"))
	table.line("  long\t\t%s", show(""))
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	if want := "  a     b  \"x\\ty\"\n  long\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
