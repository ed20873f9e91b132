package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Names of the loaders in settings: those of NixOS's options boot.loader.NAME.
const (
	SystemdBootName = "systemd-boot"
	GRUBName        = "grub"
	LimineName      = "limine"
	ExtlinuxName    = "generic-extlinux-compatible"
	InitScriptName  = "initScript"
)

// Settings say which loader an image gets, and with which settings. They have
// the shape of NixOS's boot.loader: what is common to loaders, and one object,
// of the loader that is wanted.
//
//	timeout: 5
//	efi: {canTouchEfiVariables: false, efiSysMountPoint: /boot}
//	systemd-boot: {editor: false}
//
// Make them with [ParseSettings] or [NewSettings], so that what is not said has
// NixOS's default.
type Settings struct {
	// Timeout is in seconds; nil waits for a choice.
	Timeout *int
	EFI     EFI

	// One of these is not nil.
	SystemdBoot *SystemdBoot
	GRUB        *GRUB
	Limine      *Limine
	Extlinux    *Extlinux
	InitScript  *InitScript

	// Entries are the menu of a system that is not NixOS; systemd-boot and GRUB
	// have one. With a NixOS system they must be empty.
	Entries []Entry
}

// EFI is boot.loader.efi.
type EFI struct {
	CanTouchEFIVariables bool `json:"canTouchEfiVariables"`
	// EFISysMountPoint is where the EFI system partition is mounted; "" is
	// wherever the layout has it.
	EFISysMountPoint string `json:"efiSysMountPoint"`
}

// Entry is a line of a boot menu for a system that is not NixOS. Paths are of
// the image; symbolic links are followed.
type Entry struct {
	Title   string `json:"title"`
	Kernel  string `json:"kernel"`
	Initrd  string `json:"initrd"`  // "" is none
	Options string `json:"options"` // the kernel's command line
}

// DefaultTimeout is boot.loader.timeout's default, in seconds.
const DefaultTimeout = 5

// NewSettings returns settings with NixOS's defaults for the loader with that
// name. An unknown name has no loader.
func NewSettings(loader string) *Settings {
	timeout := DefaultTimeout
	s := &Settings{Timeout: &timeout}
	switch loader {
	case SystemdBootName:
		s.SystemdBoot = newSystemdBoot()
	case GRUBName:
		s.GRUB = newGRUB()
	case LimineName:
		s.Limine = newLimine()
	case ExtlinuxName:
		s.Extlinux = newExtlinux()
	case InitScriptName:
		s.InitScript = newInitScript()
	}
	return s
}

// Loader returns the name of the loader, "" if there is none.
func (s *Settings) Loader() string {
	switch {
	case s.SystemdBoot != nil:
		return SystemdBootName
	case s.GRUB != nil:
		return GRUBName
	case s.Limine != nil:
		return LimineName
	case s.Extlinux != nil:
		return ExtlinuxName
	case s.InitScript != nil:
		return InitScriptName
	}
	return ""
}

// TakesEntries reports whether the loader can start a system that is not NixOS.
func (s *Settings) TakesEntries() bool { return s.SystemdBoot != nil || s.GRUB != nil }

// loaders are the names that settings may have for the loader.
var loaders = []string{SystemdBootName, GRUBName, LimineName, ExtlinuxName, InitScriptName}

