package inspect

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"diskwright/content"
	"diskwright/filesystem/zfs/volume"
)

// Pool is what a ZFS pool has besides what all file systems have. Its label is its
// name, its UUID its GUID, its features those that are active.
type Pool struct {
	TXG      uint64 `json:"txg"`
	Ashift   int    `json:"ashift"`
	Hostname string `json:"hostname,omitempty"` // that had it imported last
	// Enabled are features that the pool has, but nothing in it uses.
	Enabled []string `json:"enabled,omitempty"`
	// Properties are those of the pool that are set, as they are stored.
	Properties map[string]string `json:"properties,omitempty"`
	// Datasets are in the order of their names, snapshots behind what they are
	// of.
	Datasets []Dataset `json:"datasets"`
}

// Dataset is a file system, a volume or a snapshot of a pool.
type Dataset struct {
	Name       string     `json:"name"` // tank/home, tank/home@monday
	Kind       string     `json:"kind"` // "filesystem", "volume" or "snapshot"
	GUID       string     `json:"guid"` // decimal
	Used       int64      `json:"used"` // with what is below; 0 of a snapshot
	Referenced int64      `json:"referenced"`
	Created    *time.Time `json:"created,omitempty"`
	// Mounted is the directory where its files are among those of the pool:
	// see [volume.Pool.Mounts]. It is missing if they are not among them.
	Mounted string `json:"mounted,omitempty"`
	// Properties are those that are set for it, or above it and inherited.
	Properties map[string]string `json:"properties,omitempty"`
}

// readZFS reads a ZFS pool, or returns nil if there is none.
func readZFS(r *io.SectionReader) (*FileSystem, error) {
	p, err := volume.Open(r, r.Size())
	switch {
	case errors.Is(err, volume.ErrNotZFS):
		return nil, nil
	case errors.Is(err, volume.ErrUnsupported):
		return &FileSystem{Type: typeZFS}, nil
	case errors.Is(err, volume.ErrCorrupt):
		return &FileSystem{Type: typeZFS, Problems: []string{err.Error()}}, nil
	case err != nil:
		return nil, err
	}
	fs := &FileSystem{
		Type: typeZFS, Detailed: true,
		Label: p.Name, UUID: strconv.FormatUint(p.GUID, 10),
		Size: p.Size, BlockSize: 1 << p.Ashift, Used: p.Allocated, Free: p.Size - p.Allocated,
		State: p.State, Written: zfsTime(p.Time),
		Pool: &Pool{TXG: p.TXG, Ashift: p.Ashift, Hostname: p.Hostname, Properties: p.Properties, Datasets: []Dataset{}},
	}
	for _, f := range p.Features {
		if f.Count > 0 {
			fs.Features = append(fs.Features, f.Name())
		} else {
			fs.Pool.Enabled = append(fs.Pool.Enabled, f.Name())
		}
	}
	mounted := make(map[*volume.Dataset]string)
	for _, m := range poolMounts(p) {
		mounted[m.Dataset] = m.Path
	}
	for _, d := range p.Datasets() {
		set := Dataset{
			Name: d.Name, Kind: d.Kind, GUID: strconv.FormatUint(d.GUID, 10),
			Used: d.Used, Referenced: d.Referenced.Allocated, Created: zfsTime(d.Created), Mounted: mounted[d],
		}
		for name, p := range d.Properties {
			if set.Properties == nil {
				set.Properties = make(map[string]string)
			}
			set.Properties[name] = p.Value
		}
		fs.Pool.Datasets = append(fs.Pool.Datasets, set)
	}
	return fs, nil
}

// zfsTime returns a time of a pool, or nil for none.
func zfsTime(seconds uint64) *time.Time { return extTime(int64(min(seconds, maxTime+1))) }

// poolMounts says where the file systems of a pool are. Those with the mountpoint
// "legacy" are where a system in the pool mounts them.
func poolMounts(p *volume.Pool) []volume.Mount { return p.Mounts(legacyMounts(p)) }

// fstabs are where a file system that is mounted at "/", or at "/nix", may have the
// fstab of its system: of NixOS that of the current generation, since /etc is only
// filled at boot.
var fstabs = []struct{ mount, path string }{
	{"/", "/nix/var/nix/profiles/system/etc/fstab"},
	{"/nix", "/nix/var/nix/profiles/system/etc/fstab"},
	{"/", "/etc/fstab"},
}

// legacyMounts returns where the first fstab that is found in the pool mounts the
// pool's datasets with the mountpoint "legacy".
func legacyMounts(p *volume.Pool) map[string]string {
	for _, d := range p.Datasets() {
		if d.Kind != volume.KindFileSystem || d.Properties["mountpoint"].Value != "legacy" {
			continue
		}
		for _, at := range fstabs {
			files, err := p.Files([]volume.Mount{{Path: at.mount, Dataset: d}})
			if err != nil {
				break
			}
			if mounts := readFstab(files, at.path, p); len(mounts) > 0 {
				return mounts
			}
		}
	}
	return nil
}

const maxFstab = 1 << 20

// readFstab returns where a fstab mounts datasets of the pool; nothing if it cannot
// be read.
func readFstab(files *volume.Files, path string, p *volume.Pool) map[string]string {
	i, err := files.Lookup(path, true)
	if err != nil || !i.IsRegular() || i.Size() == 0 || i.Size() > maxFstab {
		return nil
	}
	text := make([]byte, i.Size())
	if err := content.ReadFull(i.Content, text, 0); err != nil {
		return nil
	}
	mounts := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != typeZFS || !strings.HasPrefix(f[1], "/") {
			continue
		}
		if name := fstabEscapes.Replace(f[0]); p.Dataset(name) != nil {
			mounts[name] = fstabEscapes.Replace(f[1])
		}
	}
	return mounts
}

// fstabEscapes are what stands for characters that end a field (fstab(5)).
var fstabEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// zfsFiles returns the files of a pool, or of the one dataset of a name.
func zfsFiles(r *io.SectionReader, dataset string) (Files, error) {
	p, err := volume.Open(r, r.Size())
	if err != nil {
		return nil, err
	}
	if dataset == "" {
		return p.Files(poolMounts(p))
	}
	d := p.Dataset(dataset)
	if d == nil {
		return nil, errors.New("there is no dataset " + strconv.Quote(dataset))
	}
	return d.Files()
}
