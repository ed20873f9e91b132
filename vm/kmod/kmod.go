// Package kmod finds the modules of a Linux kernel that a guest needs, and in
// which order they are loaded.
//
// A directory lib/modules/VERSION has them, and says what they need of each
// other in modules.dep, which depmod writes (modules.dep(5)):
//
//	kernel/fs/fat/vfat.ko.xz: kernel/fs/fat/fat.ko.xz
//
// Names are those of modprobe: without directory and suffixes, and "-" is "_".
package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/format/compress"
)

// Limits on what is read, well above what any kernel has.
const (
	maxModule = 256 << 20 // of one module, decompressed
	maxNeeded = 4096      // modules for one set of names
)

// Set is what is in a directory of modules.
type Set struct {
	files   boot.Files
	dir     string
	modules map[string]module
}

type module struct {
	file  string // relative to the set's directory
	needs []string
}

// Module is one to be loaded.
type Module struct {
	Name string
	Code []byte // an ELF object, decompressed
}

// Open reads the index of the modules of the only kernel that modules has, a
// directory with lib/modules/VERSION in it: kernel-modules of a NixOS system.
func Open(files boot.Files, modules string) (*Set, error) {
	parent := path.Join(modules, "lib/modules")
	versions, err := files.ReadDir(parent)
	if err != nil {
		return nil, err
	}
	if len(versions) != 1 {
		return nil, fmt.Errorf("%q has modules of %d kernels %q: want one", parent, len(versions), versions)
	}
	s := &Set{files: files, dir: path.Join(parent, versions[0]), modules: map[string]module{}}
	index := path.Join(s.dir, "modules.dep")
	text, err := files.Read(index)
	if err != nil {
		return nil, err
	}
	if err := s.parse(string(text)); err != nil {
		return nil, fmt.Errorf("%q: %w", index, err)
	}
	return s, nil
}

// parse reads modules.dep.
func (s *Set) parse(text string) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		file, needs, ok := strings.Cut(line, ":")
		if !ok || file == "" || strings.ContainsAny(file, " \t") {
			return fmt.Errorf("line %d: %q is not \"FILE: FILES\"", number, line)
		}
		m := module{file: file}
		for _, f := range strings.Fields(needs) {
			m.needs = append(m.needs, nameOf(f))
		}
		s.modules[nameOf(file)] = m
	}
	return nil
}

// nameOf returns the name of the module in a file.
func nameOf(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Resolve returns the names of the modules to load for wanted, in an order in
// which each comes after what it needs. Names that the kernel has no module of
// are left out: it has them built in, or not at all, which the guest finds out.
func (s *Set) Resolve(wanted ...string) ([]string, error) {
	var order []string
	state := map[string]int{}
	const entered, done = 1, 2
	var visit func(name string) error
	visit = func(name string) error {
		m, ok := s.modules[name]
		switch {
		case !ok || state[name] == done:
			return nil
		case state[name] == entered:
			return fmt.Errorf("%q: module %s needs itself", s.dir, name)
		case len(state) >= maxNeeded:
			return fmt.Errorf("%q: %q need more than %d modules", s.dir, wanted, maxNeeded)
		}
		state[name] = entered
		// depmod lists what is needed most directly first.
		for n := len(m.needs) - 1; n >= 0; n-- {
			if err := visit(m.needs[n]); err != nil {
				return err
			}
		}
		state[name] = done
		order = append(order, name)
		return nil
	}
	for _, name := range wanted {
		if err := visit(strings.ReplaceAll(name, "-", "_")); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// Load returns the modules for wanted, in the order of Resolve.
func (s *Set) Load(wanted ...string) ([]Module, error) {
	names, err := s.Resolve(wanted...)
	if err != nil {
		return nil, err
	}
	var modules []Module
	for _, name := range names {
		file := s.modules[name].file
		if !path.IsAbs(file) {
			file = path.Join(s.dir, file)
		}
		code, err := s.read(file)
		if err != nil {
			return nil, err
		}
		modules = append(modules, Module{name, code})
	}
	return modules, nil
}

// elfMagic begins a module.
const elfMagic = "\x7fELF"

// read returns a module, decompressed: not every kernel can do that itself.
func (s *Set) read(file string) ([]byte, error) {
	i, _, err := s.files.Regular(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w, though modules.dep has it", err)
	}
	if err != nil {
		return nil, err
	}
	code, err := boot.ReadAll(i)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", file, err)
	}
	if kind := compress.Detect(code); kind != compress.None {
		if code, err = decompress(code, kind); err != nil {
			return nil, fmt.Errorf("%q: %w", file, err)
		}
	}
	if !bytes.HasPrefix(code, []byte(elfMagic)) {
		return nil, fmt.Errorf("%q is not an ELF object, compressed or not", file)
	}
	return code, nil
}

func decompress(packed []byte, kind compress.Kind) ([]byte, error) {
	r, err := compress.NewReader(content.Bytes(packed), int64(len(packed)), kind)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	code, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(code) > maxModule {
		err = fmt.Errorf("has more than %d bytes, decompressed", maxModule)
	}
	return code, err
}
