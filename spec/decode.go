package spec

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"diskwright/boot"
)

// decoder gives the values of a specification to the fields of a Spec. It
// goes on after a problem.
type decoder struct {
	spec     *Spec
	name     string // of the specification's file, or of the flag with its dashes
	flag     bool   // the value is a flag's
	dir      string // where relative paths start
	problems Problems
}

// place is where a value was given.
type place struct {
	name string   // of a file, a flag or an environment variable
	at   position // in a file
}

// String returns the place as [Problem.Where] has it.
func (p place) String() string {
	if p.at.line == 0 {
		return p.name
	}
	return p.name + ":" + p.at.String()
}

// place returns where something was written.
func (d *decoder) place(at position) place {
	if d.flag {
		at = position{}
	}
	return place{d.name, at}
}

// report adds a problem.
func (d *decoder) report(at position, parameter string, err error) {
	place := d.place(at)
	d.problems = append(d.problems, Problem{place.String(), parameter, err, place.at})
}

// fail adds a problem and keeps Validate from looking at the parameter.
func (d *decoder) fail(at position, parameter string, err error) {
	d.report(at, parameter, err)
	if parameter != "" {
		d.spec.setBroken(parameter)
	}
}

// breakAll keeps Validate from looking at anything, where nothing could be
// read.
func (d *decoder) breakAll() {
	for _, p := range table {
		d.spec.setBroken(p.Name)
	}
}

func (s *Spec) setBroken(name string) {
	if s.broken == nil {
		s.broken = map[string]bool{}
	}
	s.broken[name] = true
}

func (s *Spec) setOrigin(name string, where place) {
	if s.origin == nil {
		s.origin = map[string]place{}
	}
	s.origin[name] = where
}

// notParameters are arguments of make-disk-image.nix that only Nix can hold.
var notParameters = map[string]string{
	"OVMF":   `it is a Nix package; give "efiFirmware" and "efiVariables"`,
	"config": `it is a NixOS configuration; give what was built from it as "system"`,
	"pkgs":   "it is only for Nix",
	"lib":    "it is only for Nix",
}

// root reads the whole specification.
func (d *decoder) root(n *node) {
	if n.kind == nullNode {
		return
	}
	if n.kind != mappingNode {
		d.fail(n.at, "", fmt.Errorf("a specification is a mapping from parameters to values, not %s", n.describe()))
		d.breakAll()
		return
	}
	names := make([]string, len(table))
	for i, p := range table {
		names[i] = p.Name
	}
	for _, m := range d.members(n, "") {
		p := lookup(m.key)
		if m.key == "$schema" {
			continue // tells editors which schema this follows
		}
		if p == nil {
			message := suggestion(m.key, names)
			if hint, ok := notParameters[m.key]; ok {
				message = "; " + hint
			}
			d.fail(m.at, "", fmt.Errorf("unknown parameter %q%s", m.key, message))
			continue
		}
		d.spec.setOrigin(p.Name, d.place(m.value.at))
		d.assign(p, m.value)
	}
}

// members returns the members of a mapping, without those whose key was there
// before.
func (d *decoder) members(n *node, parameter string) []member {
	var list []member
	for _, m := range n.members {
		before := slices.IndexFunc(list, func(o member) bool { return o.key == m.key })
		if before >= 0 {
			name := parameter + "." + m.key
			first := ""
			if !d.flag {
				first = "; the first is at " + list[before].at.String()
			}
			d.fail(m.at, strings.TrimPrefix(name, "."), fmt.Errorf("%q is given twice%s", m.key, first))
			continue
		}
		list = append(list, m)
	}
	return list
}

// assign gives a value to the field of a parameter.
func (d *decoder) assign(p *Parameter, n *node) {
	if n.kind == nullNode && p.Nullable {
		d.assignNull(p)
		return
	}
	switch field := p.field(d.spec).(type) {
	case *bool:
		if value, ok := d.boolean(p, n); ok {
			*field = value
		}
	case **bool:
		if value, ok := d.boolean(p, n); ok {
			*field = &value
		}
	case **string:
		if text, ok := d.text(p, p.Name, n); ok {
			*field = &text
		}
	case *map[string]string:
		d.properties(p.Name, field, n)
	case *map[string]Dataset:
		d.datasets(p, field, n)
	case *int64:
		if p.Kind == KindMiB && n.kind == stringNode {
			// Nix expressions put such numbers into strings.
			if integer, err := parseJSON([]byte(n.text)); err == nil && integer.kind == integerNode {
				n = integer
			}
		}
		if n.kind != integerNode {
			d.wrongType(p, p.Name, n)
			return
		}
		*field = n.integer
	case *DiskSize:
		d.diskSize(p, field, n)
	case *[]string:
		d.strings(p, field, n)
	case *[]Content:
		d.contents(p, field, n)
	case **boot.Settings:
		d.bootLoader(p, field, n)
	default:
		d.scalarText(p, field, n)
	}
}

