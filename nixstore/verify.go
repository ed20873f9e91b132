package nixstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"diskwright/progress"
	"diskwright/tree"
)

// VerifyOptions says how [Verify] works.
type VerifyOptions struct {
	Workers  int           // 0 is twice the number of CPUs
	Progress progress.Sink // may be nil; counts bytes of NARs, see [Closure.NarSize]
}

// Verify reads the store objects of the closure in the tree that [Tree] returned
// and compares the hashes and sizes of their NARs with what is registered. All
// differences are reported, by path.
func Verify(ctx context.Context, c Closure, store *tree.Inode, opts VerifyOptions) error {
	done := progress.Adder(opts.Progress)
	// The largest first, so that none of them keeps one worker busy when
	// the others have finished.
	order := make([]int, len(c))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c[b].NarSize, c[a].NarSize) })

	problems := make([]error, len(c)) // in the order of paths
	err := parallel(ctx, len(c), opts.Workers, func(i int) error {
		n := order[i]
		problems[n] = c[n].verify(ctx, store, done)
		return nil
	})
	if err != nil {
		return err
	}
	return joinProblems(problems)
}

// verify compares the path's object with what is registered.
func (info *PathInfo) verify(ctx context.Context, store *tree.Inode, done func(n int64)) error {
	object := store.Child(info.Path.Base())
	if object == nil {
		return fmt.Errorf("%q: %w", info.Path, fs.ErrNotExist)
	}
	hash, size, err := hashTree(ctx, object, done)
	switch {
	case errors.Is(err, ctx.Err()) && err != nil:
		return err
	case err != nil:
		return fmt.Errorf("%q: %w", info.Path, err)
	case size != info.NarSize:
		return fmt.Errorf("%q is not what is registered: its NAR has %d bytes and %v, and should have %d and %v",
			info.Path, size, hash, info.NarSize, info.NarHash)
	case hash != info.NarHash:
		return fmt.Errorf("%q is not what is registered: its NAR has %v, and should have %v", info.Path, hash, info.NarHash)
	}
	return nil
}
