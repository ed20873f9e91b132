package grub

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"diskwright/boot"
)

// maxDepth bounds how deep values in grub-config.xml may nest.
const maxDepth = 8

// expression is a value as builtins.toXML writes it.
type expression struct {
	kind  string // attrs, list, string, int, bool, null
	text  string // of a string, number or truth value
	attrs map[string]expression
	list  []expression
}

// ParseConfig reads what NixOS hands to install-grub.pl: one grub-config.xml for
// each element of mirroredBoots. What is not in there (distroName) has its
// default; see [ReadScript].
func ParseConfig(configs ...[]byte) (*boot.Settings, error) {
	if len(configs) == 0 {
		return nil, errors.New("grub-config.xml: there is none")
	}
	var settings *boot.Settings
	for n, text := range configs {
		e, err := parseExpression(text)
		if err != nil {
			return nil, fmt.Errorf("grub-config.xml: %w", err)
		}
		r := &configReader{attrs: e.attrs}
		if n == 0 {
			settings = r.settings()
		}
		settings.GRUB.MirroredBoots = append(settings.GRUB.MirroredBoots, r.boot())
		if err := errors.Join(r.problems...); err != nil {
			return nil, fmt.Errorf("grub-config.xml: %w", err)
		}
	}
	if err := settings.Validate(); err != nil {
		return nil, fmt.Errorf("grub-config.xml: %w", err)
	}
	return settings, nil
}

// Texts of install-grub.pl that settings are read from: the title of the
// submenu with all generations, and how those of generations with
// specialisations begin.
var (
	allConfigurations = regexp.MustCompile(`"([^"$@\\\n]*) - All configurations"`)
	generationSubmenu = regexp.MustCompile(`submenu \\"(> )?\$name`)
)

// ReadScript completes settings by what NixOS writes into the text of
// install-grub.pl itself.
func ReadScript(script []byte, g *boot.GRUB) error {
	name := allConfigurations.FindSubmatch(script)
	if name == nil {
		return errors.New("install-grub.pl: the title of the submenu with all configurations is not where NixOS has it: set bootLoader")
	}
	submenu := generationSubmenu.FindSubmatch(script)
	if submenu == nil {
		return errors.New("install-grub.pl: there are no submenus for specialisations, so it is that of a NixOS before 23.11: set bootLoader")
	}
	g.DistroName = string(name[1])
	g.OlderSubmenus = len(submenu[1]) > 0
	return nil
}

// configReader takes settings from the attributes of a configuration.
type configReader struct {
	attrs    map[string]expression
	problems []error
}

func (r *configReader) get(name, kind string) expression {
	e, ok := r.attrs[name]
	if ok && e.kind == "null" && kind == "string" {
		return expression{kind: kind}
	}
	if !ok || e.kind != kind {
		r.problems = append(r.problems, fmt.Errorf("%s is missing, or not of the type %s: set bootLoader", name, kind))
	}
	return e
}

func (r *configReader) string(name string) string { return r.get(name, "string").text }
func (r *configReader) bool(name string) bool     { return r.get(name, "bool").text == "true" }

func (r *configReader) int(name string) int {
	n, err := strconv.Atoi(r.get(name, "int").text)
	if err != nil {
		r.problems = append(r.problems, fmt.Errorf("%s is not a whole number", name))
	}
	return n
}

// option returns a setting that an empty string switches off.
func (r *configReader) option(name string) *string {
	if s := r.string(name); s != "" {
		return &s
	}
	return nil
}

func (r *configReader) strings(name string) []string {
	var all []string
	for _, e := range r.get(name, "list").list {
		all = append(all, e.text)
	}
	return all
}

