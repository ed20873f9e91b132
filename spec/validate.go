package spec

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"diskwright/format"
	"diskwright/format/compress"
	"diskwright/partition"
	"diskwright/tree"

	"github.com/google/uuid"
)

const (
	// labelMax is the length of s_volume_name in ext4's superblock.
	labelMax = 16
	// nameMax is the longest file name of Linux and macOS.
	nameMax = 255
	// diskSizeMax is the largest diskSize in MiB: the 1 EiB of a disk map.
	diskSizeMax = 1 << 40
)

// Encoder returns what writes the image. Before [Spec.Validate] has returned nil
// it may be an error.
func (s *Spec) Encoder() (*format.Encoder, error) {
	return format.New(s.Format, format.Options{
		Subformat:       s.Subformat,
		ForceSize:       s.ForceSize,
		CompressionType: s.CompressionType,
		Compress:        compress.Kind(s.Compress),
		Level:           int(s.CompressionLevel),
	})
}

// suffix returns what the name of the image file ends with.
func (s *Spec) suffix() string {
	e, err := s.Encoder()
	if err != nil {
		return ""
	}
	return e.Suffix()
}

// Filename returns the name of the image file of the disk with a role (see
// [Spec.Roles]).
func (s *Spec) Filename(role string) string { return s.BaseName + s.infix(role) + s.suffix() }

// infix is what comes between the base name and the suffix.
func (s *Spec) infix(role string) string {
	if s.Builder == BuilderZFS {
		return "." + role
	}
	return ""
}

// HydraFormat returns what Hydra calls the format: the encoder's name, without
// how it compresses.
func (s *Spec) HydraFormat() string {
	f, err := format.ByName(s.Format)
	if err != nil {
		return s.Format
	}
	return f.Product
}

// Validate checks everything that can be known without looking at a file. It
// returns nil or [Problems]. Values that could not even be read are not
// checked again.
func (s *Spec) Validate() error {
	v := &validator{spec: s}
	v.tree()
	v.system()
	v.identity()
	v.output()
	v.bootLoaderRules()
	if v.choice("builder", s.Builder) && v.readable("builder") {
		v.belongs()
		if s.Builder == BuilderZFS {
			v.zfs()
		} else {
			v.disk()
		}
	}
	if len(v.problems) == 0 {
		return nil
	}
	v.problems.sort()
	return v.problems
}

// validator collects the problems of a Spec.
type validator struct {
	spec     *Spec
	problems Problems
}

// fail adds a problem with a parameter, unless its value could not be read.
func (v *validator) fail(parameter, text string, args ...any) {
	v.failWith(parameter, fmt.Errorf(text, args...))
}

func (v *validator) failWith(parameter string, err error) {
	if v.readable(parameter) {
		place := v.spec.where(parameter)
		v.problems = append(v.problems, Problem{place.String(), parameter, err, place.at})
	}
}

// readable reports whether a parameter's value is what was asked for.
func (v *validator) readable(parameter string) bool {
	for name := range around(parameter) {
		if v.spec.broken[name] {
			return false
		}
	}
	return true
}

// where returns the place at which a value was given, or the nearest one known
// around it.
func (s *Spec) where(parameter string) place {
	for name := range around(parameter) {
		if found, ok := s.origin[name]; ok {
			return found
		}
	}
	return place{}
}

// around yields "contents[2].mode", "contents[2]" and "contents".
func around(parameter string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for end := len(parameter); end > 0 && yield(parameter[:end]); {
			end = strings.LastIndexAny(parameter[:end], ".[")
		}
	}
}

const notSupported = "not supported in this version"

// asks reports whether a parameter's value asks for anything: whether it is
// not false, empty or null.
func (p *Parameter) asks(s *Spec) bool {
	value := reflect.ValueOf(p.field(s)).Elem()
	if value.Kind() == reflect.Slice {
		return value.Len() > 0
	}
	return !value.IsZero()
}

// choice checks a parameter that has a set of allowed values.
func (v *validator) choice(name, value string) bool {
	p := lookup(name)
	if slices.Contains(p.Allowed, value) || value == "" && p.Nullable {
		return true
	}
	if !p.ListsAllowed() {
		v.fail(name, "%q is none of %d known names%s", value, len(p.Allowed), suggestion(value, p.Allowed))
		return false
	}
	v.fail(name, "%q is unknown; it must be %s%s", value, alternatives(p.Allowed), suggestion(value, p.Allowed))
	return false
}

