package volume

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"diskwright/filesystem/zfs/ondisk"
)

// Kinds of datasets.
const (
	KindFileSystem = "filesystem"
	KindVolume     = "volume" // a disk
	KindSnapshot   = "snapshot"
)

// Dataset is a file system, a volume or a snapshot of one.
type Dataset struct {
	Name string // with that of the pool; of a snapshot DATASET@NAME
	Kind string
	ondisk.DSLDataset
	Used int64 // bytes, with all that is below; 0 of a snapshot

	// Properties are those that are set, here or above, as `zfs get` shows
	// them; snapshots have those of their dataset.
	Properties map[string]Property
	// HasLog says that the intent log has something that is not in the dataset
	// yet, because the pool was not exported.
	HasLog bool

	pool   *Pool
	object uint64
	open   func() (*FileSystem, error)
}

// Property is the value of a property, and the dataset that it is set in.
type Property struct {
	Value, Source string
}

// Limits of what a tree of datasets is believed to be.
const (
	maxDatasetName = 255
	maxDatasets    = 1 << 20
)

// Datasets returns all of the pool, each before those below it: file systems and
// volumes, and behind each its snapshots, the oldest first. It must not be changed.
func (p *Pool) Datasets() []*Dataset { return p.datasets }

// Dataset returns the dataset of a name, or nil.
func (p *Pool) Dataset(name string) *Dataset {
	i := slices.IndexFunc(p.datasets, func(d *Dataset) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return p.datasets[i]
}

func (p *Pool) readDatasets() error {
	w := &datasetWalk{pool: p, seen: make(map[uint64]bool)}
	if err := w.directory(p.directory["root_dataset"], p.Name, nil); err != nil {
		return fmt.Errorf("datasets: %w", err)
	}
	return nil
}

type datasetWalk struct {
	pool *Pool
	seen map[uint64]bool // directories and datasets
}

func (w *datasetWalk) see(object uint64) error {
	if w.seen[object] || len(w.seen) >= maxDatasets {
		return corrupt("object %d is met twice, or is one of too many", object)
	}
	w.seen[object] = true
	return nil
}

// directory adds the dataset that a directory has, and what is below.
func (w *datasetWalk) directory(object uint64, name string, inherited map[string]Property) error {
	if err := w.see(object); err != nil {
		return err
	}
	if len(name) > maxDatasetName {
		return corrupt("the dataset %q has more than %d bytes in its name", name, maxDatasetName)
	}
	o, err := w.pool.mos.object(object)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	dir, err := ondisk.DecodeDSLDir(o.Bonus)
	if err != nil || o.BonusType != ondisk.TypeDSLDir {
		return corrupt("%q: object %d is no directory of datasets", name, object)
	}
	properties, err := w.properties(dir.Properties, name, inherited)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if dir.Head != 0 {
		if err := w.head(dir, name, properties); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	if dir.ChildMap == 0 {
		return nil
	}
	children, err := w.pool.mos.zapEntries(dir.ChildMap)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	slices.SortFunc(children, func(a, b ondisk.ZAPEntry) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range children {
		// Those of the pool's own: $MOS, $FREE, $ORIGIN; and what is being
		// received.
		if strings.HasPrefix(e.Name, "$") || strings.HasPrefix(e.Name, "%") {
			continue
		}
		child, err := e.Number()
		if err != nil || strings.ContainsAny(e.Name, "/@\x00") {
			return corrupt("%q: a dataset %q", name, e.Name)
		}
		if err := w.directory(child, name+"/"+e.Name, properties); err != nil {
			return err
		}
	}
	return nil
}

// head adds the dataset of a directory and its snapshots.
func (w *datasetWalk) head(dir ondisk.DSLDir, name string, properties map[string]Property) error {
	d, err := w.dataset(dir.Head, name)
	if err != nil {
		return err
	}
	d.Used, d.Properties = dir.Used.Allocated, properties
	w.pool.datasets = append(w.pool.datasets, d)
	if d.SnapshotNames == 0 {
		return nil
	}
	names, err := w.pool.mos.zapEntries(d.SnapshotNames)
	if err != nil {
		return err
	}
	var snapshots []*Dataset
	for _, e := range names {
		object, err := e.Number()
		if err != nil {
			return corrupt("%v", err)
		}
		s, err := w.dataset(object, name+"@"+e.Name)
		if err != nil {
			return fmt.Errorf("%q: %w", s.Name, err)
		}
		s.Kind, s.Properties = KindSnapshot, properties
		snapshots = append(snapshots, s)
	}
	slices.SortFunc(snapshots, func(a, b *Dataset) int {
		if a.CreatedTXG != b.CreatedTXG {
			return int(min(max(int64(a.CreatedTXG-b.CreatedTXG), -1), 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	w.pool.datasets = append(w.pool.datasets, snapshots...)
	return nil
}

func (w *datasetWalk) dataset(object uint64, name string) (*Dataset, error) {
	d := &Dataset{Name: name, pool: w.pool, object: object, Kind: KindFileSystem}
	d.open = sync.OnceValues(d.openFileSystem)
	if err := w.see(object); err != nil {
		return d, err
	}
	o, err := w.pool.mos.object(object)
	if err != nil {
		return d, err
	}
	if o.BonusType != ondisk.TypeDSLDataset {
		return d, corrupt("object %d is no dataset", object)
	}
	if d.DSLDataset, err = ondisk.DecodeDSLDataset(o.Bonus); err != nil {
		return d, corrupt("object %d: %v", object, err)
	}
	if d.Pointer.IsHole() {
		return d, nil
	}
	// A dataset that cannot be opened is an error when its files are wanted.
	if s, err := w.pool.openObjset(&d.Pointer); err == nil {
		if s.kind == ondisk.ObjsetVolume {
			d.Kind = KindVolume
		}
		d.HasLog = !s.Log.IsHole()
	}
	return d, nil
}

// Suffixes of names in the list of a dataset's properties (dsl_prop.c): what was
// received with `zfs receive`, and that this counts for nothing.
const (
	receivedSuffix  = "$recvd"
	inheritSuffix   = "$inherit"
	hasReceivedName = "$hasrecvd"
)

// properties returns the properties that a dataset has, its own and those of the
// one above.
func (w *datasetWalk) properties(object uint64, name string, inherited map[string]Property) (map[string]Property, error) {
	all := make(map[string]Property)
	for key, p := range inherited {
		if !notInherited[key] {
			all[key] = p
		}
	}
	if m, ok := all["mountpoint"]; ok && strings.HasPrefix(m.Value, "/") {
		last := name[strings.LastIndexByte(name, '/')+1:]
		all["mountpoint"] = Property{strings.TrimSuffix(m.Value, "/") + "/" + last, m.Source}
	}
	if object == 0 {
		return all, nil
	}
	entries, err := w.pool.mos.zapEntries(object)
	if err != nil {
		return nil, err
	}
	own := make(map[string]ondisk.ZAPEntry)
	for _, e := range entries {
		own[e.Name] = e
	}
	for _, e := range entries {
		key, received := strings.CutSuffix(e.Name, receivedSuffix)
		if e.Name == hasReceivedName || strings.HasSuffix(e.Name, inheritSuffix) {
			continue
		}
		if received {
			_, local := own[key]
			_, inherit := own[key+inheritSuffix]
			if local || inherit {
				continue
			}
		}
		all[key] = Property{propertyValue(key, e), name}
	}
	return all, nil
}

// notInherited are the properties that count for one dataset only.
var notInherited = map[string]bool{
	"canmount": true, "quota": true, "refquota": true, "reservation": true, "refreservation": true,
	"volsize": true, "volblocksize": true, "filesystem_limit": true, "snapshot_limit": true,
	"filesystem_count": true, "snapshot_count": true, "keylocation": true, "version": true,
}

// propertyText returns a value as text: a string without its end, or a number.
func propertyText(e ondisk.ZAPEntry) string {
	if e.Array != nil {
		return strings.TrimRight(string(e.Array), "\x00")
	}
	return strconv.FormatUint(e.Value, 10)
}

// Names of the values of properties that are stored as numbers (zfs_prop.c).
var (
	onOff      = map[uint64]string{0: "off", 1: "on"}
	algorithms = map[uint64]string{
		1: "on", 2: "off", 3: "lzjb", 5: "gzip-1", 6: "gzip-2", 7: "gzip-3", 8: "gzip-4", 9: "gzip-5",
		10: "gzip", 11: "gzip-7", 12: "gzip-8", 13: "gzip-9", 14: "zle", 15: "lz4",
	}
	values = map[string]map[uint64]string{
		"atime": onOff, "relatime": onOff, "devices": onOff, "exec": onOff, "setuid": onOff, "readonly": onOff,
		"nbmand": onOff, "overlay": onOff, "vscan": onOff, "zoned": onOff, "utf8only": onOff,
		"checksum": {
			1: "on", 2: "off", 6: "fletcher2", 7: "fletcher4", 8: "sha256", 10: "noparity",
			11: "sha512", 12: "skein", 13: "edonr", 14: "blake3",
		},
		"acltype":            {0: "off", 1: "posix", 2: "nfsv4"},
		"xattr":              {0: "off", 1: "dir", 2: "sa"},
		"canmount":           {0: "off", 1: "on", 2: "noauto"},
		"sync":               {0: "standard", 1: "always", 2: "disabled"},
		"primarycache":       {0: "none", 1: "metadata", 2: "all"},
		"secondarycache":     {0: "none", 1: "metadata", 2: "all"},
		"logbias":            {0: "latency", 1: "throughput"},
		"snapdir":            {0: "hidden", 1: "visible"},
		"redundant_metadata": {0: "all", 1: "most", 2: "some", 3: "none"},
		"dnodesize":          {0: "legacy", 1: "auto", 1024: "1k", 2048: "2k", 4096: "4k", 8192: "8k", 16384: "16k"},
		"aclinherit":         {0: "discard", 1: "noallow", 3: "passthrough", 4: "restricted", 5: "passthrough-x"},
		"aclmode":            {0: "discard", 2: "groupmask", 3: "passthrough", 4: "restricted"},
		"casesensitivity":    {0: "sensitive", 1: "insensitive", 2: "mixed"},
	}
)

// Zstd is stored with its level above the kind of compression
// (ZIO_COMPLEVEL_ZSTD): 101 and on stand for the fast levels.
const (
	zstdLevelBit  = 7
	zstdFastLevel = 100
)

// propertyValue returns the value of a property as `zfs get` shows it.
func propertyValue(name string, e ondisk.ZAPEntry) string {
	if e.Array != nil {
		return propertyText(e)
	}
	if name == "compression" {
		if text, ok := algorithms[e.Value]; ok {
			return text
		}
		if kind := ondisk.Compression(e.Value & (1<<zstdLevelBit - 1)); kind == ondisk.CompressionZstd {
			switch level := e.Value >> zstdLevelBit; {
			case level == 0:
				return "zstd"
			case level > zstdFastLevel:
				return fmt.Sprintf("zstd-fast-%d", fastLevel(level-zstdFastLevel))
			default:
				return fmt.Sprintf("zstd-%d", level)
			}
		}
	}
	if text, ok := values[name][e.Value]; ok {
		return text
	}
	return strconv.FormatUint(e.Value, 10)
}

// fastLevel returns the level of zstd-fast with an ordinal: 1 to 10, then tens to
// 100, 500 and 1000.
func fastLevel(n uint64) uint64 {
	switch {
	case n <= 10:
		return n
	case n <= 19:
		return (n - 9) * 10
	case n == 20:
		return 500
	}
	return 1000
}

// readSpace sums what the space maps say is allocated.
func (p *Pool) readSpace() error {
	return p.metaslabs(func(_ uint64, o *object) error {
		if o == nil {
			return nil
		}
		i, err := ondisk.DecodeSpaceMapHeader(o.Bonus)
		if err != nil {
			return corrupt("object %d: %v", o.number, err)
		}
		p.Allocated += min(max(i.Allocated, 0), 1<<p.MetaslabShift)
		return nil
	})
}

// metaslabs calls each for the space maps of all metaslabs, which are nil where
// nothing was ever allocated.
func (p *Pool) metaslabs(each func(n uint64, o *object) error) error {
	config, err := p.config()
	if err != nil {
		return err
	}
	tree, _ := config.Lookup("vdev_tree").(ondisk.NVList)
	children, _ := tree.Lookup("children").([]ondisk.NVList)
	if len(children) != 1 {
		return corrupt("the configuration has %d devices", len(children))
	}
	number := number(children[0], "metaslab_array")
	if number == 0 {
		return nil
	}
	array, err := p.mos.object(number)
	if err != nil {
		return fmt.Errorf("array of metaslabs: %w", err)
	}
	for n := range uint64(p.Size >> p.MetaslabShift) {
		number, err := array.word(n)
		if err != nil {
			return fmt.Errorf("array of metaslabs: %w", err)
		}
		var o *object
		if number != 0 {
			if o, err = p.mos.object(number); err != nil {
				return fmt.Errorf("metaslab %d: %w", n, err)
			}
		}
		if err := each(n, o); err != nil {
			return fmt.Errorf("metaslab %d: %w", n, err)
		}
	}
	return nil
}

// maxConfig bounds the size of the configuration.
const maxConfig = 16 << 20

// config returns the configuration that the MOS has.
func (p *Pool) config() (ondisk.NVList, error) {
	o, err := p.mos.object(p.directory["config"])
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return o.packedList()
}

// packedList returns the name-value list that an object has.
func (o *object) packedList() (ondisk.NVList, error) {
	if len(o.Bonus) < 8 {
		return nil, corrupt("object %d is no list", o.number)
	}
	size := le.Uint64(o.Bonus)
	if size > maxConfig {
		return nil, corrupt("object %d is a list of %d bytes", o.number, size)
	}
	p := make([]byte, size)
	if err := o.readFull(p, 0); err != nil {
		return nil, err
	}
	l, err := ondisk.DecodeNVList(p)
	if err != nil {
		return nil, corrupt("object %d: %v", o.number, err)
	}
	return l, nil
}
