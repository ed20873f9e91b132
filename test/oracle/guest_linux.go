package oracle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guestPatience is how long a guest may run; one that boots and stops takes two
// seconds.
const guestPatience = 5 * time.Minute

// prelude is the guest's init. The guest sees the host's files, read-only; /mnt
// is its own, and /mnt/out a directory of the host.
const prelude = `#!/bin/sh
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
mkdir /mnt/out /mnt/a /mnt/b
mount -t hostfs -o %[1]s none /mnt/out
export LC_ALL=C TZ=UTC HOME=/mnt TMPDIR=/mnt PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
modules=/usr/lib/uml/modules/$(uname -r)/kernel/fs
for m in fat/fat nls/nls_cp437 nls/nls_iso8859-1 nls/nls_ascii nls/nls_utf8 fat/vfat; do
	[ ! -e $modules/$m.ko ] || insmod $modules/$m.ko
done
cd /mnt
sh -ex /mnt/out/script </dev/null >/mnt/out/log 2>&1
echo $? >/mnt/out/status
echo o >/proc/sysrq-trigger
sleep 60
`

// Guest boots a user-mode Linux with the disks as /dev/ubda, /dev/ubdb, … and runs
// a shell script in it, which has to succeed. It returns a directory of the host
// that the script finds as /mnt/out; /mnt/a and /mnt/b are free to be mount points.
//
// A guest's kernel reads partition tables, has vfat, and may do what the host
// forbids even to root. It needs neither root nor KVM.
func Guest(t testing.TB, script string, disks ...string) (out string) {
	t.Helper()
	linux := Need(t, "linux.uml")
	Need(t, "insmod")
	out = t.TempDir()
	init := filepath.Join(out, "init")
	write(t, filepath.Join(out, "script"), script, 0o644)
	write(t, init, fmt.Sprintf(prelude, out), 0o755)
	args := []string{"mem=256M", "rootfstype=hostfs", "rootflags=/", "ro", "init=" + init, "quiet",
		"con=null", "con0=null,fd:1", "umid=" + filepath.Base(filepath.Dir(out)) + fmt.Sprint(os.Getpid())}
	for i, disk := range disks {
		if strings.ContainsAny(disk, ", ") {
			t.Fatalf("user-mode Linux knows no disk called %q", disk)
		}
		args = append(args, fmt.Sprintf("ubd%d=%s", i, disk))
	}
	ctx, cancel := context.WithTimeout(context.Background(), guestPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, linux, args...)
	cmd.WaitDelay = time.Second
	console, err := cmd.CombinedOutput()
	log, _ := os.ReadFile(filepath.Join(out, "log"))
	status, _ := os.ReadFile(filepath.Join(out, "status"))
	if strings.TrimSpace(string(status)) != "0" {
		t.Fatalf("guest: %v, exit status %q\n%s\nconsole:\n%s", err, status, log, console)
	}
	for _, bad := range []string{"EXT4-fs error", "EXT4-fs warning", "FAT-fs", "JBD2:", "Call Trace"} {
		if strings.Contains(string(console), bad) {
			t.Errorf("the guest's kernel complains:\n%s", console)
			break
		}
	}
	return out
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
