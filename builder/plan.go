package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/filesystem/zfs"
	"diskwright/format"
	"diskwright/partition"
	"diskwright/spec"
	"diskwright/tree"

	"github.com/google/uuid"
)

// ext4Block is the size of a block of every ext4 file system that is made.
const ext4Block = 4096

// planner lays the disks out: one (planDisk), or those of a pool (planPool).
type planner struct {
	spec    *spec.Spec
	encoder *format.Encoder
	workers int
	// spoolPool is [Build.spoolPool].
	spoolPool func(opts *zfs.Options, offset int64) error
	identify  identity
	epoch     tree.Time

	root     *tree.Inode            // what goes into the root file system
	contents []tree.Item            // whose owners are not set yet
	boots    map[string]*tree.Inode // what goes into boot partitions, by mount point
	request  partition.Request
	need     ext4.Need          // of root
	loader   *boot.Installation // nil if no boot loader is installed
	efiVars  []byte             // nil if none are asked for
	size     sized
	again    bool // a disk of that size has been planned, and is planned once more

	usage       usage // of all files, before a boot loader is installed
	loaderUsage usage // what that adds to the root file system

	report Report
}

// newPlanner returns a planner of s. What the report says already is what came
// with the sources.
func newPlanner(s *spec.Spec, encoder *format.Encoder, src *sources, report Report) *planner {
	seconds, _ := s.Epoch()
	report.Format = s.Format
	report.Epoch, report.Deterministic = seconds, s.Deterministic
	report.Seed = s.SeedUUID().String()
	p := &planner{
		spec:     s,
		encoder:  encoder,
		identify: identityOf(s),
		epoch:    tree.Time{Sec: seconds},
		root:     src.root,
		contents: src.contents,
		boots:    map[string]*tree.Inode{},
		report:   report,
	}
	return p
}

// plan returns the disks. Once ctx is done it soon gives up.
func (p *planner) plan(ctx context.Context) ([]*diskmap.Map, error) {
	if p.spec.Builder == spec.BuilderZFS {
		return p.planPool(ctx)
	}
	disk, err := p.planDisk(ctx)
	return []*diskmap.Map{disk}, err
}

// planDisk returns the disk of the builder disk.
func (p *planner) planDisk(ctx context.Context) (*diskmap.Map, error) {
	p.report.File = p.spec.Filename(spec.RoleRoot)
	if err := p.makeRequest(); err != nil {
		return nil, err
	}
	if err := p.finishTree(ctx); err != nil {
		return nil, err
	}
	if err := p.split(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var err error
	if p.need, err = ext4.Measure(p.root, p.rootOptions(0)); err != nil {
		return nil, err
	}
	table, root, err := p.planRoot(ctx)
	if err != nil {
		return nil, err
	}
	p.size = sized{table.DiskSize, root.Stats().Inodes}
	if err := p.fitFormat(table); err != nil {
		return nil, err
	}
	p.embed(table)
	if p.efiVars, err = p.planEFIVars(table); err != nil {
		return nil, err
	}
	p.report.Table, p.report.DiskSize = *table, table.DiskSize
	parts := map[int]content.Source{}
	for _, part := range table.Partitions {
		switch {
		case part.Role == partition.Root:
			p.reportRoot(table, part, root)
			parts[part.Number] = root.Map()
		case p.boots[part.MountPoint] != nil:
			m, about, err := p.planFAT(table, part)
			if err != nil {
				return nil, err
			}
			p.report.FileSystems = append(p.report.FileSystems, about)
			parts[part.Number] = m
		}
	}
	return table.Map(parts)
}

// fitFormat asks the format how large it makes the disk. With alignDisk the disk
// is as large from the beginning, so that the backup of a GPT is at its end; the
// partitions stay.
func (p *planner) fitFormat(table *partition.Table) error {
	size, err := p.encoder.DiskSize(table.DiskSize)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", p.spec.Called("format"), err)
	case size == table.DiskSize:
	case p.spec.AlignDisk:
		if table.Scheme == partition.GPT {
			table.LastUsable += (size - table.DiskSize) / partition.SectorSize
		}
		table.DiskSize = size
	default:
		about := "forceSize keeps the size"
		if table.Scheme == partition.GPT {
			about = "the backup of the partition table is then not at its end, which alignDisk mends, and forceSize keeps the size"
		}
		p.note("%s: the disk of %d bytes becomes one of %d in this format: %s", p.spec.Called("format"), table.DiskSize, size, about)
	}
	return nil
}

