// Package page writes pages that show what is in disk images: one HTML file each,
// which needs nothing else, no server and no network.
//
//	<meta Content-Security-Policy>   nothing may be loaded; only this script runs
//	<style>                          page.css
//	<script type=application/json>   the data
//	<script>                         widgets.js and the page's own script
//
// # Hostile names
//
// Names come from images that anybody may have made. They are only ever data: in
// JSON, in which no character that means something to HTML remains, and from there
// in text nodes. If all that failed, the policy would still refuse to run what is
// not this package's script, by its hash. Names are shown by [Show], so that none
// can hide what it is.
package page

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed page.css
var style string

//go:embed widgets.js
var widgets string

// Page is a page that is to be written.
type Page struct {
	Title string
	// Script makes the page of the data. It may use what widgets.js defines.
	Script string
	// Data is what json.Marshal takes. Names in it have gone through [Show].
	Data any
}

// Write writes the page.
func Write(w io.Writer, p Page) error {
	data, err := json.Marshal(p.Data) // which escapes <, > and &
	if err != nil {
		return err
	}
	script := "'use strict';\n(() => {\n" + widgets + p.Script + "})();\n"
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none'; script-src %s; style-src %s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>%s</title>
<style>%s</style>
</head>
<body>
<noscript>This page needs JavaScript, which your browser does not run.</noscript>
<script type="application/json" id="data">%s</script>
<script>%s</script>
</body>
</html>
`, hashOf(script), hashOf(style), html.EscapeString(p.Title), style, data, script)
	return b.Flush()
}

// hashOf returns the source expression of an inline script or style in a content
// security policy.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Show returns a name as people see it: what is not UTF-8 or cannot be seen, and
// what changes the direction of text, as Go writes it in strings.
func Show(name string) string {
	plain := true
	for _, r := range name {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			plain = false
		}
	}
	if plain {
		return name
	}
	var b strings.Builder
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, name[0])
		case !strconv.IsPrint(r):
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(name[:n])
		}
		name = name[n:]
	}
	return b.String()
}
