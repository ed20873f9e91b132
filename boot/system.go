package boot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The profiles of the system, and those that nixos-rebuild --profile-name makes.
const (
	profilesDir     = "/nix/var/nix/profiles"
	systemProfile   = profilesDir + "/system"
	namedProfileDir = profilesDir + "/system-profiles"
)

// System is what there is to start of a NixOS system.
type System struct {
	// Toplevel is the one that starts by default: that of a generation, or of a
	// specialisation, or neither.
	Toplevel string
	// Profiles begin with that of the system, which is there even if it has no
	// generation. The others are sorted by name.
	Profiles []Profile
}

// Profile is a row of generations.
type Profile struct {
	Name        string // "" is that of the system
	Generations []Generation
}

// Generation is one state of a profile. Generations are sorted by number.
type Generation struct {
	Profile string
	Number  int
	Link    string // as in /nix/var/nix/profiles/system-1-link
	Document

	// Top is the toplevel that the link leads to, without links on the way. The
	// document's Toplevel is what the toplevel says of itself.
	Top string
	// Version is the content of the toplevel's nixos-version, "" if it has none.
	Version string

	// Loaders show one of two times, in seconds since 1970: when the toplevel
	// came to be (its ctime), and when the link was made (its mtime).
	Built, Linked int64
}

// ReadSystem finds the generations in a tree that has a NixOS system. toplevel
// is the one to start by default, and built what all times are: the epoch of
// the build.
func ReadSystem(ctx context.Context, files Files, toplevel string, built int64) (*System, error) {
	s := &System{Toplevel: toplevel}
	names, err := files.ReadDir(namedProfileDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	profiles := []Profile{{}}
	for _, name := range names {
		if !strings.HasSuffix(name, "-link") {
			profiles = append(profiles, Profile{Name: name})
		}
	}
	for _, p := range profiles {
		if p.Generations, err = readGenerations(ctx, files, p, built); err != nil {
			return nil, err
		}
		s.Profiles = append(s.Profiles, p)
	}
	return s, nil
}

// Link returns the path of the profile, a link to that of its current
// generation.
func (p Profile) Link() string {
	if p.Name == "" {
		return systemProfile
	}
	return namedProfileDir + "/" + p.Name
}

// readGenerations returns what the links of a profile lead to.
func readGenerations(ctx context.Context, files Files, p Profile, built int64) ([]Generation, error) {
	dir, base := path.Split(p.Link())
	names, err := files.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Generation
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		number, ok := generationNumber(name, base)
		if !ok {
			continue
		}
		g := Generation{Profile: p.Name, Number: number, Link: dir + name, Built: built, Linked: built}
		if err := g.read(files); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b Generation) int { return cmp.Compare(a.Number, b.Number) })
	return all, nil
}

// generationNumber reads N of base-N-link.
func generationNumber(name, base string) (number int, ok bool) {
	middle, ok := strings.CutPrefix(name, base+"-")
	if !ok {
		return 0, false
	}
	middle, ok = strings.CutSuffix(middle, "-link")
	if !ok {
		return 0, false
	}
	number, err := strconv.Atoi(middle)
	return number, err == nil && number >= 0 && strconv.Itoa(number) == middle
}

// read fills in what the generation's toplevel says.
func (g *Generation) read(files Files) error {
	_, top, err := files.Lookup(g.Link)
	if err != nil {
		return err
	}
	g.Top = top
	version, err := files.Read(top + "/nixos-version")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	g.Version = strings.TrimRight(string(version), "\n")
	d, err := ReadDocument(files, top)
	if err != nil {
		return err
	}
	g.Document = *d
	for i := range g.Specialisations {
		g.Specialisations[i].Built = g.Built
	}
	return nil
}

// ReadDocument returns how to start the system at a toplevel: what its boot.json
// says, or, in systems older than NixOS 23.05, which have none, what its files
// do.
func ReadDocument(files Files, toplevel string) (*Document, error) {
	text, err := files.Read(toplevel + "/boot.json")
	if errors.Is(err, fs.ErrNotExist) {
		return synthesize(files, toplevel, true)
	}
	if err != nil {
		return nil, err
	}
	d, err := ParseDocument(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", toplevel+"/boot.json", err)
	}
	return d, nil
}

// synthesize makes a document as the program of that name (of bootspec) does for
// NixOS's boot loaders.
func synthesize(files Files, top string, specialisations bool) (*Document, error) {
	d := &Document{Init: top + "/init", Toplevel: top}
	var err error
	if _, d.Kernel, err = files.Regular(top + "/kernel"); err != nil {
		return nil, fmt.Errorf("%q has neither boot.json nor a kernel: want the toplevel of a NixOS system that starts by itself (%w)", top, err)
	}
	if files.Exists(top + "/initrd") {
		if _, d.Initrd, err = files.Regular(top + "/initrd"); err != nil {
			return nil, err
		}
	}
	if files.Exists(top + "/append-initrd-secrets") {
		d.InitrdSecrets = top + "/append-initrd-secrets"
	}
	text := make(map[string]string)
	for _, name := range []string{"kernel-params", "nixos-version", "system"} {
		b, err := files.Read(top + "/" + name)
		if err != nil {
			return nil, err
		}
		text[name] = strings.TrimSpace(string(b))
	}
	d.KernelParams = strings.Fields(text["kernel-params"])
	d.System = text["system"]
	versions, err := files.ReadDir(top + "/kernel-modules/lib/modules")
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("%q: no version of the kernel in kernel-modules/lib/modules", top)
	}
	d.Label = fmt.Sprintf("NixOS %s (Linux %s)", text["nixos-version"], versions[len(versions)-1])
	if !specialisations {
		return d, nil
	}
	names, err := files.ReadDir(top + "/specialisation")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range names {
		_, child, err := files.Lookup(top + "/specialisation/" + name)
		if err != nil {
			return nil, err
		}
		variant, err := synthesize(files, child, false)
		if err != nil {
			return nil, err
		}
		d.Specialisations = append(d.Specialisations, Specialisation{Name: name, Document: *variant})
	}
	return d, nil
}
