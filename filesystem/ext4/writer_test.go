package ext4

import (
	"testing"
)

func TestEmpty(t *testing.T) {
	for _, kind := range []Kind{Ext4, Ext3, Ext2} {
		t.Run(kind.String(), func(t *testing.T) {
			for _, size := range []int64{1 * mib, 8 * mib, 64 * mib, 766 * mib} {
				fs := plan(t, dir(), testOptions(kind, size))
				fsck(t, write(t, fs.Map()))
			}
		})
	}
}
