package spec

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"diskwright/test/oracle"
)

// sizes are what ParseIEC and numfmt must agree on. The value of an error is
// -1.
var sizes = []struct {
	text  string
	bytes int64
}{
	{"0", 0}, {"1", 1}, {"00012", 12}, {"512M", 512 << 20}, {"256K", 256 << 10}, {"1E", 1 << 60},
	{"0.5G", 1 << 29}, {".5G", 1 << 29}, {"1.0K", 1024}, {"1.1K", 1127}, {"0.1K", 103}, {"3.3K", 3380},
	{"2.2M", 2306868}, {"1.3G", 1395864372}, {"1.7T", 1869169767220}, {"1.1P", 1238489897526887},
	{"0.7E", 807045053224792884}, {"7.99999E", 9223360507639729740}, {"1.5E", 1729382256910270464},
	{"100.001K", 102402}, {"1024.0009765625K", 1048577},
	// What the x87's 64 bits of mantissa cannot tell from the next integer.
	{"1.9999999999K", 2048}, {"1.00000000000000000001K", 1024}, {"0.30000000000000004K", 308}, {"1.1234567890123456789K", 1151},
	{"0Z", 0}, {"0Y", 0}, {"0.000001Z", 1180591620717412},
	{"9007199254740993", 9007199254740993}, {"9223372036854775807", math.MaxInt64},
	{" 512M", 512 << 20}, {"512M ", 512 << 20}, {"5\n", 5}, {"\t5", 5},

	{"", -1}, {" ", -1}, {"K", -1}, {".", -1}, {".K", -1}, {"5.M", -1}, {"5.", -1},
	{"256Mi", -1}, {"256MB", -1}, {"256MiB", -1}, {"256m", -1}, {"256k", -1}, {"256b", -1}, {"256B", -1}, {"1R", -1}, {"1Q", -1},
	{"512 M", -1}, {"512M 3", -1}, {"5\n6", -1}, {"512G5", -1}, {"512GG", -1}, {"1K2", -1},
	{"-5", -1}, {"-5M", -1}, {"+5", -1}, {"+5M", -1}, {"1e3", -1}, {"0x10", -1}, {"1,5K", -1}, {"1.5.5K", -1}, {"1_000", -1},
	{"nan", -1}, {"inf", -1}, {"１", -1}, {"5.-3K", -1}, {"auto", -1},
	// numfmt accepts these; the shell's arithmetic does not.
	{"1.5", -1}, {"1.0", -1}, {"0.0", -1}, {"8E", -1}, {"9223372036854775808", -1}, {"9999999999999999999", -1},
	{"9E", -1}, {"16E", -1}, {"1Z", -1}, {"1Y", -1}, {"0.1Y", -1}, {"99999999999999999999", -1}, {"999999999999999999999999", -1},
	{"1234567890123456789012345678", -1}, {"0.1234567890123456789012345678K", -1},
}

func TestParseIEC(t *testing.T) {
	for _, test := range sizes {
		got, err := ParseIEC(test.text)
		if err != nil {
			got = -1
		}
		if got != test.bytes {
			t.Errorf("ParseIEC(%q) = %d, %v; want %d", test.text, got, err, test.bytes)
		}
	}
}

// numfmt returns what make-disk-image.nix makes of a size: numfmt, and then
// the shell's arithmetic; -1 for failure.
func numfmt(t *testing.T, text string) int64 {
	t.Helper()
	output, status := oracle.Exit(t, "numfmt", "--from=iec", text)
	if status != 0 {
		return -1
	}
	bytes, err := strconv.ParseInt(strings.Trim(output, " \t\n"), 10, 64)
	if err != nil {
		return -1
	}
	return bytes
}

func TestParseIECIsNumfmt(t *testing.T) {
	for _, test := range sizes {
		if got := numfmt(t, test.text); got != test.bytes {
			t.Errorf("numfmt makes %d of %q; the table has %d", got, test.text, test.bytes)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := randomSize(random)
		want := numfmt(t, text)
		got, err := ParseIEC(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("ParseIEC(%q) = %d, %v; numfmt: %d", text, got, err, want)
		}
	}
}

// randomSize returns a size with up to 20 digits on either side of the point.
func randomSize(random *rand.Rand) string {
	digits := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(byte('0' + random.IntN(10)))
		}
		return b.String()
	}
	text := digits(random.IntN(1 + random.IntN(20)))
	if random.IntN(3) > 0 {
		text += "." + digits(random.IntN(20))
	}
	return text + []string{"", "K", "M", "G", "T", "P", "E", "Z", "i"}[random.IntN(9)]
}

func FuzzParseIEC(f *testing.F) {
	for _, test := range sizes {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if bytes, err := ParseIEC(text); err == nil && bytes < 0 {
			t.Errorf("ParseIEC(%q) = %d", text, bytes)
		}
	})
}