func (v *validator) tree() {
	s := v.spec
	if s.Root == "" && len(s.Contents) == 0 && s.ConfigFile == "" && !s.broken["root"] && !s.broken["contents"] && !v.asksForSystem() {
		v.fail("root", "nothing to put into the image; give a directory or a tar, contents, or a NixOS system")
	}
	for _, name := range []string{"root", "configFile"} {
		v.noNUL(name, getText(lookup(name).field(s)))
	}
	v.choice("owners", s.Owners)
	for i, pattern := range s.Xattrs {
		if pattern == "" {
			v.fail(fmt.Sprintf("xattrs[%d]", i), "the pattern is empty; it must be a name such as \"user.*\"")
		}
	}
	for i, c := range s.Contents {
		v.content(fmt.Sprintf("contents[%d]", i), c)
	}
}

// ofSystem are the parameters that say something about a system's store.
var ofSystem = []string{"closureInfo", "storeDir", "additionalPaths", "channel", "copyChannel", "includeChannel", "onlyNixStore", "verifyStore", "optimiseStore"}

// asksForSystem reports whether the content is to come from a NixOS system:
// then it is that which is missing, if anything is, not the root.
func (v *validator) asksForSystem() bool {
	return v.spec.System != "" || v.spec.broken["system"] || v.firstOfSystem() != ""
}

// firstOfSystem returns the first of the parameters that make no sense without
// a system and that asks for something, or nothing.
func (v *validator) firstOfSystem() string {
	for _, name := range ofSystem {
		p := lookup(name)
		if (name == "copyChannel" || name == "includeChannel") && !v.spec.CopiesChannel() {
			continue
		}
		if p.asks(v.spec) {
			return name
		}
	}
	return ""
}

// system checks what there is about a NixOS system.
func (v *validator) system() {
	s := v.spec
	for _, name := range []string{"system", "closureInfo", "storeDir", "channel"} {
		v.noNUL(name, getText(lookup(name).field(s)))
	}
	for i, path := range s.AdditionalPaths {
		v.noNUL(fmt.Sprintf("additionalPaths[%d]", i), path)
	}
	if name := v.firstOfSystem(); name != "" && s.System == "" && !s.broken["system"] {
		v.fail(name, "there is no system that it could be about; give the toplevel of a NixOS system as system")
	}
	if s.CopiesChannel() && s.Channel == "" && !s.broken["channel"] {
		name := "copyChannel"
		if s.Builder == BuilderZFS {
			name = "includeChannel"
		}
		v.fail(name, "there is no channel to copy; give its store path as channel, or false")
	}
	if s.OnlyNixStore && s.Root != "" {
		v.fail("root", "an image of the Nix store alone (onlyNixStore) has nothing else in it")
	}
	v.noNUL("postVM", s.PostVM)
}

func (v *validator) noNUL(name, value string) {
	if strings.ContainsRune(value, 0) {
		v.fail(name, "%q has a NUL byte, which no name can have", value)
	}
}

func (v *validator) content(name string, c Content) {
	if c.Source == "" {
		v.fail(name+".source", "must be given: a file, a directory or a pattern")
	}
	if c.Target == "" {
		v.fail(name+".target", "must be given: a path in the image")
	}
	v.noNUL(name+".source", c.Source)
	v.noNUL(name+".target", c.Target)
	for part := range strings.SplitSeq(c.Target, "/") {
		if part == ".." || part == "." {
			v.fail(name+".target", "%q has the component %q; it must be a plain path in the image", c.Target, part)
			break
		} else if len(part) > nameMax {
			v.fail(name+".target", "%q has a name of more than %d bytes", c.Target, nameMax)
			break
		}
	}
	if c.Mode != "" {
		if _, err := tree.ParseMode(c.Mode); err != nil {
			v.failWith(name+".mode", err)
		}
	}
	v.owner(name+".user", c.User)
	v.owner(name+".group", c.Group)
	if (c.User == "") != (c.Group == "") && v.readable(name+".user") && v.readable(name+".group") {
		v.fail(name, "Contents of the disk image should set none of {user, group} or both at the same time.")
	}
}

// owner checks the name or number of a user or group. A system may have any
// name, also one of digits.
func (v *validator) owner(name, value string) {
	if value == "" || v.spec.System != "" || v.spec.broken["system"] {
		v.noNUL(name, value)
	} else if err := checkOwner(value); err != nil {
		v.failWith(name, err)
	}
}

