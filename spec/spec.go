// Package spec is what the user asks for: the parameters of an image, their
// defaults, and what is wrong with them.
//
//	image.yaml ─┐
//	            ├─► Spec ──► Validate ──► all problems at once, or none
//	flags ──────┘
//
// # Vocabulary
//
// A parameter is one thing that can be asked for. Parameters have the names
// and the defaults of NixOS's make-disk-image.nix, plus a few of our own. One
// table (see [Parameters]) knows all of them; the flags of the command line,
// the JSON Schema (schema.json) and the manual (docs/parameters.md) derive
// from it.
//
// A specification is a JSON or YAML mapping from parameters to values. Reading
// is strict: an unknown parameter, a value of the wrong type, a key given
// twice are problems that name the line and the column. A problem with one
// parameter does not hide the problems of the others.
//
// # Paths
//
// A relative path in a specification that was read from a file starts at the
// directory of that file; in a flag, or in a specification that was read from
// standard input, at the working directory.
package spec

import (
	"fmt"
	"strings"

	"diskwright/boot"
	"diskwright/partition"

	"github.com/google/uuid"
)

//go:generate go run ./internal/generate

// Values of [Spec.Owners].
const (
	OwnersRoot = "root" // every file belongs to 0:0
	OwnersKeep = "keep" // every file belongs to whom it belongs in the source
)

// Values of [Spec.Compat].
const (
	CompatCurrent = partition.Current
	CompatOlder   = partition.Older
)

// Values of [Spec.FSProfile].
const (
	// ProfileUpstream is what mke2fs makes with its own configuration.
	ProfileUpstream = "upstream"
	// ProfileCompatible leaves out metadata_csum_seed and orphan_file, which
	// GRUB before 2.12 and e2fsprogs before 1.47 refuse.
	ProfileCompatible = "compatible"
)

// Labels of the root file system that nobody gave one.
const (
	LabelSystem = "nixos"
	LabelStore  = "nix-store" // with OnlyNixStore
)

// Null is the value of [Spec.RootFSUID] that asks for no fixed identifier, as
// null does in a specification. The empty string asks for the default.
const Null = "null"

// DefaultEpoch is the time, in seconds since 1970, of what is made without
// [Spec.SourceDateEpoch]: 1980-01-01T00:00:00Z, as in the builds of nixpkgs.
const DefaultEpoch = 315532800

// Spec holds the value of every parameter. Make one with [New] or [Load], so
// that what is not asked for has its default. The meaning of each field is
// that of the parameter in the table ([Parameters], docs/parameters.md).
//
// The fields hold what was asked for, as it was written. After [Spec.Validate]
// has returned nil, the methods give what it means.
type Spec struct {
	// What goes into the image.

	Root       string    // a directory or a tar; "-" is a tar from standard input; "" is none
	Owners     string    // OwnersRoot or OwnersKeep; "" is root for directories, keep for tars
	Xattrs     []string  // patterns; nil is the default, see the table
	Contents   []Content // merged over Root, in order
	ConfigFile string    // becomes /etc/nixos/configuration.nix; "" is none

	// Who makes the image: one or the other, and what is only about one must not be
	// given to the other.

	Builder string // BuilderDisk or BuilderZFS

	// The disk.

	DiskSize           DiskSize
	AdditionalSpace    Size
	BootSize           Size // with partition.Older in the syntax of parted, with BuilderZFS a number of MiB; "" is the default, see BootEnd
	PartitionTableType partition.Layout
	Compat             partition.Compat

	// The root file system.

	FSType    string  // "ext4"; "ext3" and "ext2" without a partition table
	FSProfile string  // ProfileUpstream or ProfileCompatible
	Label     *string // nil is the default, see VolumeLabel

	// The pool of BuilderZFS, and its disks.

	Disks                        int64 // 1 or 2
	RootSize                     int64 // MiB
	RootPoolName                 string
	RootPoolProperties           map[string]string
	RootPoolFilesystemProperties map[string]string
	Datasets                     map[string]Dataset // by name, with the pool's
	Features                     string             // one of package zfs
	IncludeChannel               *bool              // nil is the default, see CopiesChannel

	// Identity.

	Deterministic bool
	RootGPUID     string
	RootFSUID     string // Null is none; "" is the default, see FSUUID
	Seed          string // "" is RootGPUID

	// The output.

	Name               string
	Format             string // one of package format
	Subformat          string // "" is the first of the format's
	ForceSize          bool
	AlignDisk          bool
	CompressionType    string // "" is the default, zlib
	CompressionLevel   int64  // 0 is the usual one
	Compress           string // "" is not at all
	BaseName           string
	HydraBuildProducts bool
	PostVM             string

	// A NixOS system, and where its store paths are found. Paths are those of
	// the host; they lead to store paths.

	System          string // "" is none, and then there is none of the others
	ClosureInfo     string // "" is the database of the store
	StoreDir        string // "" is the host's own store
	AdditionalPaths []string
	Channel         string
	CopyChannel     *bool // nil is the default, see CopiesChannel
	OnlyNixStore    bool
	VerifyStore     bool
	OptimiseStore   bool

	// The boot loader.

	InstallBootLoader *bool          // nil is the default, see InstallsBootLoader
	BootLoader        *boot.Settings // nil is what the system itself says
	TouchEFIVars      bool
	EFIVariables      string
	InstallMethod     string // InstallNative or InstallVM

	// The virtual machine of InstallVM. Other builds need none, and accept all
	// of these but KeepDisk.

	KeepDisk    bool
	VMAccel     string   // AccelAuto, AccelKVM or AccelTCG
	VMTimeout   int64    // seconds
	VMDevices   []string // names of the disk, below /dev
	MemSize     int64    // MiB
	EFIFirmware string
	EFISMM      bool

	// SourceDateEpoch is the value of the environment variable
	// SOURCE_DATE_EPOCH, "" if it is unset. It is not a parameter: whoever
	// makes the Spec copies it from the environment.
	SourceDateEpoch string

	origin map[string]place // where the value of a parameter was given
	broken map[string]bool  // parameters whose value could not be read

	bootSizeIsNumber bool // BootSize was not written as a string
}

