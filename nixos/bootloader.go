package nixos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"diskwright/boot"
	"diskwright/boot/grub"
	"diskwright/boot/limine"
	"diskwright/nixstore"
	"diskwright/tree"
)

// ReadBootLoader reads which boot loader a system has, and with which settings,
// from what it would install it with:
//
//	bin/switch-to-configuration ─► installer ─► its settings
//	                               ├── install-systemd-boot.sh ─► constants of bin/systemd-boot
//	                               ├── install-grub.sh ─────────► grub-config.xml
//	                               ├── limine-install.py ───────► limine-install.json
//	                               ├── install-extlinux-conf.sh   its own arguments
//	                               └── init-script-builder.sh     none
//
// It is nil if the system has none. Nothing is guessed: an installer that is not
// known, that is missing something, or that does something else as well is an
// error.
func ReadBootLoader(ctx context.Context, store *tree.Inode, top nixstore.Path) (*boot.Settings, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &loaderReader{store: store}
	settings, err := r.read(top)
	if err == nil && settings != nil {
		err = settings.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("the system's boot loader: %w; say what the image gets with bootLoader, have the system install it with installMethod: vm, or set installBootLoader to false", err)
	}
	return settings, nil
}

// loaderReader reads the settings of a boot loader.
type loaderReader struct {
	store *tree.Inode
}

// installers are what NixOS installs boot loaders with, by the names of their
// store objects.
var installers = map[string]func(*loaderReader, []string) (*boot.Settings, error){
	"install-systemd-boot.sh":  (*loaderReader).systemdBoot,
	"install-grub.sh":          (*loaderReader).grub,
	"limine-install.py":        (*loaderReader).limine,
	"install-extlinux-conf.sh": (*loaderReader).extlinux,
	"extlinux-conf-builder.sh": (*loaderReader).extlinuxBuilder,
	"init-script-builder.sh":   (*loaderReader).initScript,
}

func (r *loaderReader) read(top nixstore.Path) (*boot.Settings, error) {
	command, err := r.installCommand(string(top) + "/bin/switch-to-configuration")
	if err != nil || command == nil {
		return nil, err
	}
	if install, ok := installers[storeName(command[0])]; ok {
		return install(r, command)
	}
	return nil, fmt.Errorf("%q is not known to install any (boot.loader.external?)", command[0])
}

// storeName returns the name, without the hash, of a store path that is a file.
func storeName(name string) string {
	p, err := nixstore.ParsePath(name)
	if err != nil {
		return ""
	}
	return p.Name()
}

// How switch-to-configuration has the command that installs the boot loader: as
// a variable of the environment in the wrapper of the current program, in a here
// document of the one before, and in a call of the oldest.
var installCommands = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^export INSTALL_BOOTLOADER=(.*)$`),
	regexp.MustCompile(`<<'EOFBOOTLOADER'\);\n(.*)\nEOFBOOTLOADER\n`),
	regexp.MustCompile(`(?m)system\("(/nix/store/[^"$@\\]*) \$(?:out|toplevel)"\)`),
}

// noBootLoader is how the command begins that NixOS has for systems without a boot
// loader; it does nothing else than say so.
const noBootLoader = "echo 'Warning: do not know how to make this configuration bootable"

// installCommand returns the words of the command that installs the boot loader,
// none if there is no boot loader. The toplevel is to be its last argument.
func (r *loaderReader) installCommand(name string) ([]string, error) {
	text, err := readFile(r.store, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q does not exist, so it is not told (system.switch.enable?)", name)
	}
	if err != nil {
		return nil, err
	}
	for n, form := range installCommands {
		m := form.FindSubmatch(text)
		if m == nil {
			continue
		}
		command := string(m[1])
		if n == 0 { // a variable's value is one word
			if words, err := shellWords(command); err == nil && len(words) == 1 {
				command = words[0]
			}
		}
		if strings.HasPrefix(command, noBootLoader) {
			return nil, nil
		}
		if words, err := shellWords(command); err == nil && len(words) > 0 {
			return words, nil
		}
	}
	return nil, fmt.Errorf("%q does not name what installs it in a way that is known", name)
}

// commands returns the commands of a shell script that is a list of simple ones,
// without comments, as lines and as their words. Lines that shellWords cannot
// split have no words.
func (r *loaderReader) commands(script string) (lines []string, words [][]string, err error) {
	text, err := readFile(r.store, script)
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		w, err := shellWords(line)
		if err != nil {
			w = nil
		}
		lines, words = append(lines, line), append(words, w)
	}
	return lines, words, nil
}

