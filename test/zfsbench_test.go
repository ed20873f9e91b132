//go:build linux

package test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"diskwright/test/scratch"
	"diskwright/test/zfsrig"
)

// What `zpool create`, `cp -a` and `zpool export` take in a virtual machine: the
// way in which pools are made otherwise. For bench/zfs, which says which tree.
//
// The guest knows no file system but ZFS: it reads the files from a pool of ours.
func BenchmarkZPoolCreate(b *testing.B) {
	tree := os.Getenv("DISKWRIGHT_BENCH_TREE")
	if tree == "" {
		b.Skip("bench/zfs runs it")
	}
	rig := zfsrig.Need(b)
	source := mkfs(b, "zfs", tree, "--pool", "source")
	for range b.N {
		disk := filepath.Join(scratch.Dir(b), "disk")
		f, err := os.Create(disk)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Truncate(2 * fileSize(b, source)); err != nil {
			b.Fatal(err)
		}
		f.Close()
		result := rig.Run(b, zfsrig.Guest{
			Version: zfsrig.V23, Disks: []string{source, disk}, Memory: 3072, Timeout: 6 * time.Hour,
			Script: `set -e
				uptime() { cut -d ' ' -f 1 /proc/uptime; }
				zpool import -d /dev source
				from=$(uptime)
				zpool create -O compression=lz4 tank /dev/vdb
				cp -a /source/. /tank/
				zpool export tank
				echo "SECONDS $from $(uptime)"`,
		})
		var from, to float64
		for line := range strings.Lines(result.Log) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "SECONDS" {
				from, _ = strconv.ParseFloat(fields[1], 64)
				to, _ = strconv.ParseFloat(fields[2], 64)
			}
		}
		if result.Status != "0" || to == 0 {
			b.Fatalf("status %s\n%s", result.Status, result.Log)
		}
		b.ReportMetric(to-from, "guest-s/op")
	}
}
