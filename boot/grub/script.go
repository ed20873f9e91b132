package grub

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"diskwright/tree"
)

// NixOS writes shell commands into its settings for things that are not shell:
// files to copy, and the link that Linode's images have. Those are done here;
// any other command cannot run without starting the system.

// prepare does what extraPrepareConfig asks for, and extraFiles.
func (m *mirror) prepare() error {
	for _, words := range commands(strings.ReplaceAll(m.g.ExtraPrepareConfig, "@bootPath@", m.boot.Path)) {
		if len(words) != 4 || path.Base(words[0]) != "install" || words[1] != "-Dp" {
			return refused("extraPrepareConfig", words, "install -Dp SOURCE TARGET, as extraFiles makes them")
		}
		if err := m.installFile(words[2], words[3]); err != nil {
			return fmt.Errorf("extraPrepareConfig: %w", err)
		}
	}
	for _, name := range sortedKeys(m.g.ExtraFiles) {
		if err := m.installFile(m.g.ExtraFiles[name], m.boot.Path+"/"+name); err != nil {
			return fmt.Errorf("extraFiles: %w", err)
		}
	}
	return nil
}

// installFile copies as install -Dp does: executable, with the time of the
// source.
func (m *mirror) installFile(from, to string) error {
	i, _, err := m.r.Files.Regular(from)
	if err != nil {
		return err
	}
	m.in.AddFile(path.Clean(to), 0o755, i.Content, i.Mtime)
	return nil
}

// finish does what extraInstallCommands asks for.
func (m *mirror) finish() error {
	for _, words := range commands(m.g.ExtraInstallCommands) {
		if len(words) != 4 || path.Base(words[0]) != "ln" || !slices.Contains([]string{"-s", "-fs", "-sf", "-sfn", "-fsn", "-snf", "-nfs", "-nsf", "-fns"}, words[1]) ||
			!strings.HasPrefix(words[3], "/") || strings.HasSuffix(words[3], "/") {
			return refused("extraInstallCommands", words, "ln -fs TARGET LINK, with an absolute path")
		}
		if i, _, err := m.r.Files.Lookup(words[3]); err == nil && i.IsDir() {
			return fmt.Errorf("extraInstallCommands: %q is a directory, in which ln would make the link; want the whole path", words[3])
		}
		m.in.Files = append(m.in.Files, newFile(words[3], tree.NewSymlink(words[2], m.r.Epoch)))
	}
	return nil
}

func refused(option string, words []string, want string) error {
	return fmt.Errorf("%s: %q is a command that cannot run when an image is built without starting it; only %s, can be done", option, strings.Join(words, " "), want)
}

// commands splits a script of simple commands into words. What is not that
// simple (variables, pipes, several commands on a line) ends up as a word that
// no known command has.
func commands(script string) [][]string {
	var all [][]string
	for line := range strings.SplitSeq(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words, ok := shellWords(line)
		if !ok {
			words = []string{line}
		}
		all = append(all, words)
	}
	return all
}

// shellWords splits a line that has nothing special but quotes.
func shellWords(line string) (words []string, ok bool) {
	var word strings.Builder
	started := false
	quote := byte(0)
	for i := range len(line) {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case c == '$' || c == '`' || c == '\\':
			return nil, false
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, started = c, true
		case c == ' ' || c == '\t':
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		case strings.IndexByte("|&;<>()*?[]{}~#!=", c) >= 0:
			return nil, false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words, quote == 0
}