// ParseSettings reads settings from JSON and checks all that can be checked
// without a system and a disk. Every problem names the option. Paths of the
// host that are relative start at dir.
func ParseSettings(text []byte, dir string) (*Settings, error) {
	var members map[string]json.RawMessage
	if err := strict(text, &members); err != nil {
		return nil, err
	}
	var found []string
	for _, name := range loaders {
		if _, ok := members[name]; ok {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("want settings of exactly one boot loader (%s), not of %d", strings.Join(loaders, ", "), len(found))
	}
	if string(bytes.TrimSpace(members[found[0]])) == "null" {
		return nil, fmt.Errorf("%s is null: want an object with its settings, {} for those that NixOS has by default", found[0])
	}
	s := NewSettings(found[0])
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := strict(members[name], s.member(name)); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	if problems == nil {
		s.resolve(dir)
		problems = append(problems, s.Validate())
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return s, nil
}

// member returns what the member of that name is decoded into, nil if it is
// unknown.
func (s *Settings) member(name string) any {
	switch name {
	case "timeout":
		return &s.Timeout
	case "efi":
		return &s.EFI
	case "entries":
		return &s.Entries
	case SystemdBootName:
		return s.SystemdBoot
	case GRUBName:
		return s.GRUB
	case LimineName:
		return s.Limine
	case ExtlinuxName:
		return s.Extlinux
	case InitScriptName:
		return s.InitScript
	}
	return nil
}

// strict decodes JSON that must have no members that v has not.
func strict(text []byte, v any) error {
	if v == nil {
		return fmt.Errorf("is unknown: want timeout, efi, entries, or one of %s", strings.Join(loaders, ", "))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%s is of the type %s: want %s", wrong.Field, wrong.Value, jsonType(wrong.Type))
	case errors.As(err, &wrong):
		return fmt.Errorf("is of the type %s: want %s", wrong.Value, jsonType(wrong.Type))
	case err != nil:
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("has something behind its end")
	}
	return nil
}

// jsonType returns what JSON calls what is decoded into a type.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.String:
		return "string"
	case reflect.Slice:
		return "array"
	}
	return "object"
}

// resolve makes paths of the host absolute.
func (s *Settings) resolve(dir string) {
	for _, p := range s.hostPaths() {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// hostPaths are the settings that are paths of the host.
func (s *Settings) hostPaths() []*string {
	switch {
	case s.SystemdBoot != nil:
		return []*string{&s.SystemdBoot.EFIBinary}
	case s.GRUB != nil:
		return s.GRUB.hostPaths()
	case s.Limine != nil:
		return s.Limine.hostPaths()
	}
	return nil
}

// Validate checks all that can be checked without a system and a disk.
func (s *Settings) Validate() error {
	var problems []error
	problem := func(err error) { problems = append(problems, err) }
	if s.Timeout != nil && *s.Timeout < 0 {
		problem(fmt.Errorf("timeout is %d: want seconds, or null to wait for a choice", *s.Timeout))
	}
	if p := s.EFI.EFISysMountPoint; p != "" && !strings.HasPrefix(p, "/") {
		problem(fmt.Errorf("efi.efiSysMountPoint is %q: want an absolute path", p))
	}
	if len(s.Entries) > 0 && !s.TakesEntries() {
		problem(fmt.Errorf("entries: %s takes none; systemd-boot and grub do", s.Loader()))
	}
	for n, e := range s.Entries {
		problem(prefix(fmt.Sprintf("entries[%d]", n), e.validate()))
	}
	switch {
	case s.SystemdBoot != nil:
		problem(prefix(SystemdBootName, s.SystemdBoot.validate()))
	case s.GRUB != nil:
		problem(prefix(GRUBName, s.GRUB.validate()))
	case s.Limine != nil:
		problem(prefix(LimineName, s.Limine.validate()))
	case s.Extlinux != nil:
		problem(prefix(ExtlinuxName, s.Extlinux.validate()))
	case s.InitScript != nil:
		problem(prefix(InitScriptName, s.InitScript.validate()))
	}
	return errors.Join(problems...)
}

// prefix says which part each of the joined errors is about.
func prefix(part string, err error) error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s: %w", part, err)
	}
	var each []error
	for _, e := range joined.Unwrap() {
		each = append(each, prefix(part, e))
	}
	return errors.Join(each...)
}

func (e Entry) validate() error {
	var problems []error
	if e.Title == "" {
		problems = append(problems, errors.New("title is missing"))
	}
	if !strings.HasPrefix(e.Kernel, "/") {
		problems = append(problems, fmt.Errorf("kernel is %q: want an absolute path of the image", e.Kernel))
	}
	if e.Initrd != "" && !strings.HasPrefix(e.Initrd, "/") {
		problems = append(problems, fmt.Errorf("initrd is %q: want an absolute path of the image", e.Initrd))
	}
	for name, value := range map[string]string{"title": e.Title, "kernel": e.Kernel, "initrd": e.Initrd, "options": e.Options} {
		if strings.ContainsAny(value, "\n\r\x00") {
			problems = append(problems, fmt.Errorf("%s has a line break or a NUL", name))
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}
