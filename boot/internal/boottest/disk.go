package boottest

import (
	"fmt"
	"testing"

	"diskwright/boot"
	"diskwright/partition"

	"github.com/google/uuid"
)

// RootUUID is the identifier of the root partition, and of its file system, that
// make-disk-image.nix has by default.
const RootUUID = "f222513b-ded1-49fa-b591-20ce86a2fe7f"

// Disk returns a disk of 1 GiB with a layout: root is ext4 with the label nixos,
// and FATs have volume ids that count from 1000-0001.
func Disk(t testing.TB, layout partition.Layout) *boot.Disk {
	t.Helper()
	table, err := partition.Plan(partition.Request{
		Layout: layout, DiskSize: 1 << 30, BootSize: 256 << 20,
		Deterministic: true, RootGUID: uuid.MustParse(RootUUID),
		Identify: func(role string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(role)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &boot.Disk{Table: table}
	for _, p := range table.Partitions {
		switch {
		case p.Role == partition.Root:
			d.FileSystems = append(d.FileSystems, boot.FileSystem{
				MountPoint: "/", Partition: p.Number, Type: boot.TypeExt4, UUID: RootUUID, Label: "nixos"})
		case p.MountPoint != "":
			d.FileSystems = append(d.FileSystems, boot.FileSystem{
				MountPoint: p.MountPoint, Partition: p.Number, Type: boot.TypeFAT, UUID: fmt.Sprintf("1000-%04X", p.Number), Label: p.Label})
		}
	}
	return d
}
