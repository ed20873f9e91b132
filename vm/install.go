// Package vm has a NixOS system install its own boot loader, whichever that is, in
// a virtual machine, and returns what came of it as files: the virtual machine is
// a source of files, not the maker of an image.
//
//	tree ─ plan ─► disk ─ write ─► scratch image ─ vm/host, vm/guest ─► changed image
//	tree (again) ◄──────────────── vm/overlay ◄───────────────────────────┘
//
// The image that a user gets is planned from that tree, so that it has the
// structure, the order and the times of every image.
//
// Below it are packages that know less: vm/host runs a machine, vm/guest is what
// runs in it, vm/protocol what the two say to each other, vm/kmod and vm/cpio make
// its initrd, vm/overlay compares.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"diskwright/boot"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/format"
	"diskwright/format/raw"
	"diskwright/partition"
	"diskwright/progress"
	"diskwright/tree"
	"diskwright/vm/guest"
	"diskwright/vm/host"
	"diskwright/vm/kmod"
	"diskwright/vm/overlay"
	"diskwright/vm/protocol"
)

// Request is what to install, and on what.
type Request struct {
	// Root is a tree of all files, those of boot partitions below their mount
	// points. It becomes what the installer makes of it.
	Root *tree.Inode
	// Toplevel is the system's store path.
	Toplevel string
	// Disk is the disk that is planned from another tree of the same files,
	// without a boot loader, and Table its partitions.
	Disk  *diskmap.Map
	Table *partition.Table
	// RootType is the type of the root file system: "ext4", "ext3", "ext2".
	RootType string
	// Links are names that the system's installer has for the disk, below /dev.
	Links []string
	// Owners are set when the boot loader is installed, in this order.
	Owners []Owner
	Epoch  tree.Time
	// Keep has the disk taken as the guest leaves it. Root then stays as it is.
	Keep bool

	// Guest is this program, for the system's architecture; see
	// [host.CheckGuest].
	Guest string
	// Options of the machine; zero values are fine. What else it has is filled
	// in here.
	Machine host.Machine
	// Dir is where the scratch image lies; "" is that of temporary files.
	Dir string

	Workers  int           // goroutines that write the disk; 0 is one for each CPU
	Progress progress.Sink // may be nil
}

// Owner is whom a file, and all below it, is to belong to.
type Owner struct {
	Path        string
	User, Group string // names of the system, or numbers
}

// Result is what came of an installation.
type Result struct {
	// Files are what has become of Root, and Areas what is new outside of file
	// systems; nil if the disk is kept.
	Files *overlay.Report
	Areas *overlay.Areas
	// Random are files of a disk that is kept that are made at random, and were
	// not there before.
	Random []string
	// Variables is the firmware's variable store, and ChangedVariables what has
	// become of it; nil without firmware.
	Variables        []byte
	ChangedVariables *Variables

	dir  string
	disk *os.File
}

