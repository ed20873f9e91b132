package spec

import (
	"diskwright/filesystem/zfs"
	"diskwright/format"
	"diskwright/format/compress"
	"diskwright/format/qcow2"
	"diskwright/partition"
)

// Groups of the manual.
const (
	groupTree     = "What goes into the image"
	groupDisk     = "The disk and its partitions"
	groupFS       = "The root file system"
	groupIdentity = "Identity and determinism"
	groupOutput   = "The output"
	groupNixOS    = "NixOS systems"
	groupBoot     = "Boot loaders"
	groupVM       = "The virtual machine of installMethod"
	groupNothing  = "Without effect"
	groupZFS      = "ZFS pools"
)

// groupText is what the manual says below the headings of groups.
var groupText = map[string]string{
	groupZFS: `These are parameters of the builder ‘zfs’, and have the names and the defaults of NixOS's make-multi-disk-zfs-image.nix
(‘disks’ and ‘features’ are our own). What they do is described in [zfs.md](zfs.md).`,
}

// layoutNames are the layouts in the order of make-disk-image.nix's assertion.
var layoutNames = []string{
	string(partition.Legacy), string(partition.LegacyBoot), string(partition.LegacyGPT), string(partition.EFI),
	string(partition.EFIXBOOTLDR), string(partition.Hybrid), string(partition.None),
}

