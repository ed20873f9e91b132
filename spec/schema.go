package spec

import (
	"encoding/json"
	"strings"
)

// SchemaID is the identifier of the JSON Schema.
const SchemaID = "urn:diskwright:spec"

// sizePattern is what a size looks like. It lets through what only numfmt, or
// with compat older parted, can decide.
const sizePattern = `^[0-9]*\.?[0-9]+[A-Za-z]*$`

const uuidPattern = `^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$`

// object is a JSON object. encoding/json writes its keys in alphabetical order.
type object map[string]any

// Schema returns the JSON Schema (draft 2020-12) of a specification.
func Schema() []byte {
	properties := object{
		"$schema": object{"type": "string", "description": "The schema that this specification follows, for editors."},
	}
	for _, p := range table {
		properties[p.Name] = p.schema()
	}
	text, err := json.MarshalIndent(object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"$id":                  SchemaID,
		"title":                "Diskwright specification",
		"type":                 "object",
		"properties":           properties,
		"additionalProperties": false,
	}, "", "  ")
	if err != nil {
		panic("spec: " + err.Error()) // it holds strings, booleans, integers and objects of those
	}
	return append(text, '\n')
}

// schema returns the schema of the parameter's value.
func (p *Parameter) schema() object {
	o := p.Kind.schema()
	switch {
	case len(p.Allowed) > 0:
		values := make([]any, 0, len(p.Allowed)+1)
		for _, value := range p.Allowed {
			values = append(values, value)
		}
		if p.Nullable {
			values = append(values, nil)
		}
		o = object{"enum": values}
	case p.Nullable && p.Kind != KindBootLoader:
		o["type"] = []any{o["type"], "null"}
	}
	o["description"] = p.description()
	if p.Derived == "" {
		o["default"] = json.RawMessage(p.DefaultJSON())
	}
	return o
}

func (p *Parameter) description() string {
	text := markdown(p.Summary) + "."
	if p.State != Native {
		text += " (" + markdown(strings.ToUpper(string(p.State[:1]))+string(p.State[1:])) + ".)"
	}
	if p.Builder != "" {
		text += " Only with the builder " + p.Builder + "."
	}
	if p.Derived != "" {
		text += " Default: " + markdown(p.Derived) + "."
	}
	if p.Detail != "" {
		text += "\n\n" + markdown(p.Detail)
	}
	return text
}

// schema returns the schema of the kind.
func (k Kind) schema() object {
	switch k {
	case KindBool:
		return object{"type": "boolean"}
	case KindInteger:
		return object{"type": "integer", "minimum": 1}
	case KindSize:
		return object{"type": "string", "pattern": sizePattern}
	case KindBootSize:
		return object{"anyOf": []any{object{"type": "string", "pattern": sizePattern}, mebibytesSchema()}}
	case KindMiB:
		return object{"anyOf": []any{mebibytesSchema(), object{"type": "string", "pattern": "^[0-9]+$"}}}
	case KindUUID:
		return object{"type": "string", "pattern": uuidPattern}
	case KindPath:
		return object{"type": "string", "minLength": 1}
	case KindStrings, KindPaths:
		return object{"type": "array", "items": object{"type": "string", "minLength": 1}}
	case KindDiskSize:
		return object{"anyOf": []any{
			object{"enum": []any{"auto", "min"}},
			mebibytesSchema(),
			object{"type": "string", "pattern": "^[0-9]+$"},
		}}
	case KindContents:
		return object{"type": "array", "items": contentSchema()}
	case KindProperties:
		return propertiesSchema()
	case KindDatasets:
		return object{"type": "object", "additionalProperties": datasetSchema()}
	case KindBootLoader:
		return object{"anyOf": []any{object{"enum": []any{"auto", nil}}, bootLoaderSchema()}}
	default:
		return object{"type": "string"}
	}
}

// mebibytesSchema returns the schema of a number of MiB.
func mebibytesSchema() object {
	return object{"type": "integer", "minimum": 1, "maximum": int64(diskSizeMax)}
}

// propertiesSchema returns the schema of properties of a pool or of a file system.
func propertiesSchema() object {
	return object{"type": "object", "additionalProperties": object{"type": []any{"string", "integer"}}}
}

// datasetSchema returns the schema of an element of datasets.
func datasetSchema() object {
	return object{
		"type": "object",
		"properties": object{
			"mount":      object{"type": []any{"string", "null"}, "pattern": "^/"},
			"properties": propertiesSchema(),
		},
		"additionalProperties": false,
	}
}

// contentSchema returns the schema of an element of contents.
func contentSchema() object {
	owner := object{"anyOf": []any{
		object{"type": "integer", "minimum": 0, "maximum": int64(maxOwner)},
		object{"type": "string", "minLength": 1},
		object{"type": "null"},
	}}
	return object{
		"type": "object",
		"properties": object{
			"source": object{"type": "string", "minLength": 1},
			"target": object{"type": "string", "minLength": 1},
			"mode":   object{"type": []any{"string", "null"}},
			"user":   owner,
			"group":  owner,
		},
		"required":             []any{"source", "target"},
		"dependentRequired":    object{"user": []any{"group"}, "group": []any{"user"}},
		"additionalProperties": false,
	}
}

// markdown returns a text of the table with its ‘literals’ as code.
func markdown(text string) string {
	return strings.NewReplacer("‘", "`", "’", "`").Replace(text)
}

// Plain returns a text of the table without the quotes around its ‘literals’.
func Plain(text string) string {
	return strings.NewReplacer("‘", "", "’", "").Replace(text)
}
