package builder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/partition"
	"diskwright/spec"

	"github.com/google/uuid"
)

// plan plans the image that change makes of the default spec, with a root that
// has the files (path to content).
func plan(t *testing.T, files map[string]string, change func(s *spec.Spec)) (*Build, error) {
	t.Helper()
	s := spec.New()
	s.Root = t.TempDir()
	for path, text := range files {
		path = filepath.Join(s.Root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(s)
	}
	b, err := New(context.Background(), s, Options{})
	if err == nil {
		t.Cleanup(func() { b.Close() })
	}
	return b, err
}

func mustPlan(t *testing.T, files map[string]string, change func(s *spec.Spec)) *Build {
	t.Helper()
	b, err := plan(t, files, change)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestIdentity(t *testing.T) {
	seed := uuid.MustParse("F222513B-DED1-49FA-B591-20CE86A2FE7F")
	id := derived(seed)
	// Computed with: printf ext4-hash-seed | openssl dgst -sha256 -mac HMAC
	// -macopt hexkey:f222513bded149fab59120ce86a2fe7f
	if got, want := id(roleHashSeed).String(), goldenHashSeed; got != want {
		t.Errorf("hash seed %s, want %s", got, want)
	}
	seen := map[uuid.UUID]string{}
	for _, role := range []string{roleFSUUID, roleHashSeed, roleJournalUUID, roleCsumSeed, partition.RoleDisk, partition.RoleSignature} {
		u := id(role)
		if other, ok := seen[u]; ok {
			t.Errorf("%s and %s have one identifier", role, other)
		}
		seen[u] = role
		if u.Version() != 8 || u.Variant() != uuid.RFC4122 {
			t.Errorf("%s: version %d, variant %v", role, u.Version(), u.Variant())
		}
	}
	if derived(uuid.Nil)(roleHashSeed) == id(roleHashSeed) {
		t.Error("another seed gives the same identifier")
	}
	r := random()
	a := r("a")
	if again := r("a"); again != a || r("b") == a || random()("a") == a {
		t.Error("random identifiers: one for each role and build is wanted")
	}
}

// goldenHashSeed is HMAC-SHA256(default seed, "ext4-hash-seed"), cut, version 8.
const goldenHashSeed = "9639b18e-e727-84f2-8a7f-84a4a9fa14b2"

func TestAutoSize(t *testing.T) {
	// Computed by hand from the shell code of the reference.
	for _, c := range []struct {
		blocks, entries, additional, reserved int64
		older                                 bool
		fs, disk                              int64
	}{
		{0, 1, 0, 0, false, 12288, 1 << 20},                        // 8192 + 425, past 4096
		{0, 1, 0, 0, true, 8617, 1 << 20},                          // not rounded
		{0, 0, 1 << 20, 0, false, 4096, 2 << 20},                   // 4096 + 1 MiB
		{0, 0, 1 << 20, 0, true, 0, 1 << 20},                       // whole already
		{0, 0, 1<<20 - 4096, 0, false, 4096, 2 << 20},              // whole, and one more
		{1000, 100, 512 << 20, 1 << 20, false, 5173248, 518 << 20}, // 4915200 + 255590
	} {
		got := autoSize(c.blocks, c.entries, c.additional, c.reserved, c.older)
		if got.FileSystemBytes != c.fs || got.FormulaBytes != c.disk {
			t.Errorf("%+v: file system %d, disk %d", c, got.FileSystemBytes, got.FormulaBytes)
		}
	}
}

func TestSizeModes(t *testing.T) {
	// Large enough for a journal, so that no size up to the largest here lacks it.
	files := map[string]string{"a": strings.Repeat("x", 20<<20)}
	auto := mustPlan(t, files, nil).Report
	if auto.DiskSizeMode != "auto" || auto.AutoSize.Raised || auto.DiskSize != auto.AutoSize.FormulaBytes {
		t.Errorf("auto: %+v, disk %d", auto.AutoSize, auto.DiskSize)
	}
	raised := mustPlan(t, files, func(s *spec.Spec) { s.AdditionalSpace = "0" }).Report
	if !raised.AutoSize.Raised || len(raised.Notes) != 1 || raised.DiskSize <= raised.AutoSize.FormulaBytes {
		t.Errorf("raised: %+v, notes %q", raised.AutoSize, raised.Notes)
	}
	smallest := mustPlan(t, files, func(s *spec.Spec) {
		s.DiskSize.Mode, s.AdditionalSpace = spec.DiskSizeMin, "0"
	}).Report
	if smallest.DiskSize != raised.DiskSize {
		t.Errorf("min is %d, what auto is raised to %d", smallest.DiskSize, raised.DiskSize)
	}
	more := mustPlan(t, files, func(s *spec.Spec) {
		s.DiskSize.Mode, s.AdditionalSpace = spec.DiskSizeMin, "3M"
	}).Report
	if more.DiskSize != smallest.DiskSize+3<<20 {
		t.Errorf("min and 3 MiB is %d, min %d", more.DiskSize, smallest.DiskSize)
	}
	root := smallest.FileSystems[0]
	if root.Free*10 < root.Size || root.FreeInodes < freeInodes {
		t.Errorf("min leaves %d of %d bytes and %d inodes free", root.Free, root.Size, root.FreeInodes)
	}
	// The files alone are as large as this disk.
	_, err := plan(t, files, func(s *spec.Spec) {
		s.DiskSize = spec.DiskSize{Mode: spec.DiskSizeFixed, MiB: 20}
	})
	if !errors.As(err, new(*ext4.NoSpaceError)) || !strings.Contains(err.Error(), "a disk of ") {
		t.Errorf("a disk of 20 MiB: %v", err)
	}
}

func TestBootPartitions(t *testing.T) {
	files := map[string]string{"boot/kernel": "k", "efi/EFI/loader": "l", "etc/x": "x"}
	for _, c := range []struct {
		layout partition.Layout
		ids    []string
	}{
		{partition.EFIXBOOTLDR, []string{"12CE-A600", "12CE-A601"}},
		{partition.EFI, []string{"12CE-A600"}},
		{partition.Legacy, nil},
	} {
		b := mustPlan(t, files, func(s *spec.Spec) { s.PartitionTableType = c.layout })
		var ids []string
		for _, fs := range b.Report.FileSystems {
			if strings.HasPrefix(fs.Type, "fat") {
				ids = append(ids, fs.UUID)
			}
		}
		if strings.Join(ids, " ") != strings.Join(c.ids, " ") {
			t.Errorf("%s: volume ids %q, want %q", c.layout, ids, c.ids)
		}
		table := b.Report.Table
		if p, ok := table.ByRole(partition.ESP); ok {
			esp := io.NewSectionReader(b.Map(), table.Offset(p), table.Size(p))
			v, err := fat.Open(esp, table.Size(p))
			if err != nil {
				t.Fatal(err)
			}
			name := "kernel"
			if p.MountPoint == "/efi" {
				name = "EFI/loader"
			}
			if _, err := v.Lookup(name); err != nil {
				t.Errorf("%s: %s: %v", c.layout, name, err)
			}
		}
	}
	_, err := plan(t, map[string]string{"boot/a": strings.Repeat("x", 3<<20)}, func(s *spec.Spec) {
		s.PartitionTableType, s.BootSize = partition.EFI, "9M"
	})
	if !errors.As(err, new(*fat.SpaceError)) || !strings.Contains(err.Error(), "would do") {
		t.Fatalf("an ESP that is too small: %v", err)
	}
	_, size, _ := strings.Cut(err.Error(), "; bootSize ")
	size, _, _ = strings.Cut(size, " would do")
	mustPlan(t, map[string]string{"boot/a": strings.Repeat("x", 3<<20)}, func(s *spec.Spec) {
		s.PartitionTableType, s.BootSize = partition.EFI, spec.Size(size)
	})
}

// The same spec and tree give the same bytes, wherever the tree is; another
// seed gives others.
func TestDeterministic(t *testing.T) {
	digest := func(change func(s *spec.Spec)) [32]byte {
		b := mustPlan(t, map[string]string{"etc/x": "x", "boot/y": "y"}, func(s *spec.Spec) {
			s.PartitionTableType = partition.Hybrid
			s.SourceDateEpoch = "1" // earlier than any file here
			change(s)
		})
		var stream bytes.Buffer
		if err := b.Stream(context.Background(), &stream); err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(stream.Bytes())
	}
	small := func(s *spec.Spec) { s.AdditionalSpace, s.BootSize = "0", "40M" }
	first := digest(small)
	if digest(small) != first {
		t.Error("two builds differ")
	}
	if digest(func(s *spec.Spec) { small(s); s.Seed = "00000000-0000-0000-0000-000000000001" }) == first {
		t.Error("another seed gives the same image")
	}
	loose := func(s *spec.Spec) { small(s); s.Deterministic = false }
	if one, other := digest(loose), digest(loose); one == other {
		t.Error("two builds that need not be deterministic are the same")
	}
}

func TestWriteDirLeavesNothing(t *testing.T) {
	b := mustPlan(t, map[string]string{"etc/x": "x"}, func(s *spec.Spec) { s.AdditionalSpace = "0" })
	above := t.TempDir()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.WriteDir(canceled, filepath.Join(above, "a", "b")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if left, _ := os.ReadDir(above); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	files, err := b.WriteDir(context.Background(), filepath.Join(above, "a", "b"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if fi, err := os.Stat(files[0]); err != nil || fi.Size() != b.Report.DiskSize {
		t.Errorf("the image: %v, %v", fi, err)
	}
	// What was there before stays when a later build fails.
	if _, err := b.WriteDir(canceled, filepath.Join(above, "a", "b")); err == nil {
		t.Error("canceled: no error")
	}
	if _, err := os.Stat(files[0]); err != nil {
		t.Error(err)
	}
}

// TestWriteDirLeavesOthersAlone: what somebody else has put into a directory
// that a failed build had made stays.
func TestWriteDirLeavesOthersAlone(t *testing.T) {
	b := mustPlan(t, map[string]string{"f": "x"}, nil)
	above := t.TempDir()
	others := filepath.Join(above, "made", "theirs")
	ctx, cancel := context.WithCancel(context.Background())
	b.opts.Progress = meanwhile(func() { // the directory is there, the image not yet
		if err := os.WriteFile(others, nil, 0o644); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if _, err := b.WriteDir(ctx, filepath.Join(above, "made", "mine")); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(others); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(above, "made", "mine")); !os.IsNotExist(err) {
		t.Errorf("the empty directory: %v", err)
	}
}

// meanwhile is a progress sink that does something when a phase begins.
type meanwhile func()

func (m meanwhile) Phase(string, int64) { m() }
func (meanwhile) Add(int64)             {}
func (meanwhile) Warn(string)           {}
