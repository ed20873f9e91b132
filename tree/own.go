package tree

import "fmt"

// Own gives what is at the targets of items to their users and groups, as
// [Graft] does at its end: once more, for a tree that has grown since.
func Own(root *Inode, items []Item) error {
	g := &graft{root: root}
	for n, item := range items {
		if err := g.own(item); err != nil {
			return fmt.Errorf("contents[%d]: %w", n, err)
		}
	}
	return nil
}
