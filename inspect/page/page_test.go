package page

import (
	"bytes"
	"strings"
	"testing"
)

func TestShow(t *testing.T) {
	for name, want := range map[string]string{
		"plain":             "plain",
		"café ☃":            "café ☃",
		"bad\xffname":       `bad\xffname`,
		"a\nb\x1b[31m":      `a\nb\x1b[31m`,
		"evil\u202etxt.exe": `evil\u202etxt.exe`,
		"\ufffd":            "\ufffd",
		"zero\u200bwidth":   `zero\u200bwidth`,
	} {
		if got := Show(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

// No name ends the element that the data is in, nor begins another.
func TestHostileData(t *testing.T) {
	var b bytes.Buffer
	hostile := []string{"</script><script>alert(1)</script>", "<!--<script>", "]]>", "&lt;", `"'`, "\u2028"}
	if err := Write(&b, Page{Title: "</title><b>" + hostile[0], Script: "data;", Data: hostile}); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(b.String(), `id="data">`)
	text, _, _ := strings.Cut(rest, "</script>")
	if strings.ContainsAny(text, "<>&") {
		t.Errorf("data is %s", text)
	}
	if strings.Contains(b.String(), "<b>") || strings.Count(b.String(), "</script>") != 2 {
		t.Error("the title or the data got out of its place")
	}
}
