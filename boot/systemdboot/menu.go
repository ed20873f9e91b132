package systemdboot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"diskwright/boot"
	"diskwright/nixstore"
	"diskwright/tree"
)

// nixosDir is where kernels and initrds go, below $BOOT.
const nixosDir = "/EFI/nixos"

// roleMachineID is the role of the identifier that the oldest builders make up.
const roleMachineID = "machine-id"

// menu adds loader.conf, and an entry for each generation and specialisation.
func (i *installer) menu(ctx context.Context) error {
	machine, err := i.machineID()
	if err != nil {
		return err
	}
	i.out.AddDir(i.boot+nixosDir, 0o755, i.Epoch)
	i.out.AddDir(i.boot+nixosDir+"/.extra-files", 0o755, i.Epoch)
	keep := map[string]bool{} // names in loader/entries
	numbers := map[string]bool{}
	chosen := ""
	for _, p := range i.System.Profiles {
		for _, g := range i.limited(p.Generations) {
			if err := ctx.Err(); err != nil {
				return err
			}
			numbers[fmt.Sprint(p.Name, " ", g.Number)] = true
			for _, e := range variants(g) {
				e.machineID = machine
				name, err := i.entry(e)
				if err != nil {
					return err
				}
				keep[name] = true
				// The 24.05 and 25.05 builders look at generations only.
				if path.Dir(e.Init) == i.System.Toplevel && (e.variant == "" || i.s.Builder == boot.Builder2605) {
					chosen = name
				}
			}
		}
	}
	i.collect(keep, numbers)
	i.loaderConf(chosen)
	return i.entryToken(machine != "")
}

// limited returns the generations that configurationLimit leaves.
func (i *installer) limited(all []boot.Generation) []boot.Generation {
	if limit := i.s.ConfigurationLimit; limit != nil && *limit > 0 && *limit < len(all) {
		return all[len(all)-*limit:]
	}
	return all
}

// variant is a generation, or one of its specialisations.
type variant struct {
	boot.Document
	profile   string
	number    int
	variant   string // the name of the specialisation
	built     int64
	machineID string // with what follows it in the oldest entries
}

func variants(g boot.Generation) []variant {
	all := []variant{{Document: g.Document, profile: g.Profile, number: g.Number, built: g.Built}}
	for _, s := range g.Specialisations {
		all = append(all, variant{Document: s.Document, profile: g.Profile, number: g.Number, variant: s.Name, built: s.Built})
	}
	return all
}

// machineID returns what entries say of /etc/machine-id, "" for nothing.
func (i *installer) machineID() (string, error) {
	oldest := i.s.Builder == boot.Builder2405
	text, err := i.Files.Read("/etc/machine-id")
	switch {
	case errors.Is(err, fs.ErrNotExist) && oldest && i.Identify != nil:
		id := i.Identify(roleMachineID)
		return strings.ReplaceAll(id.String(), "-", ""), nil
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case oldest:
		return string(text), nil // with its newline
	}
	return strings.TrimSpace(string(text)), nil
}

