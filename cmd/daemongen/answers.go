package main

// Where the answers come from that make a spec: flags and their variables, the
// file of --from, the preset, questions, defaults, in this order.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/daemongen/daemongen/generator"
)

// What is plugged in when nobody says anything else.
const (
	defaultTransport = "tcp"
	defaultDatabase  = "sqlite"
)

// maxAnswers bounds what is read from the file of --from, in bytes.
const maxAnswers = 1 << 20

// spec gathers what was asked for. Given tells whether a flag was.
func (o *newOptions) spec(ctx context.Context, con *console, given func(flag string) bool) (generator.Spec, error) {
	var spec generator.Spec
	if err := o.noneEmpty(given); err != nil {
		return spec, err
	}
	inFile := func(string) bool { return false }
	if o.from != "" {
		var err error
		if spec, inFile, err = readAnswers(ctx, con, o.from); err != nil {
			return spec, err
		}
	}
	manifest := spec.Preset != "" && inFile("daemongen")
	if err := o.override(&spec, given); err != nil {
		return spec, err
	}
	if !manifest { // one has the answers of its preset already
		var err error
		if spec, err = spec.WithPreset(); err != nil {
			return spec, err
		}
	}
	settings := spec.Set
	known := func(flag string) bool {
		return given(flag) || inFile(flag) || settings["daemon."+flag] != "" || spec.Preset != ""
	}
	if spec.Name == "" {
		return spec, usage("usage: daemongen new NAME", "no name given")
	}
	if !known("transport") {
		spec.Transports = []string{defaultTransport}
	}
	if !known("database") {
		spec.Database = defaultDatabase
	}
	spec = spec.Normalize()
	if err := spec.Validate(); err != nil {
		return spec, err
	}
	err := o.inquire(ctx, con, &spec, known)
	return spec, err
}

// inquire asks for what is not known of the spec, which holds the defaults for
// it.
func (o *newOptions) inquire(ctx context.Context, con *console, spec *generator.Spec, known func(flag string) bool) error {
	if !o.mayAsk(con) {
		return nil
	}
	ask, asked := con.asker(ctx), false
	for _, inquiry := range inquiries {
		if known(inquiry.flag) {
			continue
		}
		if !asked { // nobody is to answer questions in vain
			if err := generator.CheckPlace(o.root(*spec)); err != nil {
				return err
			}
		}
		asked = true
		if err := inquiry.ask(ask, spec); err != nil {
			return err
		}
	}
	if asked {
		*spec = spec.Normalize()
		con.note("\nthe same without a question:\n  %s\n", o.again(con, *spec))
	}
	return nil
}

// override puts what the flags say over what the file says.
func (o *newOptions) override(spec *generator.Spec, given func(flag string) bool) error {
	if o.name != "" {
		rename(spec, o.name)
	}
	text := func(flag, value string, field *string) {
		if given(flag) {
			*field = value
		}
	}
	text("module", o.module, &spec.Module)
	text("preset", o.preset, &spec.Preset)
	text("database", o.database, &spec.Database)
	text("user", o.user, &spec.User)
	text("group", o.group, &spec.Group)
	list := func(flag string, value names, field *[]string) {
		if given(flag) {
			*field = value.features()
		}
	}
	list("transport", o.transports, &spec.Transports)
	list("component", o.components, &spec.Components)
	list("deploy", o.deploy, &spec.Deploy)

	for _, setting := range o.set {
		key, value, ok := strings.Cut(setting, "=")
		if !ok || key == "" {
			return usage("give it as section.key=value, such as worker.count=8", "--set: %q is not a setting with a value", setting)
		}
		if spec.Set == nil {
			spec.Set = make(map[string]string)
		}
		spec.Set[key] = value
	}
	return nil
}

// noneEmpty finds a flag with an empty value, which is more likely a variable
// of the caller's that was not set than what was meant. An empty group is the
// user's own.
func (o *newOptions) noneEmpty(given func(flag string) bool) error {
	for _, f := range []struct{ flag, value string }{
		{"module", o.module}, {"dir", o.dir}, {"preset", o.preset}, {"database", o.database}, {"user", o.user}, {"from", o.from},
	} {
		if given(f.flag) && f.value == "" {
			return usage("leave it out to take the default", "--%s: the value is empty", f.flag)
		}
	}
	return nil
}

// rename gives the spec of one project to another, whose module stands beside
// that of the first.
func rename(spec *generator.Spec, name string) {
	if spec.Module != "" && path.Base(spec.Module) == spec.Name {
		spec.Module = path.Join(path.Dir(spec.Module), name)
	}
	spec.Name = name
}

// readAnswers reads a file of answers; "-" is stdin. The function returned
// tells whether the file has the answer of a flag: a manifest has all of them,
// though it leaves out what there is none of.
func readAnswers(ctx context.Context, con *console, name string) (generator.Spec, func(flag string) bool, error) {
	data, err := readUntil(ctx, con, name)
	if err != nil {
		return generator.Spec{}, nil, err
	}
	spec, err := generator.ReadAnswers(data)
	if err != nil {
		return spec, nil, inAnswers(name, err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return spec, nil, err
	}
	return spec, func(flag string) bool {
		key := flag
		if flag == "transport" {
			key = "transports"
		}
		return keys["daemongen"] != nil || keys[key] != nil
	}, nil
}

// inAnswers says of problems that they are in the file of --from.
func inAnswers(name string, err error) error {
	var invalid *generator.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	located := &generator.InvalidError{}
	for _, p := range invalid.Problems {
		p.Field, p.Reason = "from", fmt.Sprintf("%q: %s", name, p.Reason)
		located.Problems = append(located.Problems, p)
	}
	return located
}

// readUntil is readFile until the context ends: the file may be a pipe on which
// nobody writes.
func readUntil(ctx context.Context, con *console, name string) ([]byte, error) {
	type contents struct {
		data []byte
		err  error
	}
	read := make(chan contents, 1)
	go func() {
		data, err := readFile(con, name)
		read <- contents{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case got := <-read:
		if got.err != nil {
			hint := "it takes a file of answers, such as the " + generator.ManifestName + " of a project"
			return nil, usage(hint, "from: %q: %v", name, got.err)
		}
		return got.data, nil
	}
}

// readFile returns what is in a file, or on stdin.
func readFile(con *console, name string) ([]byte, error) {
	file := con.stdin
	if name != "-" {
		var err error
		if file, err = os.Open(name); err != nil {
			return nil, bare(err)
		}
		defer func() { _ = file.Close() }()
	}
	data, err := io.ReadAll(io.LimitReader(file, maxAnswers+1))
	if err == nil && len(data) > maxAnswers {
		err = errors.New("more than a megabyte can't be answers")
	}
	return data, bare(err)
}

// bare is an error without the operation and the path, which the message has
// already.
func bare(err error) error {
	var failed *os.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}
