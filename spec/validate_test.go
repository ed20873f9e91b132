package spec

import (
	"errors"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/format"
	"diskwright/partition"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// valid returns the smallest specification without a problem.
func valid() *Spec {
	s := New()
	s.Root = "/rootfs"
	return s
}

func problems(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

const (
	assertFSUID   = "rootFSUID: In deterministic mode with a ext4 partition, rootFSUID must be non-null, by default, it is equal to rootGPUID."
	assertExt4    = "fsType: to produce a partition table, we need to use -E offset flag which is support only for fsType = ext4"
	assertEFIVars = "touchEFIVars: EFI variables can be used only with a partition table of type: hybrid, efi, efixbootldr, or legacy+gpt."
	assertStore   = "onlyNixStore: In a only Nix store image, the contents must be empty, no configuration must be provided and no bootloader should be installed."
	assertOwner   = "contents[0]: Contents of the disk image should set none of {user, group} or both at the same time."
)

// withEntries returns settings for a system that is not NixOS.
func withEntries() *boot.Settings {
	s := boot.NewSettings(boot.SystemdBootName)
	s.Entries = []boot.Entry{{Title: "Linux", Kernel: "/vmlinuz"}}
	return s
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		what   string
		change func(s *Spec)
		want   []string
	}{
		{"nothing", func(*Spec) {}, nil},

		// The six assertions of make-disk-image.nix.
		{"layout", func(s *Spec) { s.PartitionTableType = "gpt" }, []string{
			`partitionTableType: must be one of [ "legacy" "legacy+boot" "legacy+gpt" "efi" "efixbootldr" "hybrid" "none" ], but is: "gpt"`}},
		{"no UUID", func(s *Spec) { s.RootFSUID = Null }, []string{assertFSUID}},
		{"no UUID, random", func(s *Spec) { s.RootFSUID, s.Deterministic = Null, false }, nil},
		{"ext3 in a partition", func(s *Spec) { s.FSType = "ext3" }, []string{assertExt4}},
		{"ext3", func(s *Spec) { s.FSType, s.PartitionTableType = "ext3", partition.None }, nil},
		{"ext2, no UUID", func(s *Spec) { s.FSType, s.PartitionTableType, s.RootFSUID = "ext2", partition.None, Null }, nil},
		{"no partition's GUID", func(s *Spec) { s.RootGPUID, s.PartitionTableType = uuid.Nil.String(), partition.EFI },
			[]string{`rootGPUID: "00000000-0000-0000-0000-000000000000" stands for no partition in a GPT; give any other UUID`}},
		{"no partition's GUID, which nobody sees", func(s *Spec) { s.RootGPUID = uuid.Nil.String() }, nil},
		{"EFI variables", func(s *Spec) { s.TouchEFIVars, s.EFIVariables = true, "/v" }, []string{assertEFIVars}},
		{"EFI variables with efi", func(s *Spec) { s.TouchEFIVars, s.PartitionTableType = true, partition.EFI },
			[]string{"touchEFIVars: efiVariables is missing: the variable store of the firmware, OVMF_VARS.fd or the like"}},
		{"EFI variables with a store", func(s *Spec) {
			s.TouchEFIVars, s.EFIVariables, s.PartitionTableType = true, "/v", partition.EFI
		}, nil},
		{"store and contents", func(s *Spec) { s.OnlyNixStore, s.ConfigFile = true, "/x" },
			[]string{"onlyNixStore: there is no system that it could be about; give the toplevel of a NixOS system as system",
				"root: an image of the Nix store alone (onlyNixStore) has nothing else in it", assertStore}},
		{"user without group", func(s *Spec) { s.Contents = []Content{{Source: "/a", Target: "b", User: "0"}} }, []string{assertOwner}},
		{"group without user", func(s *Spec) { s.Contents = []Content{{Source: "/a", Target: "b", Group: "0"}} }, []string{assertOwner}},

		// Boot loaders.
		{"a loader, and no content", func(s *Spec) { s.BootLoader, s.Root = withEntries(), "" }, []string{
			"root: nothing to put into the image; give a directory or a tar, contents, or a NixOS system"}},
		{"a loader for any system", func(s *Spec) { s.BootLoader = withEntries() }, nil},
		{"a loader by default", func(s *Spec) { s.System = "/s" }, nil},
		{"a loader for nothing", func(s *Spec) { s.InstallBootLoader = new(true) }, []string{
			"installBootLoader: there is nothing to boot: give system, or bootLoader with entries"}},
		{"a loader without a menu", func(s *Spec) { s.BootLoader = boot.NewSettings(boot.SystemdBootName) }, []string{
			"bootLoader: entries is missing: an image without system needs what its boot menu shows"}},
		{"a loader for NixOS only", func(s *Spec) { s.BootLoader = boot.NewSettings(boot.InitScriptName) }, []string{
			"bootLoader: initScript is for NixOS: an image without system needs systemd-boot or grub"}},
		{"a loader with two menus", func(s *Spec) { s.System, s.BootLoader = "/s", withEntries() }, []string{
			"bootLoader: entries is for images without system: NixOS makes the menu"}},
		{"no loader", func(s *Spec) { s.InstallBootLoader, s.BootLoader = new(false), boot.NewSettings(boot.SystemdBootName) }, nil},

		// A NixOS system.
		{"system", func(s *Spec) {
			s.System, s.ClosureInfo, s.StoreDir, s.AdditionalPaths = "/s", "/c", "/d", []string{"/p"}
			s.Channel, s.CopyChannel, s.VerifyStore, s.OptimiseStore = "/c", new(true), true, true
			s.InstallBootLoader, s.PostVM, s.HydraBuildProducts, s.Root = new(false), "true", true, ""
			s.Contents = []Content{{Source: "/a", Target: "b", User: "alice", Group: "4294967295"}} // names may be anything
		}, nil},
		{"only the store", func(s *Spec) { s.System, s.OnlyNixStore, s.InstallBootLoader, s.Root = "/s", true, new(false), "" }, nil},
		{"only the store, and a boot loader", func(s *Spec) { s.System, s.OnlyNixStore, s.InstallBootLoader, s.Root = "/s", true, new(true), "" },
			[]string{assertStore}},
		{"only the store, with contents", func(s *Spec) {
			s.System, s.OnlyNixStore, s.InstallBootLoader, s.Root = "/s", true, new(false), ""
			s.Contents = []Content{{Source: "/a", Target: "b"}}
		}, []string{assertStore}},
		{"a closure without a system", func(s *Spec) { s.ClosureInfo = "/c" }, []string{
			"closureInfo: there is no system that it could be about; give the toplevel of a NixOS system as system"}},
		{"a channel without a system", func(s *Spec) { s.Channel, s.CopyChannel = "/c", new(false) }, []string{
			"channel: there is no system that it could be about; give the toplevel of a NixOS system as system"}},
		{"no channel", func(s *Spec) { s.CopyChannel = new(false) }, nil},
		{"a channel that is not given", func(s *Spec) { s.System, s.InstallBootLoader, s.CopyChannel = "/s", new(false), new(true) }, []string{
			"copyChannel: there is no channel to copy; give its store path as channel, or false"}},
		{"NUL", func(s *Spec) {
			s.System, s.InstallBootLoader, s.AdditionalPaths, s.PostVM = "/\x00", new(false), []string{"/a", "\x00"}, "a\x00"
		}, []string{`system: "/\x00" has a NUL byte, which no name can have`, `additionalPaths[1]: "\x00" has a NUL byte, which no name can have`,
			`postVM: "a\x00" has a NUL byte, which no name can have`}},
		{"no effect", func(s *Spec) { s.MemSize, s.EFIFirmware, s.EFIVariables, s.EFISMM, s.Name = 1, "/f", "/v", true, "n" }, nil},

		{"format", func(s *Spec) { s.Format = "qcow2-compressed" }, nil},
		{"format of another name", func(s *Spec) { s.Format = "vhd" }, []string{`format: "vhd" is not supported: it is called "vpc"; the formats are ` + strings.Join(format.Names(), ", ")}},
		{"format that QEMU knows", func(s *Spec) { s.Format = "parallels" }, []string{`format: "parallels" is not supported: diskwright does not write it; the formats are ` + strings.Join(format.Names(), ", ")}},
		{"unknown format", func(s *Spec) { s.Format = "qcow3" }, []string{`format: "qcow3" is unknown; it must be ` + alternatives(format.Names()) + `; did you mean "qcow2"?`}},
		{"options of formats", func(s *Spec) {
			s.Format, s.Subformat, s.ForceSize, s.AlignDisk = "vpc", "fixed", true, true
		}, nil},
		{"options of qcow2", func(s *Spec) {
			s.Format, s.CompressionType, s.CompressionLevel, s.Compress = "qcow2-compressed", "zstd", 19, "xz"
		}, nil},
		{"subformat", func(s *Spec) { s.Format, s.Subformat = "vpc", "tar" }, []string{`subformat: "tar": the format vpc has dynamic, fixed`}},
		{"subformat of none", func(s *Spec) { s.Format, s.Subformat = "vdi", "tar" }, []string{`subformat: "tar": the format vdi has no subformats`}},
		{"forceSize", func(s *Spec) { s.ForceSize = true }, []string{`forceSize: the format raw keeps the size of the disk as it is; this is for vpc`}},
		{"compressionType", func(s *Spec) { s.CompressionType = "zstd" }, []string{`compressionType: "zstd": the format raw has no compressed clusters; qcow2-compressed has`}},
		{"unknown compression", func(s *Spec) { s.Compress, s.CompressionType = "bzip2", "lz4" }, []string{`compressionType: "lz4" is unknown; it must be zlib or zstd`}},
		{"compressionLevel", func(s *Spec) { s.Compress, s.CompressionLevel = "gzip", 10 }, []string{`compress: compression level 10 of gzip is not in 1 to 9`}},
		{"compressionLevel of zlib", func(s *Spec) { s.Format, s.CompressionLevel = "qcow2-compressed", 1 }, []string{`compressionType: qcow2: compression level 1: levels are for zstd; zlib with a window of 4 KiB has none`}},
		{"large compressionLevel", func(s *Spec) { s.CompressionLevel = 1 << 40 }, []string{`compressionLevel: 1099511627776 is out of range`}},
		{"xfs", func(s *Spec) { s.FSType, s.PartitionTableType = "xfs", partition.None }, []string{
			`fsType: "xfs" cannot be built, by make-disk-image.nix neither; it must be ext4, or ext3 or ext2 without a partition table`}},
		{"ext5", func(s *Spec) { s.FSType, s.PartitionTableType = "ext5", partition.None }, []string{
			`fsType: "ext5" is unknown; it must be ext4, ext3 or ext2; did you mean "ext4"?`}},
		{"zfs", func(s *Spec) { s.FSType, s.PartitionTableType = "zfs", partition.None }, []string{
			`fsType: "zfs" is not supported in this version; it must be ext4, or ext3 or ext2 without a partition table`}},

		// What goes in.
		{"empty", func(s *Spec) { s.Root = "" }, []string{"root: nothing to put into the image; give a directory or a tar, contents, or a NixOS system"}},
		{"only contents", func(s *Spec) {
			s.Root, s.Contents = "", []Content{{Source: "/a", Target: "b", User: "0", Group: "4294967294", Mode: "755"}}
		}, nil},
		{"contents", func(s *Spec) {
			s.Contents = []Content{
				{}, {Source: "/a", Target: "x/../../etc", Mode: "999", User: "root", Group: "4294967295"},
				{Source: "/a", Target: strings.Repeat("n", 256)}, {Source: "/\x00", Target: "/\x00"},
			}
		}, []string{
			"contents[0].source: must be given: a file, a directory or a pattern",
			"contents[0].target: must be given: a path in the image",
			`contents[1].target: "x/../../etc" has the component ".."; it must be a plain path in the image`,
			`contents[1].mode: mode "999": "999" has "9" where one of + - = is wanted; want octal ("755", "D755,F644") or symbolic ("u+rwX,go-w") items`,
			`contents[1].user: "root" is not a number; names need a NixOS system (system) that has them`,
			`contents[1].group: "4294967295" is larger than 4294967294, the last number of a user or group`,
			`contents[2].target: "` + strings.Repeat("n", 256) + `" has a name of more than 255 bytes`,
			`contents[3].source: "/\x00" has a NUL byte, which no name can have`,
			`contents[3].target: "/\x00" has a NUL byte, which no name can have`,
		}},
		{"owners", func(s *Spec) { s.Owners = "kep" }, []string{`owners: "kep" is unknown; it must be root or keep; did you mean "keep"?`}},
		{"xattrs", func(s *Spec) { s.Xattrs = []string{"user.*", ""} }, []string{`xattrs[1]: the pattern is empty; it must be a name such as "user.*"`}},

		// Sizes.
		{"sizes", func(s *Spec) { s.AdditionalSpace, s.BootSize = "512MB", "512Mi" }, []string{
			`additionalSpace: "512MB" is not a size: the unit must be "M", which is a power of 1024, not "MB"`,
			`bootSize: "512Mi" is not a size: the unit must be "M", which is a power of 1024, not "Mi"`}},
		{"diskSize 0", func(s *Spec) { s.DiskSize = DiskSize{DiskSizeFixed, 0} }, []string{`diskSize: 0 MiB is out of range; it must be from 1 to 1099511627776`}},
		{"diskSize", func(s *Spec) { s.DiskSize = DiskSize{DiskSizeFixed, 2} }, nil},
		{"diskSize min", func(s *Spec) { s.DiskSize = DiskSize{Mode: DiskSizeMin} }, nil},

		// Compat.
		{"older", func(s *Spec) { s.Compat, s.PartitionTableType = partition.Older, partition.Hybrid }, nil},
		{"older, unknown layout", func(s *Spec) { s.Compat, s.PartitionTableType = partition.Older, partition.EFIXBOOTLDR }, []string{
			`partitionTableType: "efixbootldr" is unknown to the older make-disk-image.nix (compat: older), which has none, legacy, legacy+gpt, efi or hybrid`}},
		{"older, numfmt", func(s *Spec) { s.Compat, s.PartitionTableType, s.BootSize = partition.Older, partition.EFI, "256MiB" }, []string{
			`bootSize: "256MiB" is not a size: the unit must be "M", which is a power of 1024, not "MiB"; with compat older and an automatic disk size, numfmt must be able to read it, too`}},
		{"older, parted", func(s *Spec) {
			s.Compat, s.PartitionTableType, s.BootSize = partition.Older, partition.EFI, "256MiB"
			s.DiskSize = DiskSize{DiskSizeFixed, 1000}
		}, nil},
		{"compat", func(s *Spec) { s.Compat = "old" }, []string{`compat: "old" is unknown; it must be current or older`}},

		// Identity and output.
		{"uuids", func(s *Spec) {
			s.RootGPUID, s.RootFSUID, s.Seed = "{F222513B-DED1-49FA-B591-20CE86A2FE7F}", "F222513BDED149FAB59120CE86A2FE7F", "urn:uuid:F222513B-DED1-49FA-B591-20CE86A2FE7F"
		}, []string{
			`rootGPUID: "{F222513B-DED1-49FA-B591-20CE86A2FE7F}" is not a UUID such as F222513B-DED1-49FA-B591-20CE86A2FE7F`,
			`rootFSUID: "F222513BDED149FAB59120CE86A2FE7F" is not a UUID such as F222513B-DED1-49FA-B591-20CE86A2FE7F`,
			`seed: "urn:uuid:F222513B-DED1-49FA-B591-20CE86A2FE7F" is not a UUID such as F222513B-DED1-49FA-B591-20CE86A2FE7F`,
		}},
		{"label", func(s *Spec) { s.Label = new("0123456789abcdef") }, nil},
		{"long label", func(s *Spec) { s.Label = new("0123456789abcdé" + "f") }, []string{`label: "0123456789abcdéf" has 17 bytes; ext4 can hold 16`}},
		{"epoch", func(s *Spec) { s.SourceDateEpoch = "1980-01-01" }, []string{
			`SOURCE_DATE_EPOCH: "1980-01-01" is not a time; it must be the seconds since 1970 in decimal digits`}},
		{"epoch of 2446", func(s *Spec) { s.SourceDateEpoch = "15032385536" }, []string{
			`SOURCE_DATE_EPOCH: "15032385536" is later than 15032385535 (the year 2446), the last second that ext4 can store`}},
		{"names", func(s *Spec) { s.BaseName, s.Name = "a/b", "" }, []string{
			`baseName: "a/b" has a slash; it must be a name, not a path`, `name: must not be empty`}},
		{"dots", func(s *Spec) { s.BaseName, s.MemSize = "..", 0 }, []string{
			`baseName: ".." is a directory, not a name`, `memSize: 0 is out of range; it must be from 1 to 16777216 (MiB)`}},
		{"long name", func(s *Spec) { s.BaseName = strings.Repeat("x", 252) }, []string{
			`baseName: "` + strings.Repeat("x", 252) + `" has 252 bytes; there is room for 251`}},
	} {
		s := valid()
		test.change(s)
		if diff := cmp.Diff(test.want, problems(s.Validate())); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.what, diff)
		}
	}
}

