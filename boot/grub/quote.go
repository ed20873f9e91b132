package grub

import "strings"

// quote writes text as a word of GRUB's script language, in double quotes: what
// would end them or begin a variable is escaped.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(text) + `"`
}

// plain are the characters that need no quotes.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-"

// quoteWord quotes a word if it must be.
func quoteWord(word string) string {
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return quote(word)
}

// quotePath quotes a path behind its drive, a variable that must stay one.
func quotePath(path string) string {
	drive, rest := "", path
	if strings.HasPrefix(path, "($") {
		end := strings.IndexByte(path, ')') + 1
		drive, rest = path[:end], path[end:]
	}
	return drive + quoteWord(rest)
}

// kernelWords splits a kernel's command line as the kernel does, at blanks
// outside of double quotes, and quotes the words for GRUB. GRUB puts those with
// blanks between double quotes again, wholly, which the kernel understands.
func kernelWords(options string) []string {
	var words []string
	word, inside, started := strings.Builder{}, false, false
	end := func() {
		if started {
			words = append(words, quoteWord(word.String()))
		}
		word.Reset()
		started = false
	}
	for i := range len(options) {
		switch c := options[i]; {
		case c == '"':
			inside, started = !inside, true
		case !inside && (c == ' ' || c == '\t'):
			end()
		default:
			word.WriteByte(c)
			started = true
		}
	}
	end()
	return words
}