// disk checks what the builder disk is asked for.
func (v *validator) disk() {
	v.diskSizes()
	v.fileSystem()
	v.assertions()
	v.virtualMachine()
	v.layout()
}

func (v *validator) diskSizes() {
	s := v.spec
	if s.DiskSize.Mode == DiskSizeFixed && (s.DiskSize.MiB < 1 || s.DiskSize.MiB > diskSizeMax) {
		v.fail("diskSize", "%d MiB is out of range; it must be from 1 to %d", s.DiskSize.MiB, int64(diskSizeMax))
	}
	v.size("additionalSpace", s.AdditionalSpace)
	switch {
	case s.bootSizeIsNumber:
		v.fail("bootSize", "must be %s, in quotes, not the number %s", KindBootSize.describe(), string(s.BootSize))
	case s.Compat != partition.Older:
		v.size("bootSize", s.BootEnd())
	default:
		v.bootSizeOlder()
	}
	v.choice("compat", string(s.Compat))
	if known := s.Compat.Layouts(); slices.Contains(partition.Layouts(), s.PartitionTableType) && !slices.Contains(known, s.PartitionTableType) {
		v.fail("partitionTableType", "%q is unknown to the older make-disk-image.nix (compat: older), which has %s",
			s.PartitionTableType, alternatives(names(known)))
	}
}

// names returns layouts as strings.
func names(layouts []partition.Layout) []string {
	list := make([]string, len(layouts))
	for i, l := range layouts {
		list[i] = string(l)
	}
	return list
}

func (v *validator) size(name string, size Size) {
	if _, err := size.Bytes(); err != nil {
		v.failWith(name, err)
	}
}

// bootSizeOlder checks a bootSize that is parted's. The older
// make-disk-image.nix puts it through numfmt too where it adds up the
// automatic size, for the layouts that have an ESP.
func (v *validator) bootSizeOlder() {
	s := v.spec
	if s.DiskSize.Mode == DiskSizeAuto && (s.PartitionTableType == partition.EFI || s.PartitionTableType == partition.Hybrid) {
		if _, err := s.BootEnd().Bytes(); err != nil {
			v.fail("bootSize", "%w; with compat older and an automatic disk size, numfmt must be able to read it, too", err)
		}
	}
}

// layout lays the disk out, to learn which sizes are impossible. It needs no
// content: an automatic disk is large enough for its boot partition.
func (v *validator) layout() {
	for _, name := range []string{"diskSize", "bootSize", "partitionTableType", "compat"} {
		if !v.readable(name) || slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Parameter == name }) {
			return
		}
	}
	s := v.spec
	request := partition.Request{
		Layout: s.PartitionTableType, Compat: s.Compat, BootSizeText: string(s.BootEnd()), DiskSize: s.DiskSize.MiB << 20,
		Identify: func(string) uuid.UUID { return uuid.UUID{} },
	}
	request.BootSize, _ = s.BootEnd().Bytes() // with compat older only the text counts
	var err error
	if s.DiskSize.Mode == DiskSizeFixed {
		_, err = partition.Plan(request)
	} else {
		_, err = partition.MinDiskSize(request, 0)
	}
	var size *partition.SizeError
	switch {
	case errors.As(err, &size):
		v.fail(size.Parameter, "%s", strings.TrimPrefix(size.Error(), size.Parameter+": "))
	case err != nil:
		place := s.where("bootSize")
		v.problems = append(v.problems, Problem{place.String(), "", err, place.at})
	}
}

func (v *validator) fileSystem() {
	s := v.spec
	switch s.FSType {
	case "ext4":
	case "ext2", "ext3": // only with none, says an assertion
	case "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "bcachefs", "nilfs2", "vfat", "exfat", "ntfs", "erofs", "squashfs":
		v.fail("fsType", "%q cannot be built, by make-disk-image.nix neither; it must be ext4, or ext3 or ext2 without a partition table", s.FSType)
	case "zfs":
		v.fail("fsType", "%q is %s; it must be ext4, or ext3 or ext2 without a partition table", s.FSType, notSupported)
	default:
		v.choice("fsType", s.FSType)
	}
	v.choice("fsProfile", s.FSProfile)
	label := s.VolumeLabel()
	if len(label) > labelMax {
		v.fail("label", "%q has %d bytes; ext4 can hold %d", label, len(label), labelMax)
	}
	v.noNUL("label", label)
}

