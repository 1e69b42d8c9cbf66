package lifecycle

// The steps before the daemon can be driven: what the go command says.

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const buildGroup = "build"

// step is one call of the go command.
type step struct {
	name      string
	essential bool // without it there is no program to drive
	run       func(*verifier) (Result, string)
}

// steps are all of them, in order.
func steps() []step {
	return []step{
		{"the project builds", true, (*verifier).build},
		{"go vet finds nothing", false, (*verifier).vet},
		{"its own tests pass", false, (*verifier).test},
	}
}

func (v *verifier) build() (Result, string) {
	return v.goCommand("build", "-o", filepath.Join(v.dir, "bin", v.project.name), "./cmd/"+v.project.name)
}

func (v *verifier) vet() (Result, string) { return v.goCommand("vet", "./...") }

func (v *verifier) test() (Result, string) {
	if v.opts.SkipTests {
		return Skipped, "--skip-tests"
	}
	return v.goCommand("test", "./...")
}

// needGo tells whether there is a go command.
func needGo() error {
	if _, err := exec.LookPath("go"); err != nil {
		return &EnvironmentError{errors.New("there is no go command in the PATH"), "Go is at https://go.dev/dl"}
	}
	return nil
}

// goCommand runs the go command in the project. What it writes in passing goes
// to the private folder, and the daemons of the project's tests with it, so that
// they can be found if the tests are interrupted.
func (v *verifier) goCommand(args ...string) (Result, string) {
	cmd := exec.CommandContext(v.ctx, "go", args...)
	cmd.Dir = v.project.root
	cmd.Env = append(os.Environ(), "PWD="+cmd.Dir, "TMPDIR="+filepath.Join(v.dir, "tmp"))
	line := strings.ReplaceAll("go "+strings.Join(args, " "), v.dir+string(filepath.Separator), "")
	o := execute(v.ctx, line, cmd)
	v.ran(o.said())
	if o.code == 0 {
		return Held, ""
	}
	return Failed, excerpt(o.said() + "\n" + o.stdout + o.stderr)
}
