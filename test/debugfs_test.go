//go:build linux

package test

import (
	"path/filepath"
	"testing"

	"diskwright/test/manifest"
	"diskwright/test/nasty"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// Another reader of ext4 than the kernel, which needs no rights: debugfs takes
// files, directories and links out.
func TestDebugfs(t *testing.T) {
	tree := nastyTree(t, nasty.Options{Readable: true})
	root := findLayout("hybrid").rootOf(t, build(t, "--root", tree, "--owners", "keep", "--partition-table-type", "hybrid", "--disk-size", "450", "--boot-size", "64M"))
	root.fsck(t)
	// rdump fills holes, so not all of it.
	for _, name := range []string{"names", "symlinks", "sizes", "directories", "subdirectories", "deep"} {
		dir := scratch.Dir(t)
		if output := oracle.Run(t, "debugfs", "-R", "rdump /"+name+" "+dir, root.name()); len(output) > 100 {
			t.Errorf("debugfs says\n%s", output)
		}
		what := func(m manifest.Manifest) manifest.Manifest {
			return m.Map(func(f *manifest.File) {
				*f = manifest.File{Path: f.Path, Mode: f.Mode, Size: f.Size, Digest: f.Digest, Target: f.Target}
			})
		}
		same(t, "what debugfs takes out of /"+name, what(read(t, tree).Below(name)), what(read(t, filepath.Join(dir, name))))
	}
}
