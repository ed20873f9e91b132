package volume

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Mount is a dataset and the path at which its files are.
type Mount struct {
	Path    string // absolute and clean
	Dataset *Dataset
}

// Mounts says where the file systems of the pool belong:
//
//   - those with a path as mountpoint, unless canmount is off, at that path. Where
//     two have the same one, that of the pool's property bootfs has it, or else one
//     with canmount=on, or else the first by name;
//   - those with the mountpoint legacy where legacy has a path for their name. If
//     that is nil, nobody knows where they belong;
//   - if that leaves nothing at the root, there that of bootfs, or the only file
//     system of a pool, if it has no mountpoint that was set;
//   - those for which there is no place by these rules, but that have or may have a
//     mount point, below a directory of the pool's name, as in /tank/system/root.
//
// Those with the mountpoint none are containers of others, and have no place unless
// they are bootfs; nor have legacy ones that legacy does not have.
func (p *Pool) Mounts(legacy map[string]string) []Mount {
	bootfs := p.bootFS()
	var wishes []wish
	for _, d := range p.datasets {
		if w, ok := d.wish(bootfs, legacy); ok {
			wishes = append(wishes, w)
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return a.rank - b.rank })
	taken := make(map[string]bool)
	for i := range wishes {
		if taken[wishes[i].Path] {
			wishes[i].Path = ""
		}
		taken[wishes[i].Path] = true
	}
	var mounts []Mount
	for _, w := range wishes {
		if w.Path == "" {
			w.Path = "/" + w.Dataset.Name
			if w.Dataset == bootfs && !taken["/"] {
				w.Path = "/"
			}
			if taken[w.Path] {
				continue // by one that wants to be there
			}
			taken[w.Path] = true
		}
		mounts = append(mounts, w.Mount)
	}
	slices.SortFunc(mounts, func(a, b Mount) int { return strings.Compare(a.Path, b.Path) })
	return mounts
}

// wish is where a file system wants to be; an empty path is anywhere. That of the
// lowest rank gets what several want.
type wish struct {
	Mount
	rank int
}

// wish returns where a dataset wants to be, if anywhere.
func (d *Dataset) wish(bootfs *Dataset, legacy map[string]string) (w wish, ok bool) {
	if d.Kind != KindFileSystem {
		return w, false
	}
	w.Dataset = d
	canmount := d.Properties["canmount"].Value
	switch {
	case d == bootfs:
		w.rank = 0
	case canmount != "noauto":
		w.rank = 1
	default:
		w.rank = 2
	}
	mountpoint, set := d.Properties["mountpoint"]
	switch {
	case !set && d == bootfs: // the path that it has then is for want of another
	case !set:
		w.Path = "/" + d.Name
	case mountpoint.Value == "legacy":
		w.Path = legacy[d.Name]
		if w.Path == "" && legacy != nil && d != bootfs {
			return w, false
		}
		canmount = "" // counts for others only
	case mountpoint.Value == "none" && d != bootfs:
		return w, false
	default:
		w.Path = mountpoint.Value
	}
	if path.IsAbs(w.Path) {
		w.Path = path.Clean(w.Path)
	} else {
		w.Path = ""
	}
	return w, canmount != "off"
}

// bootFS returns the dataset that the pool's property bootfs names, or else the only
// file system, or nil.
func (p *Pool) bootFS() *Dataset {
	value := p.Properties["bootfs"]
	for _, d := range p.datasets {
		if value != "" && fmt.Sprint(d.object) == value {
			return d
		}
	}
	return p.onlyFileSystem()
}

// onlyFileSystem returns that of a pool that has one, which nobody has said where to
// mount, or nil.
func (p *Pool) onlyFileSystem() (only *Dataset) {
	for _, d := range p.datasets {
		if d.Kind == KindFileSystem {
			if _, set := d.Properties["mountpoint"]; only != nil || set {
				return nil
			}
			only = d
		}
	}
	return only
}
