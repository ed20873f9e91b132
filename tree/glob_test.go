//go:build unix

package tree

import (
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"diskwright/test/oracle"
)

var somePatterns = []string{
	"*", "a*", "*a", "?*", "*/", "*/*", "sub/*", "./*", ".*", ".*/*", ".h*", "*/.*", "[ab]*", "[!a]*", "[^a]*", "[a-c]*", "[]x]*", "[!]x]*",
	"[[:digit:]]*", "[[:alpha:][:digit:]]*", "[a*", "*[", `\**`, `*\*`, `a\b*`, "**", "*.txt", "*\xff*", "link/*", "link*", "*/x", "sub//*", "*//x",
	"dangling*", "*g/", "file*/", "[b-a]*", "[a-]*", "[-a]*", `[\]]*`, "nothing*", "*/nothing", "[.]h*", "*[[:upper:]]*", "[[:nope:]]*", "a b*",
	"*[[:digit:]]", "*[[:alnum:]]", "*[[:lower:]]", "*[[:punct:]]*", "*[[:print:]]", "*[[:graph:]]", "*[[:cntrl:]]*", "*[[:xdigit:]]", "*[[:blank:]]*", "*[![:alnum:]]",
	`\.h*`, "../*", "*/../a*", "[[:space:]]*", "*[[:space:]]*", "[a", "x[*", "*]", "a?", "[x*", "[]*", "[!]*", "é*", "?é*",
}

// TestGlobAgainstBash expands patterns as the reference's loop does.
func TestGlobAgainstBash(t *testing.T) {
	oracle.Need(t, "bash")
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a", "ab", "b.txt", "c", ".hidden", ".dir/x", "sub/x", "sub/y", "sub/.z", "sub2/x", "[", "[a", "]x", "*", "a*b",
		"a b", "1", "Upper", "\xff\xfe", "file", "-", "x[y", "été", "back\\slash", "line\nfeed", " space"} {
		write(t, dir+"/"+name, "")
	}
	must(t, os.Symlink("sub", "link"))
	must(t, os.Symlink("nowhere", "dangling"))
	for _, pattern := range append(somePatterns, "/*", dir+"/*", dir+"/s*/[xy]", dir+"//s*") {
		if !isPattern(pattern) {
			continue
		}
		// The pattern comes from a variable, unquoted; . and .. are for later shells only.
		script := `IFS=; shopt -s nullglob; for f in $1; do case $f in */. | */.. | . | .. | */./* ) [[ $1 == ./* || $1 == ../* || $1 == */../* ]] || continue;; esac; printf '%s\0' "$f"; done`
		out := oracle.Output(t, "bash", "-c", script, "bash", pattern)
		var want []string
		if len(out) > 0 {
			want = strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		}
		for n := range want {
			want[n] = strings.ReplaceAll(want[n], "//", "/")
		}
		slices.Sort(want)
		got, err := glob(pattern)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("%q matches %q, in bash %q", pattern, got, want)
		}
	}
}

// TestMatchShellStars compares with the obvious way to match stars.
func TestMatchShellStars(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,10}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,12}`).Draw(t, "name")
		if got, want := matchShell(pattern, name), matchStars(pattern, []byte(name)); got != want {
			t.Errorf("%q and %q: %v", pattern, name, got)
		}
	})
}

// FuzzMatchShell looks for patterns that take forever, or out of bounds.
func FuzzMatchShell(f *testing.F) {
	for _, pattern := range somePatterns {
		f.Add(pattern, "abc")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || len(name) > 100 {
			return
		}
		matchShell(pattern, name)
		if escaped := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name); !matchShell(escaped, name) {
			t.Errorf("%q does not match itself", name)
		}
	})
}
