package spec

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// What derives from the table is committed, and must be what it says.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	for path, want := range map[string][]byte{
		"schema.json":           Schema(),
		"../docs/parameters.md": Manual(),
	} {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not current; run: go generate ./spec", path)
		}
	}
}

func TestSchemaHasEveryParameter(t *testing.T) {
	var schema struct {
		Properties map[string]struct {
			Description string
			Default     *json.RawMessage
		}
	}
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for _, p := range Parameters() {
		if schema.Properties[p.Name].Description == "" {
			t.Errorf("%s is missing", p.Name)
		}
	}
	if got, want := len(schema.Properties), len(table)+1; got != want {
		t.Errorf("%d properties, want %d and $schema", got, want)
	}
}