// table is the one place that knows all parameters.
var table = []*Parameter{
	{
		Name: "root", Group: groupTree, Kind: KindPath, Nullable: true, State: Native,
		Summary: "directory or tar that becomes the root file system",
		Detail: `A directory of the host, or a tar: plain, or compressed with gzip or zstd. What it is is
found by looking at it, not at its name. "-" is a tar from standard input. A plain tar file is read in
place; a pipe or a compressed tar is unpacked once, to an unlinked file (see ‘--spool’).

What lies below the mount point of a boot partition (‘/boot’; with the layout efixbootldr ‘/efi’
for the ESP and ‘/boot’ for BOOT) goes into that partition, and what lies below that of a dataset into the dataset.`,
		field: func(s *Spec) any { return &s.Root },
	},
	{
		Name: "contents", Group: groupTree, Kind: KindContents, State: Native,
		Summary: "files and directories to merge over the root",
		Detail: `A list of ‘{source, target, mode, user, group}’, merged over the root in order.

- ‘source’ is a file or directory of the host. A directory (or a symbolic link to one) becomes ‘target’, and so does
  a file; any other symbolic link stays one. With a ‘*’ it is a shell pattern (‘*’, ‘?’, ‘[…]’, and a backslash before
  what is meant literally): every match goes into the directory ‘target’. A pattern without a match is an error, and
  wildcards do not match a leading dot.
- ‘target’ is a path in the image, with or without a leading slash. A target that an earlier entry has
  made, also as a parent, is an error (‘duplicate entry TARGET -> SOURCE’), unless ‘source’ is a
  pattern. Over the root, entries replace; a directory is merged into a directory.
- ‘mode’ is octal, such as ‘"755"’, or symbolic as rsync and chmod know it, such as
  ‘"u=rwX,go=rX"’. It applies to files and directories alike, recursively; not to symbolic links.
- ‘user’ and ‘group’ own the files, and everything else that is at ‘target’ in the end, as by chown -R. They
  are names of the users and groups of ‘system’, or numbers. Either both are given or none.

As a flag: ‘--contents source=PATH,target=PATH[,mode=MODE][,user=USER,group=GROUP]’, or a JSON object where a
path holds a comma.`,
		field: func(s *Spec) any { return &s.Contents },
	},
	{
		Name: "configFile", Group: groupTree, Kind: KindPath, Nullable: true, State: Native,
		Summary: "file that becomes /etc/nixos/configuration.nix",
		Detail: `It wins over ‘contents’ and ‘root’. With the builder ‘zfs’ it is an expression that becomes one of two imports; the other has the
‘fileSystems’ of ‘datasets’, and is the whole file without ‘configFile’.`,
		field: func(s *Spec) any { return &s.ConfigFile },
	},
	{
		Name: "owners", Group: groupTree, Kind: KindChoice, Nullable: true, State: Native,
		Allowed: []string{OwnersRoot, OwnersKeep},
		Derived: "‘root’ for a directory, ‘keep’ for a tar",
		Summary: "whether files keep their owners or belong to root",
		Detail: `‘root’ gives every file to 0:0, as make-disk-image.nix does; ‘keep’ keeps the numeric owners of the
source. A directory of the host usually belongs to whoever unpacked it, a tar knows the real owners: hence
the default. ‘user’ and ‘group’ of ‘contents’ apply in any case.`,
		field: func(s *Spec) any { return &s.Owners },
	},
	{
		Name: "xattrs", Group: groupTree, Kind: KindStrings, Nullable: true, State: Native,
		Derived: "for directories ‘user.*’, ‘security.capability’ and POSIX ACLs; for a tar all",
		Summary: "patterns of the extended attributes to take",
		Detail: `A list of patterns of full names, in which ‘*’ stands for any characters: ‘"user.*"’,
‘"security.selinux"’, ‘"*"’. It replaces the default; the empty list takes none. POSIX ACLs are
‘system.posix_acl_access’ and ‘system.posix_acl_default’. The default leaves out the labels of the host's own
security modules, which would mean nothing, or something else, in the image.`,
		field: func(s *Spec) any { return &s.Xattrs },
	},

	{
		Name: "builder", Group: groupDisk, Kind: KindChoice, Default: BuilderDisk, State: Native,
		Allowed: []string{BuilderDisk, BuilderZFS},
		Summary: "what is made: a disk, or a ZFS pool and its disks",
		Detail: `- ‘disk’: one disk with the root file system on ext4, as make-disk-image.nix makes it.
- ‘zfs’: a disk with a FAT for ‘/boot’ and a disk with a ZFS pool for everything else, as make-multi-disk-zfs-image.nix makes
  them; or with ‘disks: 1’ both on one disk, as make-single-disk-zfs-image.nix does.

A parameter that belongs to the other builder is an error.`,
		field: func(s *Spec) any { return &s.Builder },
	},
	{
		Name: "diskSize", Group: groupDisk, Builder: BuilderDisk, Kind: KindDiskSize, Default: "auto", State: Native,
		Summary: `size of the disk: "auto", "min", or a number of MiB`,
		Detail: `- ‘auto’ is the size that make-disk-image.nix finds: from the number and the sizes of the files,
  ‘additionalSpace’, and what the partition table needs. Where that cannot hold the content with 10 % and 4,096
  inodes free, it is raised to the smallest size that can; ‘diskwright plan’ says so.
- ‘min’ is that smallest size plus ‘additionalSpace’, exact to the mebibyte.
- A number is the size in MiB (1,048,576 bytes). ‘additionalSpace’ has no effect then.`,
		field: func(s *Spec) any { return &s.DiskSize },
	},
	{
		Name: "additionalSpace", Group: groupDisk, Builder: BuilderDisk, Kind: KindSize, Default: "512M", State: Native,
		Summary: "free space to add to an automatic disk size",
		Detail:  `Only with ‘diskSize’ auto or min.`,
		field:   func(s *Spec) any { return &s.AdditionalSpace },
	},
	{
		Name: "bootSize", Group: groupDisk, Kind: KindBootSize, State: Native,
		Derived: `‘"256M"’; with the builder ‘zfs’ ‘1024’`,
		Summary: "where the boot partition ends, or the size of the boot disk",
		Detail: `With the builder ‘zfs’ it is a number of MiB: the size of the boot disk, whose FAT begins at 2 MiB and ends 1 MiB before the end
of the disk; with ‘disks: 1’ where the FAT ends.

With the builder ‘disk’ it is a size, and only for the layouts legacy+boot, efi, efixbootldr and hybrid. As in
make-disk-image.nix it is the offset of the partition's end, not its size, and always rounded up to the next whole MiB: 256M ends the partition at 257 MiB, so that the ESP of efi and hybrid, which
starts at 8 MiB, has 249 MiB; BOOT of legacy+boot, from 1 MiB, 256 MiB; BOOT of efixbootldr, from 100 MiB, 157 MiB.

With ‘compat: older’ it is what parted takes: 256M and 256MB are millions of bytes there, 256MiB are MiB. With an
automatic disk size it must be a size as numfmt reads it, too, which leaves forms such as ‘256M’.`,
		field: func(s *Spec) any { return &s.BootSize },
	},
	{
		Name: "partitionTableType", Group: groupDisk, Builder: BuilderDisk, Kind: KindChoice, Default: string(partition.Legacy), State: Native,
		Allowed: layoutNames,
		Summary: "layout of the disk",
		Detail: `- ‘none’: no partition table; the image is the bare root file system.
- ‘legacy’: MBR; root from 1 MiB to the end.
- ‘legacy+boot’: MBR; a FAT partition for ‘/boot’ from 1 MiB, then root.
- ‘legacy+gpt’: GPT; a BIOS boot partition from 1 to 2 MiB, then root.
- ‘efi’: GPT; the ESP, mounted at ‘/boot’, from 8 MiB, then root.
- ‘efixbootldr’: GPT; the ESP, mounted at ‘/efi’, from 8 to 100 MiB, BOOT, mounted at ‘/boot’, then root.
- ‘hybrid’: as efi, and a BIOS boot partition in the first MiB.`,
		field: func(s *Spec) any { return &s.PartitionTableType },
	},
	{
		Name: "compat", Group: groupDisk, Builder: BuilderDisk, Kind: KindChoice, Default: string(partition.Current), State: Native,
		Allowed: []string{string(partition.Current), string(partition.Older)},
		Summary: "which make-disk-image.nix to calculate like",
		Detail: `‘older’ selects the partition arithmetic and the rounding of the make-disk-image.nix from before bootSize was
rounded to MiB. It knows the layouts none, legacy, legacy+gpt, efi and hybrid only.`,
		field: func(s *Spec) any { return &s.Compat },
	},

	{
		Name: "fsType", Group: groupFS, Builder: BuilderDisk, Kind: KindChoice, Default: "ext4", State: Native,
		Allowed: []string{"ext4", "ext3", "ext2"},
		Summary: "type of the root file system",
		Detail:  "‘ext3’ and ‘ext2’ only without a partition table (‘partitionTableType: none’).",
		field:   func(s *Spec) any { return &s.FSType },
	},
	{
		Name: "fsProfile", Group: groupFS, Builder: BuilderDisk, Kind: KindChoice, Default: ProfileUpstream, State: Native,
		Allowed: []string{ProfileUpstream, ProfileCompatible},
		Summary: "features of the root file system",
		Detail: `‘upstream’ has the features that mke2fs gives with its own configuration. ‘compatible’ leaves out
‘metadata_csum_seed’ and ‘orphan_file’, for GRUB before 2.12 (Debian 12 has 2.06), e2fsprogs before 1.47 and
kernels before 5.15.`,
		field: func(s *Spec) any { return &s.FSProfile },
	},
	{
		Name: "label", Group: groupFS, Builder: BuilderDisk, Kind: KindString, State: Native,
		Derived: "‘nixos’, or with ‘onlyNixStore’ ‘nix-store’",
		Summary: "label of the root file system",
		Detail:  "At most 16 bytes.",
		field:   func(s *Spec) any { return &s.Label },
	},

	{
		Name: "disks", Group: groupZFS, Builder: BuilderZFS, Kind: KindInteger, Default: int64(2), State: Native,
		Summary: "number of disks: 2, or 1 for all on one",
		Detail: `- ‘2’: a boot disk (‘BASENAME.boot.EXT’: a BIOS boot partition, and a FAT for ‘/boot’) and a root disk (‘BASENAME.root.EXT’), which
  is the pool's as a whole: ZFS grows on it when the disk grows (‘autoexpand’).
- ‘1’: one disk (‘BASENAME.root.EXT’): a BIOS boot partition, the FAT, and a partition with the pool.`,
		field: func(s *Spec) any { return &s.Disks },
	},
	{
		Name: "rootSize", Group: groupZFS, Builder: BuilderZFS, Kind: KindMiB, Default: int64(2048), State: Native,
		Summary: "size of the root disk in MiB",
		Detail: `With ‘disks: 1’ the disk has ‘bootSize’ and ‘rootSize’ together. Files that do not fit are an error that says how many bytes are
missing. ZFS keeps a part of every pool free (a 32nd, at least 128 MiB and at most half of it), and so does Diskwright.`,
		field: func(s *Spec) any { return &s.RootSize },
	},
	{
		Name: "rootPoolName", Group: groupZFS, Builder: BuilderZFS, Kind: KindString, Default: "tank", State: Native,
		Summary: "name of the pool",
		field:   func(s *Spec) any { return &s.RootPoolName },
	},
	{
		Name: "rootPoolProperties", Group: groupZFS, Builder: BuilderZFS, Kind: KindProperties, Default: defaultPoolProperties, State: Native,
		Summary: "properties of the pool",
		Detail: `As ‘zpool create -o’ takes them: ‘autoexpand’, ‘ashift’, ‘comment’, ‘feature@NAME’, … A mapping that is given replaces the default.
Without ‘ashift’ it is 12.`,
		field: func(s *Spec) any { return &s.RootPoolProperties },
	},
	{
		Name: "rootPoolFilesystemProperties", Group: groupZFS, Builder: BuilderZFS, Kind: KindProperties, Default: defaultPoolFileSystemProperties, State: Native,
		Summary: "properties of the pool's own file system, which the others inherit",
		Detail: `As ‘zpool create -O’ takes them: ‘compression’, ‘recordsize’, ‘atime’, … A mapping that is given replaces the default. What is
mounted must have ‘mountpoint=legacy’, from here or of its own.`,
		field: func(s *Spec) any { return &s.RootPoolFilesystemProperties },
	},
	{
		Name: "datasets", Group: groupZFS, Builder: BuilderZFS, Kind: KindDatasets, State: Native,
		Summary: "file systems of the pool, and where they are mounted",
		Detail: `A mapping from names, which begin with the pool's, to ‘{mount, properties}’:

    datasets:
      tank/system/root: {mount: /}
      tank/system/var: {mount: /var}
      tank/local/nix: {mount: /nix, properties: {atime: "off"}}

- ‘mount’ is the path whose files it holds, and at which the system mounts it: ‘fileSystems’ in the image's configuration says so.
  One dataset must be mounted at ‘/’, none at ‘/boot’. Without ‘mount’ it is made, and stays empty.
- ‘properties’ are what ‘zfs create -o’ takes. What is not there is inherited.

Names above that are not there (‘tank/system’) are made. As a flag: ‘--datasets NAME,mount=PATH,PROPERTY=VALUE’ for each of them,
or one JSON object.`,
		field: func(s *Spec) any { return &s.Datasets },
	},
	{
		Name: "features", Group: groupZFS, Builder: BuilderZFS, Kind: KindChoice, Default: "minimal", State: Native,
		Allowed: zfs.FeatureSets(),
		Summary: "features of the pool",
		Detail: `‘minimal’ is those that the properties need: such a pool can be imported anywhere. The others are the sets of features that
OpenZFS has in ‘/usr/share/zfs/compatibility.d’; with one of them the pool has what ‘zpool create’ of that version enables. Single
features are ‘rootPoolProperties’ (‘feature@NAME’).`,
		field: func(s *Spec) any { return &s.Features },
	},

	{
		Name: "deterministic", Group: groupIdentity, Kind: KindBool, Default: true, State: Native,
		Summary: "same inputs, same bytes",
		Detail: `If false, all identifiers are random: the disk's, the partitions' and the root file system's. As with
make-disk-image.nix, ‘rootGPUID’ and ‘rootFSUID’ have no effect then; nor has ‘seed’.`,
		field: func(s *Spec) any { return &s.Deterministic },
	},
	{
		Name: "rootGPUID", Group: groupIdentity, Builder: BuilderDisk, Kind: KindUUID, Default: "F222513B-DED1-49FA-B591-20CE86A2FE7F", State: Native,
		Summary: "GPT identifier of the root partition",
		Detail: `With the layouts efi, efixbootldr and hybrid. In legacy+gpt the root partition has the identifier
970C694F-AFD0-4B99-B750-CDB7A329AB6F whatever is given here, as make-disk-image.nix really makes it.`,
		field: func(s *Spec) any { return &s.RootGPUID },
	},
	{
		Name: "rootFSUID", Group: groupIdentity, Builder: BuilderDisk, Kind: KindUUID, Nullable: true, State: Native,
		Derived: "‘rootGPUID’ for ext4, null otherwise",
		Summary: "UUID of the root file system",
		Detail: `Null leaves it to the seed, and is an error for a deterministic ext4, as in make-disk-image.nix. As a flag, null
is written ‘--root-fsuid null’.`,
		field: func(s *Spec) any { return &s.RootFSUID },
	},
	{
		Name: "seed", Group: groupIdentity, Kind: KindUUID, Nullable: true, State: Native,
		Derived: "‘rootGPUID’",
		Summary: "UUID that all other identifiers are derived from",
		Detail: `What make-disk-image.nix leaves random even where it is deterministic (the MBR's disk signature, the seed of ext4's
directory hashes, the journal's UUID, …) is an HMAC of this seed and the identifier's role: not of any path, and
not of the rest of the specification. Images with equal seeds share these identifiers.`,
		field: func(s *Spec) any { return &s.Seed },
	},

	{
		Name: "baseName", Group: groupOutput, Kind: KindString, Default: "nixos", State: Native,
		Summary: "name of the image file, without its extension",
		Detail:  "With the builder ‘zfs’ ‘.boot’ or ‘.root’ is put between the name and the extension.",
		field:   func(s *Spec) any { return &s.BaseName },
	},
	{
		Name: "format", Group: groupOutput, Kind: KindChoice, Default: format.Raw, State: Native,
		Allowed: format.Names(),
		Summary: "format of the image file",
		Detail:  "See [docs/formats.md](formats.md), also for the parameters that belong to some formats only.",
		field:   func(s *Spec) any { return &s.Format },
	},
	{
		Name: "subformat", Group: groupOutput, Kind: KindChoice, Nullable: true, State: Native,
		Allowed: format.SubformatNames(),
		Derived: "the first of the format's",
		Summary: "kind of the format",
		Detail: `‘vpc’ is ‘dynamic’, or ‘fixed’, as Azure wants it; ‘vmdk’ is ‘monolithicSparse’, to run a machine from, or
‘streamOptimized’, to import; ‘raw’ may be the file ‘disk.raw’ in a ‘tar’, as Google Compute Engine wants it
together with ‘compress’.`,
		field: func(s *Spec) any { return &s.Subformat },
	},
	{
		Name: "forceSize", Group: groupOutput, Kind: KindBool, Default: false, State: Native,
		Summary: "keep the exact size of the disk, which the format vpc rounds up",
		Detail: `Without it a dynamic ‘vpc’ image has the next size that cylinders, heads and sectors can express, as qemu-img makes
it, and the backup of a GUID partition table is not at the end of the disk. Virtual PC itself needs such a size.`,
		field: func(s *Spec) any { return &s.ForceSize },
	},
	{
		Name: "alignDisk", Group: groupOutput, Kind: KindBool, Default: false, State: Native,
		Summary: "make the disk as large as the format makes it, so that the partition table fits",
		Detail:  `Then the backup of a GUID partition table is at the end of the disk that a ‘vpc’ image has. The partitions are the same.`,
		field:   func(s *Spec) any { return &s.AlignDisk },
	},
	{
		Name: "compressionType", Group: groupOutput, Kind: KindChoice, Nullable: true, State: Native,
		Allowed: []string{string(qcow2.Zlib), string(qcow2.Zstd)},
		Derived: "‘zlib’ for qcow2-compressed",
		Summary: "how the clusters of qcow2-compressed are compressed",
		Detail:  "‘zstd’ is smaller and faster, and needs QEMU 5.1 or later.",
		field:   func(s *Spec) any { return &s.CompressionType },
	},
	{
		Name: "compressionLevel", Group: groupOutput, Kind: KindInteger, Default: int64(0), State: Native,
		Summary: "how much is compressed: 1 (fast) to 9 (gzip) or 22 (zstd); 0 is the usual",
		Detail: `It is the level of ‘compressionType’ for qcow2-compressed, of which only zstd has levels, of the grains of a
‘streamOptimized’ vmdk, and of ‘compress’ otherwise.`,
		field: func(s *Spec) any { return &s.CompressionLevel },
	},
	{
		Name: "compress", Group: groupOutput, Kind: KindChoice, Nullable: true, State: Native,
		Allowed: []string{string(compress.Gzip), string(compress.Zstd), string(compress.XZ)},
		Summary: "compress the whole file",
		Detail:  "Its name gets ‘.gz’, ‘.zst’ or ‘.xz’ at its end. The output is the same for any number of threads.",
		field:   func(s *Spec) any { return &s.Compress },
	},
	{
		Name: "hydraBuildProducts", Group: groupOutput, Kind: KindBool, Default: false, State: Native,
		Summary: "write nix-support/hydra-build-products beside the image",
		Detail: `It has the line ‘file FORMAT-image PATH’, by which Hydra finds the image. make-disk-image.nix writes it
always, and so does the Nix expression that takes its place; here it has to be asked for.`,
		field: func(s *Spec) any { return &s.HydraBuildProducts },
	},
	{
		Name: "postVM", Group: groupOutput, Kind: KindString, Default: "", State: Native,
		Summary: "shell code to run when the image is complete",
		Detail: `It is run by ‘/bin/sh -e’ in a temporary directory, when everything is in its place, with the variables ‘out’ (the
output directory), ‘diskImage’ (the image in it) and ‘efiVars’ (empty without ‘touchEFIVars’); of the builder ‘zfs’ ‘out’,
‘bootDiskImage’ and ‘rootDiskImage’, or with one disk ‘out’, ‘diskImage’ and ‘rootDiskImage’, which are the same. What it writes to
standard output goes to standard error. If it fails, what the build has written is removed: the output directory
with everything in it if the build has made it. Not with ‘-o -’. The name is make-disk-image.nix's: it runs on this
machine, whether there was a virtual one or not.`,
		field: func(s *Spec) any { return &s.PostVM },
	},

	{
		Name: "system", Group: groupNixOS, Kind: KindPath, Nullable: true, State: Native,
		Summary: "NixOS system to install: the store path of its toplevel, or a link to it",
		Detail: `The toplevel, ‘additionalPaths’ and ‘channel’, and all that they refer to, become the image's store, with a
database, the system's profile, and what else nixos-install makes. See [docs/nixos.md](nixos.md). ‘root’ and
‘contents’ come first; what they have made stays, but a store with a database is an error.`,
		field: func(s *Spec) any { return &s.System },
	},
	{
		Name: "closureInfo", Group: groupNixOS, Kind: KindPath, Nullable: true, State: Native,
		Summary: "directory that says what store paths refer to, as nixpkgs' closureInfo makes it",
		Detail: `Its files are ‘registration’ and ‘store-paths’. It must know everything that is to go into the image, and may know
more. Without it, the database of the store is read (‘/nix/var/nix/db/db.sqlite’), also while Nix runs; it is not
written.`,
		field: func(s *Spec) any { return &s.ClosureInfo },
	},
	{
		Name: "storeDir", Group: groupNixOS, Kind: KindPath, Nullable: true, State: Native,
		Summary: "where store paths lie on this machine: the root of a store, or its nix/store",
		Detail:  "As in ‘nix --store DIR’: the path ‘/nix/store/x’ is found at ‘DIR/nix/store/x’. Without it, it is where it says.",
		field:   func(s *Spec) any { return &s.StoreDir },
	},
	{
		Name: "additionalPaths", Group: groupNixOS, Kind: KindPaths, State: Native,
		Summary: "further store paths to put into the image's store",
		Detail:  "As with make-disk-image.nix, nothing in the image keeps them: its first garbage collection removes them.",
		field:   func(s *Spec) any { return &s.AdditionalPaths },
	},
	{
		Name: "channel", Group: groupNixOS, Kind: KindPath, Nullable: true, State: Native,
		Summary: "store path of the channel to put into the image",
		Detail:  "It becomes the first generation of root's channels.",
		field:   func(s *Spec) any { return &s.Channel },
	},
	{
		Name: "copyChannel", Group: groupNixOS, Builder: BuilderDisk, Kind: KindBool, State: Native,
		Derived: "whether ‘channel’ is given",
		Summary: "put the channel into the image",
		Detail: `make-disk-image.nix makes a channel of the nixpkgs that it belongs to, unless this is false. Here it has to be
given as ‘channel’.`,
		field: func(s *Spec) any { return &s.CopyChannel },
	},
	{
		Name: "includeChannel", Group: groupNixOS, Builder: BuilderZFS, Kind: KindBool, State: Native,
		Derived: "whether ‘channel’ is given",
		Summary: "put the channel into the image",
		Detail:  "What ‘copyChannel’ is for the builder ‘disk’.",
		field:   func(s *Spec) any { return &s.IncludeChannel },
	},
	{
		Name: "onlyNixStore", Group: groupNixOS, Builder: BuilderDisk, Kind: KindBool, Default: false, State: Native,
		Summary: "make an image of the Nix store alone",
		Detail: `The store paths lie at the top of the root file system, which is to be mounted at ‘/nix/store’, and there is nothing else:
no database, no profile. Only with ‘system’, and not with ‘root’, ‘contents’, ‘configFile’ and ‘installBootLoader’ (which
therefore has to be false). Boot partitions of ‘partitionTableType’ stay empty.`,
		field: func(s *Spec) any { return &s.OnlyNixStore },
	},
	{
		Name: "verifyStore", Group: groupNixOS, Kind: KindBool, Default: false, State: Native,
		Summary: "compare every store path with its hash before anything is written",
		Detail: `All files of the store are read once more, in parallel. What is not as it is registered is an error that names the
path and both hashes.`,
		field: func(s *Spec) any { return &s.VerifyStore },
	},
	{
		Name: "optimiseStore", Group: groupNixOS, Kind: KindBool, Default: false, State: Native,
		Summary: "make hard links of equal files in the store",
		Detail: `As ‘nix-store --optimise’ does, of which the image's Nix does not know, however: it finds equal files anew
when it optimises. Whether the host's store is optimised makes no difference.`,
		field: func(s *Spec) any { return &s.OptimiseStore },
	},

	{
		Name: "installBootLoader", Group: groupBoot, Kind: KindBool, Default: false, State: Native,
		Derived: "whether ‘system’ or ‘bootLoader’ is given",
		Summary: "install a boot loader",
		Detail: `Its files go into the image, its code onto the disk. A system that is not NixOS needs ‘bootLoader’ with
‘entries’.`,
		field: func(s *Spec) any { return &s.InstallBootLoader },
	},
	{
		Name: "bootLoader", Group: groupBoot, Kind: KindBootLoader, Nullable: true, Default: "auto", State: Native,
		Summary: "boot loader to install, and its settings",
		Detail: `‘auto’ reads both from ‘system’ itself: from the installer that it would run. What is not known there is an error;
nothing is guessed. A mapping has the shape of NixOS's ‘boot.loader’: ‘timeout’, ‘efi’, and one of ‘systemd-boot’, ‘grub’,
‘limine’, ‘generic-extlinux-compatible’ and ‘initScript’. For a system that is not NixOS it has ‘entries’ as well. All of it
is in [boot.md](boot.md). The flag takes ‘auto’ or the mapping in JSON.`,
		field: func(s *Spec) any { return &s.BootLoader },
	},
	{
		Name: "touchEFIVars", Group: groupBoot, Builder: BuilderDisk, Kind: KindBool, Default: false, State: Native,
		Summary: "write efi-vars.fd, the firmware's variables, beside the image",
		Detail: `With the boot entry of the loader, if it may touch variables (‘canTouchEfiVariables’) and the layout has an EFI
system partition; otherwise it is ‘efiVariables’ as it is. Needs ‘efiVariables’ and one of the layouts hybrid, efi,
efixbootldr and legacy+gpt. There is none with ‘onlyNixStore’.`,
		field: func(s *Spec) any { return &s.TouchEFIVars },
	},
	{
		Name: "efiVariables", Group: groupBoot, Builder: BuilderDisk, Kind: KindPath, Nullable: true, State: Native,
		Summary: "variable store of the firmware that efi-vars.fd is made from",
		Detail: `A file that belongs to the build of the firmware that will start the image: ‘OVMF_VARS.fd’ or the like. Without
‘touchEFIVars’ it is not read.`,
		field: func(s *Spec) any { return &s.EFIVariables },
	},

	{
		Name: "installMethod", Group: groupBoot, Kind: KindChoice, Default: InstallNative, State: Native,
		Allowed: []string{InstallNative, InstallVM},
		Summary: "who installs the boot loader",
		Detail: `- ‘native’: Diskwright, which computes what the system's installer would write. It knows the loaders of ‘bootLoader’.
- ‘vm’: the system itself, whatever its loader is. It is started once, from the planned disk, in a virtual machine (QEMU), and runs its
  own activation and ‘switch-to-configuration boot’ there. What that has changed becomes part of the image, which is then planned
  and written as any other: the same bytes every time, if the installer's files are. Only with ‘system’. See [vm.md](vm.md).`,
		field: func(s *Spec) any { return &s.InstallMethod },
	},

	{
		Name: "keepDisk", Group: groupVM, Builder: BuilderDisk, Kind: KindBool, Default: false, State: InVM,
		Summary: "take the disk as the virtual machine has left it",
		Detail: `For boot loaders that find their files by the blocks in which they lie: those would be elsewhere on a disk that is planned
again, and without ‘keepDisk’ they are refused. The image is not reproducible then. Only with ‘installMethod: vm’.`,
		field: func(s *Spec) any { return &s.KeepDisk },
	},
	{
		Name: "vmAccel", Group: groupVM, Builder: BuilderDisk, Kind: KindChoice, Default: AccelAuto, State: InVM,
		Allowed: []string{AccelAuto, AccelKVM, AccelTCG},
		Summary: "what executes the virtual machine",
		Detail: `‘kvm’ is the processor, ‘tcg’ an emulator, which every machine can run, ten times slower. ‘auto’ is KVM where that works,
which is found out by trying. It makes no difference to the image.`,
		field: func(s *Spec) any { return &s.VMAccel },
	},
	{
		Name: "vmTimeout", Group: groupVM, Builder: BuilderDisk, Kind: KindInteger, Default: int64(1800), State: InVM,
		Summary: "seconds that the virtual machine may take",
		field:   func(s *Spec) any { return &s.VMTimeout },
	},
	{
		Name: "vmDevices", Group: groupVM, Builder: BuilderDisk, Kind: KindStrings, State: InVM,
		Summary: "names below /dev that the system's installer has for the disk",
		Detail: `In the virtual machine the disk is ‘/dev/vda’; ‘/dev/sda’, ‘/dev/xvda’ and the names that the settings of GRUB or limine in ‘system’
have are links to it. This is for others: ‘/dev/disk/by-id/…’ in an installer that is not known.`,
		field: func(s *Spec) any { return &s.VMDevices },
	},
	{
		Name: "memSize", Group: groupVM, Kind: KindInteger, Default: int64(1024), State: InVM,
		Summary: "memory of the virtual machine in MiB",
		field:   func(s *Spec) any { return &s.MemSize },
	},
	{
		Name: "efiFirmware", Group: groupVM, Builder: BuilderDisk, Kind: KindPath, Nullable: true, State: InVM,
		Summary: "firmware of the virtual machine",
		Detail: `‘OVMF_CODE.fd’ or the like, of the same build as ‘efiVariables’. With ‘touchEFIVars’ it must be given; the firmware's variables
are then as the system's installer has left them.`,
		field: func(s *Spec) any { return &s.EFIFirmware },
	},
	{
		Name: "efiSMM", Group: groupVM, Builder: BuilderDisk, Kind: KindBool, Default: false, State: InVM,
		Summary: "whether the firmware needs system management mode",
		Detail:  "As firmware with secure boot does.",
		field:   func(s *Spec) any { return &s.EFISMM },
	},

	{
		Name: "name", Group: groupNothing, Kind: KindString, Default: "nixos-disk-image", State: NoEffect,
		Summary: "name of the Nix derivation",
		field:   func(s *Spec) any { return &s.Name },
	},
}