// Sizes that no disk can have are known before any content is.
func TestValidateLayout(t *testing.T) {
	for _, test := range []struct {
		layout   partition.Layout
		bootSize Size
		disk     int64 // 0 is auto
		want     string
	}{
		{partition.EFI, "8M", 0, ""},
		{partition.EFI, "7M", 0, "bootSize"},
		{partition.EFIXBOOTLDR, "100M", 0, ""},
		{partition.EFIXBOOTLDR, "99M", 0, "bootSize"},
		{partition.LegacyBoot, "1M", 0, ""},
		{partition.LegacyBoot, "0", 0, "bootSize"},
		{partition.Legacy, "0", 0, ""},
		{partition.EFI, "256M", 258, ""},
		{partition.EFI, "256M", 257, "diskSize"},
		{partition.LegacyGPT, "256M", 3, "diskSize"},
		{partition.Legacy, "256M", 2097152, ""},
		{partition.Legacy, "256M", 2097153, "diskSize"},
	} {
		s := valid()
		s.PartitionTableType, s.BootSize = test.layout, test.bootSize
		if test.disk > 0 {
			s.DiskSize = DiskSize{DiskSizeFixed, test.disk}
		}
		var found Problems
		errors.As(s.Validate(), &found)
		got := ""
		if len(found) > 0 {
			got = found[0].Parameter
		}
		if got != test.want || len(found) > 1 {
			t.Errorf("%s, bootSize %s, diskSize %d: got %v, want a problem with %q", test.layout, test.bootSize, test.disk, found, test.want)
		}
	}
}

