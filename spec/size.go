package spec

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Size is a number of bytes as `numfmt --from=iec` reads it: "512M", "0.5G",
// "1048576".
type Size string

// Bytes returns the size in bytes.
func (s Size) Bytes() (int64, error) { return ParseIEC(string(s)) }

var errNoSize = errors.New(`it is empty; give a number and a unit, such as "512M"`)

const (
	iecUnits = "KMGTPEZY" // powers of 1024, from the first

	// numfmt calculates in the x87 extended format, whose mantissa has 64
	// bits, and gives up on more significant digits than these.
	longDoubleBits = 64
	numfmtDigits   = 27
)

// ParseIEC reads a number of bytes exactly as `numfmt --from=iec` does on
// x86-64, which is what make-disk-image.nix puts its sizes through: digits,
// perhaps a decimal point and more digits, and one of the units K, M, G, T, P,
// E, Z, Y, which are powers of 1024. A fraction of a byte is rounded up. As
// there, "Ki", "MB", "MiB", lower-case units, signs and exponents are errors,
// and so is what its shell script fails on later: a fraction without a unit,
// and 8 EiB and more.
func ParseIEC(text string) (int64, error) {
	bytes, err := parseIEC(strings.Trim(text, " \t\n"))
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: %w", text, err)
	}
	return bytes, nil
}

func parseIEC(text string) (int64, error) {
	whole, rest := cutDigits(text)
	fraction, point := "", false
	if strings.HasPrefix(rest, ".") {
		point = true
		if fraction, rest = cutDigits(rest[1:]); fraction == "" {
			return 0, errors.New("no digits behind the decimal point")
		}
	}
	switch {
	case text == "":
		return 0, errNoSize
	case whole == "" && fraction == "":
		return 0, errors.New(`it must begin with a digit, as "512M" does`)
	case len(strings.TrimLeft(whole, "0")) > numfmtDigits, len(strings.TrimLeft(fraction, "0")) > numfmtDigits:
		return 0, fmt.Errorf("more than %d digits", numfmtDigits)
	case point && rest == "":
		return 0, errors.New(`a fraction needs a unit, as in "1.5G"`)
	}
	power, err := iecPower(rest)
	if err != nil {
		return 0, err
	}

	value := longDouble(whole)
	if point {
		part := longDouble(fraction)
		part.Quo(part, longPower(10, len(fraction)))
		value.Add(value, part)
	}
	value.Mul(value, longPower(1024, power))
	return roundUp(value)
}

// cutDigits splits text behind its leading decimal digits.
func cutDigits(text string) (digits, rest string) {
	rest = strings.TrimLeft(text, "0123456789")
	return text[:len(text)-len(rest)], rest
}

// iecPower returns the power of 1024 that a unit stands for.
func iecPower(unit string) (int, error) {
	if unit == "" {
		return 0, nil
	}
	if len(unit) == 1 {
		if i := strings.Index(iecUnits, unit); i >= 0 {
			return i + 1, nil
		}
	}
	err := fmt.Errorf("%q is none of the units K, M, G, T, P, E", unit)
	trimmed := strings.TrimLeft(unit, " \t")
	if first := strings.ToUpper(trimmed[:min(1, len(trimmed))]); first != "" && strings.Contains(iecUnits, first) {
		err = fmt.Errorf("the unit must be %q, which is a power of 1024, not %q", first, unit)
	}
	return 0, err
}

// longDouble reads digits as numfmt does: one at a time, each step rounded.
func longDouble(digits string) *big.Float {
	value := new(big.Float).SetPrec(longDoubleBits)
	ten := big.NewFloat(10)
	for i := range len(digits) {
		value.Mul(value, ten)
		value.Add(value, big.NewFloat(float64(digits[i]-'0')))
	}
	return value
}

// longPower returns base to the power of n, each step rounded.
func longPower(base float64, n int) *big.Float {
	value := new(big.Float).SetPrec(longDoubleBits).SetInt64(1)
	for range n {
		value.Mul(value, big.NewFloat(base))
	}
	return value
}

// roundUp returns the smallest integer that is not less than value.
func roundUp(value *big.Float) (int64, error) {
	n, _ := value.Int(nil)
	if new(big.Float).SetInt(n).Cmp(value) < 0 {
		n.Add(n, big.NewInt(1))
	}
	if !n.IsInt64() {
		return 0, errors.New("it is 8 EiB or more")
	}
	return n.Int64(), nil
}
