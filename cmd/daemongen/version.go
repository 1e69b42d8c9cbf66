package main

// daemongen version: which daemongen this is.

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/daemongen/daemongen/generator"
)

// versioned is what version prints with --json.
type versioned struct {
	outcome
	Version   string `json:"version"`            // of the module, (devel) if it has none
	Revision  string `json:"revision,omitempty"` // of the repository it was built in
	Modified  bool   `json:"modified,omitempty"` // there were changes on top of the revision
	Templates string `json:"templates"`          // their version, which projects note
	Go        string `json:"go"`                 // the toolchain that built it
}

// versionCommand returns the command version.
func versionCommand(con *console) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "tell which daemongen this is",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return tooMany(cmd, args[0])
			}
			v := version()
			return con.print(v, v.text())
		},
	}
}

// version reads what the linker recorded.
func version() versioned {
	v := versioned{outcome: outcome{Command: "version"}, Version: "(devel)", Templates: generator.Version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}

// text is the version in one line.
func (v versioned) text() string {
	text := "daemongen " + v.Version
	if v.Revision != "" {
		text += ", revision " + v.Revision
	}
	if v.Modified {
		text += " with changes"
	}
	return fmt.Sprintf("%s, templates %s, built with %s\n", text, v.Templates, v.Go)
}
