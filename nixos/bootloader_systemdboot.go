package nixos

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"diskwright/boot"
)

// systemdBoot reads install-systemd-boot.sh: a call of the builder, a program in
// Python, then extraInstallCommands.
func (r *loaderReader) systemdBoot(command []string) (*boot.Settings, error) {
	lines, words, err := r.commands(command[0])
	if err != nil {
		return nil, err
	}
	var builder string
	var extra []string
	for n, w := range words {
		if builder == "" && len(w) == 2 && path.Base(w[0]) == "systemd-boot" && w[1] == "$@" {
			builder = w[0]
			continue
		}
		extra = append(extra, lines[n])
	}
	if builder == "" {
		return nil, fmt.Errorf("%q does not call bin/systemd-boot", command[0])
	}
	text, err := readFile(r.store, builder)
	if err != nil {
		return nil, err
	}
	b := &builderReader{text: text}
	s := b.settings()
	if err := errors.Join(b.problems...); err != nil {
		return nil, fmt.Errorf("%q: %w", builder, err)
	}
	s.SystemdBoot.ExtraInstallCommands = strings.Join(extra, "\n")
	return s, r.extraFiles(b.constant("COPY_EXTRA_FILES"), s)
}

// builderReader takes settings from the constants that begin systemd-boot's
// builder.
type builderReader struct {
	text     []byte
	problems []error
}

// constant returns the text in the definition of a constant: the first string on
// the right-hand side, wherever else it is wrapped in.
func (b *builderReader) constant(name string) string {
	definition := regexp.MustCompile(`(?m)^` + name + ` = [A-Za-z]*\(?"([^"\\\n]*)"`)
	m := definition.FindSubmatch(b.text)
	if m == nil {
		b.problems = append(b.problems, fmt.Errorf("the constant %s is missing", name))
		return ""
	}
	return string(m[1])
}

func (b *builderReader) has(text string) bool { return bytes.Contains(b.text, []byte(text)) }

// flag returns the value of a constant that is a truth value: Nix writes true as
// "1" and false as "".
func (b *builderReader) flag(name string) bool {
	switch value := b.constant(name); value {
	case "", "False":
		return false
	case "1", "True":
		return true
	default:
		b.problems = append(b.problems, fmt.Errorf("the constant %s is %q: want a truth value", name, value))
		return false
	}
}

func (b *builderReader) number(name string) int {
	text := b.constant(name)
	n, err := strconv.Atoi(text)
	if err != nil {
		b.problems = append(b.problems, fmt.Errorf("the constant %s is %q: want a number", name, text))
	}
	return n
}

// settings reads the constants.
func (b *builderReader) settings() *boot.Settings {
	s := boot.NewSettings(boot.SystemdBootName)
	sd := s.SystemdBoot
	sd.Builder = b.era()
	s.EFI.EFISysMountPoint = b.constant("EFI_SYS_MOUNT_POINT")
	if p := b.constant("BOOT_MOUNT_POINT"); p != s.EFI.EFISysMountPoint {
		sd.XBOOTLDRMountPoint = &p
	}
	s.Timeout = nil
	// Without a number it is menu-force, or in older systems nothing.
	if text := b.constant("TIMEOUT"); text != "menu-force" && text != "" {
		seconds := b.number("TIMEOUT")
		s.Timeout = &seconds
	}
	sd.Editor = b.flag("EDITOR")
	sd.ConsoleMode = b.constant("CONSOLE_MODE")
	sd.DistroName = b.constant("DISTRO_NAME")
	sd.Systemd = b.constant("SYSTEMD")
	limit := b.number("CONFIGURATION_LIMIT")
	sd.ConfigurationLimit = &limit
	s.EFI.CanTouchEFIVariables = b.flag("CAN_TOUCH_EFI_VARIABLES")
	sd.Graceful = b.flag("GRACEFUL")
	if b.has("\nREBOOT_FOR_BITLOCKER = ") {
		sd.RebootForBitlocker = b.flag("REBOOT_FOR_BITLOCKER")
	}
	if sd.Builder == boot.Builder2605 && b.has("\nBOOT_COUNTING = ") {
		sd.BootCounting.Enable = b.flag("BOOT_COUNTING")
		sd.BootCounting.Tries = b.number("BOOT_COUNTING_TRIES")
	}
	return s
}

// era tells builders from each other by what only one of them does.
func (b *builderReader) era() string {
	contentNames := b.has("sha256")
	switch {
	case b.has("\nUKI_CONFIG = "):
		b.problems = append(b.problems, errors.New("it makes unified kernel images, which are not known"))
	case contentNames:
		return boot.Builder2605
	case b.has("\nBOOT_COUNTING = "):
		b.problems = append(b.problems, errors.New("it counts tries, but names entries after generations, which no release of NixOS did"))
	case b.has("\nSTORE_DIR = "), b.has("machine_id = None"):
		return boot.Builder2505
	}
	return boot.Builder2405
}

// extraFiles reads the script that copies extra files and entries: it has one
// call of install(1) for each, and one for its mark.
func (r *loaderReader) extraFiles(script string, s *boot.Settings) error {
	sd := s.SystemdBoot
	esp := s.EFI.EFISysMountPoint
	bootDir := esp
	if sd.XBOOTLDRMountPoint != nil {
		bootDir = *sd.XBOOTLDRMountPoint
	}
	sd.ExtraFiles, sd.ExtraEntries, sd.ExtraEFIDrivers = map[string]string{}, map[string]string{}, map[string]string{}
	lines, words, err := r.commands(script)
	if err != nil {
		return err
	}
	marked := map[string]bool{}
	type copied struct{ source, target string }
	var copies []copied
	for n, w := range words {
		install := len(w) == 4 && path.Base(w[0]) == "install"
		mark := "/EFI/nixos/.extra-files/"
		switch {
		case strings.HasPrefix(lines[n], "empty_file=$("):
		case strings.Contains(lines[n], "/install -D $empty_file "), install && w[1] == "-D" && w[2] == "/dev/null":
			_, name, ok := strings.Cut(strings.NewReplacer(`"`, "", `'`, "").Replace(lines[n]), mark)
			if !ok {
				return fmt.Errorf("%q has a command that is not known: %q", script, lines[n])
			}
			marked[name] = true
		case install && w[1] == "-Dp":
			copies = append(copies, copied{w[2], path.Clean(w[3])})
		default:
			return fmt.Errorf("%q has a command that is not known: %q", script, lines[n])
		}
	}
	for _, c := range copies {
		name, inBoot := strings.CutPrefix(c.target, path.Clean(bootDir)+"/")
		entry, isEntry := strings.CutPrefix(name, "loader/entries/")
		switch driver, onESP := strings.CutPrefix(c.target, path.Clean(esp)+"/"); {
		case inBoot && marked[name] && isEntry && storeName(c.source) == entry:
			text, err := readFile(r.store, c.source)
			if err != nil {
				return err
			}
			sd.ExtraEntries[entry] = string(text)
		case inBoot && marked[name]:
			sd.ExtraFiles[name] = c.source
		case onESP:
			sd.ExtraEFIDrivers[driver] = c.source
		default:
			return fmt.Errorf("%q copies to %q, which is no boot partition", script, c.target)
		}
	}
	return nil
}
