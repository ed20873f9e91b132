package builder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/fat"
	"diskwright/filesystem/zfs"
	"diskwright/format"
	"diskwright/partition"
	"diskwright/spec"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

// poolSpec asks for a pool on small disks.
func poolSpec(s *spec.Spec) {
	s.Builder, s.BootSize, s.RootSize = spec.BuilderZFS, "16", 300
	s.Datasets = map[string]spec.Dataset{
		"tank/system/root": {Mount: "/"},
		"tank/var":         {Mount: "/var", Properties: map[string]string{"compression": "off"}},
	}
}

var poolFiles = map[string]string{"etc/x": "x", "boot/kernel": "kernel", "var/log/y": "y"}

func digestOf(t *testing.T, m *diskmap.Map) string {
	t.Helper()
	h := sha256.New()
	for e := range m.Extents(0, m.Size()) {
		fmt.Fprintln(h, e.Offset, e.Length)
		if _, err := io.Copy(h, io.NewSectionReader(m, e.Offset, e.Length)); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestPool(t *testing.T) {
	for _, c := range []struct {
		disks   int64
		layouts []partition.Layout
		sizes   []int64 // MiB
		files   string
	}{
		{2, []partition.Layout{partition.ZFSBoot, partition.ZFSRoot}, []int64{16, 300}, "boot nixos.boot.img root nixos.root.img"},
		{1, []partition.Layout{partition.ZFSSingle}, []int64{316}, "root nixos.root.img"},
	} {
		b := mustPlan(t, poolFiles, func(s *spec.Spec) { poolSpec(s); s.Disks = c.disks })
		var files []string
		var systems []FileSystem
		for i, d := range b.Report.All() {
			files = append(files, d.Role, d.File)
			systems = append(systems, d.FileSystems...)
			if d.Table.Layout != c.layouts[i] || d.DiskSize != c.sizes[i]<<20 || b.Maps()[i].Size() != d.DiskSize || d.DataBytes == 0 {
				t.Errorf("disk %d is %+v", i, d)
			}
		}
		if got := strings.Join(files, " "); got != c.files {
			t.Errorf("%d disks: files are %q", c.disks, got)
		}
		if len(systems) != 2 || !strings.HasPrefix(systems[0].Type, "fat") || systems[0].MountPoint != "/boot" || systems[0].Label != "ESP" ||
			systems[1].Type != "zfs" || systems[1].MountPoint != "/" || systems[1].Label != "tank" || systems[1].BlockSize != 4096 {
			t.Errorf("file systems are %+v", systems)
		}
		want := []Dataset{{"tank/var", "/var"}, {"tank/system/root", "/"}}
		if diff := cmp.Diff(want, systems[1].Datasets); diff != "" {
			t.Error(diff)
		}
		fatPart, _ := b.Report.All()[0].Table.ByRole(partition.ESP)
		table := b.Report.All()[0].Table
		v, err := fat.Open(io.NewSectionReader(b.Maps()[0], table.Offset(fatPart), table.Size(fatPart)), table.Size(fatPart))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Lookup("kernel"); err != nil {
			t.Error(err)
		}
	}
}

// What the disks have in common differs, and all of it depends on the seed alone.
func TestPoolDeterministic(t *testing.T) {
	digests := func(change func(*spec.Spec)) (all []string) {
		b := mustPlan(t, poolFiles, func(s *spec.Spec) {
			poolSpec(s)
			s.SourceDateEpoch = "1"
			change(s)
		})
		for _, m := range b.Maps() {
			all = append(all, digestOf(t, m))
		}
		return all
	}
	same := func(*spec.Spec) {}
	first := digests(same)
	if !slices.Equal(first, digests(same)) {
		t.Error("two builds differ")
	}
	for i, d := range digests(func(s *spec.Spec) { s.Seed = "00000000-0000-0000-0000-000000000001" }) {
		if d == first[i] {
			t.Errorf("disk %d does not depend on the seed", i)
		}
	}
	loose := func(s *spec.Spec) { s.Deterministic = false }
	if slices.Equal(digests(loose), digests(loose)) {
		t.Error("two builds that need not be deterministic are the same")
	}
	b := mustPlan(t, poolFiles, poolSpec)
	if b.Report.Disks[0].Table.DiskGUID == b.Report.Disks[1].Table.DiskGUID {
		t.Error("both disks have one GUID")
	}
}

func TestPoolTooSmall(t *testing.T) {
	large := map[string]string{"boot/kernel": strings.Repeat("k", 20<<20), "etc/x": "x"}
	_, err := plan(t, large, poolSpec)
	if !errors.As(err, new(*fat.SpaceError)) || !strings.Contains(err.Error(), "bootSize: /boot is too small") {
		t.Fatalf("a FAT that is too small: %v", err)
	}
	for disks := range 2 {
		ask := func(s *spec.Spec) { poolSpec(s); s.Disks = int64(disks + 1) }
		_, err := plan(t, large, ask)
		_, size, _ := strings.Cut(err.Error(), "; bootSize ")
		size, _, _ = strings.Cut(size, " would do")
		mustPlan(t, large, func(s *spec.Spec) { ask(s); s.BootSize = spec.Size(size) })
	}

	// Nothing compresses here.
	noise := make([]byte, 60<<20)
	for i, x := 0, uint64(1); i < len(noise); i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		noise[i] = byte(x)
	}
	full := map[string]string{"var/noise": string(noise)}
	small := func(s *spec.Spec) { poolSpec(s); s.RootSize = 100 }
	_, err = plan(t, full, small)
	if !errors.As(err, new(*zfs.NoSpaceError)) || !strings.Contains(err.Error(), "rootSize: 100 MiB are too small: ") || !strings.Contains(err.Error(), " bytes are missing") {
		t.Fatalf("a pool that is too small: %v", err)
	}
	var mebibytes int64
	_, size, _ := strings.Cut(err.Error(), "; rootSize ")
	if _, err := fmt.Sscanf(size, "%d would do", &mebibytes); err != nil {
		t.Fatal(size, err)
	}
	mustPlan(t, full, func(s *spec.Spec) { small(s); s.RootSize = mebibytes })
}

func TestPoolErrors(t *testing.T) {
	_, err := plan(t, map[string]string{"var": "no directory"}, poolSpec)
	if err == nil || err.Error() != `datasets: a dataset is mounted at "/var", but "/var" is a file: want a directory` {
		t.Errorf("a file for a mount point: %v", err)
	}
	b := mustPlan(t, poolFiles, poolSpec)
	if err := b.Stream(t.Context(), io.Discard); err == nil || !strings.HasPrefix(err.Error(), "disks: ") {
		t.Errorf("two disks to a stream: %v", err)
	}
	if err := mustPlan(t, poolFiles, func(s *spec.Spec) { poolSpec(s); s.Disks = 1 }).Stream(t.Context(), io.Discard); err != nil {
		t.Errorf("one disk to a stream: %v", err)
	}
}

// The outputs of a build are there together or not at all.
func TestPoolWriteDir(t *testing.T) {
	b := mustPlan(t, poolFiles, func(s *spec.Spec) {
		poolSpec(s)
		s.HydraBuildProducts = true
		s.PostVM = `echo "$out $bootDiskImage $rootDiskImage" > $out/said; [ -z "$diskImage" ]; cmp $bootDiskImage $out/nixos.boot.img`
	})
	dir := filepath.Join(t.TempDir(), "out")
	files, err := b.WriteDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	boot, root := filepath.Join(dir, "nixos.boot.img"), filepath.Join(dir, "nixos.root.img")
	if len(files) != 3 || files[0] != boot || files[1] != root {
		t.Errorf("files are %q", files)
	}
	for name, want := range map[string]string{
		"said":             fmt.Sprintf("%s %s %s\n", dir, boot, root),
		hydraBuildProducts: fmt.Sprintf("file raw-image %s\nfile raw-image %s\n", boot, root),
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s is %q, want %q: %v", name, got, want, err)
		}
	}

	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("was"), 0o644); err != nil {
		t.Fatal(err)
	}
	b = mustPlan(t, poolFiles, func(s *spec.Spec) { poolSpec(s); s.Root = source })
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "out")
	for _, out := range []string{fresh, dir} {
		if _, err := b.WriteDir(t.Context(), out); !errors.Is(err, content.ErrChanged) {
			t.Errorf("a file that has changed: %v", err)
		}
	}
	if _, err := os.Lstat(fresh); err == nil {
		t.Error("one of two disks was left")
	}
	for _, was := range []string{boot, root} { // and neither has taken the place of what was there
		if _, err := os.Lstat(was); err != nil {
			t.Error(err)
		}
	}

	one := mustPlan(t, poolFiles, func(s *spec.Spec) {
		poolSpec(s)
		s.Disks, s.PostVM = 1, `[ "$diskImage" = "$out/nixos.root.img" ]; [ "$rootDiskImage" = "$diskImage" ]; [ -z "$bootDiskImage" ]`
	})
	if _, err := one.WriteDir(t.Context(), filepath.Join(t.TempDir(), "out")); err != nil {
		t.Error(err)
	}
}

