package volume

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
)

var (
	// ErrNotZFS is the error of what is no ZFS pool.
	ErrNotZFS = errors.New("not a ZFS pool")
	// ErrCorrupt is wrapped by errors of what breaks the format: wrong
	// checksums, numbers out of bounds.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnsupported is wrapped by errors of what ZFS has and this reader does
	// not know.
	ErrUnsupported = errors.New("not supported")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("zfs: %w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("zfs: %s: %w", fmt.Sprintf(format, args...), ErrUnsupported)
}

// Pool is a pool that is read. It is safe for concurrent use if its source is.
type Pool struct {
	Info

	device   *io.SectionReader
	trusting bool
	data     int64 // bytes from [ondisk.DataOffset] on that blocks can have
	uber     ondisk.Uberblock
	cache    blockCache

	mos       *objset
	directory map[string]uint64 // object 1: where everything is
	datasets  []*Dataset
}

// Info is what a pool says of itself.
type Info struct {
	Name     string
	GUID     uint64
	State    string // "active", "exported" or "destroyed"
	Hostname string // that imported it last
	TXG      uint64 // transaction group of what is read
	Time     uint64 // when that was written, in seconds since 1970

	Ashift        int
	MetaslabShift int
	Size          int64 // of all metaslabs, which is what `zpool list` shows
	Allocated     int64
	Features      []Feature         // by name
	Properties    map[string]string // of the pool; those that it has set
}

// Feature is one that is enabled. It is active if anything uses it.
type Feature struct {
	GUID  string // "org.illumos:lz4_compress"
	Count uint64 // of what uses it
	Write bool   // who does not know it can read the pool
}

// Name is what properties call the feature.
func (f Feature) Name() string { return f.GUID[strings.IndexByte(f.GUID, ':')+1:] }

// readable are the features without which a pool can be read, or with which this
// package copes. Those that only writers have to know are not among them.
var readable = []string{
	"com.datto:bookmark_v2", "com.delphix:bookmark_written", // nothing reads bookmarks
	"com.delphix:embedded_data",
	"com.delphix:extensible_dataset",
	"com.delphix:head_errlog",
	"com.delphix:hole_birth",
	"com.delphix:redaction_bookmarks", "com.delphix:redaction_list_spill",
	"com.joyent:multi_vdev_crash_dump",
	"com.klarasystems:vdev_zaps_v2",
	"org.freebsd:zstd_compress",
	"org.illumos:lz4_compress",
	"org.illumos:sha512",
	"org.open-zfs:large_blocks",
	"org.zfsonlinux:large_dnode",
}

// Open reads labels and meta objects of the pool on the device of size bytes in r.
// What has no label is [ErrNotZFS].
func Open(r io.ReaderAt, size int64) (*Pool, error) {
	p, _, err := open(r, size, false)
	return p, err
}

// open is Open, and returns the labels as well. Trusting is for tests: what has a
// wrong checksum is read nevertheless.
func open(r io.ReaderAt, size int64, trusting bool) (*Pool, []*label, error) {
	labels, err := readLabels(r, size)
	if err != nil {
		return nil, nil, err
	}
	best := bestLabel(labels)
	p := &Pool{device: io.NewSectionReader(r, 0, size), trusting: trusting}
	if err := p.configure(best.list); err != nil {
		return nil, labels, err
	}
	if ok := p.newest(labels); !ok {
		return nil, labels, corrupt("none of the labels has an uberblock")
	}
	if p.mos, err = p.openObjset(&p.uber.Root); err != nil {
		return nil, labels, fmt.Errorf("meta object set: %w", err)
	}
	if p.mos.kind != ondisk.ObjsetMeta {
		return nil, labels, corrupt("the meta object set has type %d", p.mos.kind)
	}
	for _, read := range []func() error{p.readDirectory, p.readFeatures, p.readProperties, p.readSpace, p.readDatasets} {
		if err := read(); err != nil {
			return nil, labels, err
		}
	}
	return p, labels, nil
}

// label is one that was read.
type label struct {
	offset     int64
	raw        []byte
	list       ondisk.NVList // nil if err is not
	err        error
	uberblocks []ondisk.Uberblock
	damaged    int // slots of uberblocks
}

// magicUberblock is how the slots of uberblocks begin, in the byte order of either
// kind of machine.
var magicUberblock = []string{"\x0c\xb1\xba\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\xba\xb1\x0c"}

// ringAt is where a label has its uberblocks.
const ringAt = ondisk.LabelSize / 2

// readLabels reads the labels of a device. At least one is good.
func readLabels(r io.ReaderAt, size int64) ([]*label, error) {
	size -= size % ondisk.LabelSize
	if size < ondisk.LabelSpace {
		return nil, ErrNotZFS
	}
	var labels []*label
	uberblock := false
	for i := range ondisk.Labels {
		l := &label{offset: ondisk.LabelOffset(size, i), raw: make([]byte, ondisk.LabelSize)}
		if err := content.ReadFull(r, l.raw, l.offset); err != nil {
			return nil, err
		}
		l.list, l.err = ondisk.DecodeLabel(l.raw, l.offset)
		for at := ringAt; at < len(l.raw) && !uberblock; at += 1 << 10 {
			uberblock = slices.ContainsFunc(magicUberblock, func(m string) bool { return string(l.raw[at:at+len(m)]) == m })
		}
		labels = append(labels, l)
	}
	switch {
	case bestLabel(labels) != nil:
		return labels, nil
	case uberblock:
		return nil, corrupt("there are uberblocks, but all labels are damaged")
	}
	return nil, ErrNotZFS
}

// bestLabel returns the newest good label, or nil.
func bestLabel(labels []*label) (best *label) {
	for _, l := range labels {
		if l.err == nil && (best == nil || number(l.list, "txg") > number(best.list, "txg")) {
			best = l
		}
	}
	return best
}

func number(l ondisk.NVList, name string) uint64 {
	v, _ := l.Lookup(name).(uint64)
	return v
}

func text(l ondisk.NVList, name string) string {
	v, _ := l.Lookup(name).(string)
	return v
}

// States of pools (pool_state_t).
var states = map[uint64]string{0: "active", 1: "exported", 2: "destroyed"}

// Limits of the numbers in labels.
const (
	minAshift, maxAshift               = 9, 16
	minMetaslabShift, maxMetaslabShift = 17, 40
	maxMetaslabs                       = 1 << 17
)

// configure takes what a label says.
func (p *Pool) configure(l ondisk.NVList) error {
	version := number(l, "version")
	tree, _ := l.Lookup("vdev_tree").(ondisk.NVList)
	p.Info = Info{
		Name: text(l, "name"), GUID: number(l, "pool_guid"), Hostname: text(l, "hostname"),
		State:  states[number(l, "state")],
		Ashift: int(min(number(tree, "ashift"), maxAshift+1)), MetaslabShift: int(min(number(tree, "metaslab_shift"), maxMetaslabShift+1)),
	}
	switch {
	case p.Name == "" || tree == nil:
		return unsupported("a label of a device that has no data, as of a cache or a spare disk")
	case version != ondisk.PoolVersion:
		return unsupported("pool %q has version %d, not %d, which has feature flags", p.Name, version, ondisk.PoolVersion)
	case number(l, "vdev_children") != 1:
		return unsupported("pool %q has %d devices; only one can be read", p.Name, number(l, "vdev_children"))
	case text(tree, "type") != "disk" && text(tree, "type") != "file":
		return unsupported("pool %q is on a device of the kind %q; only those on a disk or file can be read", p.Name, text(tree, "type"))
	case p.Ashift < minAshift || p.Ashift > maxAshift:
		return corrupt("pool %q has an ashift that is not %d to %d", p.Name, minAshift, maxAshift)
	case p.MetaslabShift < minMetaslabShift || p.MetaslabShift > maxMetaslabShift:
		return corrupt("pool %q has metaslabs that are not 1<<%d to 1<<%d bytes", p.Name, minMetaslabShift, maxMetaslabShift)
	}
	device := p.device.Size() - p.device.Size()%ondisk.LabelSize
	asize := number(tree, "asize")
	p.data = device - ondisk.LabelSpace
	if asize > uint64(p.data) {
		return corrupt("pool %q has %d bytes for data, its device %d", p.Name, asize, p.data)
	}
	p.Size = int64(asize) >> p.MetaslabShift << p.MetaslabShift
	if asize>>p.MetaslabShift > maxMetaslabs {
		return unsupported("pool %q has %d metaslabs", p.Name, asize>>p.MetaslabShift)
	}
	active, _ := l.Lookup("features_for_read").(ondisk.NVList)
	var unknown []string
	for _, pair := range active {
		if !slices.Contains(readable, pair.Name) {
			unknown = append(unknown, pair.Name)
		}
	}
	return p.refuse(unknown)
}

// refuse is the error of features that are not known, or nil if there are none.
func (p *Pool) refuse(unknown []string) error {
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return unsupported("pool %q has features that are not known here: %s", p.Name, strings.Join(unknown, ", "))
}

// newest finds the newest uberblock of all labels.
func (p *Pool) newest(labels []*label) (ok bool) {
	for _, l := range labels {
		l.uberblocks, l.damaged = ondisk.Uberblocks(l.raw, l.offset, p.Ashift)
		for _, u := range l.uberblocks {
			if !ok || u.TXG > p.uber.TXG || u.TXG == p.uber.TXG && u.Timestamp > p.uber.Timestamp {
				p.uber, ok = u, true
			}
		}
	}
	p.TXG, p.Time = p.uber.TXG, p.uber.Timestamp
	return ok
}

// objectDirectory is the only object of the MOS whose number is fixed.
const objectDirectory = 1

func (p *Pool) readDirectory() error {
	entries, err := p.mos.zapEntries(objectDirectory)
	if err != nil {
		return fmt.Errorf("object directory: %w", err)
	}
	p.directory = make(map[string]uint64)
	for _, e := range entries {
		if v, err := e.Number(); err == nil {
			p.directory[e.Name] = v
		}
	}
	return nil
}

func (p *Pool) readFeatures() error {
	var unknown []string
	for _, name := range []string{"features_for_read", "features_for_write"} {
		entries, err := p.mos.zapEntries(p.directory[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, e := range entries {
			count, err := e.Number()
			if err != nil {
				return corrupt("%s: %v", name, err)
			}
			f := Feature{GUID: e.Name, Count: count, Write: name == "features_for_write"}
			p.Features = append(p.Features, f)
			if count > 0 && !f.Write && !slices.Contains(readable, f.GUID) {
				unknown = append(unknown, f.GUID)
			}
		}
	}
	slices.SortFunc(p.Features, func(a, b Feature) int { return strings.Compare(a.Name(), b.Name()) })
	return p.refuse(unknown)
}

// active returns how much of the pool uses a feature.
func (p *Pool) active(guid string) uint64 {
	for _, f := range p.Features {
		if f.GUID == guid {
			return f.Count
		}
	}
	return 0
}

// readProperties reads the properties of the pool that are set.
func (p *Pool) readProperties() error {
	object := p.directory["pool_props"]
	if object == 0 {
		return nil
	}
	entries, err := p.mos.zapEntries(object)
	if err != nil {
		return fmt.Errorf("properties of the pool: %w", err)
	}
	p.Properties = make(map[string]string)
	for _, e := range entries {
		p.Properties[e.Name] = propertyText(e)
	}
	return nil
}
