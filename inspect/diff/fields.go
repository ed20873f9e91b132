package diff

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"diskwright/filesystem/ext4"
	"diskwright/inspect"
	"diskwright/partition"

	"github.com/google/uuid"
)

// fields compares what the images are, by name: the values that inspect --json
// shows, and of ext file systems all fields of the superblock.
func (c *comparison) fields() {
	c.compareFields("container", map[string]any{"format": c.a.Format, "compress": c.a.Compress, "tar": c.a.Tar, "fields": c.a.Container},
		map[string]any{"format": c.b.Format, "compress": c.b.Compress, "tar": c.b.Tar, "fields": c.b.Container})
	tableA, tableB := *c.a.Table, *c.b.Table
	tableA.Partitions, tableB.Partitions = nil, nil
	c.compareFields("disk", map[string]any{"size": c.a.DiskSize, "bootCode": bootCodeOf(c.a), "table": tableA},
		map[string]any{"size": c.b.DiskSize, "bootCode": bootCodeOf(c.b), "table": tableB})
	for _, n := range numbers(c.a.Table.Partitions, c.b.Table.Partitions) {
		c.compareFields(fmt.Sprintf("partition %d", n), partitionOf(c.a, n), partitionOf(c.b, n))
	}
	for _, n := range append([]int{0}, numbers(c.a.Table.Partitions, c.b.Table.Partitions)...) {
		c.compareFields(fmt.Sprintf("file system %d", n), fileSystemOf(c.a, n), fileSystemOf(c.b, n))
	}
}

// bootCodeOf says whose boot code an image has, and which.
func bootCodeOf(img *inspect.Image) string {
	return fmt.Sprintf("%s, SHA-256 %x", img.BootCode, sha256.Sum256(img.Table.BootCode))
}

// numbers returns the numbers of partitions in either list.
func numbers(lists ...[]partition.Partition) (all []int) {
	for _, list := range lists {
		for _, p := range list {
			all = append(all, p.Number)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func partitionOf(img *inspect.Image, number int) any {
	for _, p := range img.Table.Partitions {
		if p.Number == number {
			return p
		}
	}
	return nil
}

func fileSystemOf(img *inspect.Image, number int) any {
	fs := img.FileSystem(number)
	if fs == nil {
		return nil
	}
	files, err := img.Files(number)
	v, ok := files.(*ext4.Volume)
	if err != nil || !ok {
		return fs
	}
	// The superblock has all that fs says, and more.
	all := map[string]any{"type": fs.Type, "superblock": v.Superblock()}
	if groups, err := v.Groups(); err == nil {
		all["group"] = groups
	}
	return all
}

// compareFields notes the leaves of two values, as JSON has them, that differ.
// What follows from others (checksums, what is free) is not noted if one of those
// differs.
func (c *comparison) compareFields(where string, a, b any) {
	va, vb := leaves(a), leaves(b)
	var list []Field
	for _, name := range keys(va, vb) {
		if va[name] != vb[name] {
			list = append(list, Field{where, name, va[name], vb[name]})
		}
	}
	independent := slices.DeleteFunc(slices.Clone(list), func(f Field) bool { return follows(f.Name) })
	if len(independent) > 0 {
		list = independent
	}
	c.result.Fields = append(c.result.Fields, list...)
}

// follows reports whether a field is computed from others.
func follows(name string) bool {
	lower := strings.ToLower(name)
	for _, word := range []string{"checksum", "crc"} {
		if strings.Contains(lower, word) && !strings.Contains(lower, "seed") && !strings.Contains(lower, "type") {
			return true
		}
	}
	return false
}

func keys(a, b map[string]string) (all []string) {
	for _, m := range []map[string]string{a, b} {
		for k := range m {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// leaves returns the values in a document by their paths.
func leaves(value any) map[string]string {
	m := make(map[string]string)
	encoded, err := json.Marshal(value)
	if err != nil {
		m["error"] = err.Error()
		return m
	}
	var document any
	decoder := json.NewDecoder(strings.NewReader(string(encoded)))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		m["error"] = err.Error()
		return m
	}
	addLeaves(m, "", document)
	return m
}

func addLeaves(m map[string]string, path string, value any) {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		for k, child := range v {
			addLeaves(m, strings.TrimPrefix(path+"."+k, "."), child)
		}
	case []any:
		if text, ok := short(v); ok {
			m[path] = text
			return
		}
		for n, child := range v {
			addLeaves(m, fmt.Sprintf("%s[%d]", path, n), child)
		}
	default:
		m[path] = fmt.Sprint(v)
	}
}

// short returns a list of plain values as one: the bytes of a UUID, features.
func short(list []any) (string, bool) {
	if id, ok := identifier(list); ok {
		return id, true
	}
	parts := make([]string, len(list))
	for n, v := range list {
		switch v.(type) {
		case map[string]any, []any:
			return "", false
		}
		parts[n] = fmt.Sprint(v)
	}
	return strings.Join(parts, " "), true
}

// identifier returns a list of 16 bytes as a UUID.
func identifier(list []any) (string, bool) {
	var id uuid.UUID
	if len(list) != len(id) {
		return "", false
	}
	for n, v := range list {
		number, ok := v.(json.Number)
		if !ok {
			return "", false
		}
		b, err := strconv.ParseUint(number.String(), 10, 8)
		if err != nil {
			return "", false
		}
		id[n] = byte(b)
	}
	return id.String(), true
}