// shellWords splits a command of the shell into its words. Anything but plain
// and quoted text, and "$@", is an error.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	for n := 0; n < len(line); n++ {
		switch c := line[n]; c {
		case ' ', '\t':
			if inWord {
				words, inWord = append(words, word.String()), false
				word.Reset()
			}
		case '\'', '"':
			end := strings.IndexByte(line[n+1:], c)
			if end < 0 {
				return nil, fmt.Errorf("%q has a quotation without end", line)
			}
			quoted := line[n+1 : n+1+end]
			if c == '"' && quoted != "$@" && strings.ContainsAny(quoted, "$`\\") {
				return nil, fmt.Errorf("%q is more than text", line)
			}
			word.WriteString(quoted)
			inWord = true
			n += 1 + end
		case '\\':
			// All that quoting needs: a quotation mark between quotations.
			if n++; n == len(line) {
				return nil, fmt.Errorf("%q ends in a backslash", line)
			}
			word.WriteByte(line[n])
			inWord = true
		case '$':
			if !strings.HasPrefix(line[n:], "$@") {
				return nil, fmt.Errorf("%q is more than text", line)
			}
			word.WriteString("$@")
			inWord = true
			n++
		case '`', ';', '|', '&', '<', '>', '(', ')', '*', '?', '[', ']', '{', '}', '~', '#', '!', '\n':
			return nil, fmt.Errorf("%q is more than a simple command", line)
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// defaultEntry is where init-script-builder.sh has the name of the distribution.
var defaultEntry = regexp.MustCompile(`(?m)^\s*addEntry "([^"$\\` + "`" + `\n]*) - Default"`)

// initScript reads the name of the distribution; there are no other settings.
func (r *loaderReader) initScript(command []string) (*boot.Settings, error) {
	if len(command) != 1 {
		return nil, fmt.Errorf("%q has arguments that are not known", command)
	}
	script, err := readFile(r.store, command[0])
	if err != nil {
		return nil, err
	}
	name := defaultEntry.FindSubmatch(script)
	if name == nil {
		return nil, fmt.Errorf("%q has no default entry in a way that is known", command[0])
	}
	s := boot.NewSettings(boot.InitScriptName)
	s.InitScript.DistroName = string(name[1])
	return s, nil
}

// limineConfig is how limine-install.py names its settings.
var limineConfig = regexp.MustCompile(`/nix/store/[0-9a-z]{32}-limine-install\.json`)

// limine reads limine-install.json, which the installer has the path of.
func (r *loaderReader) limine(command []string) (*boot.Settings, error) {
	if len(command) != 1 {
		return nil, fmt.Errorf("%q has arguments that are not known", command)
	}
	script, err := readFile(r.store, command[0])
	if err != nil {
		return nil, err
	}
	name := limineConfig.Find(script)
	if name == nil {
		return nil, fmt.Errorf("%q does not name limine-install.json", command[0])
	}
	config, err := readFile(r.store, string(name))
	if err != nil {
		return nil, err
	}
	return limine.ParseConfig(config, script)
}

// grub reads install-grub.sh: a call of install-grub.pl for each element of
// mirroredBoots, then extraInstallCommands.
func (r *loaderReader) grub(command []string) (*boot.Settings, error) {
	lines, words, err := r.commands(command[0])
	if err != nil {
		return nil, err
	}
	var configs [][]byte
	var script []byte
	var extra []string
	cryptodisk := false
	for n, w := range words {
		switch {
		case lines[n] == "set -e" && configs == nil:
		case len(w) == 2 && w[0] == "export" && configs == nil && strings.HasPrefix(w[1], "PERL5LIB="):
		case len(w) == 2 && w[0] == "export" && configs == nil && w[1] == "GRUB_ENABLE_CRYPTODISK=y":
			cryptodisk = true
		case len(w) == 4 && path.Base(w[0]) == "perl" && storeName(w[1]) == "install-grub.pl" && w[3] == "$@":
			config, err := readFile(r.store, w[2])
			if err != nil {
				return nil, err
			}
			if script, err = readFile(r.store, w[1]); err != nil {
				return nil, err
			}
			configs = append(configs, config)
		default:
			extra = append(extra, lines[n])
		}
	}
	if configs == nil {
		return nil, fmt.Errorf("%q does not call install-grub.pl", command[0])
	}
	settings, err := grub.ParseConfig(configs...)
	if err != nil {
		return nil, err
	}
	if err := grub.ReadScript(script, settings.GRUB); err != nil {
		return nil, err
	}
	settings.GRUB.EnableCryptodisk = cryptodisk
	settings.GRUB.ExtraInstallCommands = strings.Join(extra, "\n")
	return settings, nil
}