// finishTree adds to the tree what depends on the disk's layout, and then sets
// the owners of contents, as the reference does. The size of the disk is not
// known here, nor need it be: all identifiers are.
//
// The formula for the size counts all files, those of boot partitions too, as
// they are before the boot loader is installed. The reference installs it
// when the disk has its size, and relies on there being room; here what it puts
// into the root file system counts.
func (p *planner) finishTree(ctx context.Context) error {
	p.usage = p.usageOf(p.root)
	if p.spec.InstallsInVM() {
		return nil // owners, too: names are those that the system knows there
	}
	if p.spec.InstallsBootLoader() {
		before, err := p.rootUsage()
		if err != nil {
			return err
		}
		if err := p.installBootLoader(ctx, p.bootDisk); err != nil {
			return err
		}
		after, err := p.rootUsage()
		if err != nil {
			return err
		}
		p.loaderUsage = usage{max(0, after.blocks-before.blocks), max(0, after.entries-before.entries)}
	}
	return tree.Own(p.root, p.contents)
}

// usage is what the formula for the disk's size counts.
type usage struct{ blocks, entries int64 }

// bytes returns what the formula makes of it.
func (u usage) bytes() int64 { return contentBytes(u.blocks, u.entries) }

// usageOf returns what the formula counts of a tree.
func (p *planner) usageOf(root *tree.Inode) (u usage) {
	u.blocks, u.entries = tree.Usage(root, p.request.Compat != partition.Older)
	return u
}

// rootUsage is usageOf of what goes into the root file system.
func (p *planner) rootUsage() (usage, error) {
	u := p.usageOf(p.root)
	table, err := p.smallestTable()
	if err != nil {
		return u, err
	}
	for _, part := range table.Partitions {
		if dir := p.root.Lookup(strings.TrimPrefix(part.MountPoint, "/")); hasFAT(part) && dir != nil && dir.IsDir() {
			below := p.usageOf(dir)
			u.blocks -= below.blocks
			u.entries -= below.entries - 1 // the mount point stays
		}
	}
	return u, nil
}

// makeRequest says what the table must be, but for the disk's size.
func (p *planner) makeRequest() error {
	boot, err := p.bootSize()
	p.request = partition.Request{
		Layout:        partition.Layout(p.spec.PartitionTableType),
		Compat:        partition.Compat(p.spec.Compat),
		BootSize:      boot,
		BootSizeText:  string(p.spec.BootEnd()),
		Deterministic: p.spec.Deterministic,
		RootGUID:      p.spec.RootUUID(),
		Identify:      p.identify,
	}
	return err
}

// bootSize returns bootSize in bytes. The older reference reads it as parted
// does unless the disk's size is automatic; layouts without a boot partition
// do not read it.
func (p *planner) bootSize() (int64, error) {
	bytes, err := p.spec.BootEnd().Bytes()
	if err != nil && (p.spec.Compat == spec.CompatOlder && p.spec.DiskSize.Mode != spec.DiskSizeAuto) {
		return 0, nil
	}
	return bytes, err
}

