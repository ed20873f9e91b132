package nixos

import (
	"bytes"
	"fmt"
	"strconv"

	"diskwright/boot"
)

// extlinux reads install-extlinux-conf.sh: a call of the builder for each element
// of mirroredBoots.
func (r *loaderReader) extlinux(command []string) (*boot.Settings, error) {
	lines, words, err := r.commands(command[0])
	if err != nil {
		return nil, err
	}
	var settings *boot.Settings
	for n, w := range words {
		switch {
		case lines[n] == "set -e":
		case len(w) > 1 && storeName(w[0]) == "extlinux-conf-builder.sh" && w[len(w)-1] == "$@":
			s, err := r.extlinuxBuilder(w[:len(w)-1])
			if err != nil {
				return nil, err
			}
			if settings == nil {
				settings = s
				continue
			}
			settings.Extlinux.MirroredBoots = append(settings.Extlinux.MirroredBoots, s.Extlinux.MirroredBoots...)
		default:
			return nil, fmt.Errorf("%q has a command that is not known: %q", command[0], lines[n])
		}
	}
	if settings == nil {
		return nil, fmt.Errorf("%q does not call extlinux-conf-builder.sh", command[0])
	}
	return settings, nil
}

// extlinuxBuilder reads the arguments of extlinux-conf-builder.sh. The last is
// -c, whose value the toplevel is.
func (r *loaderReader) extlinuxBuilder(command []string) (*boot.Settings, error) {
	script, err := readFile(r.store, command[0])
	if err != nil {
		return nil, err
	}
	s := boot.NewSettings(boot.ExtlinuxName)
	s.Extlinux.Specialisations = bytes.Contains(script, []byte("specialisation"))
	args := command[1:]
	seen := map[string]bool{}
	for len(args) > 0 {
		flag := args[0]
		seen[flag] = true
		args = args[1:]
		if flag == "-r" {
			s.Extlinux.UseGenerationDeviceTree = false
			continue
		}
		if flag == "-c" && len(args) == 0 {
			break
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("%q: argument %q has no value", command[0], flag)
		}
		value := args[0]
		args = args[1:]
		switch flag {
		case "-d":
			s.Extlinux.MirroredBoots[0].Path = value
		case "-n":
			s.Extlinux.DeviceTree = value
		case "-g":
			s.Extlinux.ConfigurationLimit, err = strconv.Atoi(value)
		case "-t":
			var seconds int
			seconds, err = strconv.Atoi(value)
			s.Timeout = &seconds
			if seconds < 0 {
				s.Timeout = nil
			}
		default:
			err = fmt.Errorf("is not known")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: argument %s %s: %w", command[0], flag, value, err)
		}
	}
	for _, flag := range []string{"-g", "-t", "-c"} {
		if !seen[flag] {
			return nil, fmt.Errorf("%q: argument %s is missing", command[0], flag)
		}
	}
	return s, nil
}
