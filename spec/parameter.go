package spec

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"diskwright/boot"
)

// Kind is the type of a parameter's value.
type Kind string

const (
	KindString   Kind = "string"
	KindChoice   Kind = "choice"
	KindBool     Kind = "boolean"
	KindInteger  Kind = "integer"
	KindSize     Kind = "size"
	KindDiskSize Kind = "disk size"
	KindUUID     Kind = "uuid"
	KindPath     Kind = "path"
	KindStrings  Kind = "list of strings"
	KindPaths    Kind = "list of paths"
	KindContents Kind = "list of contents"
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
	Kind     Kind
	Nullable bool   // null is allowed, and means that nothing is asked for
	Default  any    // string, bool or int64; nil is null or the empty list
	Derived  string // in words, if the default depends on other parameters
	Allowed  []string
	State    State
	Summary  string // one line, without a full stop
	Detail   string // paragraphs, in Markdown

	field func(*Spec) any // a pointer to the field that holds the value
}

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

// IsList reports whether the value is a list, so that the flag may be
// repeated.
func (p *Parameter) IsList() bool {
	return p.Kind == KindStrings || p.Kind == KindPaths || p.Kind == KindContents
}

// DefaultJSON returns the default as it is written in JSON.
func (p *Parameter) DefaultJSON() string {
	if p.Default == nil && p.IsList() && !p.Nullable {
		return "[]"
	}
	text, err := json.Marshal(p.Default)
	if err != nil {
		panic("spec: " + err.Error()) // the table holds strings, booleans and integers
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
	default:
		setText(field, p.Default.(string))
	}
}

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