// split moves what lies below the mount points of boot partitions out of the
// root's tree. The mount points stay. The image of a store alone has no mount
// points, so that its boot partitions stay empty, as with the reference.
func (p *planner) split() error {
	if p.spec.OnlyNixStore {
		return nil
	}
	table, err := p.smallestTable()
	if err != nil {
		return err
	}
	for _, part := range table.Partitions {
		if !hasFAT(part) {
			continue
		}
		if p.boots[part.MountPoint], err = tree.Split(p.root, part.MountPoint, p.epoch); err != nil {
			return fmt.Errorf("%s: %s has a partition on %s: %w", p.spec.Called("partitionTableType"), p.request.Layout, part.MountPoint, err)
		}
	}
	return nil
}

// smallestTable returns the table of the smallest disk, for what does not depend
// on the size.
func (p *planner) smallestTable() (*partition.Table, error) {
	smallest, err := partition.MinDiskSize(p.request, 0)
	if err != nil {
		return nil, err
	}
	request := p.request
	request.DiskSize = smallest
	return partition.Plan(request)
}

// hasFAT reports whether a partition is a boot partition with a file system.
func hasFAT(part partition.Partition) bool {
	return part.MountPoint != "" && part.Role != partition.Root
}

// planRoot chooses the size of the disk and plans the root file system on it.
func (p *planner) planRoot(ctx context.Context) (*partition.Table, *ext4.FileSystem, error) {
	if p.again {
		return p.planRootOn(p.size.disk, max(0, p.size.inodes-p.need.Inodes))
	}
	p.report.DiskSizeMode = p.spec.DiskSize.String()
	if p.spec.DiskSize.Mode == spec.DiskSizeFixed {
		p.report.DiskSizeMode = "fixed"
		return p.planRootOn(p.spec.DiskSize.MiB*mebibyte, 0)
	}
	first, err := p.firstSize()
	if err != nil {
		return nil, nil, err
	}
	for disk := first; ; {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		table, root, err := p.planRootOn(disk, freeInodes)
		var space *ext4.NoSpaceError
		switch {
		case err == nil && comfortable(root.Stats()):
			p.noteRaise(disk)
			return table, root, nil
		case err != nil && !errors.As(err, &space):
			return nil, nil, err
		}
		// The journal, for one, grows in steps: a larger disk may have less
		// room.
		disk += mebibyte
	}
}

// firstSize returns the smallest size of the disk that may do.
func (p *planner) firstSize() (int64, error) {
	additional, err := p.spec.AdditionalSpace.Bytes()
	if err != nil {
		return 0, err
	}
	if additional > diskmap.MaxSize {
		return 0, fmt.Errorf("%s: %d bytes are more than a disk can have (%d)", p.spec.Called("additionalSpace"), additional, int64(diskmap.MaxSize))
	}
	opts := p.rootOptions(0)
	opts.Inodes = p.need.Inodes + freeInodes
	root, err := ext4.MinSize(p.need, opts, ext4.Slack{Percent: freePercent})
	if err != nil {
		return 0, err
	}
	smallest, err := partition.MinDiskSize(p.request, root)
	if err != nil {
		return 0, err
	}
	if p.spec.DiskSize.Mode == spec.DiskSizeMin {
		return smallest + roundUp(additional, mebibyte), nil
	}
	reserved := partition.Reserved(p.request.Layout, p.request.BootSize, p.request.Compat)
	auto := autoSize(p.usage.blocks+p.loaderUsage.blocks, p.usage.entries+p.loaderUsage.entries, additional, reserved, p.request.Compat == partition.Older)
	auto.Additions = p.additions()
	p.report.AutoSize = &auto
	return max(auto.FormulaBytes, smallest), nil
}

// additions returns what the image has beside the files that were given, as the
// formula counts it.
func (p *planner) additions() (list []Addition) {
	if s := p.report.System; s != nil && s.DatabaseBytes > 0 {
		database := usage{(s.DatabaseBytes + sizeBlock - 1) / sizeBlock, 1}
		list = append(list, Addition{"database of the Nix store", database.bytes()})
	}
	if p.loaderUsage != (usage{}) {
		list = append(list, Addition{"boot loader in the root file system", p.loaderUsage.bytes()})
	}
	return list
}

