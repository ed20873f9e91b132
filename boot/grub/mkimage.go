package grub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// program is the only one that this package runs.
const program = "grub-mkimage"

// maxCore is larger than any core image.
const maxCore = 64 << 20

// mkimage has grub-mkimage make a core image for each prefix, with the modules of
// a platform, which it finds in a directory: a temporary copy. The order of
// modules shows in the image. An image depends on its arguments and the files
// only.
func (m *mirror) mkimage(p *platform, modules []string, prefixes ...string) (cores [][]byte, err error) {
	tool, err := m.tool(p)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "diskwright-grub-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := p.extract(dir); err != nil {
		return nil, err
	}
	output := filepath.Join(dir, "core")
	for _, prefix := range prefixes {
		args := []string{"--directory", dir, "--prefix", prefix, "--output", output, "--format", p.target}
		if err := run(m.ctx, tool, append(args, modules...)); err != nil {
			return nil, err
		}
		fi, err := os.Stat(output)
		if err != nil {
			return nil, err
		}
		if fi.Size() > maxCore {
			return nil, fmt.Errorf("%s made a core image of %d bytes, more than any has", tool, fi.Size())
		}
		core, err := os.ReadFile(output)
		if err != nil {
			return nil, err
		}
		cores = append(cores, core)
	}
	return cores, nil
}

// extract writes what grub-mkimage reads into a directory of the host: modules,
// their dependencies, and the pieces of core images.
func (p *platform) extract(dir string) error {
	for _, e := range p.files.Root.Entries {
		switch filepath.Ext(e.Name) {
		case ".mod", ".img", ".lst":
		default:
			continue
		}
		b, err := p.read(e.Name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tool returns the path of grub-mkimage.
func (m *mirror) tool(p *platform) (string, error) {
	const advice = "GRUB's core image is made by it; install it (Debian: grub-common; Nix: pkgs.grub2), or set mkimage to its path"
	if m.g.Mkimage != "" {
		if _, err := exec.LookPath(m.g.Mkimage); err != nil {
			return "", fmt.Errorf("mkimage: %q is not a program that can run here: %w", m.g.Mkimage, err)
		}
		return m.g.Mkimage, nil
	}
	if m.g.RunClosure {
		// Programs of a closure find their libraries by absolute paths: they
		// run where the store has its usual place, or nowhere.
		name := filepath.Join(p.host, "bin", program)
		if _, err := exec.LookPath(name); err != nil {
			return "", fmt.Errorf("runClosure: the host has no %q: %w; %s", name, err, advice)
		}
		return name, nil
	}
	name, err := exec.LookPath(program)
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no %s in PATH: %s", program, advice)
	case err != nil:
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return filepath.Abs(name)
}

// run runs a program without the environment of this one.
func run(ctx context.Context, tool string, args []string) error {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = time.Second // for what a wrapper has started
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w: %s", tool, err, strings.TrimSpace(output.String()))
	}
	return nil
}
