package nixstore

import (
	"strings"
	"testing"
)

const sampleHash = "0c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b"

func TestParsePath(t *testing.T) {
	good := []string{"a", "linux-6.1", "A+b-c._?=9", ".hidden", strings.Repeat("n", 211)}
	for _, name := range good {
		p, err := ParsePath(StoreDir + "/" + sampleHash + "-" + name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if p.Name() != name || p.Hash() != sampleHash || p.Base() != sampleHash+"-"+name {
			t.Errorf("%q: Name %q, Hash %q, Base %q", name, p.Name(), p.Hash(), p.Base())
		}
	}
	bad := map[string]string{
		"":                                      "is not a store path",
		"/gnu/store/" + sampleHash + "-a":       "is not a store path",
		StoreDir:                                "is not a store path",
		StoreDir + "/" + sampleHash:             "32 characters and a dash",
		StoreDir + "/" + sampleHash + "-":       "32 characters and a dash",
		StoreDir + "/" + sampleHash + "_a":      "32 characters and a dash",
		StoreDir + "/" + sampleHash + "-a/b":    `character '/'`,
		StoreDir + "/" + sampleHash + "-a\n":    `character '\n'`,
		StoreDir + "/" + sampleHash + "-é":      "character",
		StoreDir + "/e" + sampleHash[1:] + "-a": `character 'e' is not one of Nix's base 32`,
		StoreDir + "/" + sampleHash + "-" + strings.Repeat("n", 212):    "212 characters",
		StoreDir + "/" + sampleHash + "-" + strings.Repeat("n", 100000): "…",
	}
	for s, want := range bad {
		if _, err := ParsePath(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", s, err, want)
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}
