package generator

// What the name of a project, its module path and its user may be, with the
// reason and a proposal where they may not.

import (
	"errors"
	"fmt"
	"go/token"
	"strings"

	"golang.org/x/mod/module"

	"github.com/daemongen/daemongen/templates"
)

const maxName = 40 // bytes

// nameProblem returns what is wrong with the name of a project, or "". Taken
// are the identifiers of the exemplar that the name of the package would hide.
func nameProblem(name string, taken map[string]bool) string {
	form := packageForm(name)
	switch {
	case name == "":
		return "is missing"
	case len(name) > maxName:
		return fmt.Sprintf("%q is longer than %d characters", name, maxName)
	case !wellFormed(name):
		return fmt.Sprintf("%q is not a name: it takes small letters, digits and hyphens, begins with a letter and does not end with a hyphen", name)
	case name == templates.Word:
		return ""
	case strings.Contains(form, templates.Word):
		return fmt.Sprintf("%q contains %q, which stands for the name in what is copied", name, templates.Word)
	case token.IsKeyword(form):
		return fmt.Sprintf("%q would be the Go package %s, a keyword", name, form)
	case predeclared[form]:
		return fmt.Sprintf("%q would be the Go package %s, a word that Go has already", name, form)
	case special[form]:
		return fmt.Sprintf("%q would be the Go package %s, which means something else to the go command", name, form)
	case taken[form]:
		return fmt.Sprintf("%q would be the Go package %s, a word that the code of the daemon uses", name, form)
	case reservedInSQL[tableForm(name)]:
		return fmt.Sprintf("%q would be the table %s, a word that SQL has already", name, tableForm(name))
	}
	return ""
}

// proposeName returns a name close to what was asked for that has no problem.
func proposeName(name string, taken map[string]bool) string {
	clean := make([]byte, 0, len(name))
	for _, c := range []byte(strings.ToLower(name)) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9' && len(clean) > 0:
			clean = append(clean, c)
		case len(clean) > 0 && clean[len(clean)-1] != '-':
			clean = append(clean, '-')
		}
	}
	base := strings.ReplaceAll(string(clean), templates.Word, "example")
	base = strings.Trim(base[:min(len(base), maxName-len("-service"))], "-")
	if base == "" {
		return "feed"
	}
	for _, proposal := range []string{base, base + "d", base + "-service", "my-" + base} {
		if nameProblem(proposal, taken) == "" {
			return proposal
		}
	}
	return "feed"
}

// wellFormed reports whether name matches ^[a-z]([a-z0-9-]*[a-z0-9])?$.
func wellFormed(name string) bool {
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z':
		case '0' <= c && c <= '9' && i > 0:
		case c == '-' && i > 0 && i < len(name)-1:
		default:
			return false
		}
	}
	return name != ""
}

// moduleProblem returns what is wrong with a module path, or "".
func moduleProblem(path string) string {
	if path == "" {
		return "is missing"
	}
	if path == templates.ImportPath {
		return ""
	}
	if err := module.CheckImportPath(path); err != nil {
		var invalid *module.InvalidPathError
		if errors.As(err, &invalid) {
			err = invalid.Err
		}
		return fmt.Sprintf("%q is not a module path: %v", path, err)
	}
	if _, _, ok := module.SplitPathVersion(path); !ok {
		return fmt.Sprintf("%q ends in a version that no module can have", path)
	}
	if strings.Contains(strings.ToLower(path), templates.Word) {
		return fmt.Sprintf("%q contains %q, which stands for the name in what is copied", path, templates.Word)
	}
	for i, element := range strings.Split(path, "/") {
		if element == "vendor" || element == "testdata" || i == 0 && ofGo[element] {
			return fmt.Sprintf("%q begins or goes on with %q, which belongs to Go itself", path, element)
		}
	}
	return ""
}

// accountProblem returns what is wrong with the name or number of a user or
// group, or "". Whether it exists is for the machine to say on which the daemon
// will run.
func accountProblem(name string) string {
	if len(name) > 64 {
		return fmt.Sprintf("%q is longer than 64 characters", name)
	}
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '.' || c == '@' || c == '$' && i == len(name)-1):
		default:
			return fmt.Sprintf("%q is neither a name nor a number", name)
		}
	}
	return ""
}

// set returns the words of a list.
func set(list string) map[string]bool {
	words := make(map[string]bool)
	for word := range strings.FieldsSeq(list) {
		words[word] = true
	}
	return words
}

var (
	// predeclared are the identifiers of Go's universe.
	predeclared = set(`
		any append bool byte cap clear close comparable complex complex128 complex64 copy
		delete error false float32 float64 imag int int16 int32 int64 int8 iota len make max
		min new nil panic print println real recover rune string true uint uint16 uint32
		uint64 uint8 uintptr`)

	// special are the names that a package or its folder can't have.
	special = set(`all cmd init internal main std test testdata vendor`)

	// ofGo are the first elements of the paths of the standard library, and
	// those that the go command keeps for itself.
	ofGo = set(`
		all archive bufio builtin bytes cmd cmp compress container context crypto database
		debug embed encoding errors expvar flag fmt go hash html image index internal io iter
		log main maps math mime net os path plugin reflect regexp runtime slices sort std
		strconv strings structs sync syscall testing text time unicode unique unsafe uuid
		vendor weak`)

	// reservedInSQL are the words that SQLite, MySQL, MariaDB or PostgreSQL
	// don't take as the name of a table without quotes.
	reservedInSQL = set(`
		accessible add all alter analyse analyze and any array as asc asensitive asymmetric
		authorization before autoincrement between bigint binary blob both by call cascade case cast change
		char character check collate collation column commit concurrently condition constraint
		continue convert create cross cube cume_dist current_catalog current_date current_role
		current_schema current_time current_timestamp current_user cursor database databases
		day_hour day_microsecond day_minute day_second dec decimal declare default deferrable
		delayed delete dense_rank desc describe deterministic distinct distinctrow div do
		double drop dual each else elseif empty enclosed end escape escaped except exists exit
		explain false fetch first_value float float4 float8 for force foreign freeze from full
		fulltext function general generated get grant group grouping groups having
		high_priority hour_microsecond hour_minute hour_second if ignore ilike in index infile
		initially inner inout insensitive insert int int1 int2 int3 int4 int8 integer intersect
		interval into io_after_gtids io_before_gtids is isnull iterate join json_table key keys
		kill lag last_value lateral lead leading leave left like limit linear lines load
		localtime localtimestamp lock long longblob longtext loop low_priority match maxvalue
		mediumblob mediumint mediumtext middleint minute_microsecond minute_second mod modifies
		natural not nothing notnull no_write_to_binlog nth_value ntile null numeric of offset on
		only optimize optimizer_costs option optionally or order out outer outfile over overlaps
		parallel partition percent_rank period placing precision primary procedure purge qualify
		range rank read reads read_write real recursive references regexp release rename repeat
		replace require resignal restrict return returning revoke right rlike row row_number
		rows schema schemas second_microsecond select sensitive separator session_user set show
		signal similar smallint some spatial specific sql sqlexception sqlstate sqlwarning
		sql_big_result sql_calc_found_rows sql_small_result ssl starting stored straight_join
		symmetric system system_user table tables tablesample terminated then tinyblob tinyint
		tinytext to trailing transaction trigger true undo union unique unlock unsigned update
		usage use user using utc_date utc_time utc_timestamp values varbinary varchar
		varcharacter variadic varying verbose virtual when where while window with within write
		xor year_month zerofill`)
)
