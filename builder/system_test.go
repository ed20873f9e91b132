package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/spec"
)

// storeHash is that of all store paths of these tests.
const storeHash = "0c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b"

// fakeSystem makes a store with a toplevel that nobody has built, and the spec
// of its image.
func fakeSystem(t *testing.T) *spec.Spec {
	t.Helper()
	dir := t.TempDir()
	path := "/nix/store/" + storeHash + "-nixos-system-x"
	for name, text := range map[string]string{
		filepath.Join(path, "nixos-version"): "24.05",
		"info/registration":                  fmt.Sprintf("%s\nsha256:%064d\n1\n\n0\n", path, 0),
		"info/store-paths":                   path + "\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := spec.New()
	s.System, s.StoreDir, s.ClosureInfo = filepath.Join(dir, path), dir, filepath.Join(dir, "info")
	s.InstallBootLoader = new(false)
	return s
}

// Somebody who collects garbage or optimises the host's store between the plan
// and the end of the build is told, rather than given an image of some of both.
func TestStoreChangesMeanwhile(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"collected": os.RemoveAll,
		// What nix-store --optimise does: a file gets another name, and the
		// time of that.
		"optimised": func(path string) error { return os.Link(filepath.Join(path, "nixos-version"), path+"-link") },
	} {
		t.Run(what, func(t *testing.T) {
			s := fakeSystem(t)
			b, err := New(context.Background(), s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			time.Sleep(20 * time.Millisecond) // clocks of files are coarse
			if err := change(s.System); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "out")
			_, err = b.WriteDir(context.Background(), out)
			if err == nil || !strings.Contains(err.Error(), "nixos-version") || !strings.Contains(err.Error(), "changed") {
				t.Errorf("got %v", err)
			}
			if _, err := os.Lstat(out); err == nil {
				t.Error("there is an output")
			}
		})
	}
}

// A context that is done does not wait for the work.
func TestAwait(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if n, err := await(ctx, func() (int, error) { return 7, io.EOF }); n != 7 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	why := errors.New("why")
	started, end := make(chan bool), make(chan bool)
	defer close(end)
	go func() {
		<-started
		cancel(why)
	}()
	n, err := await(ctx, func() (int, error) {
		close(started)
		<-end
		return 7, nil
	})
	if n != 0 || err != why {
		t.Errorf("%d, %v", n, err)
	}
}

// A stream has no place for what lies beside the image.
func TestStreamHasNoDirectory(t *testing.T) {
	for name, change := range map[string]func(s *spec.Spec){
		"postVM":             func(s *spec.Spec) { s.PostVM = "true" },
		"hydraBuildProducts": func(s *spec.Spec) { s.HydraBuildProducts = true },
	} {
		err := mustPlan(t, nil, change).Stream(context.Background(), io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
