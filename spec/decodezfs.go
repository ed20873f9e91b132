package spec

import (
	"errors"
	"fmt"
	"strconv"
)

// properties reads a mapping from properties to values. Name is what problems call
// it.
func (d *decoder) properties(name string, field *map[string]string, n *node) {
	if n.kind != mappingNode {
		d.wrongType(&Parameter{Kind: KindProperties}, name, n)
		return
	}
	props := make(map[string]string)
	for _, m := range d.members(n, name) {
		key := name + "." + m.key
		d.spec.setOrigin(key, d.place(m.value.at))
		switch m.value.kind {
		case stringNode:
			props[m.key] = m.value.text
		case integerNode:
			props[m.key] = strconv.FormatInt(m.value.integer, 10)
		case boolNode:
			d.fail(m.value.at, key, fmt.Errorf("must be a string or a whole number, not %s; ZFS says \"on\" and \"off\"", m.value.describe()))
		default:
			d.fail(m.value.at, key, fmt.Errorf("must be a string or a whole number, not %s", m.value.describe()))
		}
	}
	*field = props
}

// datasetKeys are the keys of an element of datasets.
var datasetKeys = []string{"mount", "properties"}

// datasets reads a mapping from names to datasets.
func (d *decoder) datasets(p *Parameter, field *map[string]Dataset, n *node) {
	if n.kind != mappingNode {
		d.wrongType(p, p.Name, n)
		return
	}
	list := make(map[string]Dataset)
	for _, m := range d.members(n, p.Name) {
		name := p.Name + "." + m.key
		d.spec.setOrigin(name, d.place(m.value.at))
		if m.value.kind != mappingNode {
			d.fail(m.value.at, name, fmt.Errorf("must be a mapping with mount and properties, not %s", m.value.describe()))
			continue
		}
		list[m.key] = d.dataset(name, m.value)
	}
	*field = list
}

// dataset reads one element of datasets.
func (d *decoder) dataset(name string, n *node) (dataset Dataset) {
	for _, m := range d.members(n, name) {
		key := name + "." + m.key
		d.spec.setOrigin(key, d.place(m.value.at))
		switch m.key {
		case "mount":
			dataset.Mount = d.optional(key, m.value)
			if m.value.kind == stringNode && dataset.Mount == "" {
				d.fail(m.value.at, key, errors.New("the path is empty; a dataset that is not mounted has no mount"))
			}
		case "properties":
			if m.value.kind != nullNode {
				d.properties(key, &dataset.Properties, m.value)
			}
		default:
			d.report(m.at, name, fmt.Errorf("unknown key %q%s", m.key, suggestion(m.key, datasetKeys)))
			if meant := nearest(m.key, datasetKeys); meant != "" {
				d.spec.setBroken(name + "." + meant) // it is given, after a fashion
			}
		}
	}
	return dataset
}