// What could not be read is not complained of twice, and does not hide the
// rest.
func TestProblemsTogether(t *testing.T) {
	s, err := read(t, "a.yaml", "rot: x\nlabel: 5\nfsType: xfs\ncontents:\n- {source: a, target: b, user: 1, group: [], mode: 5}\n- {source: a, target: .., mode: x}\n- {sorce: a, target: .., owner: x, mode: x}\ndiskSize: huge\n")
	flag := s.SetFlag(*lookup("rootGPUID"), []string{"x"})
	got := problems(Join(err, flag, s.Validate()))
	want := []string{
		`a.yaml:1:1: unknown parameter "rot"; did you mean "root"?`,
		`a.yaml:2:8: label: must be a string, in quotes, not the number 5`,
		`a.yaml:3:9: fsType: "xfs" cannot be built, by make-disk-image.nix neither; it must be ext4, or ext3 or ext2 without a partition table`,
		`a.yaml:3:9: fsType: to produce a partition table, we need to use -E offset flag which is support only for fsType = ext4`,
		`a.yaml:5:42: contents[0].group: must be a string, not a list`,
		`a.yaml:5:52: contents[0].mode: must be a string, in quotes, not the number 5`,
		`a.yaml:6:23: contents[1].target: ".." has the component ".."; it must be a plain path in the image`,
		`a.yaml:6:33: contents[1].mode: mode "x": "x" has "x" where one of + - = is wanted; want octal ("755", "D755,F644") or symbolic ("u+rwX,go-w") items`,
		`a.yaml:7:4: contents[2]: unknown key "sorce"; did you mean "source"?`,
		`a.yaml:7:22: contents[2].target: ".." has the component ".."; it must be a plain path in the image`,
		`a.yaml:7:26: contents[2]: unknown key "owner"`,
		`a.yaml:7:42: contents[2].mode: mode "x": "x" has "x" where one of + - = is wanted; want octal ("755", "D755,F644") or symbolic ("u+rwX,go-w") items`,
		`a.yaml:8:11: diskSize: must be "auto", "min" or a whole number of MiB, not the string "huge"`,
		`--root-gpuid: "x" is not a UUID such as F222513B-DED1-49FA-B591-20CE86A2FE7F`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestResolvedValues(t *testing.T) {
	s := valid()
	rootID, _ := ParseUUID("F222513B-DED1-49FA-B591-20CE86A2FE7F")
	if id, ok := s.FSUUID(); id != rootID || !ok {
		t.Errorf("ext4's default UUID is %v, %v", id, ok)
	}
	if s.SeedUUID() != rootID || s.RootUUID() != rootID {
		t.Error("the seed's default is not rootGPUID")
	}
	s.FSType = "ext2"
	if id, ok := s.FSUUID(); ok {
		t.Errorf("ext2 has the default UUID %v", id)
	}
	s.RootFSUID, s.Seed = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "01234567-89ab-cdef-0123-456789ABCDEF"
	if id, ok := s.FSUUID(); !ok || id.String() != s.RootFSUID {
		t.Errorf("the UUID is %v, %v", id, ok)
	}
	if s.SeedUUID().String() != strings.ToLower(s.Seed) {
		t.Errorf("the seed is %v", s.SeedUUID())
	}
	if seconds, clamp := s.Epoch(); seconds != 315532800 || clamp {
		t.Errorf("the epoch is %d, %v", seconds, clamp)
	}
	s.SourceDateEpoch = "0"
	if seconds, clamp := s.Epoch(); seconds != 0 || !clamp {
		t.Errorf("the epoch is %d, %v", seconds, clamp)
	}
	if s.VolumeLabel() != "nixos" {
		t.Errorf("the label is %q", s.VolumeLabel())
	}
	s.OnlyNixStore = true
	if s.VolumeLabel() != "nix-store" {
		t.Errorf("the label of a store is %q", s.VolumeLabel())
	}
	if s.Label = new(""); s.VolumeLabel() != "" {
		t.Errorf("no label is %q", s.VolumeLabel())
	}
	if err := s.SetFlag(*lookup("label"), []string{"x"}); err != nil || s.Called("label") != "--label" || s.Called("diskSize") != "diskSize" {
		t.Errorf("what was given is called %q and %q, %v", s.Called("label"), s.Called("diskSize"), err)
	}
	if s.Filename(RoleRoot) != "nixos.img" {
		t.Errorf("the file is %q", s.Filename(RoleRoot))
	}
}
