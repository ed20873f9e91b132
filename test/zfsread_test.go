//go:build linux

package test

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"diskwright/inspect"
	"diskwright/inspect/verify"
	"diskwright/test/manifest"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/test/zfsrig"
	"diskwright/tree"
)

// What makes pools in the rig's guests.
//
//go:embed zfsrig/variety
var variety string

// What real OpenZFS writes is read as it was written, and nothing is wrong with it.
func TestZFSReader(t *testing.T) {
	oracle.NeedRoot(t)
	rig := zfsrig.Need(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range zfsrig.Versions {
		t.Run(version.String(), func(t *testing.T) {
			disks := make(map[string]string)
			var list []string
			for _, pool := range []string{"tank", "old", "live"} {
				disks[pool] = filepath.Join(scratch.Dir(t), pool)
				oracle.Run(t, "truncate", "-s", "1G", disks[pool])
				list = append(list, disks[pool])
			}
			result := rig.Run(t, zfsrig.Guest{Version: version, Disks: list, Files: map[string]string{"manifest": self}, Script: variety})
			if result.Status != "0" {
				t.Fatalf("exit status %s:\n%s", result.Status, result.Log)
			}
			for pool, disk := range disks {
				verified(t, disk, pool == "live")
			}
			files, err := filepath.Glob(filepath.Join(result.Out, "*.manifest"))
			if err != nil || len(files) != 11 {
				t.Errorf("%d manifests, %v", len(files), err)
			}
			for _, file := range files {
				name := strings.TrimSuffix(filepath.Base(file), ".manifest")
				pool, _, _ := strings.Cut(name, "_")
				dataset := strings.ReplaceAll(name, "_", "/")
				if dataset == pool {
					dataset += "/" // alone, without what is mounted below
				}
				want, err := manifest.Load(file)
				if err != nil {
					t.Error(err)
					continue
				}
				got := extracted(t, disks[pool], dataset)
				if pool == "live" { // changed since, and in the log
					want, got = want.Without(".", "logged"), got.Without(".", "logged")
				}
				if diff := manifest.Diff(want, got); diff != "" {
					t.Errorf("%s is read as another tree:\n%s", dataset, diff)
				}
			}
		})
	}
}

// verified verifies a disk. Of a pool that was in use not all may be checked. Findings
// that are tolerated are no mistake of ours.
func verified(t testing.TB, disk string, inUse bool, tolerated ...*regexp.Regexp) {
	t.Helper()
	result, err := verify.File(t.Context(), disk, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range result.Findings {
		if slices.ContainsFunc(tolerated, func(r *regexp.Regexp) bool { return r.MatchString(fmt.Sprint(f.Finding)) }) {
			continue
		}
		t.Errorf("%s: %s: %v", filepath.Base(disk), f.Area, f.Finding)
	}
	if said := fmt.Sprint(result.Skipped); !inUse && len(result.Skipped) > 1 || inUse && !strings.Contains(said, "intent log of live") {
		t.Errorf("%s: skipped %q", filepath.Base(disk), result.Skipped)
	}
}

// extracted returns what is extracted of a dataset.
func extracted(t testing.TB, disk, dataset string) manifest.Manifest {
	t.Helper()
	image, err := inspect.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	files, err := image.Choose(dataset)
	if err != nil {
		t.Fatal(err)
	}
	root, err := files.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(scratch.Dir(t), "extracted")
	if err := tree.Extract(t.Context(), root, dir, tree.ExtractOptions{Privileged: true}); err != nil {
		t.Fatal(err)
	}
	return read(t, dir)
}
