// Package verify looks for everything that is wrong with a disk image: its
// container, its partition table, its file systems, and on one with a NixOS system
// the store, its database, profiles and boot entries.
//
//	container        tables of the format; refcounts of qcow2
//	table            CRCs and backup of a GPT, overlaps, alignment
//	ext4, FAT, ZFS   what e2fsck -f -n, fsck.vfat -n and zdb -bcc find
//	store            database, hash of each path's NAR
//	links, entries   profiles and boot entries lead to files that exist
//
// Nothing ends it early: what is damaged is a finding, and what can still be read
// is checked.
package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/filesystem/zfs/volume"
	"diskwright/finding"
	"diskwright/format"
	"diskwright/inspect"
	"diskwright/partition"
	"diskwright/progress"
)

// Options of [File].
type Options struct {
	NoNAR    bool          // leave out the hashes of store paths: no content is read
	Workers  int           // that hash; 0 is twice the number of CPUs
	Progress progress.Sink // may be nil
}

// Result is what was found.
type Result struct {
	File string `json:"file"`
	// OK says that nothing is wrong.
	OK bool `json:"ok"`
	// Checked lists what was checked, and Skipped what was not, with the reason.
	Checked []string `json:"checked"`
	Skipped []string `json:"skipped,omitempty"`
	// Findings are what is wrong, at most [finding.PerKind] of each kind in
	// each area; Total counts all.
	Findings []Finding `json:"findings"`
	Total    int64     `json:"total"`
}

// Finding is a finding in an area of the image.
type Finding struct {
	// Area is "container", "table", "partition 2 (ext4)", "store", "boot" or
	// "profiles".
	Area string `json:"area"`
	finding.Finding
	// Omitted counts more findings of the same kind, which are not listed.
	Omitted int64 `json:"omitted,omitempty"`
}

// File verifies the image at path. An error is only what keeps it from being
// looked at: a file that is not there, a format that nobody reads here, a
// cancelled context.
func File(ctx context.Context, path string, opts Options) (*Result, error) {
	r := &run{ctx: ctx, opts: opts, result: &Result{File: path, Checked: []string{}, Findings: []Finding{}}}
	progress.Phase(opts.Progress, "checking the container", 0)
	if err := r.image(path); err != nil {
		return nil, err
	}
	r.result.OK = r.result.Total == 0
	return r.result, nil
}

// run is a verification.
type run struct {
	ctx    context.Context
	opts   Options
	result *Result
	img    *inspect.Image
}

// image verifies the container, and what is in it.
func (r *run) image(path string) error {
	var unread *format.UnreadError
	f, err := format.OpenFile(r.ctx, path, format.OpenOptions{MayChange: true})
	switch {
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case errors.As(err, &unread), isPathError(err):
		return err
	case err != nil:
		return r.area("container", func(list *finding.List) error {
			list.Add("container", "", "%v", err)
			return nil
		})
	}
	defer f.Close()
	if err := r.area("container", func(list *finding.List) error { return f.Check(r.ctx, list) }); err != nil {
		return err
	}
	r.img, err = inspect.Of(f)
	if err != nil {
		if r.result.Total > 0 {
			r.skip("the disk", "the container is damaged: "+err.Error())
			return r.ctx.Err()
		}
		return r.area("table", func(list *finding.List) error {
			list.Add("unreadable", "", "%v", err)
			return r.ctx.Err()
		})
	}
	return r.disk()
}

// disk verifies what the disk has.
func (r *run) disk() error {
	if err := r.area("table", r.table); err != nil {
		return err
	}
	for _, fs := range r.img.FileSystems {
		if err := r.fileSystem(fs); err != nil {
			return err
		}
	}
	return r.system()
}

// area runs a check, and takes what it finds.
func (r *run) area(name string, check func(list *finding.List) error) error {
	var list finding.List
	if err := check(&list); err != nil {
		return err
	}
	return r.take(name, &list)
}

// take takes what was found in an area.
func (r *run) take(name string, list *finding.List) error {
	r.result.Checked = append(r.result.Checked, name)
	r.result.Total += list.Total()
	kept, omitted := list.Findings()
	last := make(map[string]int)
	for i, f := range kept {
		last[f.Kind] = i
	}
	for i, f := range kept {
		found := Finding{Area: name, Finding: f}
		if last[f.Kind] == i {
			found.Omitted = omitted[f.Kind]
		}
		r.result.Findings = append(r.result.Findings, found)
	}
	return r.ctx.Err()
}

