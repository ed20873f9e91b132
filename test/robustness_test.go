//go:build linux

package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"diskwright/test/oracle"
	"diskwright/test/scratch"

	"golang.org/x/sys/unix"
)

// empty fails the test if anything is in dir.
func empty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s is left in the output directory", e.Name())
	}
}

// A full disk.
func TestOutputFull(t *testing.T) {
	oracle.NeedRoot(t)
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"large": strings.Repeat("0123456789abcdef", 4<<20)})
	out := oracle.MountDevice(t, "tmpfs", "tmpfs", "size=20m")
	args := []string{"build", "--root", tree, "--partition-table-type", "none", "--disk-size", "300"}
	fails(t, command(append(args, "-o", out)...), 1, "no space left")
	empty(t, out)
	// A directory that the build makes goes, too.
	fails(t, command(append(args, "-o", filepath.Join(out, "new", "directory"))...), 1, "no space left")
	empty(t, out)
	// What was there before stays.
	write(t, out, map[string]string{"nixos.img": "from before"})
	fails(t, command(append(args, "-o", out)...), 1, "no space left")
	if got, err := os.ReadFile(only(t, out)); err != nil || string(got) != "from before" {
		t.Errorf("the file from before is %q, %v", got, err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd := command(append(args, "-o", "-")...)
	cmd.Stdout = full
	fails(t, cmd, 1, "no space left")
}

// A build that takes some time: it writes the same 64 MiB many times.
func slowBuild(t *testing.T, out string) *exec.Cmd {
	t.Helper()
	tree := scratch.Dir(t)
	write(t, tree, map[string]string{"large": strings.Repeat("0123456789abcdef", 4<<20)})
	args := []string{"build", "-q", "--no-sync", "--workers", "1", "-o", out, "--partition-table-type", "none", "--disk-size", "4096", "--root", tree}
	for i := range 32 {
		args = append(args, "--contents", fmt.Sprintf("source=%s/large,target=/copy-%02d", tree, i))
	}
	return command(args...)
}

// Ctrl-C in the middle leaves nothing.
func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			out := scratch.Dir(t)
			cmd := slowBuild(t, filepath.Join(out, "made"))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitForOutput(t, cmd, out)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if err := wait(t, cmd); err == nil {
				t.Error("exit status 0")
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %v to stop", took)
			}
			empty(t, out)
			if message := stderr.String(); strings.Contains(message, "goroutine") || strings.Contains(message, "panic") {
				t.Errorf("message:\n%s", message)
			}
		})
	}
	t.Run("while waiting for a pipe", func(t *testing.T) {
		out := scratch.Dir(t)
		cmd := command("build", "-q", "--root", "-", "-o", out, "--spool", out)
		pipe, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := pipe.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := wait(t, cmd); err == nil {
			t.Error("exit status 0")
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %v to stop while it waited for its input", took)
		}
		empty(t, out)
	})
}