// Content is an element of [Spec.Contents]: files to put into the image.
type Content struct {
	Source string // a file or directory of the host; with '*' a pattern
	Target string // where it goes: a path in the image
	Mode   string // octal or symbolic; "" keeps the modes
	User   string // a name of the system, or a number; "" for the default
	Group  string // a name of the system, or a number; "" for the default
}

// DiskSize is the size of the disk. The zero value is automatic.
type DiskSize struct {
	Mode DiskSizeMode
	MiB  int64 // with DiskSizeFixed
}

// DiskSizeMode says how the size of the disk is found.
type DiskSizeMode int

const (
	DiskSizeAuto  DiskSizeMode = iota // from the content and additionalSpace, by the formula of make-disk-image.nix
	DiskSizeMin                       // the smallest that holds the content, plus additionalSpace
	DiskSizeFixed                     // as given
)

// String returns the size as it is written in a specification.
func (d DiskSize) String() string {
	switch d.Mode {
	case DiskSizeAuto:
		return "auto"
	case DiskSizeMin:
		return "min"
	default:
		return fmt.Sprint(d.MiB)
	}
}

// New returns a Spec with the defaults.
func New() *Spec {
	s := &Spec{}
	for _, p := range table {
		p.setDefault(s)
	}
	return s
}

// Epoch returns the time, in seconds since 1970, of what the build makes
// itself. If clamp is true, no file may be later.
func (s *Spec) Epoch() (seconds int64, clamp bool) {
	if s.SourceDateEpoch == "" {
		return DefaultEpoch, false
	}
	seconds, err := ParseEpoch(s.SourceDateEpoch)
	if err != nil {
		return DefaultEpoch, false
	}
	return seconds, true
}

// RootUUID returns the GPT identifier of the root partition.
func (s *Spec) RootUUID() uuid.UUID {
	id, _ := ParseUUID(s.RootGPUID)
	return id
}

// FSUUID returns the identifier of the root file system. Without one (ok is
// false) the specification leaves it open: rootFSUID is null, or it is not
// given and the file system is none to which make-disk-image.nix gives one.
func (s *Spec) FSUUID() (id uuid.UUID, ok bool) {
	text := s.RootFSUID
	if text == "" && s.FSType == "ext4" {
		text = s.RootGPUID
	}
	if text == "" || text == Null {
		return uuid.UUID{}, false
	}
	id, err := ParseUUID(text)
	return id, err == nil
}

// SeedUUID returns the seed of all identifiers that are neither given nor
// fixed by make-disk-image.nix.
func (s *Spec) SeedUUID() uuid.UUID {
	if s.Seed == "" {
		return s.RootUUID()
	}
	id, _ := ParseUUID(s.Seed)
	return id
}

// VolumeLabel returns the label of the root file system.
func (s *Spec) VolumeLabel() string {
	switch {
	case s.Label != nil:
		return *s.Label
	case s.OnlyNixStore:
		return LabelStore
	default:
		return LabelSystem
	}
}

// CopiesChannel reports whether a channel goes into the image: unless it was
// said, whether one was given.
func (s *Spec) CopiesChannel() bool {
	asked := s.CopyChannel
	if s.Builder == BuilderZFS {
		asked = s.IncludeChannel
	}
	if asked != nil {
		return *asked
	}
	return s.Channel != ""
}

// InstallsBootLoader reports whether a boot loader is to be installed: unless
// it was said, whether there is something to boot.
func (s *Spec) InstallsBootLoader() bool {
	if s.InstallBootLoader != nil {
		return *s.InstallBootLoader
	}
	return s.System != "" || s.BootLoader != nil
}

// NeedsDirectory returns the first parameter that asks for something beside the
// image, for which an output directory has to be there, or nothing.
func (s *Spec) NeedsDirectory() string {
	switch {
	case s.PostVM != "":
		return "postVM"
	case s.TouchEFIVars:
		return "touchEFIVars"
	case s.HydraBuildProducts:
		return "hydraBuildProducts"
	case len(s.Roles()) > 1:
		return "disks"
	default:
		return ""
	}
}

// Called returns what whoever gave a parameter its value calls it: the flag, if
// it was one, or else the parameter as it is. For errors that come later.
func (s *Spec) Called(parameter string) string {
	if place := s.where(parameter); strings.HasPrefix(place.name, "--") {
		return place.name
	}
	return parameter
}