// A spool makes no difference to the image, whether it becomes that or is copied into
// it: because it is one already, because it lies elsewhere, or for another format.
func TestPoolSpool(t *testing.T) {
	files := map[string]string{"text": strings.Repeat("some text ", 50_000), "var/text": strings.Repeat("other text", 20_000), "var/small": "x"}
	for _, change := range []func(*spec.Spec){
		func(s *spec.Spec) {},
		func(s *spec.Spec) { s.Disks = 1 },
		func(s *spec.Spec) { s.RootPoolProperties = map[string]string{"ashift": "9"} },
		func(s *spec.Spec) { s.Format = "vdi" },
	} {
		plain := mustPlan(t, files, func(s *spec.Spec) {
			poolSpec(s)
			s.RootPoolFilesystemProperties = map[string]string{"compression": "lz4", "mountpoint": "legacy"}
			change(s)
		})
		for _, spool := range []string{t.TempDir(), scratch.Dir(t)} {
			b, err := New(t.Context(), plain.spec, Options{Spool: spool})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if len(b.spool) != 1 || b.spool[0].(*tree.Spool).Size() < 5_000 {
				t.Errorf("the spool is not used: %v", b.spool)
			}
			for _, out := range []string{filepath.Join(spool, "first"), filepath.Join(spool, "second")} {
				paths, err := b.WriteDir(t.Context(), out)
				if err != nil {
					t.Fatal(err)
				}
				image, err := format.OpenFile(t.Context(), paths[len(paths)-1], format.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer image.Close()
				disk, err := image.Map()
				if err != nil {
					t.Fatal(err)
				}
				for off, size := int64(0), plain.Map().Size(); off < size; off += mebibyte {
					want, got := make([]byte, mebibyte), make([]byte, mebibyte)
					if err := errors.Join(content.ReadFull(plain.Map(), want, off), content.ReadFull(disk, got, off)); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("%s: the MiB at %d is not as it is without a spool", out, off)
					}
				}
			}
		}
	}
}

