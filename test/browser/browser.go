// Package browser looks at pages with headless Chromium.
package browser

import (
	"context"
	"encoding/json"
	"html"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"diskwright/test/oracle"
)

// patience is how long a page may take; a machine that does much else is slow.
const patience = 2 * time.Minute

// Result opens the page in a file and decodes what its script has put, as JSON,
// into the element with the id "result". On a busy machine Chromium's virtual
// time may end before the script had its turn: then the page is opened again.
func Result(t testing.TB, file string, result any) {
	t.Helper()
	var dom, rest string
	found := false
	for range 3 {
		dom = run(t, file, "--dump-dom")
		if _, rest, found = strings.Cut(dom, `id="result">`); found {
			break
		}
	}
	text, _, _ := strings.Cut(rest, "<")
	if !found {
		t.Fatalf("the page has no result:\n%.2000s", dom)
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(text)), result); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// Screenshot opens the page in a file, with what follows "#", and returns what is
// to be seen. The picture is kept in the directory that the variable
// DISKWRIGHT_SCREENSHOTS names, if it does, as name.
func Screenshot(t testing.TB, file, hash, name string) image.Image {
	t.Helper()
	dir := os.Getenv("DISKWRIGHT_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, name)
	run(t, file+"#"+hash, "--screenshot="+path, "--window-size=1360,1400")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// Colours returns how many colours a picture has, and how bright its first pixel
// is, from 0 to 1.
func Colours(picture image.Image) (colours int, corner float64) {
	seen := make(map[[3]uint32]bool)
	b := picture.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			seen[[3]uint32{r >> 8, g >> 8, b >> 8}] = true
		}
	}
	r, g, bl, _ := picture.At(b.Min.X, b.Min.Y).RGBA()
	return len(seen), float64(r+g+bl) / (3 * 0xffff)
}

func run(t testing.TB, page string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args = append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
		"--virtual-time-budget=5000", "--user-data-dir=" + t.TempDir(),
	}, args...)
	cmd := exec.CommandContext(ctx, oracle.Need(t, "chromium"), append(args, "file://"+page)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, stderr.String())
	}
	return stdout.String()
}
