//go:build !unix

package boot

import "testing"

// seat does not limit machines where files cannot be locked so.
func seat(testing.TB) (leave func()) { return func() {} }