// entry adds an entry and what it needs, and returns its name.
func (i *installer) entry(v variant) (string, error) {
	if err := boot.CheckSecrets(i.Files, &v.Document); err != nil {
		return "", err
	}
	kernel, err := i.copyToBoot(v.Kernel)
	if err != nil {
		return "", err
	}
	var initrd, deviceTree string
	if v.Initrd != "" {
		if initrd, err = i.copyToBoot(v.Initrd); err != nil {
			return "", err
		}
	}
	if v.DeviceTree != "" && i.s.Builder != boot.Builder2405 {
		if deviceTree, err = i.copyToBoot(v.DeviceTree); err != nil {
			return "", err
		}
	}
	title := i.s.DistroName
	if v.profile != "" {
		title += " [" + v.profile + "]"
	}
	if v.variant != "" {
		title += " (" + v.variant + ")"
	}
	sortKey := v.SortKey
	if sortKey == "" {
		sortKey = "nixos"
	}
	built := time.Unix(v.built, 0).UTC().Format(time.DateOnly)
	version := fmt.Sprintf("Generation %d %s, built on %s", v.number, v.Label, built)
	options := "init=" + v.Init + " " + strings.Join(v.KernelParams, " ")

	lines := func(pairs ...string) string { // those without a value are left out
		var b strings.Builder
		for n := 0; n < len(pairs); n += 2 {
			if pairs[n+1] != "" {
				fmt.Fprintf(&b, "%s %s\n", pairs[n], pairs[n+1])
			}
		}
		return b.String()
	}
	if i.s.Builder != boot.Builder2605 {
		text := lines("title", title, "sort-key", sortKey, "version", version, "linux", kernel, "initrd", initrd,
			"options", options, "machine-id", v.machineID, "devicetree", deviceTree)
		name := generationName(v)
		i.out.AddText(i.boot+"/loader/entries/"+name, 0o644, text, i.Epoch)
		return name, nil
	}
	pairs := []string{"title", title, "version", version, "linux", kernel, "initrd", initrd}
	for _, name := range v.ExtraInitrds {
		pairs = append(pairs, "initrd", "/"+name)
	}
	text := lines(append(pairs, "options", strings.TrimSuffix(options, " "), "machine-id", v.machineID, "devicetree", deviceTree, "sort-key", sortKey)...)
	text = strings.TrimSuffix(text, "\n")
	name := i.contentName(text)
	i.out.AddText(i.boot+"/loader/entries/"+name, 0o644, text, i.Epoch)
	return name, nil
}

// generationName is how builders before 26.05 name an entry.
func generationName(v variant) string {
	name := "nixos"
	if v.profile != "" {
		name += "-" + v.profile
	}
	name += fmt.Sprintf("-generation-%d", v.number)
	if v.variant != "" {
		name += "-specialisation-" + v.variant
	}
	return name + ".conf"
}

// contentName is how builders since 26.05 name an entry. The counter of tries
// of one that is there already is kept.
func (i *installer) contentName(text string) string {
	stem := fmt.Sprintf("nixos-%x", sha256.Sum256([]byte(text)))
	names, _ := i.Files.ReadDir(i.boot + "/loader/entries")
	for _, name := range names {
		if counted(name) == stem+".conf" {
			if old, err := i.Files.Read(i.boot + "/loader/entries/" + name); err == nil && string(old) == text {
				return name
			}
		}
	}
	if i.s.BootCounting.Enable {
		return fmt.Sprintf("%s+%d.conf", stem, i.s.BootCounting.Tries)
	}
	return stem + ".conf"
}

var counter = regexp.MustCompile(`\+[0-9]+(-[0-9]+)?\.conf$`)

// counted returns the name of an entry without its counter of tries.
func counted(name string) string { return counter.ReplaceAllString(name, ".conf") }

// copyToBoot adds a copy of a file of the store to $BOOT, and returns what
// entries call it.
func (i *installer) copyToBoot(name string) (string, error) {
	file, real, err := i.Files.Regular(name)
	if err != nil {
		return "", fmt.Errorf("systemd-boot: %w", err)
	}
	target := nixosDir + "/" + copyName(real, i.s.Builder) + ".efi"
	if !i.out.Has(i.boot + target) {
		i.out.AddFile(i.boot+target, 0o644, file.Content, i.Epoch)
	}
	return target, nil
}

// copyName returns the name of the copy of a file of the store: that of the store
// object and that of the file, which for a store object that is a file are one.
func copyName(real, builder string) string {
	if builder == boot.Builder2405 {
		return path.Base(path.Dir(real)) + "-" + path.Base(real)
	}
	below, ok := strings.CutPrefix(real, nixstore.StoreDir+"/")
	if !ok {
		return path.Base(path.Dir(real)) + "-" + path.Base(real)
	}
	object, _, inside := strings.Cut(below, "/")
	if !inside {
		return object
	}
	return object + "-" + path.Base(real)
}

