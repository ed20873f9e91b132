package tree

import "golang.org/x/sys/unix"

// noAttribute is the error of an extended attribute that a file does not have.
const noAttribute = unix.ENOATTR
