package du

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"diskwright/inspect"
	"diskwright/test/oracle"
)

// TestHostile measures images with wrong bytes, of a file system without
// checksums: whatever comes of it comes soon, and can be written as a page.
func TestHostile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, make([]byte, 3<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal", "-N", "64", "-d", sample(t), path)
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var used []int // blocks that are not all zeros, which have something to break
	for at := 0; at < len(clean); at += 1024 {
		if !bytes.Equal(clean[at:at+1024], make([]byte, 1024)) && !bytes.Equal(clean[at:at+8], bytes.Repeat(clean[at:at+1], 8)) {
			used = append(used, at)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	measured, rounds := 0, 400
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		rounds = 20_000
	}
	for range rounds {
		image := bytes.Clone(clean)
		for range 1 + random.IntN(4) {
			image[used[random.IntN(len(used))]+random.IntN(1024)] = byte(random.Uint32())
		}
		img, err := inspect.OpenReader(bytes.NewReader(image), int64(len(image)))
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		u, err := Image(ctx, img, Options{Workers: 2})
		if ctx.Err() != nil {
			t.Error("it took too long")
		}
		cancel()
		if err != nil {
			continue
		}
		measured++
		if err := u.WriteHTML(io.Discard); err != nil {
			t.Error(err)
		}
		for _, fs := range u.FileSystems {
			if fs.Files < 0 || fs.Metadata < 0 {
				t.Errorf("%d of files, %d of metadata", fs.Files, fs.Metadata)
			}
		}
	}
	if measured < 50 {
		t.Errorf("only %d images could be read", measured)
	}
}
