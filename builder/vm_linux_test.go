package builder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"diskwright/content"
	"diskwright/filesystem/ext4"
	"diskwright/format/raw"
	"diskwright/partition"
	"diskwright/spec"
	"diskwright/tree"
	"diskwright/vm/protocol"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// installerVariable names, in the environment of this program, which of the
// installers it is to be.
const installerVariable = "DISKWRIGHT_TEST_INSTALLER"

func TestMain(m *testing.M) {
	if name := os.Getenv(installerVariable); name != "" {
		if err := pretendMachine(name, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	status := m.Run()
	if binaries != "" {
		os.RemoveAll(binaries)
	}
	os.Exit(status)
}

// binaries is where guestProgram builds.
var binaries string

// seen is what an installer knows.
type seen struct {
	job  *protocol.Job
	uuid string // of the root file system
}

// installers change a disk, as virtual machines would: its root file system's tree,
// and the disk itself.
var installers = map[string]struct {
	files func(root *tree.Inode, seen *seen) error
	disk  func(f *os.File) error
}{
	"nothing": {},
	"identity": {files: func(root *tree.Inode, seen *seen) error {
		return tree.PutFile(root, "/uuid", tree.NewFile(content.Bytes(seen.uuid), tree.Time{}), tree.Time{})
	}},
	"files": {files: func(root *tree.Inode, seen *seen) error {
		commands := ""
		for _, c := range seen.job.Commands {
			commands += strings.Join(c.Args, " ") + "\n"
		}
		now := tree.Time{Sec: 1790000000}
		return errors.Join(
			tree.PutFile(root, "/boot/loader.conf", tree.NewFile(content.Bytes(commands), now), now),
			tree.PutFile(root, "/boot/links", tree.NewFile(content.Bytes(strings.Join(seen.job.Links, "\n")), now), now),
			tree.PutFile(root, "/etc/machine-id", tree.NewFile(content.Bytes(fmt.Sprint(os.Getpid())), now), now),
		)
	}},
	"boot code": {disk: func(f *os.File) error {
		return errors.Join(writeAt(f, 0, "\xebprogram"), writeAt(f, 5*partition.SectorSize, "more of it"))
	}},
	"block list": {disk: func(f *os.File) error {
		code := append([]byte("\xeb\x63"), make([]byte, 438)...)
		binary.LittleEndian.PutUint64(code[0x5c:], 4096)
		copy(code[0x180:], "GRUB \x00")
		return writeAt(f, 0, string(code))
	}},
	"fails": {files: func(*tree.Inode, *seen) error { return errors.New("no such device") }},
}

func writeAt(f *os.File, offset int64, text string) error {
	_, err := f.WriteAt([]byte(text), offset)
	return err
}

// pretendMachine is QEMU, with a guest in it whose installer has that name. The disk
// has an MBR with one partition.
func pretendMachine(name string, args []string) error {
	w := protocol.NewWriter(os.Stdout)
	if err := w.Text(protocol.Hello, protocol.Version); err != nil {
		return err
	}
	m, err := protocol.Read(os.Stdin)
	if err != nil {
		return err
	}
	job, err := m.Job()
	if err != nil {
		return err
	}
	disk := ""
	for _, arg := range args {
		if drive, ok := strings.CutPrefix(arg, "if=none,id=disk,"); ok {
			_, disk, _ = strings.Cut(drive, "file=")
		}
	}
	if err := w.Text(protocol.Step, "installer"); err != nil {
		return err
	}
	if _, err := w.Write([]byte("installing\n")); err != nil {
		return err
	}
	if err := install(name, disk, job); err != nil {
		return w.Text(protocol.Failed, "%v", err)
	}
	return w.Send(protocol.Done, nil)
}

func install(name, disk string, job *protocol.Job) error {
	installer, ok := installers[name]
	if !ok {
		return fmt.Errorf("there is no installer %q", name)
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if installer.files != nil {
		if err := changeFiles(f, func(root *tree.Inode, uuid string) error { return installer.files(root, &seen{job, uuid}) }); err != nil {
			return err
		}
	}
	if installer.disk != nil {
		return installer.disk(f)
	}
	return nil
}

// changeFiles makes the file system of the only partition another one, of what
// change makes of its tree.
func changeFiles(f *os.File, change func(root *tree.Inode, uuid string) error) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	table, err := partition.Read(f, fi.Size())
	if err != nil {
		return err
	}
	start, size := table.Offset(table.Partitions[0]), table.Size(table.Partitions[0])
	v, err := ext4.Open(io.NewSectionReader(f, start, size), size)
	if err != nil {
		return err
	}
	root, err := v.Tree(context.Background())
	if err != nil {
		return err
	}
	root.RemoveChild("lost+found")
	if err := change(root, uuid.UUID(v.Superblock().UUID).String()); err != nil {
		return err
	}
	opts := ext4.Options{Size: size / 1024 * 1024, Label: "nixos"}
	need, err := ext4.Measure(root, opts)
	if err != nil {
		return err
	}
	fs, err := ext4.Plan(need, opts)
	if err != nil {
		return err
	}
	// The content of the new one is still in the old one.
	var image bytes.Buffer
	if err := raw.WriteStream(context.Background(), fs.Map(), &image, raw.Options{}); err != nil {
		return err
	}
	_, err = f.WriteAt(image.Bytes(), start)
	return err
}

// guestProgram builds the program as it is for users.
var guestProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "diskwright-builder-test-")
	if err != nil {
		return "", err
	}
	binaries = dir
	path := filepath.Join(dir, "diskwright")
	cmd := exec.Command("go", "build", "-o", path, "diskwright/cmd/diskwright")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// vmSpec is fakeSystem with what a virtual machine needs, and how to build it: with
// an installer, in a scratch directory that must be empty in the end.
func vmSpec(t *testing.T, installer string) (*spec.Spec, Options) {
	t.Helper()
	s := fakeSystem(t)
	for name, text := range map[string]string{
		"system": "x86_64-linux", "kernel": "kernel", "kernel-modules/lib/modules/6.1/modules.dep": "",
	} {
		name = filepath.Join(s.System, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.InstallBootLoader, s.InstallMethod, s.VMAccel = nil, spec.InstallVM, spec.AccelTCG
	s.DiskSize, s.AdditionalSpace = spec.DiskSize{Mode: spec.DiskSizeMin}, "8M"

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	guest, err := guestProgram()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", installerVariable, installer, self)
	if err := os.WriteFile(filepath.Join(bin, "qemu-system-x86_64"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	scratch := t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	})
	return s, Options{GuestBinary: guest, Spool: scratch, NoSync: true}
}

// rootTree returns the tree of a disk's root file system.
func rootTree(t *testing.T, b *Build) *tree.Inode {
	t.Helper()
	part, _ := b.Report.Table.ByRole(partition.Root)
	section := io.NewSectionReader(b.Map(), b.Report.Table.Offset(part), b.Report.Table.Size(part))
	v, err := ext4.Open(section, section.Size())
	if err != nil {
		t.Fatal(err)
	}
	root, err := v.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// textOf returns what a file of a tree holds.
func textOf(t *testing.T, root *tree.Inode, path string) string {
	t.Helper()
	i := root.Lookup(path)
	if i == nil {
		t.Fatalf("there is no %s", path)
	}
	text := make([]byte, i.Size())
	if err := content.ReadFull(i.Content, text, 0); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What an installer changes is in the image, at the epoch; what is random is not,
// and the report says so. The disk is the one that the installer has seen.
func TestVMFiles(t *testing.T) {
	s, opts := vmSpec(t, "files")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Contents = []spec.Content{{Source: file, Target: "srv/file", User: "alice", Group: "users"}}
	s.VMDevices = []string{"/dev/disk/by-id/x"}
	var output bytes.Buffer
	opts.GuestOutput = &output
	var digests []string
	for range 2 {
		b, err := New(t.Context(), s, opts)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := b.Map().SHA256(t.Context(), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, fmt.Sprintf("%x", sum))
		root := rootTree(t, b)
		want := "/nix/var/nix/profiles/system/bin/switch-to-configuration boot\nchown -R alice:users /srv/file\n"
		if got := textOf(t, root, "boot/loader.conf"); got != want {
			t.Errorf("the commands were %q, want %q", got, want)
		}
		if got := textOf(t, root, "boot/links"); got != "/dev/disk/by-id/x" {
			t.Errorf("the links were %q", got)
		}
		if i := root.Lookup("boot/loader.conf"); i.Mtime.Sec != spec.DefaultEpoch {
			t.Errorf("a new file is of %d", i.Mtime.Sec)
		}
		if root.Lookup("etc/machine-id") != nil {
			t.Error("the machine's id is in the image")
		}
		wantVM := &VM{Changes: Changes{Added: []string{"/boot", "/boot/links", "/boot/loader.conf"}}, LeftOut: []string{"/etc/machine-id"}}
		if diff := cmp.Diff(wantVM, b.Report.VM); diff != "" {
			t.Errorf("the report: (-want +got)\n%s", diff)
		}
		wantNotes := []string{`installMethod: "/etc/machine-id", which is made at random, is not in the image as the virtual machine has left it`}
		if diff := cmp.Diff(wantNotes, b.Report.Notes); diff != "" {
			t.Errorf("notes: (-want +got)\n%s", diff)
		}
		opts := opts
		opts.PlanOnly = true
		planned, err := New(t.Context(), s, opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(planned.Report.Table, b.Report.Table); diff != "" {
			t.Errorf("the table is not the planned one: (-planned +built)\n%s", diff)
		}
		if planned.Report.VM != nil || len(planned.Report.Notes) != 1 || !strings.Contains(planned.Report.Notes[0], "a plan does without") {
			t.Errorf("the plan has %+v, and notes %q", planned.Report.VM, planned.Report.Notes)
		}
		if err := errors.Join(b.Close(), planned.Close()); err != nil {
			t.Error(err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds: %q", digests)
	}
	if got := output.String(); got != "installing\ninstalling\n" {
		t.Errorf("the output is %q", got)
	}
}

// Programs outside of file systems are in the image; the disk that is kept has them
// too, and is no other disk.
func TestVMBootCode(t *testing.T) {
	for _, keep := range []bool{false, true} {
		s, opts := vmSpec(t, "boot code")
		s.KeepDisk = keep
		b, err := New(t.Context(), s, opts)
		if err != nil {
			t.Fatal(err)
		}
		want := &VM{BootCode: true, Written: []Written{{5 * partition.SectorSize, partition.SectorSize}}}
		if keep {
			want = &VM{KeptDisk: true}
		}
		if diff := cmp.Diff(want, b.Report.VM); diff != "" {
			t.Errorf("kept %v: the report: (-want +got)\n%s", keep, diff)
		}
		if b.Report.Deterministic == keep {
			t.Errorf("kept %v, deterministic %v", keep, b.Report.Deterministic)
		}
		dir := t.TempDir()
		files, err := b.WriteDir(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(image, []byte("\xebprogram")) || !bytes.HasPrefix(image[5*partition.SectorSize:], []byte("more of it")) {
			t.Errorf("kept %v: the programs are not in the image", keep)
		}
		if int64(len(image)) != b.Report.DiskSize || b.Report.FileSystems[0].Free <= 0 {
			t.Errorf("kept %v: %d bytes, the report has %+v", keep, len(image), b.Report)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What cannot be done is said with what could be, and nothing is left.
func TestVMErrors(t *testing.T) {
	for _, test := range []struct {
		installer string
		change    func(s *spec.Spec, o *Options)
		want      []string
	}{
		{"fails", nil, []string{"installMethod: no such device; it said:\ninstalling"}},
		{"block list", nil, []string{"installMethod: ", "partition 1", "; keepDisk takes the disk as it is"}},
		{"nothing", func(_ *spec.Spec, o *Options) { o.GuestBinary = "/etc/passwd" },
			[]string{`the virtual machine needs this program for x86_64-linux: "/etc/passwd" is not a program for Linux`}},
		{"nothing", func(s *spec.Spec, _ *Options) {
			os.WriteFile(filepath.Join(s.System, "system"), []byte("riscv64-linux"), 0o644)
		}, []string{`no virtual machine for the architecture "riscv64"`}},
		{"nothing", func(s *spec.Spec, _ *Options) {
			s.PartitionTableType, s.TouchEFIVars, s.EFIFirmware, s.EFIVariables = partition.EFI, true, "/missing/code", "/missing/vars"
		}, []string{"firmware: ", "/missing/code"}},
	} {
		s, opts := vmSpec(t, test.installer)
		if test.change != nil {
			test.change(s, &opts)
		}
		b, err := New(t.Context(), s, opts)
		if err == nil {
			b.Close()
			t.Errorf("%s: no error, want %q", test.installer, test.want)
			continue
		}
		if missing := slices.DeleteFunc(slices.Clone(test.want), func(text string) bool { return strings.Contains(err.Error(), text) }); len(missing) > 0 {
			t.Errorf("%s: error is %v, want %q in it", test.installer, err, missing)
		}
	}
	var guest *GuestError
	s, opts := vmSpec(t, "nothing")
	opts.GuestBinary = "/etc/passwd"
	if _, err := New(t.Context(), s, opts); !errors.As(err, &guest) || guest.GOARCH != "amd64" {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	s, opts = vmSpec(t, "nothing")
	opts.GuestOutput = writerFunc(func(p []byte) (int, error) { cancel(stop); return len(p), nil })
	if b, err := New(ctx, s, opts); !errors.Is(err, stop) {
		t.Errorf("interrupted it is %v, %v", b, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// However the size of the disk is found, it is that of the plan, and what was
// installed fits.
func TestVMSizes(t *testing.T) {
	for name, change := range map[string]func(s *spec.Spec){
		"auto":    func(s *spec.Spec) { s.DiskSize, s.AdditionalSpace = spec.DiskSize{}, "4M" },
		"fixed":   func(s *spec.Spec) { s.DiskSize = spec.DiskSize{Mode: spec.DiskSizeFixed, MiB: 33} },
		"aligned": func(s *spec.Spec) { s.Format, s.AlignDisk = "vpc", true },
		"rounded": func(s *spec.Spec) { s.Format = "vpc" },
	} {
		s, opts := vmSpec(t, "files")
		change(s)
		b, err := New(t.Context(), s, opts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		opts.PlanOnly = true
		planned, err := New(t.Context(), s, opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(planned.Report.Table, b.Report.Table); diff != "" {
			t.Errorf("%s: the table: (-planned +built)\n%s", name, diff)
		}
		if diff := cmp.Diff(planned.Report.AutoSize, b.Report.AutoSize); diff != "" {
			t.Errorf("%s: the size: (-planned +built)\n%s", name, diff)
		}
		was, is := planned.Report.FileSystems[0], b.Report.FileSystems[0]
		if was.Inodes != is.Inodes || was.FreeInodes <= is.FreeInodes {
			t.Errorf("%s: %d inodes, %d free; planned %d and %d", name, is.Inodes, is.FreeInodes, was.Inodes, was.FreeInodes)
		}
		if mode := b.Report.DiskSizeMode; mode != planned.Report.DiskSizeMode {
			t.Errorf("%s: the mode is %q", name, mode)
		}
		if err := errors.Join(b.Close(), planned.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A build that is not deterministic has the same identifiers in both plans: those
// that the installer has seen.
func TestVMRandomIdentity(t *testing.T) {
	s, opts := vmSpec(t, "identity")
	s.Deterministic = false
	b, err := New(t.Context(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := textOf(t, rootTree(t, b), "uuid"), b.Report.FileSystems[0].UUID; got != want {
		t.Errorf("the installer has seen %s, the image has %s", got, want)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
