package spec

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"diskwright/boot"
)

// Kind is the type of a parameter's value.
type Kind string

const (
	KindString  Kind = "string"
	KindChoice  Kind = "choice"
	KindBool    Kind = "boolean"
	KindInteger Kind = "integer"
	KindSize    Kind = "size"
	// KindBootSize is a size, or a number of MiB: what of both is for the builder
	// to say.
	KindBootSize Kind = "size or MiB"
	KindMiB      Kind = "MiB"
	KindDiskSize Kind = "disk size"
	KindUUID     Kind = "uuid"
	KindPath     Kind = "path"
	KindStrings  Kind = "list of strings"
	KindPaths    Kind = "list of paths"
	KindContents Kind = "list of contents"
	// KindProperties is a mapping from names to strings or whole numbers.
	KindProperties Kind = "mapping of properties"
	// KindDatasets is a mapping from names to datasets.
	KindDatasets Kind = "mapping of datasets"
	// KindBootLoader is a mapping with the settings of a boot loader, or "auto".
	KindBootLoader Kind = "boot loader"
)

// State says what this version does with a parameter.
type State string

const (
	// Native parameters do what they say.
	Native State = "native"
	// InVM parameters are about the virtual machine of installMethod. Without one
	// they are accepted, and change nothing.
	InVM State = "with ‘installMethod: vm’"
	// NoEffect parameters are accepted, and change nothing.
	NoEffect State = "without effect"
)

// Parameter describes a parameter: everything that its flag, its place in the
// JSON Schema and its section of the manual are made from.
type Parameter struct {
	Name     string // as in a specification
	Group    string // the heading of the manual that it is under
	Builder  string // the builder that it belongs to; empty is all
	Kind     Kind
	Nullable bool   // null is allowed, and means that nothing is asked for
	Default  any    // string, bool, int64 or map[string]string; nil is null or the empty list
	Derived  string // in words, if the default depends on other parameters
	Allowed  []string
	State    State
	Summary  string // one line, without a full stop
	Detail   string // paragraphs, in Markdown

	field func(*Spec) any // a pointer to the field that holds the value
}

// ListsAllowed reports whether the allowed values are few enough for a line.
func (p *Parameter) ListsAllowed() bool { return len(p.Allowed) > 0 && len(p.Allowed) <= 12 }

// Parameters returns the table of all parameters, in the manual's order.
func Parameters() []Parameter {
	list := make([]Parameter, len(table))
	for i, p := range table {
		list[i] = *p
	}
	return list
}

// Flag returns the name of the parameter's flag, without dashes: the words of
// its name, separated by hyphens.
func (p *Parameter) Flag() string {
	var flag strings.Builder
	runes := []rune(p.Name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			afterLower := unicode.IsLower(runes[i-1])
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				flag.WriteByte('-')
			}
		}
		flag.WriteRune(unicode.ToLower(r))
	}
	return flag.String()
}

// Repeats reports whether the value has elements, so that the flag may be
// repeated.
func (p *Parameter) Repeats() bool { return p.isList() || p.isMapping() }

func (p *Parameter) isList() bool {
	return p.Kind == KindStrings || p.Kind == KindPaths || p.Kind == KindContents
}

func (p *Parameter) isMapping() bool { return p.Kind == KindProperties || p.Kind == KindDatasets }

// DefaultJSON returns the default as it is written in JSON.
func (p *Parameter) DefaultJSON() string {
	switch {
	case p.Default == nil && p.isList() && !p.Nullable:
		return "[]"
	case p.Default == nil && p.isMapping():
		return "{}"
	}
	text, err := json.Marshal(p.Default)
	if err != nil {
		panic("spec: " + err.Error()) // the table holds strings, booleans, integers and mappings
	}
	return string(text)
}

// setDefault gives the parameter's field its default. The fields of null and
// of empty lists are zero already.
func (p *Parameter) setDefault(s *Spec) {
	if p.Default == nil {
		return
	}
	switch field := p.field(s).(type) {
	case **bool, **boot.Settings: // nil is the default
	case *bool:
		*field = p.Default.(bool)
	case *int64:
		*field = p.Default.(int64)
	case *DiskSize:
		*field = DiskSize{Mode: DiskSizeAuto}
	case *map[string]string:
		*field = maps.Clone(p.Default.(map[string]string))
	default:
		setText(field, p.Default.(string))
	}
}

// equal reports whether two Specs have the same value.
func (p *Parameter) equal(s, other *Spec) bool { return reflect.DeepEqual(p.field(s), p.field(other)) }

// setText sets a field whose type is string or made of it.
func setText(field any, text string) { reflect.ValueOf(field).Elem().SetString(text) }

// getText is the reverse of setText.
func getText(field any) string { return reflect.ValueOf(field).Elem().String() }

// lookup returns the parameter of that name, or nil.
func lookup(name string) *Parameter {
	i := slices.IndexFunc(table, func(p *Parameter) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return table[i]
}
