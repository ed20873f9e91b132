package format

import (
	"context"
	"fmt"

	"diskwright/finding"
)

// Check looks for what is wrong with the container and adds it to list. Of
// qcow2 everything is checked that qemu-img check does; of other formats what
// reading them needs. An error is only a cancelled context.
func (img *Image) Check(ctx context.Context, list *finding.List) error {
	if c, ok := img.container.(interface {
		Check(ctx context.Context, list *finding.List) error
	}); ok {
		if err := c.Check(ctx, list); err != nil {
			return err
		}
	}
	if _, err := img.container.Map(); err != nil {
		list.Add("container", img.Format, "%s", fmt.Sprint(err))
	}
	return ctx.Err()
}