// noteRaise tells that the formula's size was too small, if it was.
func (p *planner) noteRaise(disk int64) {
	auto := p.report.AutoSize
	if auto == nil || disk == auto.FormulaBytes {
		return
	}
	auto.Raised = true
	p.note("%s: the automatic size of make-disk-image.nix is %d MiB, which cannot hold the files with %d %% of the root file system and %d inodes free; raised to %d MiB",
		p.spec.Called("diskSize"), auto.FormulaBytes/mebibyte, freePercent, freeInodes, disk/mebibyte)
}

// note tells the user something, once.
func (p *planner) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.report.Notes, text) {
		p.report.Notes = append(p.report.Notes, text)
	}
}

// comfortable reports whether a file system has what an automatic size must
// leave free.
func comfortable(s ext4.Stats) bool {
	return s.FreeBlocks*100 >= s.Blocks*freePercent && s.FreeInodes >= freeInodes
}

// planRootOn plans the table and the root file system of a disk of size bytes,
// with at least so many inodes free.
func (p *planner) planRootOn(disk int64, inodes int64) (*partition.Table, *ext4.FileSystem, error) {
	request := p.request
	request.DiskSize = disk
	table, err := partition.Plan(request)
	if err != nil {
		return nil, nil, err
	}
	part, _ := table.ByRole(partition.Root)
	opts := p.rootOptions(table.Size(part))
	opts.Inodes = p.need.Inodes + inodes
	root, err := ext4.Plan(p.need, opts)
	if err != nil {
		return nil, nil, p.rootError(err, disk)
	}
	return table, root, nil
}

// rootError says what disk would do for a root file system that does not fit
// the one that was asked for.
func (p *planner) rootError(err error, disk int64) error {
	var space *ext4.NoSpaceError
	switch {
	case !errors.As(err, &space):
		return fmt.Errorf("%s: %d MiB: root file system: %w", p.spec.Called("diskSize"), disk/mebibyte, err)
	case p.again && p.spec.DiskSize.Mode != spec.DiskSizeFixed:
		return fmt.Errorf("%s: it leaves too little for what the system's own installer has added: %w", p.spec.Called("additionalSpace"), err)
	case p.spec.DiskSize.Mode != spec.DiskSizeFixed:
		return err // a larger one is tried
	}
	enough := ""
	if size, err := partition.MinDiskSize(p.request, space.EnoughBytes); err == nil && space.EnoughBytes > 0 {
		enough = fmt.Sprintf("; a disk of %d MiB would do", size/mebibyte)
	}
	return fmt.Errorf("%s: %d MiB are too small for the root file system: %w%s", p.spec.Called("diskSize"), disk/mebibyte, err, enough)
}

// reportRoot describes the root file system.
func (p *planner) reportRoot(table *partition.Table, part partition.Partition, fs *ext4.FileSystem) {
	about := aboutExt(p.rootOptions(table.Size(part)), fs.Stats())
	about.Partition, about.MountPoint = part.Number, part.MountPoint
	p.report.FileSystems = append(p.report.FileSystems, about)
}

// aboutExt describes an ext file system.
func aboutExt(opts ext4.Options, stats ext4.Stats) FileSystem {
	return FileSystem{
		Type:       opts.Kind.String(),
		Label:      opts.Label,
		UUID:       uuid.UUID(opts.UUID).String(),
		Size:       stats.Blocks * ext4Block,
		BlockSize:  ext4Block,
		Used:       (stats.Blocks - stats.FreeBlocks) * ext4Block,
		Free:       stats.FreeBlocks * ext4Block,
		Inodes:     stats.Inodes,
		FreeInodes: stats.FreeInodes,
	}
}