// Close gives back the scratch image, in which lies the content of the files that
// the installer has made.
func (r *Result) Close() error {
	var err error
	if r.disk != nil {
		err = r.disk.Close()
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// Disk returns the disk as the guest has left it, with its holes. It is read until
// the result is closed.
func (r *Result) Disk() (*diskmap.Map, error) { return format.MapFile(r.disk) }

// Files of a scratch directory.
const (
	diskFile      = "disk.img"
	variablesFile = "efi-vars.fd"
)

// Install runs the system's installer. The caller closes the result when Root is
// no longer read. After an error, Root is of no use.
func Install(ctx context.Context, r *Request) (*Result, error) {
	dir, err := os.MkdirTemp(r.Dir, "diskwright-vm-disk-")
	if err != nil {
		return nil, err
	}
	// QEMU takes a colon in a relative path for the end of a protocol's name.
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	result := &Result{dir: dir}
	if err := result.install(ctx, r); err != nil {
		return nil, errors.Join(err, result.Close())
	}
	return result, nil
}

func (r *Result) install(ctx context.Context, request *Request) error {
	machine, err := request.machine(r.dir)
	if err != nil {
		return err
	}
	progress.Phase(request.Progress, "writing the disk of the virtual machine", request.Disk.DataSize())
	opts := raw.Options{Workers: request.Workers, Progress: progress.Adder(request.Progress)}
	if err := write(ctx, request.Disk, machine.Disk, opts); err != nil {
		return err
	}
	progress.Phase(request.Progress, "starting the virtual machine", 0)
	if err := host.Run(ctx, machine); err != nil {
		return err
	}
	if machine.Firmware != nil {
		if err := r.readVariables(request.Machine.Firmware.Variables, machine.Firmware.Variables); err != nil {
			return err
		}
	}
	progress.Phase(request.Progress, "reading the disk back", 0)
	// The guest has had the disk: it is a disk of known partitions, whatever it
	// looks like now.
	if r.disk, err = os.Open(machine.Disk); err != nil {
		return err
	}
	if !request.Keep {
		if r.Areas, err = overlay.ReadAreas(request.Disk, r.disk, request.Table); err != nil {
			return err
		}
	}
	after, err := request.read(ctx, r.disk)
	if err != nil {
		return err
	}
	if request.Keep {
		r.Random = request.random(after)
		return nil
	}
	r.Files, err = overlay.Apply(ctx, request.Root, after, overlay.Options{Epoch: request.Epoch, FATs: request.fats()})
	return err
}

// machine returns the machine to run, whose disk and variables are in dir.
func (r *Request) machine(dir string) (*host.Machine, error) {
	m := r.Machine
	files := boot.Files{Root: r.Root}
	system, err := files.Read(r.Toplevel + "/system")
	if err != nil {
		return nil, err
	}
	m.Arch = strings.TrimSuffix(string(system), "-linux")
	m.Guest = r.Guest
	m.Disk = filepath.Join(dir, diskFile)
	kernel, _, err := files.Regular(r.Toplevel + "/kernel")
	if err != nil {
		return nil, err
	}
	m.Kernel = kernel.Content
	modules, err := kmod.Open(files, r.Toplevel+"/kernel-modules")
	if err != nil {
		return nil, err
	}
	if m.Modules, err = modules.Load(host.Wanted...); err != nil {
		return nil, err
	}
	if f := m.Firmware; f != nil {
		store, err := os.ReadFile(f.Variables)
		if err != nil {
			return nil, err
		}
		firmware := *f
		firmware.Variables = filepath.Join(dir, variablesFile)
		if err := os.WriteFile(firmware.Variables, store, 0o600); err != nil {
			return nil, err
		}
		m.Firmware = &firmware
	}
	m.Job = &protocol.Job{
		Mounts:  r.mounts(),
		Links:   r.Links,
		Epoch:   r.Epoch.Sec,
		EFIVars: m.Firmware != nil,
		Commands: []protocol.Command{{
			Args: []string{guest.System + "/bin/switch-to-configuration", "boot"},
			Env:  []string{"NIXOS_INSTALL_BOOTLOADER=1"},
		}},
	}
	for _, o := range r.Owners {
		args := []string{"chown", "-R", o.User + ":" + o.Group, path.Join("/", o.Path)}
		m.Job.Commands = append(m.Job.Commands, protocol.Command{Args: args})
	}
	return &m, nil
}

// random returns the files of a tree that are made at random, and that are new.
func (r *Request) random(after *tree.Inode) (paths []string) {
	for _, dir := range append([]string{""}, r.fats()...) {
		for _, name := range overlay.Random {
			if name = dir + name; after.Lookup(name) != nil && r.Root.Lookup(name) == nil {
				paths = append(paths, name)
			}
		}
	}
	return paths
}

// mounts returns the file systems of the disk: that of the root, then those of
// boot partitions in the order of the table.
func (r *Request) mounts() (mounts []protocol.Mount) {
	for _, p := range r.Table.Partitions {
		switch {
		case p.Role == partition.Root:
			root := protocol.Mount{Partition: p.Number, Type: r.RootType, Path: "/"}
			mounts = append([]protocol.Mount{root}, mounts...)
		case p.MountPoint != "":
			mounts = append(mounts, protocol.Mount{Partition: p.Number, Type: "vfat", Path: p.MountPoint})
		}
	}
	return mounts
}

// fats returns the mount points of boot partitions.
func (r *Request) fats() (paths []string) {
	for _, p := range r.Table.Partitions {
		if p.Role != partition.Root && p.MountPoint != "" {
			paths = append(paths, p.MountPoint)
		}
	}
	return paths
}

// read returns the files of a disk as they were mounted.
func (r *Request) read(ctx context.Context, disk io.ReaderAt) (*tree.Inode, error) {
	var root *tree.Inode
	for _, m := range r.mounts() {
		files, err := r.readOne(ctx, disk, m)
		switch {
		case err != nil:
			return nil, fmt.Errorf("reading %s back: %w", m.Path, err)
		case root == nil:
			root = files
		default:
			if err := overlay.Mount(root, m.Path, files); err != nil {
				return nil, err
			}
		}
	}
	return root, nil
}

// readOne returns the files of one file system.
func (r *Request) readOne(ctx context.Context, disk io.ReaderAt, m protocol.Mount) (*tree.Inode, error) {
	for _, p := range r.Table.Partitions {
		if p.Number != m.Partition {
			continue
		}
		size := r.Table.Size(p)
		section := io.NewSectionReader(disk, p.Start*partition.SectorSize, size)
		if p.Role != partition.Root {
			v, err := fat.Open(section, size)
			if err != nil {
				return nil, err
			}
			return v.Tree(ctx)
		}
		v, err := ext4.Open(section, size)
		if err != nil {
			return nil, err
		}
		return v.Tree(ctx)
	}
	return nil, fmt.Errorf("there is no partition %d", m.Partition)
}

// write writes a disk to a new file.
func write(ctx context.Context, disk *diskmap.Map, path string, opts raw.Options) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := raw.WriteFile(ctx, disk, f, opts); err != nil {
		return err
	}
	return f.Close()
}
