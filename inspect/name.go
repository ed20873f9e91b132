package inspect

import (
	"encoding/base64"
	"unicode/utf8"
)

// Name is a path in an image as JSON has it, which has text only.
type Name struct {
	Path       string `json:"path,omitempty"`
	PathBase64 string `json:"pathBase64,omitempty"` // in place of one that is not UTF-8
}

// NewName returns the name of a path.
func NewName(path string) (n Name) {
	n.Path, n.PathBase64 = EncodeName(path)
	return n
}

// Bytes returns the path as it is in the file system.
func (n Name) Bytes() string {
	if b, err := base64.StdEncoding.DecodeString(n.PathBase64); err == nil && n.PathBase64 != "" {
		return string(b)
	}
	return n.Path
}

// EncodeName returns a name as text, or if it is not UTF-8 in base64.
func EncodeName(name string) (text, b64 string) {
	if utf8.ValidString(name) {
		return name, ""
	}
	return "", base64.StdEncoding.EncodeToString([]byte(name))
}
