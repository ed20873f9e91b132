package tree

import (
	"os"
	"slices"
	"strings"
)

// isPattern reports whether a source is a pattern. As in the reference, it
// takes a '*': without one, '?' and '[' are ordinary.
func isPattern(source string) bool { return strings.Contains(source, "*") }

// glob returns the paths of the host that match a shell pattern, in the order
// of their bytes. '*', '?' and '[...]' match within a name, by bytes, and not
// a dot at its start; a backslash takes the meaning from what follows. A
// pattern that ends in a slash matches directories, and so do its matches.
func glob(pattern string) ([]string, error) {
	start := ""
	if strings.HasPrefix(pattern, "/") {
		start = "/"
	}
	var matches []string
	err := expand(start, strings.TrimLeft(pattern, "/"), &matches)
	slices.Sort(matches)
	return matches, err
}

// expand appends the matches of a pattern below a directory, which is "" or
// ends in a slash.
func expand(dir, pattern string, matches *[]string) error {
	first, rest, more := strings.Cut(pattern, "/")
	rest = strings.TrimLeft(rest, "/")
	if pattern == "" { // behind a slash
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			*matches = append(*matches, dir)
		}
		return nil
	}
	names := []string{unescape(first)}
	if strings.ContainsAny(first, "*?[") {
		var err error
		if names, err = matchingNames(dir, first); err != nil {
			return err
		}
	}
	for _, name := range names {
		if more {
			if err := expand(dir+name+"/", rest, matches); err != nil {
				return err
			}
			continue
		}
		if _, err := os.Lstat(dir + name); err == nil {
			*matches = append(*matches, dir+name)
		}
	}
	return nil
}

// matchingNames returns the names in a directory that match. What is not a
// directory has none.
func matchingNames(dir, pattern string) ([]string, error) {
	where := dir
	if where == "" {
		where = "."
	}
	if fi, err := os.Stat(where); err != nil || !fi.IsDir() {
		return nil, nil
	}
	f, err := os.Open(where)
	if err != nil {
		return nil, atPath(where, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, atPath(where, err)
	}
	hidden := strings.HasPrefix(pattern, ".") || strings.HasPrefix(pattern, `\.`)
	return slices.DeleteFunc(names, func(name string) bool {
		return strings.HasPrefix(name, ".") && !hidden || !matchShell(pattern, name)
	}), nil
}

// unescape removes the backslashes of a pattern without wildcards.
func unescape(pattern string) string {
	if !strings.Contains(pattern, `\`) {
		return pattern
	}
	var b strings.Builder
	for n := 0; n < len(pattern); n++ {
		if pattern[n] == '\\' && n+1 < len(pattern) {
			n++
		}
		b.WriteByte(pattern[n])
	}
	return b.String()
}

// matchShell reports whether a name matches a pattern. It takes time linear in
// the product of their lengths.
func matchShell(pattern, name string) bool {
	p, n := 0, 0
	star, from := -1, 0 // where the last star is; what it matches ends there
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, n
			p++
			continue
		}
		if size, ok := matchByte(pattern[p:], name[n]); ok {
			p, n = p+size, n+1
			continue
		}
		if star < 0 {
			return false
		}
		from++
		p, n = star+1, from
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchByte matches a byte with the start of a pattern, and returns the length
// of that start.
func matchByte(pattern string, c byte) (size int, ok bool) {
	switch {
	case pattern == "":
		return 0, false
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '[':
		if size, ok, set := matchSet(pattern, c); set {
			return size, ok
		}
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, pattern[1] == c
	}
	return 1, pattern[0] == c
}

// matchSet matches a byte with a set such as [a-z0], [!a] or [[:digit:]_]. It
// is none if it is not closed.
func matchSet(pattern string, c byte) (size int, ok, set bool) {
	p := 1
	negated := p < len(pattern) && (pattern[p] == '!' || pattern[p] == '^')
	if negated {
		p++
	}
	for first := p; p < len(pattern); first = -1 {
		if pattern[p] == ']' && p != first {
			return p + 1, ok != negated, true
		}
		if class, found := strings.CutPrefix(pattern[p:], "[:"); found {
			if name, _, closed := strings.Cut(class, ":]"); closed {
				ok = ok || inClass(name, c)
				p += len("[:" + name + ":]")
				continue
			}
		}
		low, size := setByte(pattern[p:])
		p += size
		high := low
		if len(pattern) > p+1 && pattern[p] == '-' && pattern[p+1] != ']' {
			high, size = setByte(pattern[p+1:])
			p += 1 + size
		}
		ok = ok || low <= c && c <= high
	}
	return 0, false, false
}

// setByte returns the first byte of a set, and how long it is written.
func setByte(pattern string) (c byte, size int) {
	if pattern[0] == '\\' && len(pattern) > 1 {
		return pattern[1], 2
	}
	return pattern[0], 1
}

// inClass reports whether a byte is in a class of POSIX, in the C locale.
func inClass(name string, c byte) bool {
	lower, upper, digit := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9'
	switch name {
	case "alpha":
		return lower || upper
	case "digit":
		return digit
	case "alnum":
		return lower || upper || digit
	case "lower":
		return lower
	case "upper":
		return upper
	case "space":
		return c == ' ' || '\t' <= c && c <= '\r'
	case "blank":
		return c == ' ' || c == '\t'
	case "punct":
		return '!' <= c && c <= '~' && !lower && !upper && !digit
	case "print":
		return ' ' <= c && c <= '~'
	case "graph":
		return '!' <= c && c <= '~'
	case "cntrl":
		return c < ' ' || c == 0x7f
	case "xdigit":
		return digit || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
	}
	return false
}
