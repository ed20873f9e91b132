// Package boot starts images in QEMU, without KVM, and reads what they say on the
// serial console.
//
//	console := boot.Run(t, boot.Machine{Image: image, Firmware: boot.UEFI})
//	report := console.Report()       // what the fixture's init has found
//
// Nothing is written to the image (QEMU's snapshot=on) unless Machine.Write says so.
// A machine is killed when its test ends, when its time is over, and when the test
// program dies. As many machines run at a time as there are CPUs, counted over all
// test programs of the user; the others wait, and their time with them.
//
// SeaBIOS shows its text screen, and with it GRUB's and the kernel's, on the serial
// port; OVMF does so anyway. So menus can be read, and answered (Machine.Answers).
package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"diskwright/test/oracle"
)

// Firmware is what starts a machine.
type Firmware string

const (
	BIOS   Firmware = "bios"   // SeaBIOS
	UEFI   Firmware = "uefi"   // OVMF
	UBoot  Firmware = "u-boot" // U-Boot, which finds SATA disks (Bus "ide") only
	Direct Firmware = "direct" // QEMU loads Kernel and Initrd itself
)

// Firmwares are those that look for a boot loader on the disk.
var Firmwares = []Firmware{BIOS, UEFI}

// Answer is what is typed when something appears on the console.
type Answer struct {
	When *regexp.Regexp // searched for in what came after the last answer
	Type string         // "\r" is the enter key, "\x1b[B" the cursor down
}

// Machine is what to boot, and how. Zero values are fine but for Image.
type Machine struct {
	Image    string
	Format   string // as qemu-img calls it; "" is raw
	Firmware Firmware
	Bus      string // virtio (default), ide, nvme, scsi
	Memory   int    // MiB; 0 is 512
	CPUs     int    // 0 is 1
	Write    bool   // the guest's writes go to the image, and to the other disks

	Disks []string // further disks, raw, on virtio

	Variables string // UEFI: variable store to start with, copied; "" is OVMF's own empty one

	Kernel, Initrd, CommandLine string // Direct

	Until   *regexp.Regexp // what ends the wait; nil is the report of the fixture
	Answers []Answer       // in order
	Timeout time.Duration  // 0 is three minutes
}

// report is the line that the fixture's init writes.
var report = regexp.MustCompile(`(?m)^FIXTURE (.*) END\r?$`)

// hopeless are the messages after which nothing will come. Those that go on are
// complete at the end of their line.
var hopeless = regexp.MustCompile(`FIXTURE-FAILED.*\n|grub rescue>|Kernel panic.*\n|No bootable device|BdsDxe: No bootable option.*|UEFI Interactive Shell`)

// ovmf are the places of OVMF's code and its empty variable store, by the size of
// the latter, as Debian, Fedora and Arch have them.
var ovmf = []struct {
	size      int64
	variables []string
	code      []string
}{
	{540672,
		[]string{"/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/edk2/ovmf/OVMF_VARS_4M.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
		[]string{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/edk2/ovmf/OVMF_CODE_4M.fd", "/usr/share/edk2/x64/OVMF_CODE.4m.fd"}},
	{131072,
		[]string{"/usr/share/OVMF/OVMF_VARS.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		[]string{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd"}},
}

// Variables returns the path of OVMF's empty variable store, for builds that add to
// it.
func Variables(t testing.TB) string {
	t.Helper()
	return oracle.NeedFile(t, "ovmf", ovmf[0].variables...)
}

// arguments returns QEMU's. dir is for the files of this run.
func (m *Machine) arguments(t testing.TB, dir string) []string {
	t.Helper()
	memory := m.Memory
	if memory == 0 {
		memory = 512
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-net", "none",
		"-accel", "tcg", "-m", strconv.Itoa(memory), "-smp", strconv.Itoa(max(m.CPUs, 1)),
		"-rtc", "base=utc", "-device", "virtio-rng-pci", "-serial", "stdio",
	}
	switch m.Firmware {
	case BIOS, "":
		// Without graphics SeaBIOS writes to the serial port.
		args = append(args, "-machine", "pc,graphics=off")
	case Direct:
		args = append(args, "-machine", "pc,graphics=off", "-kernel", m.Kernel, "-initrd", m.Initrd, "-append", m.CommandLine)
	case UBoot:
		rom := oracle.NeedFile(t, "u-boot-qemu", "/usr/lib/u-boot/qemu-x86/u-boot.rom")
		args = append(args, "-machine", "q35", "-bios", rom)
	case UEFI:
		args = append(args, "-machine", "q35")
		args = append(args, m.flash(t, dir)...)
	default:
		t.Fatalf("unknown firmware %q", m.Firmware)
	}
	args = append(args, m.disk(t)...)
	for i, disk := range m.Disks {
		args = append(args,
			"-drive", fmt.Sprintf("if=none,id=disk%d,format=raw,snapshot=%s,file=%s", i+1, m.snapshot(), escape(disk)),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d", i+1))
	}
	return args
}

// snapshot says whether writes are forgotten, as QEMU calls it.
func (m *Machine) snapshot() string {
	if m.Write {
		return "off"
	}
	return "on"
}

// flash returns the arguments for OVMF and a copy of the variables in dir.
func (m *Machine) flash(t testing.TB, dir string) []string {
	t.Helper()
	variables := m.Variables
	if variables == "" {
		variables = Variables(t)
	}
	store, err := os.ReadFile(variables)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range ovmf {
		if int64(len(store)) != o.size {
			continue
		}
		code := oracle.NeedFile(t, "ovmf", o.code...)
		if err := os.WriteFile(storeOf(dir), store, 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + escape(code),
			"-drive", "if=pflash,format=raw,unit=1,file=" + escape(storeOf(dir)),
		}
	}
	t.Fatalf("%s: no OVMF has a variable store of %d bytes", variables, len(store))
	return nil
}

// storeOf returns the variable store of a run.
func storeOf(dir string) string { return filepath.Join(dir, "efi-vars.fd") }

// disk returns the arguments for the image.
func (m *Machine) disk(t testing.TB) []string {
	t.Helper()
	format := m.Format
	if format == "" {
		format = "raw"
	}
	args := []string{"-drive", fmt.Sprintf("if=none,id=disk,format=%s,snapshot=%s,file=%s", format, m.snapshot(), escape(m.Image))}
	switch m.Bus {
	case "virtio", "":
		return append(args, "-device", "virtio-blk-pci,drive=disk,bootindex=1")
	case "ide":
		return append(args, "-device", "ide-hd,drive=disk,bootindex=1")
	case "nvme":
		return append(args, "-device", "nvme,drive=disk,serial=disk,bootindex=1")
	case "scsi":
		return append(args, "-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk,bootindex=1")
	}
	t.Fatalf("unknown bus %q", m.Bus)
	return nil
}

// escape writes a file's name as QEMU's options want it.
func escape(name string) string { return strings.ReplaceAll(name, ",", ",,") }
