package ext4

import "fmt"

// NoSpaceError says that a tree does not fit. Blocks have 4,096 bytes.
type NoSpaceError struct {
	Kind         Kind
	Size         int64 // of the file system in bytes
	Blocks       int64 // that the tree needs, at least
	Inodes       int64 // that the tree needs, with those that are reserved or shall be free
	Available    int64 // blocks that the file system has for the tree
	EnoughBytes  int64 // the next size in bytes that would do; 0 if none does
	layoutFailed error
}

// Error says what is needed, what there is, what is missing, and what would do.
func (e *NoSpaceError) Error() string {
	needs := fmt.Sprintf("the tree needs %d blocks of %d bytes and %d inodes", e.Blocks, blockSize, e.Inodes)
	enough := fmt.Sprintf("%d bytes are enough", e.EnoughBytes)
	if e.EnoughBytes == 0 {
		enough = fmt.Sprintf("no %s is large enough", e.Kind)
	}
	if e.layoutFailed != nil {
		return fmt.Sprintf("%s: %v; %s", needs, e.layoutFailed, enough)
	}
	missing := e.Blocks - e.Available
	return fmt.Sprintf("%s, but %s of %d bytes has room for %d blocks: %d (%d bytes) are missing; %s",
		needs, e.Kind, e.Size, e.Available, missing, missing*blockSize, enough)
}

// Unwrap returns why there cannot be a file system of the size, if so.
func (e *NoSpaceError) Unwrap() error { return e.layoutFailed }

// noSpace returns the error for a tree that fits neither the space nor, without
// a space, any file system of the size: layoutFailed says why.
func (n *Need) noSpace(opts Options, sp *space, layoutFailed error) error {
	enough, err := n.minSize(opts, Slack{}, opts.Size/blockSize)
	if err != nil && layoutFailed != nil {
		return layoutFailed // whatever the size
	}
	e := &NoSpaceError{
		Kind:         opts.Kind,
		Size:         opts.Size,
		Blocks:       n.Blocks,
		Inodes:       max(n.Inodes, opts.Inodes),
		EnoughBytes:  enough,
		layoutFailed: layoutFailed,
	}
	if sp != nil {
		e.Available = sp.blocks
		e.Blocks = max(e.Blocks, sp.blocks+1) // more went to the extents of files in pieces
	}
	return e
}
