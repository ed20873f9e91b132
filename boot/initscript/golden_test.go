package initscript

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/partition"
	"diskwright/tree"
)

// bogus is what the builder writes for the specialisations of a system that has
// none: its glob matches nothing, and ls lists the working directory.
const bogus = "#!/bin/sh\n# NixOS - variation\n# created by init-script-builder.sh\nexec ./init\n\n\n"

func TestGoldens(t *testing.T) {
	for _, dir := range boottest.Cases(t, "testdata/goldens") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := boottest.Load(t, dir)
			r := &boot.Request{Settings: boot.NewSettings(boot.InitScriptName), Files: boot.Files{Root: c.Root},
				System: c.System, Disk: boottest.Disk(t, partition.Legacy)}
			in, err := Install(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Apply(c.Root, nil, tree.Time{}); err != nil {
				t.Fatal(err)
			}
			c.Compare(t, c.Root, boottest.Options{Skip: func(path string) bool { return path == others }})
			want, err := os.ReadFile(filepath.Join(dir, "files", others))
			if err != nil {
				t.Fatal(err)
			}
			have, err := r.Files.Read(others)
			if err != nil {
				t.Fatal(err)
			}
			if w := strings.Replace(string(want), bogus, "", 1); string(have) != w {
				t.Errorf("have %s\nwant %s", have, w)
			}
		})
	}
}
