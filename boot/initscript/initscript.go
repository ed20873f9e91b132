// Package initscript writes /sbin/init for systems that are started by something
// that knows nothing of NixOS, as NixOS's boot.loader.initScript does.
//
//	/sbin/init                                    starts the system
//	/boot/init-other-configurations-contents.txt  what it could be replaced by
package initscript

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"diskwright/boot"
)

// others is the file with the other scripts.
const others = "/boot/init-other-configurations-contents.txt"

// Install returns what installing the script adds to an image.
func Install(_ context.Context, r *boot.Request) (*boot.Installation, error) {
	if r.Settings.InitScript == nil {
		return nil, fmt.Errorf("these are no settings of %s", boot.InitScriptName)
	}
	if r.System == nil {
		return nil, errors.New("initScript: want a NixOS system")
	}
	distro := r.Settings.InitScript.DistroName
	first := script(distro+" - Default", r.System.Toplevel+"/init")
	all := []string{first}
	names, _ := r.Files.ReadDir(r.System.Toplevel + "/specialisation")
	for _, name := range names {
		all = append(all, script(distro+" - variation", r.System.Toplevel+"/specialisation/"+name+"/init"))
	}
	for _, g := range slices.Backward(r.System.Profiles[0].Generations) {
		date := time.Unix(g.Linked, 0).UTC().Format(time.DateTime)
		all = append(all, script(fmt.Sprintf("%s - Configuration %d (%s)", distro, g.Number, date), g.Link+"/init"))
	}
	out := &boot.Installation{}
	out.AddText("/sbin/init", 0o755, first+"# older configurations: "+others+"\n", r.Epoch)
	out.AddText(others, 0o644, strings.Join(all, "\n\n")+"\n\n", r.Epoch)
	return out, nil
}

func script(title, init string) string {
	return fmt.Sprintf("#!/bin/sh\n# %s\n# created by init-script-builder.sh\nexec %s\n", title, init)
}
