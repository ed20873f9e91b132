package oracle

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestExitAndOutput(t *testing.T) {
	output, status := Exit(t, "sh", "-c", "echo out; echo err >&2; exit 3")
	if output != "out\nerr\n" || status != 3 {
		t.Errorf("Exit gives %q, %d", output, status)
	}
	if got := Output(t, "sh", "-c", "echo $LC_ALL; echo err >&2"); string(got) != "C\n" {
		t.Errorf("Output gives %q", got)
	}
	if got := Run(t, "sh", "-c", "cat; echo $TZ"); got != "UTC\n" {
		t.Errorf("Run gives %q", got)
	}
}

func TestMissingTool(t *testing.T) {
	for _, ci := range []string{"", "true"} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() { // Skipf and Fatalf end the goroutine
			defer close(done)
			Need(r, "no-such-tool")
		}()
		<-done
		if want := map[string]string{"": "skip", "true": "fatal"}[ci]; r.verdict != want {
			t.Errorf("CI=%q: verdict %q, not %q", ci, r.verdict, want)
		}
		if !strings.Contains(r.message, "apt-get install no-such-tool") {
			t.Errorf("message %q names no package", r.message)
		}
	}
}

func TestMountTwice(t *testing.T) {
	NeedRoot(t)
	const offset, size = 1 << 20, 16 << 20
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, offset+size+1<<20); err != nil {
		t.Fatal(err)
	}
	Run(t, "mkfs.ext4", "-q", "-E", "offset=1048576", image, "16M")

	dir := Mount(t, image, "ext4", "", offset, size)
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("written"), 0o644); err != nil {
		t.Fatal(err)
	}
	Unmount(t, dir)
	Unmount(t, dir)
	device := Loop(t, image, offset, size)
	dir = MountDevice(t, device, "ext4", "ro")
	if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "written" {
		t.Errorf("read %q, %v", got, err)
	}
}

// What is unmounted is complete, though another mount namespace still has it.
func TestUnmountedElsewhere(t *testing.T) {
	NeedRoot(t)
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 16<<20); err != nil {
		t.Fatal(err)
	}
	Run(t, "mkfs.ext4", "-q", image)
	dir := Mount(t, image, "ext4", "", 0, 0)
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("written"), 0o644); err != nil {
		t.Fatal(err)
	}
	other := Command(t, "unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec cat")
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer in.Close()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	Unmount(t, dir)
	if header := Run(t, "dumpe2fs", "-h", image); strings.Contains(header, "needs_recovery") {
		t.Errorf("the journal has something yet:\n%s", header)
	}
}

func TestGuest(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 16<<20); err != nil {
		t.Fatal(err)
	}
	Run(t, "mkfs.vfat", image)
	out := Guest(t, "mount -t vfat /dev/ubda /mnt/a; echo text >/mnt/a/file; umount /mnt/a; echo seen >/mnt/out/mark", image)
	if got, err := os.ReadFile(filepath.Join(out, "mark")); err != nil || string(got) != "seen\n" {
		t.Errorf("the guest wrote %q, %v", got, err)
	}
	if got := Run(t, "mtype", "-i", image, "::file"); got != "text\n" {
		t.Errorf("the guest's kernel wrote %q", got)
	}
}

// recorder notes how a test would have ended.
type recorder struct {
	testing.TB
	verdict, message string
}

func (r *recorder) Skipf(format string, args ...any)  { r.end("skip", format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.end("fatal", format, args...) }

func (r *recorder) end(verdict, format string, args ...any) {
	r.verdict, r.message = verdict, fmt.Sprintf(format, args...)
	runtime.Goexit()
}
