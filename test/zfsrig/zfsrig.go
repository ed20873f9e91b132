// Package zfsrig runs real OpenZFS, to judge pools: two versions of it, each in a
// virtual machine whose kernel has its modules, and their zdb on the host.
//
//	rig := zfsrig.Need(t)
//	result := rig.Run(t, zfsrig.Guest{Version: zfsrig.V23, Script: "zpool import -d /dev tank", Disks: []string{image}})
//
// What that needs takes a quarter of an hour to make, by the script setup, so tests
// skip where the variable DISKWRIGHT_ZFS_RIG names none, with CI=true too.
package zfsrig

import (
	"archive/tar"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/test/boot"
	"diskwright/test/scratch"
	"diskwright/tree"
	"diskwright/vm/cpio"
)

// Variable is the environment variable that says where the rig is.
const Variable = "DISKWRIGHT_ZFS_RIG"

// Version is one of OpenZFS.
type Version string

// The versions, as the rig's files are called.
const (
	V21 Version = "21"
	V23 Version = "23"
)

// Versions are all of them.
var Versions = []Version{V21, V23}

// String returns the version as people write it.
func (v Version) String() string { return "OpenZFS " + string(v[0]) + "." + string(v[1]) }

// Rig is a prepared one.
type Rig struct{ dir string }

// Need returns the rig, or skips the test.
func Need(t testing.TB) *Rig {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		t.Skipf("needs virtual machines with OpenZFS: test/zfsrig/setup DIR makes them, then set %s=DIR", Variable)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &Rig{dir}
	for _, v := range Versions {
		for _, file := range []string{r.Kernel(), r.Initramfs(v), r.userland(v, "sbin/zdb")} {
			if _, err := os.Stat(file); err != nil {
				t.Fatalf("%s=%s is no rig that test/zfsrig/setup has made: %v", Variable, dir, err)
			}
		}
	}
	return r
}

// Kernel returns the path of the kernel that has the modules.
func (r *Rig) Kernel() string { return filepath.Join(r.dir, "vm/vmlinuz") }

// Initramfs returns the path of the archive with a version's modules, in
// /lib/modules, and programs. It has no init.
func (r *Rig) Initramfs(v Version) string {
	return filepath.Join(r.dir, "vm/initramfs-"+string(v)+".cpio.gz")
}

func (r *Rig) userland(v Version, name string) string {
	return filepath.Join(r.dir, "u"+string(v), name)
}

// ZDB runs a version's zdb, on the host. It returns what it printed and its exit
// status.
func (r *Rig) ZDB(t testing.TB, v Version, args ...string) (output string, status int) {
	t.Helper()
	cmd := exec.Command(r.userland(v, "sbin/zdb"), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "LD_LIBRARY_PATH="+r.userland(v, "lib/x86_64-linux-gnu"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("zdb %q: %v\n%s", args, err, out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Guest is what to run in a virtual machine.
type Guest struct {
	Version Version
	Script  string            // for bash; as root, with no network
	Files   map[string]string // files of the host by their names in /job
	Disks   []string          // raw images, /dev/vda and so on; the guest's writes go there
	Memory  int               // MiB; 0 is 1536
	Timeout time.Duration     // 0 is half an hour
}

// Result is what a guest leaves.
type Result struct {
	Out    string // a directory with what the script has put into /out
	Status string // the script's exit status
	Log    string // what it has printed
}

// init is the first program of a guest, run what init runs.
var (
	//go:embed init
	initScript string

	// The last disk takes what is in /out.
	run = `mkdir /out
. /job/environment
bash /job/script </dev/null 2>&1 | tee /out/log
echo ${PIPESTATUS[0]} >/out/status
tar -C /out -cf $OUT_DISK .
echo "RIG END"
`
)

// outSize is the room for what is in /out.
const outSize = 1 << 30

// alarms are what a kernel says when something is very wrong.
var alarms = regexp.MustCompile(`(?m)^.*(VERIFY\d?\(|PANIC|Oops|BUG:|general protection|SPLError|hung task|blocked for more|WARNING: CPU).*$`)

// Run runs a guest. Whether its script has succeeded is for the caller to see; a
// machine that does not get to its end, or whose kernel raises an alarm, fails the
// test.
func (r *Rig) Run(t testing.TB, g Guest) *Result {
	t.Helper()
	dir := scratch.Dir(t)
	disk := filepath.Join(dir, "out")
	f, err := os.Create(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(outSize); err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(dir, "initrd")
	r.writeInitrd(t, initrd, g)
	disks := append(append([]string(nil), g.Disks...), disk)
	m := boot.Machine{
		Image: disks[0], Disks: disks[1:], Write: true, Memory: g.Memory, CPUs: 2, Timeout: g.Timeout,
		Firmware: boot.Direct, Kernel: r.Kernel(), Initrd: initrd, CommandLine: "console=ttyS0 quiet panic=-1 tsc=unstable",
		Until: regexp.MustCompile(`(?m)^RIG END$`),
	}
	if m.Memory == 0 {
		m.Memory = 1536
	}
	if m.Timeout == 0 {
		m.Timeout = 30 * time.Minute
	}
	console := boot.Run(t, m).Text
	if alarm := alarms.FindString(console); alarm != "" {
		t.Errorf("the guest's kernel says %q:\n%s", alarm, console)
	}
	result := &Result{Out: filepath.Join(dir, "result")}
	unpack(t, f, result.Out)
	for file, text := range map[string]*string{"status": &result.Status, "log": &result.Log} {
		b, err := os.ReadFile(filepath.Join(result.Out, file))
		if err != nil {
			t.Fatal(err)
		}
		*text = strings.TrimSpace(string(b))
	}
	return result
}

// writeInitrd writes the rig's archive with what is for this guest behind it.
func (r *Rig) writeInitrd(t testing.TB, path string, g Guest) {
	t.Helper()
	root, job := tree.NewDir(tree.Time{}), tree.NewDir(tree.Time{})
	text := func(s string) *tree.Inode { return tree.NewFile(content.Bytes(s), tree.Time{}) }
	first := text(initScript)
	first.Mode |= 0o111
	root.SetChild("init", first)
	root.SetChild("job", job)
	job.SetChild("run", text(run))
	job.SetChild("script", text(g.Script))
	job.SetChild("environment", text(fmt.Sprintf("export OUT_DISK=/dev/vd%c\n", 'a'+len(g.Disks))))
	for name, file := range g.Files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		i := text(string(b))
		i.Mode |= 0o111
		job.SetChild(name, i)
	}
	// Properties "compatibility" name files there. OpenZFS 2.1 knows no others
	// than 2.3.
	sets, err := tree.FromDir(t.Context(), r.userland(V23, "usr/share/zfs"), tree.DirOptions{})
	if err != nil {
		t.Fatal(err)
	}
	usr, share := tree.NewDir(tree.Time{}), tree.NewDir(tree.Time{})
	root.SetChild("usr", usr)
	usr.SetChild("share", share)
	share.SetChild("zfs", sets)

	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	base, err := os.Open(r.Initramfs(g.Version))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	size, err := io.Copy(w, base)
	if err == nil {
		// An archive begins at a multiple of four.
		_, err = w.Write(make([]byte, -size&3))
	}
	if err == nil {
		err = cpio.Write(w, root)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unpack unpacks the files of an archive without directories.
func unpack(t testing.TB, r io.Reader, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(archive)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
