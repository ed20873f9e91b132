package ext4

import (
	"fmt"
	"os"
	"testing"

	"diskwright/test/oracle"
)

// TestGrowOffline has resize2fs make empty file systems ten times as large, from
// sizes with different numbers of reserved descriptor blocks and groups.
func TestGrowOffline(t *testing.T) {
	for _, kind := range []Kind{Ext4, Ext3, Ext2} {
		for _, size := range []int64{8 * mib, 100 * mib, 129 * mib, 766 * mib, 3 * gib} {
			if kind != Ext4 && size > gib && !long() {
				continue // e2fsck reads all their inode tables
			}
			t.Run(fmt.Sprintf("%s/%dM", kind, size/mib), func(t *testing.T) {
				o := testOptions(kind, size)
				image := write(t, plan(t, emptyTree(&o), o).Map())
				if err := os.Truncate(image, 10*size); err != nil {
					t.Fatal(err)
				}
				oracle.Run(t, "resize2fs", image)
				fsck(t, image)
			})
		}
	}
}