// Formats whose images have identifiers give each disk its own, and sizes that a
// format rounds up are told.
func TestPoolFormats(t *testing.T) {
	b := mustPlan(t, poolFiles, func(s *spec.Spec) { poolSpec(s); s.Format = "vpc" })
	if len(b.Report.Notes) != 2 || b.Report.Disks[1].File != "nixos.root.vhd" {
		t.Errorf("%+v", b.Report)
	}
	aligned := mustPlan(t, poolFiles, func(s *spec.Spec) { poolSpec(s); s.Format, s.AlignDisk = "vpc", true })
	for i, d := range aligned.Report.Disks {
		if d.DiskSize <= b.Report.Disks[i].DiskSize || d.Table.LastUsable != d.DiskSize/partition.SectorSize-34 {
			t.Errorf("aligned: %+v", d.Table)
		}
	}
	identify := b.identify
	if identify.disk(spec.RoleBoot)("x") == identify.disk(spec.RoleRoot)("x") || identify.disk(spec.RoleRoot)("x") != identify("x") {
		t.Error("identifiers of disks")
	}
}

func TestZFSConfiguration(t *testing.T) {
	mounts := map[string]string{"/": "tank/root", "/a'' ${x} $${y} '": "tank/odd", "/var/\\": "tank/var"}
	user := filepath.Join(t.TempDir(), "configuration.nix")
	if err := os.WriteFile(user, []byte("{ lib, ... }: {\n  text = ''\n    two\n      lines\n  '';\n} # no newline"), 0o444); err != nil {
		t.Fatal(err)
	}
	for _, config := range []string{"", user} {
		root := tree.NewDir(tree.Time{})
		if err := putZFSConfiguration(root, mounts, config, tree.Time{Sec: 1}); err != nil {
			t.Fatal(err)
		}
		file := root.Lookup("etc/nixos/configuration.nix")
		if file == nil || file.Mode != tree.TypeRegular|0o644 {
			t.Fatalf("%+v", file)
		}
		path := filepath.Join(t.TempDir(), "configuration.nix")
		text := make([]byte, file.Size())
		if err := content.ReadFull(file.Content, text, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		want := `{"/":{"device":"tank/root","fsType":"zfs"},"/a'' ${x} $${y} '":{"device":"tank/odd","fsType":"zfs"},"/var/\\":{"device":"tank/var","fsType":"zfs"}}`
		expression := "(import " + path + ").fileSystems"
		if config != "" {
			expression = fmt.Sprintf("let c = (import %s).imports; in [ (builtins.elemAt c 0).fileSystems ((builtins.elemAt c 1) { lib = null; }).text (builtins.length c) ]", path)
			want = "[" + want + `,"two\n  lines\n",2]`
		}
		got := oracle.Run(t, "nix-instantiate", "--eval", "--strict", "--json", "--expr", expression)
		// Nix may have something to say of this machine before.
		if lines := strings.Split(strings.TrimSpace(got), "\n"); lines[len(lines)-1] != want {
			t.Errorf("got %s\nwant %s\n%s", got, want, text)
		}
	}
	if err := putZFSConfiguration(tree.NewDir(tree.Time{}), mounts, user+".missing", tree.Time{}); err == nil {
		t.Error("a configFile that is missing: no error")
	}
}

func TestPoolContext(t *testing.T) {
	s := spec.New()
	poolSpec(s)
	s.Root = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, s, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
