package fat

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// TestShortNames: the names that Linux gives, in the order of the names.
func TestShortNames(t *testing.T) {
	tests := []struct{ name, short string }{
		{"README", "README"},
		{"README.TXT", "README.TXT"},
		{"readme.txt", "README.TXT"},
		{"Readme.Txt", "README.TXT"},
		{"a", "A"},
		{"EIGHTLTR.EXT", "EIGHTLTR.EXT"},
		{"NINELTTRS.EXT", "NINELT~1.EXT"},
		{"NINELTTRS", "NINELT~1"},
		{"FOUR.EXTN", "FOUR~1.EXT"},
		{"seven77.ext", "SEVEN77.EXT"},
		{"systemd-bootx64.efi", "SYSTEM~1.EFI"},
		{"a b", "AB~1"},
		{" a", "A~1"},
		{"a.b.c", "AB~1.C"},
		{".bashrc", "BASHRC~1"},
		{"..test", "TEST~1"},
		{". .test", "TEST~1"},
		{".a.b", "A~1.B"},
		{"a..b", "A~1.B"},
		{"[a]", "_A_~1"},
		{"a+b,c;d=e", "A_B_C_~1"},
		{"$%'-_@~`", "$%'-_@~`"},
		{"!(){}^#&", "!(){}^#&"},
		{"~1", "~1"},
		{"grün", "GR_N~1"},
		{"日本語.txt", "___~1.TXT"},
		{"😀", "__~1"},
		{"a.é", "A~1._"},
		{"\x7f", "_~1"},
		{"abcdefgh ", "ABCDEF~1"}, // FAT forbids it, but the form is that
	}
	for _, test := range tests {
		got := shortNames([]string{test.name})[0].decode(false, false)
		if got != test.short {
			t.Errorf("%q: %q, want %q", test.name, got, test.short)
		}
	}
}

// TestAliases: tails are counted up, a name that is short already keeps it,
// and after nine there are hashes.
func TestAliases(t *testing.T) {
	names := []string{"configuration-01", "configuration-02", "CONFIG~2", "configuration-03"}
	for letter := 'a'; letter < 'l'; letter++ {
		names = append(names, "configuration-"+string(letter))
	}
	names = append(names, "x y0", "x y1", "x y2", "x y3", "x y4", "x y5", "x y6", "x y7", "x y8", "x y9")
	var got []string
	for _, s := range shortNames(names) {
		got = append(got, s.decode(false, false))
	}
	want := "CONFIG~1 CONFIG~3 CONFIG~2 CONFIG~4 CONFIG~5 CONFIG~6 CONFIG~7 CONFIG~8 CONFIG~9" +
		" COXXXX~1 COXXXX~1 COXXXX~1 COXXXX~1 COXXXX~1 COXXXX~1" +
		" XY0~1 XY1~1 XY2~1 XY3~1 XY4~1 XY5~1 XY6~1 XY7~1 XY8~1 XY9~1"
	for n, w := range strings.Fields(want) {
		ok := got[n] == w
		if i := strings.Index(w, "XXXX"); i >= 0 {
			ok = len(got[n]) == len(w) && got[n][:i] == w[:i] && got[n][i+4:] == w[i+4:] &&
				strings.Trim(got[n][i:i+4], "0123456789ABCDEF") == ""
		}
		if !ok {
			t.Errorf("%q: %q, want %q", names[n], got[n], w)
		}
	}
}

// TestManyAliases: as many names of one form as a directory can have.
func TestManyAliases(t *testing.T) {
	names := make([]string, maxEntries/2)
	for n := range names {
		names[n] = "a long name " + strings.Repeat("x", n%7) + string(rune(0x4e00+n%20000)) + string(rune('a'+n/20000))
	}
	seen := map[shortName]bool{}
	for _, s := range shortNames(names) {
		if seen[s] {
			t.Fatalf("%q twice", s)
		}
		seen[s] = true
	}
}

// drawName draws names that tend to collide.
func drawName(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("aAbB1~.. _[é😀\u20ac")), 1, 20, 255).Draw(t, "name")
}

func TestShortNamesProperty(t *testing.T) {
	const valid = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$%'-_@~`!(){}^#& "
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.Custom(drawName).Filter(func(s string) bool { return checkName(s) == nil }), 0, 50, foldName).Draw(t, "names")
		seen := map[shortName]bool{}
		for n, s := range shortNames(names) {
			if seen[s] {
				t.Fatalf("%q twice in %q", s, names)
			}
			seen[s] = true
			if strings.Trim(string(s[:]), valid) != "" || s[0] == ' ' {
				t.Fatalf("%q becomes %q", names[n], s)
			}
			if longEntries(names[n]) == 0 && s.decode(false, false) != names[n] {
				t.Fatalf("%q has no long name and the short one %q", names[n], s)
			}
			if strings.EqualFold(s.decode(false, false), names[n]) != shorten(names[n]).whole {
				t.Fatalf("%q becomes %q", names[n], s)
			}
		}
	})
}

// TestLongName: what longEntry writes, longName reads.
func TestLongName(t *testing.T) {
	for units := 1; units <= nameMax; units++ {
		name := strings.Repeat("é", units)
		short := shortNames([]string{name})[0]
		var long longName
		for order := longEntries(name); order > 0; order-- {
			e := longEntry(utf16.Encode([]rune(name)), order, short.checksum())
			long.add(e[:])
		}
		if got := long.name(short.checksum()); got != name {
			t.Fatalf("%d units: %q", units, got)
		}
	}
}

// TestLongEntries: the example in [FAT] "FAT Long Directory Entries", with the
// checksum of its short name.
func TestLongEntries(t *testing.T) {
	const name = "The quick brown.fox"
	short := shortNames([]string{name})[0]
	if string(short[:]) != "THEQUI~1FOX" {
		t.Fatalf("%q", short)
	}
	units := utf16.Encode([]rune(name))
	last, first := longEntry(units, 2, short.checksum()), longEntry(units, 1, short.checksum())
	wantLast := "\x42w\x00n\x00.\x00f\x00o\x00\x0f\x00\x07x\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff"
	wantFirst := "\x01T\x00h\x00e\x00 \x00q\x00\x0f\x00\x07u\x00i\x00c\x00k\x00 \x00b\x00\x00\x00r\x00o\x00"
	if !bytes.Equal(last[:], []byte(wantLast)) || !bytes.Equal(first[:], []byte(wantFirst)) {
		t.Errorf("\n%q\n%q", last, first)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a.", "a ", "...", " ", "a/b", `a\b`, "a:b", "a*", "?", `"`, "<", ">", "|",
		"\x00", "a\nb", "\x1f", "\xff", "caf\xe9", "\xed\xa0\x80", strings.Repeat("a", 256), strings.Repeat("😀", 128)} {
		if checkName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	for _, name := range []string{"a", " a", ".a", "a.b", "\x7f", "é", "[];,+=", "CON", strings.Repeat("é", 255), strings.Repeat("😀", 127)} {
		if err := checkName(name); err != nil {
			t.Errorf("%q %v", name, err)
		}
	}
}

func TestFoldName(t *testing.T) {
	for _, pair := range [][2]string{{"A", "a"}, {"straße", "STRAßE"}, {"É", "é"}, {"Σ", "ς"}, {"K", "\u212a"}} {
		if foldName(pair[0]) != foldName(pair[1]) {
			t.Errorf("%q and %q are not equal", pair[0], pair[1])
		}
	}
	if foldName("é") == foldName("e\u0301") || foldName("ß") == foldName("ss") {
		t.Error("too much is equal")
	}
}
