package builder

import (
	"encoding/json"
	"fmt"
	"strings"

	"diskwright/content"
	"diskwright/tree"
)

// maxConfiguration is more than any configuration.nix has.
const maxConfiguration = 16 << 20

// putZFSConfiguration makes a configuration that says where the datasets are mounted,
// and that imports configFile if there is one. As in the reference it belongs to
// nobody's store, so that it may be changed: 0644.
func putZFSConfiguration(root *tree.Inode, mounts map[string]string, configFile string, epoch tree.Time) error {
	text := fileSystemsExpression(mounts)
	if configFile != "" {
		user, err := readAtMost(configFile, maxConfiguration)
		if err != nil {
			return err
		}
		text = mergedConfiguration(text, string(user))
	}
	file := tree.NewFile(content.Bytes(text), epoch)
	file.Mode = tree.TypeRegular | 0o644
	return tree.PutFile(root, configurationPath, file, epoch)
}

// fileSystemsExpression returns a Nix expression of a NixOS module with the file
// systems: datasets by their mount points. It is the reference's: JSON in a string.
func fileSystemsExpression(mounts map[string]string) string {
	type fileSystem struct {
		Device string `json:"device"`
		Type   string `json:"fsType"`
	}
	list := make(map[string]fileSystem)
	for mount, dataset := range mounts {
		list[mount] = fileSystem{dataset, "zfs"}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("  ", "  ")
	if err := e.Encode(map[string]any{"fileSystems": list}); err != nil {
		panic("builder: " + err.Error()) // it holds strings
	}
	return "builtins.fromJSON ''\n  " + indentedString(b.String()) + "''\n"
}

// indentedString quotes what means something in a Nix string between two quotes
// (Nix manual, "String").
func indentedString(text string) string {
	return strings.NewReplacer("''", "'''", "${", "''${").Replace(text)
}

// mergedConfiguration returns a module that imports two others, given as
// expressions.
func mergedConfiguration(fileSystems, user string) string {
	return fmt.Sprintf("{\n  imports = [\n    (%s)\n    (%s\n    )\n  ];\n}\n", indent(strings.TrimSuffix(fileSystems, "\n")), strings.TrimRight(user, "\n"))
}

// indent puts the lines behind the first where they belong in a list of imports.
// Inside of the string, what all lines are indented by is no part of it.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n    ") }
