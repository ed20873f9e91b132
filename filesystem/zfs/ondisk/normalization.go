package ondisk

import "strings"

// Normalization is what a ZAP does to names before it looks for them, so that some
// that differ are the same (the flags of u8_textprep that zap_create_norm takes).
// Zero is nothing.
type Normalization uint64

// ToUpper makes small letters large (U8_TEXTPREP_TOUPPER). The other flags, forms of
// Unicode, leave ASCII as it is.
const ToUpper Normalization = 2

// Apply returns what is done to a name that is ASCII.
func (n Normalization) Apply(name string) string {
	if n&ToUpper != 0 {
		return strings.ToUpper(name)
	}
	return name
}