// boolean returns a value that is true or false.
func (d *decoder) boolean(p *Parameter, n *node) (value, ok bool) {
	if n.kind != boolNode {
		d.wrongType(p, p.Name, n)
		return false, false
	}
	return n.text == "true", true
}

// scalarText gives a value to a field that is a string of some type.
func (d *decoder) scalarText(p *Parameter, field any, n *node) {
	var text string
	var ok bool
	switch p.Kind {
	case KindPath:
		text, ok = d.path(p, p.Name, n)
	case KindBootSize:
		text, ok = d.bootSize(p, n)
	default:
		text, ok = d.text(p, p.Name, n)
	}
	if ok {
		setText(field, text)
	}
}

// bootSize returns a size, or a number of MiB as text. Which of both it must be
// depends on the builder.
func (d *decoder) bootSize(p *Parameter, n *node) (string, bool) {
	d.spec.bootSizeIsNumber = n.kind == integerNode
	switch {
	case n.kind == integerNode:
		return strconv.FormatInt(n.integer, 10), true
	case n.kind == stringNode && n.text == "":
		d.fail(n.at, p.Name, fmt.Errorf("%q is not a size: %w", n.text, errNoSize))
		return "", false
	}
	return d.text(p, p.Name, n)
}

// assignNull asks for nothing.
func (d *decoder) assignNull(p *Parameter) {
	switch field := p.field(d.spec).(type) {
	case *[]string:
		*field = nil
	case **boot.Settings:
		*field = nil
	case *string:
		*field = ""
		if p.Name == "rootFSUID" {
			*field = Null
		}
	}
}

// wrongType adds the problem that a value does not have the parameter's type.
func (d *decoder) wrongType(p *Parameter, name string, n *node) {
	hint := ""
	if wanted := p.Kind; (n.kind == integerNode || n.kind == numberNode || n.kind == boolNode) && wanted.isText() {
		hint = ", in quotes"
	} else if n.kind == stringNode && (wanted == KindBool || wanted == KindInteger || wanted == KindMiB) && !d.flag {
		hint = ", without quotes"
	}
	got := n.describe()
	if d.flag {
		got = fmt.Sprintf("%q", n.text)
	}
	d.fail(n.at, name, fmt.Errorf("must be %s%s, not %s", p.Kind.describe(), hint, got))
}

// isText reports whether a value is written as a string.
func (k Kind) isText() bool {
	return slices.Contains([]Kind{KindString, KindChoice, KindSize, KindBootSize, KindUUID, KindPath, KindStrings, KindPaths}, k)
}

// describe names a kind for "must be …, not …".
func (k Kind) describe() string {
	switch k {
	case KindBool:
		return "true or false"
	case KindInteger:
		return "a whole number"
	case KindMiB:
		return "a whole number of MiB"
	case KindProperties:
		return "a mapping from properties to values"
	case KindDatasets:
		return "a mapping from names to datasets"
	case KindSize, KindBootSize:
		return `a size such as "512M"`
	case KindDiskSize:
		return `"auto", "min" or a whole number of MiB`
	case KindUUID:
		return "a UUID in a string"
	case KindPath:
		return "a path in a string"
	case KindStrings, KindPaths:
		return "a list of strings"
	case KindContents:
		return "a list of mappings with source and target"
	case KindBootLoader:
		return `"auto" or a mapping with the settings of a boot loader`
	default:
		return "a string"
	}
}

// text returns the value of a parameter that is written as a string.
func (d *decoder) text(p *Parameter, name string, n *node) (string, bool) {
	if n.kind != stringNode {
		d.wrongType(p, name, n)
		return "", false
	}
	return n.text, true
}

// path returns a path that does not depend on where the specification is.
func (d *decoder) path(p *Parameter, name string, n *node) (string, bool) {
	text, ok := d.text(p, name, n)
	switch {
	case !ok:
		return "", false
	case text == "" && !d.flag:
		d.fail(n.at, name, errors.New("the path is empty"))
		return "", false
	case text == "" || p.Name == "root" && text == "-":
		return text, true
	}
	return d.join(text), true
}

// join puts the directory in front of a relative path. Unlike filepath.Join
// it leaves ".." to the system, which knows where links lead.
func (d *decoder) join(path string) string {
	if filepath.IsAbs(path) || d.dir == "" || d.dir == "." {
		return path
	}
	return strings.TrimRight(d.dir, string(filepath.Separator)) + string(filepath.Separator) + path
}

