package spec

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"diskwright/filesystem/zfs"
	"diskwright/partition"

	"github.com/google/uuid"
)

// Values of [Spec.Builder].
const (
	BuilderDisk = "disk" // one disk, as make-disk-image.nix makes it
	BuilderZFS  = "zfs"  // a pool, as make-multi-disk-zfs-image.nix and make-single-disk-zfs-image.nix make it
)

// Dataset is an element of [Spec.Datasets]: a file system of the pool.
type Dataset struct {
	Mount      string // where what lies there goes into it; "" is not mounted, and stays empty
	Properties map[string]string
}

// Defaults of the ZFS builders.
const (
	defaultZFSBootSize  = 1024 // MiB
	defaultDiskBootSize = "256M"
)

var (
	defaultPoolProperties           = map[string]string{"autoexpand": "on"}
	defaultPoolFileSystemProperties = map[string]string{
		"acltype": "posixacl", "atime": "off", "compression": "on", "mountpoint": "legacy", "xattr": "sa",
	}
)

// BootEnd returns bootSize as the builder disk takes it: what was asked for, or the
// default.
func (s *Spec) BootEnd() Size {
	if s.BootSize == "" {
		return defaultDiskBootSize
	}
	return s.BootSize
}

// PoolSizes returns bootSize and rootSize of the builder zfs in bytes.
func (s *Spec) PoolSizes() (boot, root int64) {
	mebibytes, _ := s.zfsBootSize()
	return mebibytes << 20, s.RootSize << 20
}

// zfsBootSize returns bootSize in MiB, which is how the builder zfs takes it.
func (s *Spec) zfsBootSize() (int64, error) {
	if s.BootSize == "" {
		return defaultZFSBootSize, nil
	}
	if _, rest := cutDigits(string(s.BootSize)); rest == "" {
		if mebibytes, err := strconv.ParseInt(string(s.BootSize), 10, 64); err == nil {
			return mebibytes, nil
		}
	}
	return 0, fmt.Errorf("%q is not a whole number: the builder zfs takes it in MiB", string(s.BootSize))
}

// PoolOptions returns what was asked for of the pool, for a device of size bytes:
// its datasets in the order in which the reference creates them, shortest name
// first, without what they hold.
func (s *Spec) PoolOptions(size int64) zfs.Options {
	o := zfs.Options{
		Size:           size,
		Name:           s.RootPoolName,
		Features:       s.Features,
		PoolProperties: s.RootPoolProperties,
		Properties:     s.RootPoolFilesystemProperties,
	}
	for _, name := range s.DatasetNames() {
		d := s.Datasets[name]
		if below, ok := strings.CutPrefix(name, s.RootPoolName+"/"); ok {
			o.Datasets = append(o.Datasets, zfs.Dataset{Name: below, Mount: d.Mount, Properties: d.Properties})
		} else {
			o.Mount = d.Mount
		}
	}
	return o
}

// DatasetNames returns the names of the datasets, shorter ones first.
func (s *Spec) DatasetNames() []string {
	names := slices.Sorted(maps.Keys(s.Datasets))
	slices.SortStableFunc(names, func(a, b string) int { return len(a) - len(b) })
	return names
}

// Mounts returns the names of the datasets that are mounted, by their mount points.
func (s *Spec) Mounts() map[string]string {
	mounts := make(map[string]string)
	for name, d := range s.Datasets {
		if d.Mount != "" {
			mounts[d.Mount] = name
		}
	}
	return mounts
}

// PoolDisk says what the disk with a role must be like, but for the type of its FAT
// and its identifiers.
func (s *Spec) PoolDisk(role string) partition.ZFSRequest {
	bootSize, rootSize := s.PoolSizes()
	switch {
	case s.Disks == 1:
		return partition.ZFSRequest{Layout: partition.ZFSSingle, DiskSize: bootSize + rootSize, BootSize: bootSize}
	case role == RoleBoot:
		return partition.ZFSRequest{Layout: partition.ZFSBoot, DiskSize: bootSize}
	default:
		return partition.ZFSRequest{Layout: partition.ZFSRoot, DiskSize: rootSize}
	}
}

// Roles of the disks of a build.
const (
	RoleBoot = "boot"
	RoleRoot = "root"
)

// Roles returns the roles of the disks that are asked for, in their order.
func (s *Spec) Roles() []string {
	if s.Builder == BuilderZFS && s.Disks == 2 {
		return []string{RoleBoot, RoleRoot}
	}
	return []string{RoleRoot}
}

// belongs checks that the parameters that were given are those of the builder.
func (v *validator) belongs() {
	s, defaults := v.spec, New()
	for _, p := range table {
		_, given := s.origin[p.Name]
		if p.Builder != "" && p.Builder != s.Builder && (given || !p.equal(s, defaults)) {
			v.fail(p.Name, "is a parameter of the builder %s, and the builder is %s", p.Builder, s.Builder)
		}
	}
}

// zfs checks what the builder zfs is asked for.
func (v *validator) zfs() {
	s := v.spec
	before := len(v.problems)
	if s.Disks != 1 && s.Disks != 2 {
		v.fail("disks", "%d is out of range; it must be 1 or 2", s.Disks)
	}
	mebibytes, err := s.zfsBootSize()
	v.mebibytes("bootSize", mebibytes, err)
	v.mebibytes("rootSize", s.RootSize, nil)
	v.choice("features", s.Features)
	v.vmRanges() // of what is accepted without effect
	if v.choice("installMethod", s.InstallMethod) && s.InstallMethod != InstallNative {
		v.fail("installMethod", "the builder zfs has only %q: there is no virtual machine that knows ZFS", InstallNative)
	}
	if err := zfs.CheckName(s.RootPoolName); err != nil {
		v.failWith("rootPoolName", err)
	}
	v.properties("rootPoolProperties", s.RootPoolProperties, zfs.CheckPoolProperties)
	v.properties("rootPoolFilesystemProperties", s.RootPoolFilesystemProperties, zfs.CheckProperties)
	v.datasets()
	if len(v.problems) == before {
		v.pool()
	}
}

