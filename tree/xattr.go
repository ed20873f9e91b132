package tree

import "strings"

// Names of extended attributes that mean something here.
const (
	xattrCapability = "security.capability"
	xattrACLAccess  = "system.posix_acl_access"
	xattrACLDefault = "system.posix_acl_default"
)

// DefaultXattrs are the patterns of the extended attributes that belong to a
// file and not to the host it lies on.
func DefaultXattrs() []string {
	return []string{"user.*", xattrCapability, xattrACLAccess, xattrACLDefault}
}

// xattrFilter chooses extended attributes by patterns of their names.
type xattrFilter []string

// match reports whether name is chosen.
func (f xattrFilter) match(name []byte) bool {
	for _, pattern := range f {
		if matchStars(pattern, name) {
			return true
		}
	}
	return false
}

// matchStars reports whether name matches a pattern in which '*' stands for
// any bytes.
func matchStars(pattern string, name []byte) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if len(name) < len(head) || string(name[:len(head)]) != head {
		return false
	}
	name = name[len(head):]
	if !star {
		return len(name) == 0
	}
	if rest == "" {
		return true
	}
	for n := range len(name) + 1 {
		if matchStars(rest, name[n:]) {
			return true
		}
	}
	return false
}
