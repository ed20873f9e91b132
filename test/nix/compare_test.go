//go:build linux

package nix

import (
	"strings"
	"testing"

	"diskwright/test/oracle"
)

// nix/tests/compare, which looks for differences from images of the original,
// finds those that nothing explains, and these only.
func TestCompare(t *testing.T) {
	oracle.NeedRoot(t)
	oracle.Need(t, "sqlite3")
	s := shared(t)
	disk := func(args string) string {
		out := s.build(t, image(`partitionTableType = "none"; additionalSpace = "1M"; copyChannel = false; `+args))
		return oracle.Loop(t, s.host(out+"/nixos.img"), 0, 0)
	}
	const file = `{ source = pkgs.writeText "file" "text"; target = "%"; }`
	contents := func(entries ...string) string { return "contents = [ " + strings.Join(entries, " ") + " ];" }
	at := func(target string) string { return strings.Replace(file, "%", target, 1) }

	reference := disk(contents(at("/opt/file")))
	for _, test := range []struct{ args, difference string }{
		{contents(at("/opt/file")), ""},
		// What activation leaves, for example.
		{contents(at("/opt/file"), at("/etc/passwd"), at("/var/lib/file")), ""},
		{contents(at("/opt/other")), "./opt/other"},
		{contents(at("/opt/file"), at("/etc/nixos/file")), "./etc/nixos/file"},
		{contents(`{ source = pkgs.writeText "file" "TEXT"; target = "/opt/file"; }`), "./opt/file"},
		{contents(`{ source = pkgs.writeText "file" "text"; target = "/opt/file"; mode = "600"; }`), "./opt/file"},
		{contents(`{ source = pkgs.writeText "file" "text"; target = "/opt/file"; user = "1"; group = "2"; }`), "f,444,1:2,"},
		{contents(at("/opt/file")) + `additionalPaths = [ (pkgs.writeText "further" "text") ];`, "-further|sha256:"},
		{contents(at("/opt/file")) + `label = "other";`, "LABEL=other"},
		{contents(at("/opt/file")) + `rootFSUID = "11111111-2222-4333-8444-555555555555";`, "UUID=11111111-2222-4333-8444-555555555555"},
	} {
		out, status := oracle.Exit(t, tree+"/nix/tests/compare", reference, disk(test.args))
		switch {
		case test.difference == "" && status != 0:
			t.Errorf("{ %s } is different:\n%s", test.args, out)
		case test.difference != "" && (status != 1 || !strings.Contains(out, test.difference)):
			t.Errorf("{ %s }: status %d, want a difference with %q:\n%s", test.args, status, test.difference, out)
		}
	}
}