// rootOptions returns the root file system's options for a partition of size
// bytes. Like the reference, which gives mkfs the size in KiB, they leave an
// odd last sector alone.
func (p *planner) rootOptions(size int64) ext4.Options {
	opts := ext4.Options{
		Size:         size / 1024 * 1024,
		Label:        p.spec.VolumeLabel(),
		UUID:         p.identify(roleFSUUID),
		HashSeed:     p.identify(roleHashSeed),
		JournalUUID:  p.identify(roleJournalUUID),
		ChecksumSeed: p.identify.word(roleCsumSeed),
		Epoch:        p.epoch.Sec,
	}
	if id, ok := p.spec.FSUUID(); ok && p.spec.Deterministic {
		opts.UUID = id
	}
	switch p.spec.FSType {
	case "ext3":
		opts.Kind = ext4.Ext3
	case "ext2":
		opts.Kind = ext4.Ext2
	}
	if p.spec.FSProfile == spec.ProfileCompatible {
		opts.Profile = ext4.Compatible
	}
	return opts
}

// planFAT plans and describes the file system of a boot partition.
func (p *planner) planFAT(table *partition.Table, part partition.Partition) (*diskmap.Map, FileSystem, error) {
	fs, err := fat.New(p.boots[part.MountPoint], fat.Options{
		Label:         part.Label,
		VolumeID:      p.volumeID(table, part),
		Size:          table.Size(part),
		HiddenSectors: uint32(part.Start),
		Time:          p.epoch,
	})
	if err != nil {
		return nil, FileSystem{}, p.fatError(table, part, err)
	}
	about := aboutFAT(fs.Info())
	about.Partition, about.MountPoint = part.Number, part.MountPoint
	m, err := fs.Map()
	return m, about, err
}

// aboutFAT describes a FAT file system.
func aboutFAT(info fat.Info) FileSystem {
	return FileSystem{
		Type:      fmt.Sprintf("fat%d", info.Bits),
		Label:     info.Label,
		UUID:      volumeName(info.VolumeID),
		Size:      info.Size,
		BlockSize: info.ClusterSize,
		Used:      info.Size - info.Free(),
		Free:      info.Free(),
	}
}

// fatError names the mount point, and the bootSize that would do for files
// that do not fit.
func (p *planner) fatError(table *partition.Table, part partition.Partition, err error) error {
	var space *fat.SpaceError
	fixed := part.Role == partition.ESP && p.request.Layout == partition.EFIXBOOTLDR
	if !errors.As(err, &space) || space.Smallest == 0 || fixed || p.request.Compat == partition.Older {
		return fmt.Errorf("%s: %w", part.MountPoint, err)
	}
	// bootSize is where the partition ends, less the MiB that rounding adds.
	end := roundUp(part.Start*partition.SectorSize+space.Smallest, mebibyte)
	name := p.spec.Called("bootSize")
	switch table.Layout {
	case partition.ZFSBoot: // the size of the disk, which has a MiB behind the FAT
		return fmt.Errorf("%s: %s is too small: %w; %s %d would do", name, part.MountPoint, err, name, end/mebibyte+1)
	case partition.ZFSSingle:
		return fmt.Errorf("%s: %s is too small: %w; %s %d would do", name, part.MountPoint, err, name, end/mebibyte)
	}
	return fmt.Errorf("%s: %s is too small: %w; %s %dM would do", name, part.MountPoint, err, name, end/mebibyte-1)
}

// volumeName returns a volume id as blkid prints it.
func volumeName(id uint32) string { return fmt.Sprintf("%04X-%04X", id>>16, id&0xffff) }

// volumeID returns the epoch, which is what mkfs.vfat makes of
// SOURCE_DATE_EPOCH; a second FAT has the next number.
func (p *planner) volumeID(table *partition.Table, part partition.Partition) uint32 {
	id := uint32(p.epoch.Sec)
	for _, other := range table.Partitions {
		if other.Number < part.Number && hasFAT(other) {
			id++
		}
	}
	return id
}
