package efivars

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"diskwright/content"
	"diskwright/filesystem/fat"
	"diskwright/format/raw"
	"diskwright/partition"
	"diskwright/test/oracle"
	"diskwright/tree"

	"github.com/google/uuid"
)

// OVMF starts what the variables say, from a disk where nothing is at the path
// that it would try by itself, and leaves the entry in the store: it took it for
// its own. With DISKWRIGHT_LONG=1 also the other build of OVMF, and stores that
// were in use.
func TestFirmwareStartsEntry(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("emulates a PC: slow elsewhere, and Debian has no firmware for PCs there")
	}
	const debian = "/usr/share/OVMF/"
	builds := []struct{ code, vars string }{{debian + "OVMF_CODE_4M.fd", debian + "OVMF_VARS_4M.fd"}}
	long := os.Getenv("DISKWRIGHT_LONG") != ""
	if long {
		builds = append(builds, struct{ code, vars string }{debian + "OVMF_CODE.fd", debian + "OVMF_VARS.fd"})
	}
	for _, b := range builds {
		template, err := os.ReadFile(oracle.NeedFile(t, "ovmf", b.vars))
		if err != nil {
			t.Fatal(err)
		}
		m := newMachine(t, oracle.NeedFile(t, "ovmf", b.code))
		// The first entry is for a disk that is not there. Replacing its order
		// leaves a dead variable.
		s := read(t, template)
		missing := sample
		missing.Partition.GUID = uuid.MustParse("00000000-0000-4000-8000-000000000001")
		if _, err := s.AddBootEntry(missing); err != nil {
			t.Fatal(err)
		}
		used := m.start(t, s, "Böot")
		if long {
			m.start(t, used, "Secönd")
		}
	}
}

// machine is a machine without a store.
type machine struct {
	code, image string
	entry       BootEntry // for the loader on its disk
}

func newMachine(t *testing.T, code string) *machine {
	t.Helper()
	loader := oracle.NeedFile(t, "systemd-boot-efi", "/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
	m := &machine{code: code, image: filepath.Join(t.TempDir(), "disk.img")}
	m.entry.File = "/EFI/a/loader.efi"
	m.entry.Partition = writeDisk(t, m.image, loader, m.entry.File)
	return m
}

// start adds an entry to a store and starts the machine, which must start what
// the entry says. It returns the store as the machine leaves it.
func (m *machine) start(t *testing.T, s *Store, description string) *Store {
	t.Helper()
	entry := m.entry
	entry.Description = description
	number, err := s.AddBootEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	vars := filepath.Join(dir, "efi-vars.fd")
	if err := os.WriteFile(vars, s.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	// OVMF says what it starts (in ASCII); systemd-boot finds no system, and
	// offers what is left.
	started := regexp.MustCompile(fmt.Sprintf(`starting %s "%s" from HD\(1,GPT,%s,0x4000,0x[0-9A-F]+\)/\\EFI\\a\\loader\.efi(?s:.*)Reboot Into Firmware Interface`,
		BootName(number), strings.ReplaceAll(description, "ö", `\?`), strings.ToUpper(entry.Partition.GUID.String())))
	log := runQEMU(t, dir, started,
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+m.code,
		"-drive", "if=pflash,format=raw,unit=1,file="+vars,
		"-drive", "if=none,id=d0,snapshot=on,format=raw,file="+m.image,
		"-device", "virtio-blk-pci,drive=d0")
	if !started.MatchString(log) {
		t.Fatalf("%s: %q was not started:\n%s", m.code, description, log)
	}
	after, err := os.ReadFile(vars)
	if err != nil {
		t.Fatal(err)
	}
	used := read(t, after)
	want, _ := s.Lookup(Global, BootName(number))
	if v, ok := used.Lookup(Global, BootName(number)); !ok || !bytes.Equal(v.Data, want.Data) || v.Attributes != want.Attributes {
		t.Errorf("%s: the entry became %+v", m.code, v)
	}
	if order := used.BootOrder(); len(order) == 0 || order[0] != number {
		t.Errorf("%s: order %d", m.code, order)
	}
	return used
}

// writeDisk writes a disk with an EFI system partition that has the file from at
// the path to.
func writeDisk(t *testing.T, image, from, to string) HardDrive {
	t.Helper()
	table, err := partition.Plan(partition.Request{
		Layout: partition.EFI, DiskSize: 64 << 20, BootSize: 48 << 20, Deterministic: true,
		RootGUID: uuid.MustParse("f222513b-ded1-49fa-b591-20ce86a2fe7f"),
		Identify: func(role string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(role)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := table.ByRole(partition.ESP)
	program, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	root := tree.NewDir(tree.Time{})
	if err := tree.PutFile(root, to, tree.NewFile(content.Bytes(program), tree.Time{}), tree.Time{}); err != nil {
		t.Fatal(err)
	}
	fs, err := fat.New(root, fat.Options{Size: table.Size(p), Label: "ESP"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Map()
	if err != nil {
		t.Fatal(err)
	}
	disk, err := table.Map(map[int]content.Source{p.Number: files})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := raw.WriteFile(context.Background(), disk, f, raw.Options{}); err != nil {
		t.Fatal(err)
	}
	return HardDrive{Number: uint32(p.Number), Start: uint64(p.Start), Sectors: uint64(p.Sectors), GUID: p.GUID}
}

// runQEMU runs a machine until its serial console shows what is wanted, and a
// little longer, so that the firmware has written its variables. It returns what
// the console showed.
func runQEMU(t *testing.T, dir string, want *regexp.Regexp, args ...string) string {
	t.Helper()
	serial := filepath.Join(dir, "serial.log")
	cmd := oracle.Command(t, "qemu-system-x86_64", append([]string{
		"-accel", "tcg", "-machine", "q35", "-m", "256", "-display", "none", "-monitor", "none",
		"-no-reboot", "-net", "none", "-serial", "file:" + serial,
	}, args...)...)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Kill()
		<-ended
	}()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		log, _ := os.ReadFile(serial)
		if want.Match(log) {
			time.Sleep(500 * time.Millisecond)
			break
		}
		select {
		case err := <-ended:
			ended <- err
			log, _ := os.ReadFile(serial)
			if !want.Match(log) {
				t.Fatalf("qemu ended: %v\n%s\n%q", err, output.String(), log)
			}
			return string(log)
		case <-time.After(100 * time.Millisecond):
		}
	}
	log, err := os.ReadFile(serial)
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}
