package main

// daemongen list: what can be plugged in.

import (
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/daemongen/daemongen/generator"
	"github.com/daemongen/daemongen/templates"
)

// listed is what list prints with --json.
type listed struct {
	outcome
	Features []listedFeature `json:"features"`
}

// presetKind is the word for presets, which are listed with the features, and are none.
const presetKind = "preset"

// listedFeature is a row of the list.
type listedFeature struct {
	Kind    templates.Kind `json:"kind"`
	Name    string         `json:"name"`
	Summary string         `json:"summary"`
}

// listCommand returns the command list.
func listCommand(con *console) *cobra.Command {
	return &cobra.Command{
		Use:   "list [KIND]",
		Short: "tell what can be plugged in, all or of one kind",
		Example: paragraph(
			"  daemongen list",
			"  daemongen list transport",
			"  daemongen list preset"),
		ValidArgsFunction: completeFirst(func() []string { return append(kinds(), presetKind) }),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return tooMany(cmd, args[1])
			}
			if len(args) == 0 {
				return list(con, "")
			}
			if args[0] == presetKind {
				return list(con, presetKind)
			}
			kind, err := kindOf(args[0])
			if err != nil {
				return err
			}
			return list(con, kind)
		},
	}
}

// list prints the features of a kind, or the presets, or all if it is empty.
func list(con *console, kind templates.Kind) error {
	rows := []listedFeature{}
	for _, f := range generator.Features() {
		if kind == "" || f.Kind == kind {
			rows = append(rows, listedFeature{f.Kind, f.Name, f.Summary})
		}
	}
	for _, p := range generator.Presets() {
		if kind == "" || kind == presetKind {
			rows = append(rows, listedFeature{presetKind, p.Name, p.Summary})
		}
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = table.Write([]byte("KIND\tNAME\tSUMMARY\n"))
	for _, row := range rows {
		_, _ = table.Write([]byte(string(row.Kind) + "\t" + row.Name + "\t" + row.Summary + "\n"))
	}
	_ = table.Flush()
	return con.print(listed{outcome{Command: "list"}, rows}, text.String())
}

// kindOf is the kind that a person typed.
func kindOf(word string) (templates.Kind, error) {
	for _, kind := range templates.Kinds() {
		if word == string(kind) {
			return kind, nil
		}
	}
	return "", usage(didYouMean(word, kinds(), "the kinds are "+strings.Join(kinds(), ", ")), "no kind %q", word)
}

// kinds are the words for the kinds.
func kinds() []string {
	var words []string
	for _, kind := range templates.Kinds() {
		words = append(words, string(kind))
	}
	return words
}

// featuresOf are the names of the features of a kind.
func featuresOf(kind templates.Kind) []string {
	var names []string
	for _, f := range generator.Features() {
		if f.Kind == kind {
			names = append(names, f.Name)
		}
	}
	return names
}

// presetNames are the names of the presets.
func presetNames() []string {
	var names []string
	for _, p := range generator.Presets() {
		names = append(names, p.Name)
	}
	return names
}