// settings reads what all elements of mirroredBoots have in common.
func (r *configReader) settings() *boot.Settings {
	s := boot.NewSettings(boot.GRUBName)
	timeout := r.int("timeout")
	if s.Timeout = &timeout; timeout < 0 {
		s.Timeout = nil
	}
	s.EFI.CanTouchEFIVariables = r.bool("canTouchEfiVariables")
	g := s.GRUB
	g.Users = r.users()
	g.StorePath = r.string("storePath")
	g.ExtraPrepareConfig = r.string("extraPrepareConfig")
	g.ExtraConfig = r.string("extraConfig")
	g.ExtraGrubInstallArgs = r.strings("extraGrubInstallArgs")
	g.ExtraPerEntryConfig = r.string("extraPerEntryConfig")
	g.ExtraEntries = r.string("extraEntries")
	g.ExtraEntriesBeforeNixOS = r.bool("extraEntriesBeforeNixOS")
	g.UseOSProber = r.bool("useOSProber")
	g.SplashImage = r.option("splashImage")
	g.SplashMode = r.string("splashMode")
	g.BackgroundColor = r.option("backgroundColor")
	g.TimeoutStyle = r.string("timeoutStyle")
	g.EntryOptions = r.string("entryOptions")
	g.SubEntryOptions = r.string("subEntryOptions")
	g.Theme = r.option("theme")
	g.Font = r.option("font")
	g.GFXModeEFI = r.string("gfxmodeEfi")
	g.GFXModeBIOS = r.string("gfxmodeBios")
	g.GFXPayloadEFI = r.string("gfxpayloadEfi")
	g.GFXPayloadBIOS = r.string("gfxpayloadBios")
	g.ConfigurationLimit = r.int("configurationLimit")
	g.CopyKernels = r.bool("copyKernels")
	g.Default = r.string("default")
	g.FSIdentifier = r.string("fsIdentifier")
	g.EFIInstallAsRemovable = r.bool("efiInstallAsRemovable")
	g.ForceInstall = r.bool("forceInstall")
	g.Grub, g.Target = r.string("grub"), r.string("grubTarget")
	g.GrubEFI, g.TargetEFI = r.string("grubEfi"), r.string("grubTargetEfi")
	g.EFISupport = g.GrubEFI != ""
	g.FullName, g.FullVersion = r.string("fullName"), r.string("fullVersion")
	return s
}

// boot reads what each element of mirroredBoots has of its own.
func (r *configReader) boot() boot.GRUBBoot {
	mount, id := r.string("efiSysMountPoint"), r.string("bootloaderId")
	return boot.GRUBBoot{Path: r.string("bootPath"), EFISysMountPoint: &mount, EFIBootloaderID: &id, Devices: r.strings("devices")}
}

func (r *configReader) users() map[string]boot.GRUBUser {
	users := map[string]boot.GRUBUser{}
	for name, e := range r.get("users", "attrs").attrs {
		u := &configReader{attrs: e.attrs}
		users[name] = boot.GRUBUser{
			HashedPassword:     u.option("hashedPassword"),
			HashedPasswordFile: u.option("hashedPasswordFile"),
			Password:           u.option("password"),
			PasswordFile:       u.option("passwordFile"),
		}
		for _, p := range u.problems {
			r.problems = append(r.problems, fmt.Errorf("users: %q: %w", name, p))
		}
	}
	return users
}

// parseExpression reads a document of builtins.toXML, whose value must be an
// attribute set.
func parseExpression(text []byte) (expression, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return expression{}, errors.New("no expression: want what builtins.toXML makes")
		}
		if err != nil {
			return expression{}, err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local != "expr" {
			return expression{}, fmt.Errorf("begins with <%s>: want <expr>, as builtins.toXML makes it", start.Name.Local)
		}
		values, err := parseValues(d, 0)
		if err != nil {
			return expression{}, err
		}
		if len(values) != 1 || values[0].kind != "attrs" {
			return expression{}, errors.New("the expression is not an attribute set")
		}
		return values[0], nil
	}
}

// parseValues reads the values up to the end of the element that has them.
func parseValues(d *xml.Decoder, depth int) ([]expression, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("values nest more than %d levels deep", maxDepth)
	}
	var all []expression
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return all, nil
		case xml.StartElement:
			e, err := parseValue(d, t, depth)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
	}
}

// parseValue reads one value, whose element has begun.
func parseValue(d *xml.Decoder, start xml.StartElement, depth int) (expression, error) {
	e := expression{kind: start.Name.Local}
	switch e.kind {
	case "attrs":
		return e, e.parseAttrs(d, depth)
	case "list":
		var err error
		e.list, err = parseValues(d, depth+1)
		return e, err
	}
	e.text = attribute(start, "value")
	return e, d.Skip()
}

// parseAttrs reads the elements <attr name="…"> of an attribute set.
func (e *expression) parseAttrs(d *xml.Decoder, depth int) error {
	e.attrs = map[string]expression{}
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			name := attribute(t, "name")
			values, err := parseValues(d, depth+1)
			if err != nil {
				return err
			}
			if t.Name.Local != "attr" || len(values) != 1 {
				return fmt.Errorf("<%s> %q has %d values: want <attr> with one", t.Name.Local, name, len(values))
			}
			e.attrs[name] = values[0]
		}
	}
}

func attribute(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
