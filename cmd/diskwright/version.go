package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version says which diskwright this is, from what the Go toolchain recorded:
// the module's version for "go install diskwright@version", the commit for a
// build in a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "diskwright (unknown version)"
	}
	number, commit, dirty := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = ", modified"
			}
		}
	}
	if number == "" {
		number = "(devel)"
	}
	if commit != "" {
		commit = ", commit " + commit + dirty
	}
	return fmt.Sprintf("diskwright %s%s, %s %s/%s", number, commit, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}
