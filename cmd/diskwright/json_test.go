package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"diskwright/inspect"
	"diskwright/inspect/diff"
	"diskwright/inspect/verify"
	"diskwright/progress"
)

// Every key that --json can write is in the documentation.
func TestJSONIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []any{buildResult{}, verify.Result{}, progress.Event{}, errorEvent{}, inspect.Image{}, inspect.Variables{}, lsResult{}, extractResult{}, convertResult{}, diff.Result{}, duResult{}} {
		for _, key := range jsonKeys(reflect.TypeOf(value)) {
			if !strings.Contains(string(text), "`"+key+"`") {
				t.Errorf("%T: docs/json.md does not have the key %q", value, key)
			}
		}
	}
}

// jsonKeys returns the keys of a type and of all that is in it.
func jsonKeys(typ reflect.Type) (keys []string) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return jsonKeys(typ.Elem())
	case reflect.Struct:
		for i := range typ.NumField() {
			field := typ.Field(i)
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key == "-" || !field.IsExported() {
				continue
			}
			if key != "" {
				keys = append(keys, key)
			}
			keys = append(keys, jsonKeys(field.Type)...)
		}
	}
	return keys
}