// loaderConf adds the settings of the loader. chosen is the entry that starts by
// default, "" if none of them is of the toplevel.
func (i *installer) loaderConf(chosen string) {
	var b strings.Builder
	if chosen == "" && i.s.Builder != boot.Builder2605 {
		// What bootctl left: the builder writes its own with the default only.
		b.WriteString("#timeout 3\n#console-mode keep\n")
	} else {
		b.WriteString(timeoutLine(i.Settings.Timeout))
		switch {
		case chosen == "":
			b.WriteString("default nixos-*\n")
		case i.s.Builder == boot.Builder2605 && i.s.BootCounting.Enable:
			fmt.Fprintf(&b, "preferred %s\ndefault nixos-*\n", counted(chosen))
		default:
			fmt.Fprintf(&b, "default %s\n", counted(chosen))
		}
		b.WriteString(i.loaderSettings())
	}
	i.out.AddText(i.esp+"/loader/loader.conf", 0o644, b.String(), i.Epoch)
}

// loaderSettings are the lines of loader.conf behind the default.
func (i *installer) loaderSettings() string {
	text := ""
	if !i.s.Editor {
		text += "editor 0\n"
	}
	if i.s.RebootForBitlocker {
		text += "reboot-for-bitlocker yes\n"
	}
	return text + "console-mode " + i.s.ConsoleMode + "\n"
}

func timeoutLine(timeout *int) string {
	if timeout == nil {
		return "timeout menu-force\n"
	}
	return fmt.Sprintf("timeout %d\n", *timeout)
}

// Names of entries that belong to builders before 26.05: with a profile, and
// with a generation.
var (
	ofProfile    = regexp.MustCompile(`^nixos-(.*)-generation-.*\.conf$`)
	ofGeneration = regexp.MustCompile(`^nixos.*-generation-([1-9][0-9]*).*\.conf$`)
)

// collect removes what earlier installations left: the image may be made from a
// tree that has a boot partition already. keep are the entries that are wanted,
// generations their profiles and numbers.
func (i *installer) collect(keep, generations map[string]bool) {
	remove := func(name string) { i.out.Remove = append(i.out.Remove, name) }
	for _, e := range i.entriesOf(i.boot + nixosDir) {
		if !e.Inode.IsDir() {
			remove(i.boot + nixosDir + "/" + e.Name)
		}
	}
	for _, e := range i.entriesOf(i.boot + "/loader/entries") {
		name := e.Name
		if keep[name] {
			continue
		}
		if i.s.Builder == boot.Builder2605 {
			if strings.HasPrefix(name, "nixos-") && strings.HasSuffix(name, ".conf") && len(name) > len("nixos-.conf") {
				remove(i.boot + "/loader/entries/" + name)
			}
			continue
		}
		number := ofGeneration.FindStringSubmatch(name)
		profile := ofProfile.FindStringSubmatch(name)
		if number == nil {
			continue
		}
		of := ""
		if profile != nil {
			of = profile[1]
		}
		if !generations[of+" "+number[1]] {
			remove(i.boot + "/loader/entries/" + name)
		}
	}
	i.collectExtra()
	if i.esp != i.boot {
		remove(i.esp + nixosDir)
		for _, e := range i.entriesOf(i.esp + "/loader/entries") {
			if strings.HasPrefix(e.Name, "nixos") {
				remove(i.esp + "/loader/entries/" + e.Name)
			}
		}
	}
	slices.Sort(i.out.Remove)
}

func (i *installer) entriesOf(dir string) []tree.Entry {
	d, _, err := i.Files.Lookup(dir)
	if err != nil {
		return nil
	}
	return d.Entries
}

// entryToken adds what bootctl notes of the name of the machine's entries. It is
// what os-release says, unless the machine has an identifier.
func (i *installer) entryToken(hasID bool) error {
	if hasID && i.Files.Exists("/etc/machine-id") || i.Files.Exists("/etc/kernel/entry-token") {
		return nil
	}
	for _, name := range []string{"/etc/os-release", i.System.Toplevel + "/etc/os-release"} {
		text, err := i.Files.Read(name)
		if err != nil {
			continue
		}
		values := osRelease(string(text))
		for _, key := range []string{"IMAGE_ID", "ID"} {
			if token := values[key]; token != "" {
				i.out.AddText("/etc/kernel/entry-token", 0o644, token+"\n", i.Epoch)
				return nil
			}
		}
	}
	return nil
}

// osRelease reads the assignments of os-release(5).
func osRelease(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok {
			values[key] = strings.Trim(value, `"'`)
		}
	}
	return values
}
