//go:build ignore

// Compact makes the goldens of this directory from the recorded ones: one line
// a case, without what programs print about it.
//
//	go run compact.go DIRECTORY
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"
)

// Fields that say the same as another field, or only what a tool printed.
var drop = map[string]bool{
	"diskMiB": true, "diskSectors": true, "bootEndMiB": true, "tools": true,
	"bootCodeZero": true, "bootCodeNonZeroLastOffset": true, "chsFirst": true, "chsLast": true,
	"headerCrcOk": true, "entriesCrcOk": true, "partxRoot": true,
	"partedRc": true, "partedStderr": true, "partedStdout": true, "partedMachineOutput": true,
	"sgdiskRc": true, "sgdiskStdout": true, "sgdiskPrint": true, "sgdiskInfo": true, "sgdiskVerify": true,
	"changedBySgdisk": true, "alignCheck": true, "differsWith": true, "sameOnDiskResultWith": true,
	"device": true, "node": true, "unit": true,
	"sfdiskDump": true, "alignCheckOptimalRc": true, "nondeterministicFields": true, "differencesParted36": true,
}

func main() {
	for _, seed := range []string{"seed000", "seed001", "seed004"} {
		names, err := filepath.Glob(filepath.Join(os.Args[1], "pt-"+seed+"-*.json"))
		check(err)
		var cases []any
		for _, name := range names {
			if strings.Contains(name, "-parted35") {
				continue
			}
			golden := strip(load(name)).(map[string]any)
			mbr := golden["mbr"].(map[string]any)
			for i, entry := range mbr["entries"].([]any) {
				mbr["entries"].([]any)[i] = entry.(map[string]any)["raw"]
			}
			if sectors, ok := golden["nonZeroSectors"]; ok { // of seed004
				golden["nonZeroSectorRanges"] = sectors
				delete(golden, "nonZeroSectors")
			}
			golden["name"] = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "pt-"), ".json")
			cases = append(cases, golden)
		}
		save("pt-"+seed+".json", cases)
	}
	var cases []any
	for _, c := range load(filepath.Join(os.Args[1], "pt-edge-cases.json")).(map[string]any)["cases"].([]any) {
		cases = append(cases, edge(c.(map[string]any)))
	}
	save("pt-edge-cases.json", cases)
}

// edge takes the values that parted 3.6 gave, where they differ.
func edge(c map[string]any) map[string]any {
	fails := c["partedRc"].(float64) != 0 || c["sgdiskRc"] != nil && c["sgdiskRc"].(float64) != 0
	if newer, ok := c["parted36"].(map[string]any); ok {
		for key, value := range newer {
			c[key] = value
		}
	}
	small := map[string]any{"fails": fails}
	if entry, ok := c["mbrEntry0"].(map[string]any); ok {
		c["mbrEntry0"] = entry["raw"]
	}
	for _, key := range []string{"seed", "layout", "diskMiB", "bootSize", "partitions", "mbrEntry0", "gptPrimary"} {
		if value, ok := c[key]; ok && !(fails && key == "partitions") {
			small[key] = strip(value)
		}
	}
	return small
}

func strip(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			if drop[key] {
				delete(value, key)
				continue
			}
			value[key] = strip(value[key])
		}
	case []any:
		for i := range value {
			value[i] = strip(value[i])
		}
	}
	return value
}

func load(name string) (value any) {
	text, err := os.ReadFile(name)
	check(err)
	check(json.Unmarshal(text, &value))
	return value
}

func save(name string, cases []any) {
	out := bytes.NewBufferString("[\n")
	for i, c := range cases {
		line, err := json.Marshal(c)
		check(err)
		out.Write(line)
		if i < len(cases)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString("]\n")
	check(os.WriteFile(name, out.Bytes(), 0o666))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
