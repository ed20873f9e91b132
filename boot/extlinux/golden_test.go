package extlinux

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/partition"
	"diskwright/tree"
)

func TestGoldens(t *testing.T) {
	for _, dir := range boottest.Cases(t, "testdata/goldens") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := boottest.Load(t, dir)
			s := boot.NewSettings(boot.ExtlinuxName)
			s.Extlinux.Specialisations = c.Revision == "spec"
			for n := 0; n < len(c.Args); n++ {
				switch flag := c.Args[n]; flag {
				case "-r":
					s.Extlinux.UseGenerationDeviceTree = false
				default:
					n++
					set(t, s, flag, c.Args[n])
				}
			}
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			in, err := Install(context.Background(), &boot.Request{
				Settings: s, Files: boot.Files{Root: c.Root}, System: c.System, Disk: boottest.Disk(t, partition.Legacy)})
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Apply(c.Root, nil, tree.Time{}); err != nil {
				t.Fatal(err)
			}
			c.Compare(t, c.Root, boottest.Options{})
		})
	}
}

// set applies an option of extlinux-conf-builder.sh.
func set(t *testing.T, s *boot.Settings, flag, value string) {
	t.Helper()
	number, _ := strconv.Atoi(value)
	switch flag {
	case "-c":
	case "-d":
		s.Extlinux.MirroredBoots[0].Path = value
	case "-g":
		s.Extlinux.ConfigurationLimit = number
	case "-n":
		s.Extlinux.DeviceTree = value
	case "-t":
		s.Timeout = &number
		if number < 0 {
			s.Timeout = nil
		}
	default:
		t.Fatalf("unknown flag %s", flag)
	}
}
