package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"diskwright/spec"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// parameterFlags are the flags of parameters: of all of them in build and plan.
type parameterFlags struct {
	values []*parameterValue
}

// parameterValue keeps what was given to a flag until there is a
// specification to put it into.
type parameterValue struct {
	parameter spec.Parameter
	texts     []string
}

// String returns the value; before there is one it is the default, for help.
func (v *parameterValue) String() string {
	if v.texts == nil {
		text, _ := v.parameter.Default.(string)
		if text == "" && v.parameter.Default != nil {
			text = v.parameter.DefaultJSON()
		}
		return strings.Trim(text, `"`)
	}
	return strings.Join(v.texts, " ")
}

// Set keeps a value. What is wrong with it comes out later, together with all
// else.
func (v *parameterValue) Set(text string) error {
	v.texts = append(v.texts, text)
	return nil
}

// Type returns the word that stands for the value in help.
func (v *parameterValue) Type() string {
	if word := v.parameter.Placeholder(); word != "" {
		return word
	}
	return "bool" // keeps pflag from printing a word
}

// add registers a flag for every parameter, under its group, or for those with
// the names.
func (p *parameterFlags) add(cmd *cobra.Command, names ...string) {
	for _, parameter := range spec.Parameters() {
		if len(names) > 0 && !slices.Contains(names, parameter.Name) {
			continue
		}
		value := &parameterValue{parameter: parameter}
		p.values = append(p.values, value)
		flag := cmd.Flags().VarPF(value, parameter.Flag(), "", usage(&parameter))
		if parameter.Kind == spec.KindBool {
			flag.NoOptDefVal = "true"
		}
		// What is refused anyway is not worth a line of help.
		setGroup(flag, parameter.Group)
		p.complete(cmd, &parameter)
	}
}

// usage returns the line of help of a parameter's flag.
func usage(p *spec.Parameter) string {
	text := spec.Plain(p.Summary)
	if len(p.Allowed) > 1 && p.ListsAllowed() {
		text += ": " + strings.Join(p.Allowed, ", ")
	}
	if p.Repeats() {
		text += " (may be repeated)"
	}
	if p.Derived != "" {
		text += " (default: " + spec.Plain(p.Derived) + ")"
	}
	return text
}

// complete tells shells what may follow a flag.
func (p *parameterFlags) complete(cmd *cobra.Command, parameter *spec.Parameter) {
	var complete cobra.CompletionFunc
	switch parameter.Kind {
	case spec.KindPath, spec.KindPaths:
		return // files, which is what shells do on their own
	case spec.KindDiskSize:
		complete = cobra.FixedCompletions([]string{"auto", "min"}, cobra.ShellCompDirectiveNoFileComp)
	case spec.KindBool:
		complete = cobra.FixedCompletions([]string{"true", "false"}, cobra.ShellCompDirectiveNoFileComp)
	default:
		complete = cobra.FixedCompletions(slices.Clone(parameter.Allowed), cobra.ShellCompDirectiveNoFileComp)
	}
	if err := cmd.RegisterFlagCompletionFunc(parameter.Flag(), complete); err != nil {
		panic(err) // the flag was registered just now
	}
}

// completeSpec tells shells that a specification is a JSON or YAML file.
func completeSpec(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"json", "yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// standardInput is the argument that means it.
const standardInput = "-"

// load returns the specification that the arguments and the flags ask for, and
// all that is wrong with it.
func (p *parameterFlags) load(args []string, stdin io.Reader) (*spec.Spec, error) {
	s, err := readSpec(args, stdin)
	if s == nil {
		return nil, usageError{err}
	}
	errs := []error{err, p.set(s), s.Validate()}
	if s.Root == standardInput && len(args) > 0 && args[0] == standardInput {
		errs = append(errs, spec.Problem{Parameter: "root", Err: errors.New("standard input cannot be both the specification and the tar")})
	}
	if err := spec.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// set makes s ask for what the flags and the environment say.
func (p *parameterFlags) set(s *spec.Spec) error {
	var errs []error
	for _, value := range p.values {
		if value.texts != nil {
			errs = append(errs, s.SetFlag(value.parameter, value.texts))
		}
	}
	s.SourceDateEpoch = os.Getenv("SOURCE_DATE_EPOCH")
	return spec.Join(errs...)
}

func readSpec(args []string, stdin io.Reader) (*spec.Spec, error) {
	switch {
	case len(args) == 0:
		return spec.New(), nil
	case args[0] == standardInput:
		return spec.Read(stdin, "standard input", "")
	default:
		return spec.Load(args[0])
	}
}

// groupAnnotation is where a flag has the heading that help shows it under.
const groupAnnotation = "diskwright_group"

// groupOptions is the heading of the flags that are no parameters.
const groupOptions = "Options"

func setGroup(flag *pflag.Flag, group string) {
	flag.Annotations = map[string][]string{groupAnnotation: {group}}
}

// groupedUsage is a cobra usage function that shows flags under headings, in
// the order in which they were registered.
func groupedUsage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	fmt.Fprintf(w, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	var order []string
	groups := map[string]*pflag.FlagSet{}
	cmd.Flags().SortFlags = false
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		name := groupOptions
		if group := flag.Annotations[groupAnnotation]; len(group) > 0 {
			name = group[0]
		}
		if groups[name] == nil {
			groups[name] = pflag.NewFlagSet(name, pflag.ContinueOnError)
			groups[name].SortFlags = false
			order = append(order, name)
		}
		groups[name].AddFlag(flag)
	})
	for _, name := range order {
		if groups[name].HasAvailableFlags() {
			fmt.Fprintf(w, "\n%s:\n%s", name, groups[name].FlagUsagesWrapped(100))
		}
	}
	return nil
}