// A program that runs when the build is stopped ends, and its files go.
func TestSignalsWhileGRUBRuns(t *testing.T) {
	root, tools, temporary, out := scratch.Dir(t), t.TempDir(), t.TempDir(), scratch.Dir(t)
	write(t, root, map[string]string{"vmlinuz": "kernel", "usr/lib/grub/i386-pc/boot.img": "boot", "usr/lib/grub/i386-pc/normal.mod": "module"})
	begun := filepath.Join(tools, "begun")
	script := "#!/bin/sh\n>'" + begun + "'\n/bin/sleep 20\n"
	if err := os.WriteFile(filepath.Join(tools, "grub-mkimage"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := command("build", "-q", "--root", root, "-o", filepath.Join(out, "made"),
		"--boot-loader", `{"grub": {}, "entries": [{"title": "Linux", "kernel": "/vmlinuz"}]}`)
	cmd.Env = append(os.Environ(), "PATH="+tools, "TMPDIR="+temporary)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		if time.Since(start) > 30*time.Second {
			t.Fatal("grub-mkimage does not run")
		}
	}
	start := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, cmd); err == nil {
		t.Error("exit status 0")
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	empty(t, out)
	empty(t, temporary)
}

// Nor does it take anybody to read what is written to standard output.
func TestSignalsWhileNobodyReads(t *testing.T) {
	cmd := slowBuild(t, "-")
	stdout, err := cmd.StdoutPipe() // never read
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for filled := 0; filled == 0; { // the pipe, by the first write
		time.Sleep(10 * time.Millisecond)
		if filled, err = unix.IoctlGetInt(int(stdout.(*os.File).Fd()), unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = wait(t, cmd)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("%v, want exit status 143", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v to stop while nobody read", took)
	}
}

// waitForOutput waits until the process has written into a file below dir,
// which may have no name yet.
func waitForOutput(t testing.TB, cmd *exec.Cmd, dir string) {
	t.Helper()
	fds := fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		entries, err := os.ReadDir(fds)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			fd := filepath.Join(fds, e.Name())
			target, err := os.Readlink(fd)
			var st unix.Stat_t
			if err == nil && strings.HasPrefix(target, dir) && unix.Stat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Blocks > 0 {
				return
			}
		}
	}
	t.Fatalf("nothing is written in %s", dir)
}

// Sources that change while they are read: whatever happens to a file, the build
// ends with an error that names it, and never with a mixed image.
func TestSourceChanges(t *testing.T) {
	const files = 20
	path := func(tree string, i int) string { return filepath.Join(tree, fmt.Sprintf("file-%02d", i)) }
	for name, change := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 1<<20) },
		"longer":    func(path string) error { return os.Truncate(path, 5<<20) },
		"removed":   os.Remove,
		"replaced": func(path string) error {
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(path+".new", make([]byte, fi.Size()), 0o644); err != nil {
				return err
			}
			if err := os.Chtimes(path+".new", time.Time{}, fi.ModTime()); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"rewritten, time set back": func(path string) error {
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.WriteAt(bytes.Repeat([]byte("new"), 1000), 1<<20); err != nil {
				return err
			}
			return os.Chtimes(path, time.Time{}, fi.ModTime())
		},
		"a directory now": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o755)
		},
		"a pipe now": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return unix.Mkfifo(path, 0o644)
		},
	} {
		prepare := func(t *testing.T, size string) (tree string, args []string) {
			tree = scratch.Dir(t)
			for i := range files {
				write(t, tree, map[string]string{filepath.Base(path(tree, i)): strings.Repeat(fmt.Sprintf("%015d\n", i), 1<<18)})
			}
			// A change time that later changes differ from, whatever the clock's grain.
			time.Sleep(20 * time.Millisecond)
			return tree, []string{"build", "-q", "--no-sync", "--root", tree, "--partition-table-type", "none", "--disk-size", size, "--workers", "1"}
		}
		changeAll := func(t *testing.T, tree string) {
			for i := range files {
				if err := change(path(tree, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Run("stream/"+name, func(t *testing.T) {
			tree, args := prepare(t, "300")
			cmd := command(append(args, "-o", "-")...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The pipe is full now, and most files are not read yet.
			if _, err := io.CopyN(io.Discard, pipe, 1<<16); err != nil {
				t.Fatal(err)
			}
			changeAll(t, tree)
			written, err := io.Copy(io.Discard, pipe)
			if err != nil {
				t.Fatal(err)
			}
			wait(t, cmd)
			checkFailure(t, cmd, stderr.String(), 1, tree+"/file-")
			if written+1<<16 >= 300<<20 {
				t.Error("the stream has the length of a complete image")
			}
		})
		t.Run("file/"+name, func(t *testing.T) {
			tree, args := prepare(t, "2000")
			out := scratch.Dir(t)
			// Grafted many times over, it takes long enough to be stopped in.
			for i := range 100 {
				args = append(args, "--contents", fmt.Sprintf("source=%s,target=/copy-%03d", path(tree, i%files), i))
			}
			cmd := command(append(args, "-o", out)...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitForOutput(t, cmd, out)
			if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			changeAll(t, tree)
			if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			wait(t, cmd)
			checkFailure(t, cmd, stderr.String(), 1, tree+"/file-")
			empty(t, out)
		})
	}
}

// What an ordinary user may not do is said with the path.
func TestPermissions(t *testing.T) {
	oracle.NeedRoot(t)
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		return cmd
	}
	tree, out := scratch.Dir(t), scratch.Dir(t)
	write(t, tree, map[string]string{"etc/hostname": "example\n", "etc/shadow": "secret", "root/": ""})
	args := []string{"build", "-q", "--root", tree, "--partition-table-type", "none", "--disk-size", "50"}

	fails(t, as(command(append(args, "-o", out)...)), 1, out, "permission denied")
	fails(t, as(command(append(args, "-o", filepath.Join(out, "new"))...)), 1, out, "permission denied")
	empty(t, out)
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	mustRun(t, as(command(append(args, "-o", out)...)))
	if err := os.Remove(only(t, out)); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(filepath.Join(tree, "etc/shadow"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, as(command(append(args, "-o", out)...)), 1, filepath.Join(tree, "etc/shadow"), "permission denied")
	empty(t, out)
	if err := os.Chmod(filepath.Join(tree, "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	fails(t, as(command(append(args, "-o", out)...)), 1, filepath.Join(tree, "root"), "permission denied")
	empty(t, out)
}

// Outputs that are not what they should be.
func TestOutputs(t *testing.T) {
	tree, out := scratch.Dir(t), scratch.Dir(t)
	write(t, tree, map[string]string{"etc/hostname": "example\n"})
	write(t, out, map[string]string{"file": "", "nixos.img/inside": ""})
	args := []string{"build", "-q", "--root", tree, "--partition-table-type", "none", "--disk-size", "50"}
	fails(t, command(append(args, "-o", filepath.Join(out, "file"))...), 1, filepath.Join(out, "file"))
	fails(t, command(append(args, "-o", filepath.Join(out, "file", "below"))...), 1, filepath.Join(out, "file"))
	fails(t, command(append(args, "-o", out)...), 1, filepath.Join(out, "nixos.img"))
	for _, name := range []string{"file", "nixos.img/inside"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	if entries, _ := os.ReadDir(out); len(entries) != 2 {
		t.Errorf("%v is in the output directory", entries)
	}
	// A reader that goes away.
	cmd := command("build", "-q", "--root", tree, "--partition-table-type", "none", "--disk-size", "500", "-o", "-")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	if err := wait(t, cmd); err == nil {
		t.Error("writing to a closed pipe succeeds")
	}
}
