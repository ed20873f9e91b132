package nixstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/test/oracle"
	"diskwright/tree"
)

// ctx is nobody's to cancel.
var ctx = context.Background()

// A NAR's golden digests: printf x >f; nix-hash --type sha256 --base32 f.
func TestHashTree(t *testing.T) {
	file := tree.NewFile(content.Bytes("x"), Mtime)
	dir := tree.NewDir(Mtime)
	dir.SetChild("f", file)
	for _, test := range []struct {
		inode *tree.Inode
		size  int64
		want  string
	}{
		{file, 120, "sha256:0rsv7kag23nvdpy4500mv2m0b4sm4c8fkgqrfsrmv1kgk77bi81c"},
		{tree.NewSymlink("a", Mtime), 120, "sha256:090zpj9rwzj3l364fps2vqw1zz7r2s5p27mfq0a2yrihinh73m5j"},
		{tree.NewFile(nil, Mtime), 112, "sha256:0ip26j2h11n1kgkz36rl4akv694yz65hr72q4kv4b3lxcbi65b3p"},
		{dir, 288, ""},
	} {
		hash, size, err := HashTree(ctx, test.inode)
		if err != nil || size != test.size || test.want != "" && hash.String() != test.want {
			t.Errorf("mode %#o: %v, %d bytes, %v; want %v, %d", test.inode.Mode, hash, size, err, test.want, test.size)
		}
	}
	if _, _, err := HashTree(ctx, &tree.Inode{Mode: tree.TypeFIFO}); err == nil {
		t.Error("a FIFO has a NAR")
	}
}

// Every size of content around the buffer, of memory, of a host's file, and with
// holes, gives what Nix gives.
func TestHashPathIsNix(t *testing.T) {
	oracle.Need(t, "nix-hash")
	dir := t.TempDir()
	for _, size := range []int{0, 1, 7, 8, 9, 4096, narBuffer/2 - 1, narBuffer / 2, narBuffer/2 + 1,
		narBuffer - 200, narBuffer - 1, narBuffer, narBuffer + 1, 3*narBuffer + 5} {
		name := fmt.Sprintf("%d-%s", size, strings.Repeat("n", size%100))
		data := make([]byte, size)
		for n := range data {
			data[n] = byte(n * 31 >> 3)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644|os.FileMode(size&1)*0o100); err != nil {
			t.Fatal(err)
		}
	}
	sparse := filepath.Join(dir, "sparse")
	writeFile(t, sparse, "begin")
	if err := os.Truncate(sparse, 5<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "sub", "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "sub/empty", "dangling": strings.Repeat("t", 4000), "\xff\n\"": "\xfe"} {
		if err := os.Symlink(target, filepath.Join(dir, "sub", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, sparse, filepath.Join(dir, "sub", "link"), filepath.Join(dir, "9-nnnnnnnnn"), filepath.Join(dir, "sub", "empty")} {
		want := "sha256:" + strings.TrimSpace(oracle.Run(t, "nix-hash", "--type", "sha256", "--base32", path))
		hash, size, err := HashPath(ctx, path)
		if err != nil || hash.String() != want {
			t.Errorf("%q: %v, %v; Nix has %v", path, hash, err, want)
		}
		if dump := oracle.Output(t, "nix-store", "--dump", path); int64(len(dump)) != size {
			t.Errorf("%q: %d bytes; Nix has %d", path, size, len(dump))
		}
	}
}

// A file that changes while it is hashed is not hashed.
func TestHashTreeChanged(t *testing.T) {
	for _, size := range []int{10, 2 * narBuffer} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		writeFile(t, path, strings.Repeat("x", size))
		inode, err := new(objects).read(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, strings.Repeat("x", size-1))
		if _, _, err := HashTree(ctx, inode); !errors.Is(err, content.ErrChanged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestHashTreeCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	hole, err := new(diskmap.Builder).Map(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := HashTree(ctx, tree.NewFile(hole, Mtime)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