func (v *validator) identity() {
	s := v.spec
	v.uuid("rootGPUID", s.RootGPUID)
	named := s.PartitionTableType == partition.EFI || s.PartitionTableType == partition.EFIXBOOTLDR || s.PartitionTableType == partition.Hybrid
	if id, err := ParseUUID(s.RootGPUID); err == nil && id == uuid.Nil && s.Deterministic && named {
		v.fail("rootGPUID", "%q stands for no partition in a GPT; give any other UUID", s.RootGPUID)
	}
	if s.RootFSUID != "" && s.RootFSUID != Null {
		v.uuid("rootFSUID", s.RootFSUID)
	}
	if s.Seed != "" {
		v.uuid("seed", s.Seed)
	}
	if s.SourceDateEpoch != "" {
		if _, err := ParseEpoch(s.SourceDateEpoch); err != nil {
			v.problems = append(v.problems, Problem{Where: "SOURCE_DATE_EPOCH", Err: err})
		}
	}
}

func (v *validator) uuid(name, value string) {
	if _, err := ParseUUID(value); err != nil {
		v.failWith(name, err)
	}
}

func (v *validator) output() {
	s := v.spec
	v.format()
	v.fileName("baseName", s.BaseName, len(s.infix(RoleRoot)+s.suffix()))
	v.fileName("name", s.Name, 0)
}

// fileName checks what becomes a file name together with suffix bytes more.
// format checks the format and the parameters that belong to it. What is wrong
// is wrong with the format, or with one of those that do not fit it.
func (v *validator) format() {
	s := v.spec
	var unknown *format.UnknownError
	switch _, err := format.ByName(s.Format); {
	case errors.As(err, &unknown) && unknown.Why != "":
		v.failWith("format", err)
		return
	case !v.choice("format", s.Format):
		return
	}
	for _, p := range []struct{ name, value string }{
		{"subformat", s.Subformat}, {"compressionType", s.CompressionType}, {"compress", s.Compress},
	} {
		if p.value != "" && !v.choice(p.name, p.value) {
			return
		}
	}
	if s.CompressionLevel != int64(int8(s.CompressionLevel)) {
		v.fail("compressionLevel", "%d is out of range", s.CompressionLevel)
		return
	}
	_, err := s.Encoder()
	var option *format.OptionError
	switch {
	case errors.As(err, &option):
		v.failWith(option.Option, option.Err)
	case err != nil:
		v.failWith("format", err)
	}
}

func (v *validator) fileName(name, value string, suffix int) {
	switch {
	case value == "":
		v.fail(name, "must not be empty")
	case value == "." || value == "..":
		v.fail(name, "%q is a directory, not a name", value)
	case strings.Contains(value, "/"):
		v.fail(name, "%q has a slash; it must be a name, not a path", value)
	case len(value)+suffix > nameMax:
		v.fail(name, "%q has %d bytes; there is room for %d", value, len(value), nameMax-suffix)
	}
	v.noNUL(name, value)
}

// assertions are those of make-disk-image.nix, with its messages.
func (v *validator) assertions() {
	s := v.spec
	if layout := string(s.PartitionTableType); !slices.Contains(layoutNames, layout) {
		v.fail("partitionTableType", "must be one of [ \"%s\" ], but is: %q%s",
			strings.Join(layoutNames, `" "`), layout, suggestion(layout, layoutNames))
	}
	if s.FSType == "ext4" && s.Deterministic && s.RootFSUID == Null {
		v.fail("rootFSUID", "In deterministic mode with a ext4 partition, rootFSUID must be non-null, by default, it is equal to rootGPUID.")
	}
	if s.PartitionTableType != partition.None && s.FSType != "ext4" && v.readable("partitionTableType") {
		v.fail("fsType", "to produce a partition table, we need to use -E offset flag which is support only for fsType = ext4")
	}
	if s.TouchEFIVars && !slices.Contains([]partition.Layout{partition.Hybrid, partition.EFI, partition.EFIXBOOTLDR, partition.LegacyGPT}, s.PartitionTableType) {
		v.fail("touchEFIVars", "EFI variables can be used only with a partition table of type: hybrid, efi, efixbootldr, or legacy+gpt.")
	}
	if s.OnlyNixStore && (len(s.Contents) > 0 || s.ConfigFile != "" || s.InstallsBootLoader()) {
		v.fail("onlyNixStore", "In a only Nix store image, the contents must be empty, no configuration must be provided and no bootloader should be installed.")
	}
}

// alternatives lists values in a sentence.
func alternatives(values []string) string {
	switch n := len(values); n {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		return strings.Join(values[:n-1], ", ") + " or " + values[n-1]
	}
}
