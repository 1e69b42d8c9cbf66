package generator

import (
	"database/sql"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/daemongen/daemongen/templates"
)

func TestNames(t *testing.T) {
	taken := set("handler wire")
	for name, want := range map[string]string{
		"feed": "", "f": "", "my-feed": "", "x9": "", "a--b": "", "exampled": "",
		strings.Repeat("a", 40): "",
		strings.Repeat("a", 41): "is longer than 40 characters",
		"":                      "is missing",
		"Feed":                  "is not a name",
		"9x":                    "is not a name",
		"-x":                    "is not a name",
		"x-":                    "is not a name",
		"my_feed":               "is not a name",
		"my feed":               "is not a name",
		"feed/x":                "is not a name",
		"..":                    "is not a name",
		"fööd":                  "is not a name",
		"my-exampled":           "stands for the name",
		"example-d":             "stands for the name",
		"func":                  "a keyword",
		"go-to":                 "a keyword",
		"str-ing":               "a word that Go has already",
		"len":                   "a word that Go has already",
		"main":                  "means something else",
		"internal":              "means something else",
		"test":                  "means something else",
		"testdata":              "means something else",
		"vendor":                "means something else",
		"init":                  "means something else",
		"handler":               "the code of the daemon uses",
		"wi-re":                 "the code of the daemon uses",
		"order":                 "SQL has already",
		"current-user":          "SQL has already",
		"or-der":                "",
	} {
		got := nameProblem(name, taken)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		if got == "" {
			continue
		}
		if proposal := proposeName(name, taken); nameProblem(proposal, taken) != "" {
			t.Errorf("%q: the proposal %q is no better", name, proposal)
		}
	}
	for name, want := range map[string]string{
		"My_Feed": "my-feed", "order": "orderd", "9x": "x", "fööd": "f-d", "": "feed", "handler": "handlerd",
	} {
		if got := proposeName(name, taken); got != want {
			t.Errorf("for %q: %q, want %q", name, got, want)
		}
	}
}

// A name may be anything that is no word of Go.
func TestPredeclared(t *testing.T) {
	want := types.Universe.Names()
	if got := slices.Sorted(maps.Keys(predeclared)); !slices.Equal(got, want) {
		t.Errorf("predeclared are %v, want %v", got, want)
	}
}

