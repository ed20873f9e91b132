package spec

import (
	"encoding/json"
	"reflect"
	"strings"

	"diskwright/boot"
)

// AutoBootLoader is the value of bootLoader that asks for what the system itself
// says.
const AutoBootLoader = "auto"

// bootLoader gives a value to the field of bootLoader.
func (d *decoder) bootLoader(p *Parameter, field **boot.Settings, n *node) {
	if n.kind == stringNode && n.text == AutoBootLoader {
		*field = nil
		return
	}
	if n.kind != mappingNode {
		d.wrongType(p, p.Name, n)
		return
	}
	value, ok := d.value(p.Name, n)
	if !ok {
		return
	}
	text, err := json.Marshal(value)
	if err != nil {
		d.fail(n.at, p.Name, err)
		return
	}
	settings, err := boot.ParseSettings(text, d.dir)
	if err != nil {
		for _, problem := range each(err) {
			d.fail(n.at, p.Name, problem)
		}
		return
	}
	*field = settings
}

// each returns the problems that were joined to an error.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, each(e)...)
	}
	return list
}

// value returns what encoding/json makes JSON of.
func (d *decoder) value(parameter string, n *node) (value any, ok bool) {
	switch n.kind {
	case nullNode:
		return nil, true
	case boolNode:
		return n.text == "true", true
	case integerNode:
		return n.integer, true
	case numberNode:
		return json.Number(n.text), true
	case stringNode:
		return n.text, true
	case listNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			if list[i], ok = d.value(parameter, item); !ok {
				return nil, false
			}
		}
		return list, true
	}
	before := len(d.problems)
	mapping := map[string]any{}
	for _, m := range d.members(n, parameter) {
		if mapping[m.key], ok = d.value(parameter+"."+m.key, m.value); !ok {
			return nil, false
		}
	}
	return mapping, len(d.problems) == before
}

// bootLoaderRules checks what the boot loader needs.
func (v *validator) bootLoaderRules() {
	s := v.spec
	if s.TouchEFIVars && s.EFIVariables == "" && !s.OnlyNixStore && v.readable("efiVariables") {
		v.fail("touchEFIVars", "efiVariables is missing: the variable store of the firmware, OVMF_VARS.fd or the like")
	}
	if !s.InstallsBootLoader() || !v.readable("bootLoader") || !v.readable("system") {
		return
	}
	entries := s.BootLoader != nil && len(s.BootLoader.Entries) > 0
	switch {
	case s.System == "" && s.BootLoader == nil:
		v.fail("installBootLoader", "there is nothing to boot: give system, or bootLoader with entries")
	case s.System == "" && !s.BootLoader.TakesEntries():
		v.fail("bootLoader", "%s is for NixOS: an image without system needs %s or %s", s.BootLoader.Loader(), boot.SystemdBootName, boot.GRUBName)
	case s.System == "" && !entries:
		v.fail("bootLoader", "entries is missing: an image without system needs what its boot menu shows")
	case s.System != "" && entries:
		v.fail("bootLoader", "entries is for images without system: NixOS makes the menu")
	}
}

// bootLoaderSchema returns the schema of the settings of a boot loader.
func bootLoaderSchema() object {
	settings := boot.Settings{
		SystemdBoot: &boot.SystemdBoot{}, GRUB: &boot.GRUB{}, Limine: &boot.Limine{}, Extlinux: &boot.Extlinux{}, InitScript: &boot.InitScript{},
	}
	loaders := object{
		boot.SystemdBootName: typeSchema(reflect.TypeOf(*settings.SystemdBoot)),
		boot.GRUBName:        typeSchema(reflect.TypeOf(*settings.GRUB)),
		boot.LimineName:      typeSchema(reflect.TypeOf(*settings.Limine)),
		boot.ExtlinuxName:    typeSchema(reflect.TypeOf(*settings.Extlinux)),
		boot.InitScriptName:  typeSchema(reflect.TypeOf(*settings.InitScript)),
	}
	properties := object{
		"timeout": typeSchema(reflect.TypeOf(settings.Timeout)),
		"efi":     typeSchema(reflect.TypeOf(settings.EFI)),
		"entries": typeSchema(reflect.TypeOf(settings.Entries)),
	}
	var one []any
	for _, name := range []string{boot.SystemdBootName, boot.GRUBName, boot.LimineName, boot.ExtlinuxName, boot.InitScriptName} {
		properties[name] = loaders[name]
		one = append(one, object{"required": []any{name}})
	}
	return object{"type": "object", "properties": properties, "oneOf": one, "additionalProperties": false}
}

// typeSchema returns the schema of what encoding/json decodes into a type.
func typeSchema(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Slice:
		return object{"type": "array", "items": typeSchema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": typeSchema(t.Elem())}
	case reflect.Pointer:
		o := typeSchema(t.Elem())
		o["type"] = []any{o["type"], "null"}
		return o
	case reflect.Struct:
		properties := object{}
		for i := range t.NumField() {
			if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
				properties[name] = typeSchema(t.Field(i).Type)
			}
		}
		return object{"type": "object", "properties": properties, "additionalProperties": false}
	}
	return object{} // anything
}
