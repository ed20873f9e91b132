package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// house lists the packages from the roof to the ground. A package may import
// those below it only, and those beside it (on the same line) never.
var house = []struct {
	floor    string
	packages []string
	reason   string
}{
	{"cmd", []string{"cmd/diskwright"}, "the command line has no logic of its own: nothing may need it"},
	{"builder", []string{"builder"}, "the only package that knows all the others"},
	{"spec", []string{"spec"}, "what was asked for, checked before anything is touched: it may know layouts, never how to build"},
	{"vm", []string{"vm"}, "runs a guest, when asked to; nothing that makes an image may need one"},
	{"nbd", []string{"nbd"}, "serves a disk map"},
	{"inspect", []string{"inspect"}, "reads images of any kind; what writes them must not depend on it"},
	{"nixos", []string{"nixos"}, "a NixOS system as a tree"},
	{"boot", []string{"boot"}, "boot loaders as data: what they need of a system is handed to them"},
	{"nixstore", []string{"nixstore"}, "store paths and closures; knows nothing of systems or disks"},
	{"partition", []string{"partition"}, "places maps of file systems without knowing what they are"},
	{"filesystem", []string{"filesystem/ext4", "filesystem/fat", "filesystem/zfs"}, "file systems know nothing of each other, nor of formats: each is a library by itself"},
	{"formats", []string{"format"}, "which formats there are"},
	{"containers", []string{"format/qcow2", "format/vdi", "format/vpc", "format/vhdx", "format/vmdk"}, "encoders walk a map; they know nothing of what it means, nor of each other"},
	{"blocks", []string{"format/block", "format/compress"}, "what containers have in common"},
	{"format", []string{"format/raw"}, "encoders walk a map; they know nothing of what it means"},
	{"tree", []string{"tree"}, "what every file system is planned from"},
	{"diskmap", []string{"diskmap"}, "where bytes lie"},
	{"content", []string{"content"}, "what bytes can come from"},
	{"leaves", []string{"progress", "atomicfile", "finding"}, "anybody may use them, so they may use nobody"},
}

const module = "diskwright/"

// Imports go downwards only. (depguard can say that too, but not the order.)
func TestLayering(t *testing.T) {
	floors := make(map[string]int)
	for i, f := range house {
		for _, p := range f.packages {
			floors[p] = i
		}
	}
	// floorOf returns the floor of a package; helpers below a package
	// (filesystem/ext4/ondisk) live on its floor and belong to it.
	floorOf := func(path string) (floor int, owner string) {
		for p := path; ; {
			if i, ok := floors[p]; ok {
				return i, p
			}
			slash := strings.LastIndexByte(p, '/')
			if slash < 0 {
				return -1, ""
			}
			p = p[:slash]
		}
	}
	all := packages(t)
	if len(all) < len(house) {
		t.Fatalf("go list finds %d packages only", len(all))
	}
	for _, p := range all {
		name, inside := strings.CutPrefix(p.ImportPath, module)
		if !inside || strings.HasPrefix(name, "test/") || name == "test" || strings.HasPrefix(name, "bench") {
			continue
		}
		from, owner := floorOf(name)
		if from < 0 {
			t.Errorf("package %s has no floor in the house; give it one in layering_test.go", name)
			continue
		}
		for _, imported := range p.Imports {
			other, inside := strings.CutPrefix(imported, module)
			if !inside {
				continue
			}
			if strings.HasPrefix(other, "test/") || other == "test" {
				t.Errorf("%s imports %s: only tests may import test packages", name, other)
				continue
			}
			to, otherOwner := floorOf(other)
			switch {
			case otherOwner == owner && owner != "":
			case to > from:
			case to == from:
				t.Errorf("%s imports %s beside it: %s", name, other, house[from].reason)
			default:
				t.Errorf("%s imports %s above it: %s", name, other, house[max(to, 0)].reason)
			}
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

// packages returns what go list says of the module's packages.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	output, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