func TestModules(t *testing.T) {
	for path, want := range map[string]string{
		"example.com/feed": "", "github.com/acme/my-feed": "", "feed": "", "feed/v2": "", "github.com/a/b/v3": "",
		templates.ImportPath:    "",
		"":                      "is missing",
		"github.com/acme/feed/": "is not a module path",
		"/feed":                 "is not a module path",
		"a b":                   "is not a module path",
		"https://x.y/z":         "is not a module path",
		"x.y/../z":              "is not a module path",
		"x.y/feed/v1":           "ends in a version",
		"x.y/feed/v02":          "ends in a version",
		"gopkg.in/feed":         "ends in a version",
		"log":                   "belongs to Go",
		"net/feed":              "belongs to Go",
		"x.y/vendor/z":          "belongs to Go",
		"x.y/exampled":          "stands for the name",
		"x.y/Exampled-z":        "stands for the name",
	} {
		if got := moduleProblem(path); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// A module path must not begin as those of the standard library do.
func TestStandardLibrary(t *testing.T) {
	out, err := exec.Command("go", "list", "std").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		first, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		if !ofGo[first] {
			t.Errorf("%q is missing", first)
		}
	}
}

func TestAccounts(t *testing.T) {
	for name, good := range map[string]bool{
		"": true, "nobody": true, "80": true, "www-data": true, "_apt": true, "machine$": true, "x.y": true, "root": true,
		"a b": false, "-x": false, "a:b": false, `a"b`: false, "a\nb": false, "$a": false, strings.Repeat("a", 65): false,
	} {
		if got := accountProblem(name); (got == "") != good {
			t.Errorf("%q: %q", name, got)
		}
	}
}

// The words that SQL has are those with which SQLite makes no table.
func TestReservedInSQL(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	words := slices.Sorted(maps.Keys(reservedInSQL))
	for _, word := range append(words, sqliteKeywords...) {
		word = strings.ToLower(word)
		_, err := db.Exec(fmt.Sprintf("CREATE TEMPORARY TABLE %s (x)", word))
		if err != nil && !strings.Contains(err.Error(), "already exists") && !reservedInSQL[word] {
			t.Errorf("%q is missing: %v", word, err)
		}
	}
}

// sqliteKeywords are those of https://sqlite.org/lang_keywords.html.
var sqliteKeywords = strings.Fields(`
	ABORT ACTION ADD AFTER ALL ALTER ALWAYS ANALYZE AND AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN
	BETWEEN BY CASCADE CASE CAST CHECK COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS
	CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFAULT DEFERRABLE DEFERRED
	DELETE DESC DETACH DISTINCT DO DROP EACH ELSE END ESCAPE EXCEPT EXCLUDE EXCLUSIVE EXISTS
	EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FOREIGN FROM FULL GENERATED GLOB GROUP GROUPS HAVING
	IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INNER INSERT INSTEAD INTERSECT INTO IS ISNULL
	JOIN KEY LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NO NOT NOTHING NOTNULL NULL NULLS OF
	OFFSET ON OR ORDER OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE
	RECURSIVE REFERENCES REGEXP REINDEX RELEASE RENAME REPLACE RESTRICT RETURNING RIGHT ROLLBACK
	ROW ROWS SAVEPOINT SELECT SET TABLE TEMP TEMPORARY THEN TIES TO TRANSACTION TRIGGER UNBOUNDED
	UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WINDOW WITH WITHOUT`)

// The names that the package of a project can't have are recorded beside the
// exemplar: whatever is declared where the package is imported.
func TestTakenNames(t *testing.T) {
	exemplar := templates.Shipped().Exemplar
	names := make(map[string]bool)
	for folder := range importers(t, exemplar) {
		for _, f := range goFilesIn(t, exemplar, folder) {
			if imports(f, templates.ImportPath) {
				declaredIn(f, names)
			}
			topLevel(f, names)
		}
	}
	maps.DeleteFunc(names, func(name string, declared bool) bool { return !declared || !wellFormed(name) || name == templates.Word })
	got := strings.Join(slices.Sorted(maps.Keys(names)), "\n") + "\n"
	recorded(t, "../templates/names.txt", string(templates.Shipped().Names), got)
}

// importers returns the folders with files that import the root package.
func importers(t *testing.T, exemplar fs.FS) map[string]bool {
	folders := make(map[string]bool)
	for name := range filesOf(t, exemplar) {
		folder := path.Dir(name)
		for _, f := range goFilesIn(t, exemplar, folder) {
			if imports(f, templates.ImportPath) {
				folders[folder] = true
			}
		}
	}
	return folders
}

func imports(f *goFile, importPath string) bool {
	return slices.ContainsFunc(f.tree.Imports, func(spec *ast.ImportSpec) bool { return pathOf(spec) == importPath })
}

func goFilesIn(t *testing.T, exemplar fs.FS, folder string) []*goFile {
	t.Helper()
	found, err := fs.Glob(exemplar, path.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*goFile
	for _, name := range found {
		src, err := fs.ReadFile(exemplar, name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseGo(name, src)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// topLevel adds the names that a file declares for its package.
func topLevel(f *goFile, names map[string]bool) {
	ast.Inspect(f.tree, func(node ast.Node) bool {
		if id, ok := node.(*ast.Ident); ok {
			for _, decl := range f.tree.Decls {
				names[id.Name] = names[id.Name] || declares(decl, id.Name)
			}
		}
		return true
	})
}

// declaredIn adds the names that a file declares anywhere, imports included.
func declaredIn(f *goFile, names map[string]bool) {
	for _, spec := range f.tree.Imports {
		names[importName(spec)] = true
	}
	ast.Inspect(f.tree, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			for _, x := range node.Lhs {
				if id, ok := x.(*ast.Ident); ok && node.Tok == token.DEFINE {
					names[id.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, x := range []ast.Expr{node.Key, node.Value} {
				if id, ok := x.(*ast.Ident); ok {
					names[id.Name] = true
				}
			}
		case *ast.ValueSpec:
			for _, id := range node.Names {
				names[id.Name] = true
			}
		case *ast.TypeSpec:
			names[node.Name.Name] = true
		case *ast.Field: // of parameters, and of structures, where it does no harm
			for _, id := range node.Names {
				names[id.Name] = true
			}
		}
		return true
	})
}
