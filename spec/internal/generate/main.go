// Command generate writes what derives from the table of parameters: the JSON
// Schema and the manual. It runs in the directory of package spec.
package main

import (
	"fmt"
	"os"

	"diskwright/spec"
)

func main() {
	for path, content := range map[string][]byte{
		"schema.json":           spec.Schema(),
		"../docs/parameters.md": spec.Manual(),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "generate:", err)
			os.Exit(1)
		}
	}
}
