package systemdboot

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/partition"
	"diskwright/tree"

	"github.com/google/uuid"
)

// loaderText is what the stub of the goldens' bootctl installs.
const loaderText = "stub systemd-bootx64.efi\n"

// request returns the request that a golden stands for.
func request(t *testing.T, c *boottest.Case) *boot.Request {
	var in struct {
		Timeout, Editor, ConsoleMode, DistroName string
		ConfigurationLimit, RebootForBitlocker   string
		EFISysMountPoint, BootMountPoint         string
		CanTouchEFIVariables                     string
		BootCountingTries, BootCounting          string
		ExtraFiles, ExtraEntries                 map[string]string
	}
	if err := json.Unmarshal(c.Settings, &in); err != nil {
		t.Fatal(err)
	}
	s := boot.NewSettings(boot.SystemdBootName)
	sd := s.SystemdBoot
	sd.Builder = map[string]string{"A": boot.Builder2405, "B": boot.Builder2505, "C": boot.Builder2605}[c.Revision]
	if seconds, err := strconv.Atoi(in.Timeout); err == nil {
		s.Timeout = &seconds
	} else {
		s.Timeout = nil
	}
	sd.Editor, sd.ConsoleMode, sd.DistroName = in.Editor != "", in.ConsoleMode, in.DistroName
	sd.RebootForBitlocker = in.RebootForBitlocker != ""
	limit, _ := strconv.Atoi(in.ConfigurationLimit)
	sd.ConfigurationLimit = &limit
	s.EFI.EFISysMountPoint = in.EFISysMountPoint
	s.EFI.CanTouchEFIVariables = in.CanTouchEFIVariables != ""
	sd.BootCounting.Enable = in.BootCounting != ""
	sd.BootCounting.Tries, _ = strconv.Atoi(in.BootCountingTries)
	sd.ExtraEntries, sd.ExtraFiles = in.ExtraEntries, map[string]string{}
	for name, text := range in.ExtraFiles {
		source := "/nix/store/" + strings.Repeat("0", 32) + "-extra/" + filepath.Base(name)
		c.Put(t, source, text)
		sd.ExtraFiles[name] = source
	}
	layout := partition.EFI
	if in.BootMountPoint != in.EFISysMountPoint {
		layout = partition.EFIXBOOTLDR
		sd.XBOOTLDRMountPoint = &in.BootMountPoint
	}
	sd.Systemd = "/nix/store/" + strings.Repeat("0", 32) + "-systemd"
	for _, arch := range []string{"x64", "aa64"} {
		c.Put(t, sd.Systemd+"/lib/systemd/boot/efi/systemd-boot"+arch+".efi", loaderText)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return &boot.Request{
		Settings: s,
		Files:    boot.Files{Root: c.Root},
		System:   c.System,
		Disk:     boottest.Disk(t, layout),
		Identify: func(string) uuid.UUID { return uuid.MustParse("feedfacefeedfacefeedfacefeedface") },
	}
}

func TestGoldens(t *testing.T) {
	for _, dir := range boottest.Cases(t, "testdata/goldens") {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			c := boottest.Load(t, dir)
			r := request(t, c)
			in, err := Install(context.Background(), r)
			if strings.Contains(name, "secrets") {
				if err == nil || !strings.Contains(err.Error(), "boot.initrd.secrets") {
					t.Fatalf("have error %v, want one that names boot.initrd.secrets", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Apply(c.Root, nil, tree.Time{}); err != nil {
				t.Fatal(err)
			}
			c.Compare(t, c.Root, boottest.Options{IgnoreModes: true, Skip: func(path string) bool {
				switch filepath.Base(path) {
				case "random-seed": // left out on purpose
					return true
				case "entry-token": // the stub of bootctl makes none
					return true
				}
				if name == "sd-b-12-devicetree" && strings.HasSuffix(strings.ToLower(path), ".efi") && !strings.HasPrefix(path, "/boot/EFI/nixos") {
					return true // the stub of bootctl knows one architecture
				}
				return strings.HasPrefix(path, "/nix/store/000") || strings.HasPrefix(path, "/etc/kernel")
			}})
		})
	}
}