func (r *run) skip(what, why string) {
	r.result.Skipped = append(r.result.Skipped, what+": "+why)
}

// aligned is the least that partitions with file systems should begin at
// multiples of: a physical sector of today's disks.
const aligned = 4096

// table verifies the partition table.
func (r *run) table(list *finding.List) error {
	t := r.img.Table
	for _, p := range t.Problems {
		list.Add(string(p.Kind), "", "%s", p.Detail)
	}
	if t.Scheme == partition.GPT {
		r.protection(list)
	}
	for _, p := range t.Partitions {
		if at := t.Offset(p); at%aligned != 0 && r.img.FileSystem(p.Number) != nil {
			list.Add("alignment", fmt.Sprintf("partition %d", p.Number), "it begins at byte %d, which is no multiple of %d", at, aligned)
		}
	}
	return nil
}

// protection looks at the entries of the MBR beside a GPT: one that is neither
// empty nor of a partition is a partition to some programs (sgdisk), and none to
// others.
func (r *run) protection(list *finding.List) {
	const entries, size, count = 446, 16, 4
	p := make([]byte, size*count)
	if err := content.ReadFull(r.img.Section(0), p, entries); err != nil {
		list.Add("unreadable", "MBR", "%v", err)
		return
	}
	for i := range count {
		e := p[i*size:][:size]
		kind, length := e[4], binary.LittleEndian.Uint32(e[12:])
		if (kind == 0 || length == 0) && !bytes.Equal(e, make([]byte, size)) {
			list.Add(string(partition.BadProtectiveMBR), "MBR", "entry %d is not empty, but has type %#02x and %d sectors", i+1, kind, length)
		}
	}
}

// fileSystem verifies a file system of a kind that can be.
func (r *run) fileSystem(fs inspect.FileSystem) error {
	name := place(fs)
	section := r.img.Section(fs.Partition)
	switch {
	case strings.HasPrefix(fs.Type, "ext"):
		return r.area(name, func(list *finding.List) error {
			err := ext4.Check(r.ctx, section, section.Size(), list, r.opts.Progress)
			return r.notThere(list, err, ext4.ErrNotExt)
		})
	case strings.HasPrefix(fs.Type, "fat"):
		return r.area(name, func(list *finding.List) error {
			if v := fs.Size; v > 0 && v > section.Size() {
				list.Add("boot-sector", "", "the file system has %d bytes, and its partition %d", v, section.Size())
			}
			err := fat.Check(r.ctx, section, section.Size(), list, r.opts.Progress)
			return r.notThere(list, err, fat.ErrNotFAT)
		})
	case fs.Type == "zfs":
		var list finding.List
		skipped, err := volume.Check(r.ctx, section, section.Size(), &list, r.opts.Progress)
		if errors.Is(err, volume.ErrUnsupported) {
			r.skip(name, err.Error())
			return r.ctx.Err()
		}
		for _, what := range skipped {
			r.skip(name, what)
		}
		if err := r.notThere(&list, err, volume.ErrNotZFS); err != nil {
			return err
		}
		return r.take(name, &list)
	}
	r.skip(name, "only ext2, ext3, ext4, FAT and ZFS are checked")
	return nil
}

// notThere makes a finding of an error but that of a cancelled context.
func (r *run) notThere(list *finding.List, err, expected error) error {
	if err == nil || r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if errors.Is(err, expected) {
		list.Add("unreadable", "", "there is no file system: %v", err)
	} else {
		list.Add("unreadable", "", "%v", err)
	}
	return nil
}

func place(fs inspect.FileSystem) string {
	if fs.Partition == 0 {
		return fmt.Sprintf("disk (%s)", fs.Type)
	}
	return fmt.Sprintf("partition %d (%s)", fs.Partition, fs.Type)
}

// damaged reports whether something is wrong with a file system.
func (r *run) damaged(fs inspect.FileSystem) bool {
	return slices.ContainsFunc(r.result.Findings, func(f Finding) bool { return f.Area == place(fs) })
}