func (d *decoder) diskSize(p *Parameter, field *DiskSize, n *node) {
	switch {
	case n.kind == integerNode:
		*field = DiskSize{DiskSizeFixed, n.integer}
	case n.kind == stringNode && n.text == "auto":
		*field = DiskSize{Mode: DiskSizeAuto}
	case n.kind == stringNode && n.text == "min":
		*field = DiskSize{Mode: DiskSizeMin}
	default:
		// make-disk-image.nix takes "2048" for 2048, and the flag has only text.
		if _, rest := cutDigits(n.text); n.kind == stringNode && n.text != "" && rest == "" {
			if mebibytes, err := strconv.ParseInt(n.text, 10, 64); err == nil {
				*field = DiskSize{DiskSizeFixed, mebibytes}
				return
			}
		}
		d.wrongType(p, p.Name, n)
	}
}

func (d *decoder) strings(p *Parameter, field *[]string, n *node) {
	if n.kind != listNode {
		d.wrongType(p, p.Name, n)
		return
	}
	list := []string{}
	for i, item := range n.items {
		name := fmt.Sprintf("%s[%d]", p.Name, i)
		d.spec.setOrigin(name, d.place(item.at))
		text, ok := item.text, item.kind == stringNode
		if !ok {
			d.wrongType(&Parameter{Kind: KindString}, name, item)
		} else if p.Kind == KindPaths {
			text, ok = d.path(&Parameter{Kind: KindPath}, name, item)
		}
		if ok {
			list = append(list, text)
		}
	}
	*field = list
}

func (d *decoder) contents(p *Parameter, field *[]Content, n *node) {
	if n.kind != listNode {
		d.wrongType(p, p.Name, n)
		return
	}
	list := make([]Content, len(n.items))
	for i, item := range n.items {
		name := fmt.Sprintf("%s[%d]", p.Name, i)
		d.spec.setOrigin(name, d.place(item.at))
		if item.kind != mappingNode {
			d.fail(item.at, name, fmt.Errorf("must be a mapping with source and target, not %s", item.describe()))
			continue
		}
		list[i] = d.content(name, item)
	}
	*field = list
}

// contentKeys are the keys of an element of contents.
var contentKeys = []string{"source", "target", "mode", "user", "group"}

// content reads one element of contents.
func (d *decoder) content(name string, n *node) (c Content) {
	for _, m := range d.members(n, name) {
		key := name + "." + m.key
		d.spec.setOrigin(key, d.place(m.value.at))
		switch m.key {
		case "source":
			c.Source = d.source(key, m.value)
		case "target":
			c.Target, _ = d.text(&Parameter{Kind: KindPath}, key, m.value)
		case "mode":
			c.Mode = d.optional(key, m.value)
		case "user":
			c.User = d.owner(key, m.value)
		case "group":
			c.Group = d.owner(key, m.value)
		default:
			d.report(m.at, name, fmt.Errorf("unknown key %q%s", m.key, suggestion(m.key, contentKeys)))
			if meant := nearest(m.key, contentKeys); meant != "" {
				d.spec.setBroken(name + "." + meant) // it is given, after a fashion
			}
		}
	}
	return c
}

// source returns the source of a content, which is a pattern if it has a '*'.
// The directory that goes in front of it must be no part of the pattern.
func (d *decoder) source(name string, n *node) string {
	text, ok := d.path(&Parameter{Kind: KindPath}, name, n)
	if !ok || text == n.text {
		return text
	}
	if strings.Contains(d.dir, "*") {
		d.fail(n.at, name, fmt.Errorf("the specification's directory %q has a '*', which would make a pattern of the path; it must be absolute here", d.dir))
		return ""
	}
	if strings.Contains(n.text, "*") {
		quoted := *d
		quoted.dir = strings.NewReplacer(`\`, `\\`, "?", `\?`, "[", `\[`).Replace(d.dir)
		text = quoted.join(n.text)
	}
	return text
}

// optional returns a string, or "" for null.
func (d *decoder) optional(name string, n *node) string {
	if n.kind == nullNode {
		return ""
	}
	text, _ := d.text(&Parameter{Kind: KindString}, name, n)
	return text
}

// owner returns a user or group, which may be a number too.
func (d *decoder) owner(name string, n *node) string {
	if n.kind != integerNode {
		return d.optional(name, n)
	}
	if n.text != strconv.FormatInt(n.integer, 10) { // YAML's octal and hexadecimal
		d.fail(n.at, name, fmt.Errorf("%s must be written in decimal", n.text))
	}
	return n.text
}