// mebibytes checks a size that is given as a number of MiB.
func (v *validator) mebibytes(name string, n int64, err error) {
	if err == nil && (n < 1 || n > diskSizeMax) {
		err = fmt.Errorf("%d MiB are out of range; it must be from 1 to %d", n, int64(diskSizeMax))
	}
	if err != nil {
		v.failWith(name, err)
	}
}

// properties checks properties one by one, so that each problem is where the
// property is.
func (v *validator) properties(parameter string, props map[string]string, check func(map[string]string) error) {
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if err := check(map[string]string{name: props[name]}); err != nil {
			v.failWith(parameter+"."+name, err)
		}
	}
}

// datasets checks the names and the mount points of datasets.
func (v *validator) datasets() {
	s := v.spec
	mounted := make(map[string]string)
	for _, name := range s.DatasetNames() {
		d, at := s.Datasets[name], "datasets."+name
		switch {
		case name == s.RootPoolName && len(d.Properties) > 0:
			v.fail(at+".properties", "%q is the pool's own file system; give its properties as rootPoolFilesystemProperties", name)
		case name != s.RootPoolName && !strings.HasPrefix(name, s.RootPoolName+"/"):
			v.fail(at, "%q is not in the pool %q (rootPoolName); its name must begin with %q", name, s.RootPoolName, s.RootPoolName+"/")
		}
		v.properties(at+".properties", d.Properties, zfs.CheckProperties)
		if d.Mount == "" {
			continue
		}
		v.mount(name, at)
		if other, ok := mounted[d.Mount]; ok {
			v.fail(at+".mount", "%q is mounted at %q, and so is %q", name, d.Mount, other)
		}
		mounted[d.Mount] = name
	}
	if mounted["/"] == "" && v.readable("datasets") && !v.anyBroken("datasets.") {
		v.fail("datasets", "no dataset is mounted at \"/\"; one must be")
	}
}

// mount checks the mount point of a dataset. What is mounted must have the property
// that lets NixOS mount it.
func (v *validator) mount(name, at string) {
	mount := v.spec.Datasets[name].Mount
	if err := zfs.CheckMount(mount); err != nil {
		v.failWith(at+".mount", err)
	}
	if mount == "/boot" || strings.HasPrefix(mount, "/boot/") {
		v.fail(at+".mount", "%q lies in the FAT that is mounted at \"/boot\"", mount)
	}
	switch value, from := v.spec.inherited(name, "mountpoint"); {
	case value == "legacy":
	case from == name:
		v.fail(at+".properties.mountpoint", "%q is mounted at %q, and must have the mountpoint \"legacy\", not %q", name, mount, value)
	case from != "":
		v.fail(at+".mount", "%q is mounted, and must have the mountpoint \"legacy\", but has %q of %s", name, value, from)
	default:
		v.fail(at+".mount", "%q is mounted, and must have the mountpoint \"legacy\", which is neither a property of it nor of rootPoolFilesystemProperties", name)
	}
	canmount := v.spec.Datasets[name].Properties["canmount"]
	if name == v.spec.RootPoolName {
		canmount = v.spec.RootPoolFilesystemProperties["canmount"]
	}
	if canmount == "off" {
		v.fail(at+".mount", "%q is mounted, and cannot have canmount=off", name)
	}
}

// inherited returns the value that a property has in a dataset, and which dataset
// or parameter it comes from; both are empty if it is ZFS's default.
func (s *Spec) inherited(name, property string) (value, from string) {
	for ; name != "." && name != "/" && name != s.RootPoolName; name = path.Dir(name) {
		if value, ok := s.Datasets[name].Properties[property]; ok {
			return value, name
		}
	}
	if value, ok := s.RootPoolFilesystemProperties[property]; ok {
		return value, "rootPoolFilesystemProperties"
	}
	return "", ""
}

// anyBroken reports whether a value whose name begins so could not be read.
func (v *validator) anyBroken(prefix string) bool {
	for name := range v.spec.broken {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// apart returns the errors that were joined.
func apart(err error) (list []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	for _, err := range joined.Unwrap() {
		list = append(list, apart(err)...)
	}
	return list
}

// pool lays the disks out and checks the pool as a whole, to learn what does not
// fit together.
func (v *validator) pool() {
	for _, role := range v.spec.Roles() {
		request := v.spec.PoolDisk(role)
		request.Identify = func(string) uuid.UUID { return uuid.UUID{1} }
		table, err := partition.PlanZFS(request)
		var size *partition.SizeError
		if errors.As(err, &size) {
			v.fail(size.Parameter, "%s", strings.TrimPrefix(size.Error(), size.Parameter+": "))
			continue
		}
		if err == nil {
			if part, ok := table.ByRole(partition.Root); ok {
				err = v.spec.PoolOptions(table.Size(part)).Check()
			}
		}
		for _, err := range apart(err) {
			place := v.spec.where("builder")
			v.problems = append(v.problems, Problem{place.String(), "", err, place.at})
		}
	}
}
