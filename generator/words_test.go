package generator

import (
	"testing"

	"github.com/daemongen/daemongen/templates"
)

func TestReplace(t *testing.T) {
	const path = templates.ImportPath
	for _, test := range []struct{ file, src, want string }{
		{"a.go", "", ""},
		{"a.go", "package exampled", "package myfeed"},
		{"a.go", "package exampled_test", "package myfeed_test"},
		{"a.go", "var exampled = exampledTable", "var myfeed = myfeedTable"},
		{"a.go", `import exampled "` + path + `"`, `import myfeed "github.com/acme/feeds"`},
		{"a.go", `import "` + path + `/internal/wire"`, `import "github.com/acme/feeds/internal/wire"`},
		{"a.go", `import "` + path + `/cmd/exampled"`, `import "github.com/acme/feeds/cmd/my-feed"`},
		{"a.go", `x("exampled: %v", exampled.New())`, `x("my-feed: %v", myfeed.New())`},
		{"a.go", "// Package exampled does.\npackage exampled", "// Package myfeed does.\npackage myfeed"},
		{"a.go", "// see exampled.New and exampled.toml, exampled. It", "// see myfeed.New and my-feed.toml, my-feed. It"},
		{"a.go", "// subpackage exampled", "// subpackage my-feed"},
		{"a.go", `"EXAMPLED_CONFIG"`, `"MY_FEED_CONFIG"`},
		{"a.go", `"INSERT INTO exampled (x)"`, `"INSERT INTO my_feed (x)"`},
		{"a.go", "`DELETE FROM\n\texampled`", "`DELETE FROM\n\tmy_feed`"},
		{"a.go", "`UPDATE \"exampled\" SET`", "`UPDATE \"my_feed\" SET`"},
		{"a.go", `"FROM exampled JOIN exampled"`, `"FROM my_feed JOIN my_feed"`},
		{"a.go", `"xFROM exampled"`, `"xFROM my-feed"`},
		{"a.go", "// the table exampled of exampled", "// the table my_feed of my-feed"},
		{"a.go", "'x'; exampled; `exampled`; /* exampled */ exampled", "'x'; myfeed; `my-feed`; /* my-feed */ myfeed"},
		{"a.sql", "CREATE TABLE IF NOT EXISTS exampled (x); -- exampled", "CREATE TABLE IF NOT EXISTS my_feed (x); -- my-feed"},
		{"a.sql", "CREATE TABLE `exampled`", "CREATE TABLE `my_feed`"},
		{"a.toml", "# exampled.New", "# my-feed.New"},
		{"a.sh", "exec /usr/bin/exampled $EXAMPLED_CONFIG", "exec /usr/bin/my-feed $MY_FEED_CONFIG"},
	} {
		got, _ := wordsOf("my-feed", "github.com/acme/feeds").replace(test.file, []byte(test.src))
		if string(got) != test.want {
			t.Errorf("%s: %q is %q, want %q", test.file, test.src, got, test.want)
		}
		same, _ := wordsOf(templates.Word, templates.ImportPath).replace(test.file, []byte(test.src))
		if string(same) != test.src {
			t.Errorf("%s: %q by its own name is %q", test.file, test.src, same)
		}
	}
}

// What is put in is never replaced again, and the length of a name changes
// nothing around it.
func TestReplaceOnce(t *testing.T) {
	src := []byte("exampled EXAMPLED " + templates.ImportPath + " exampledexampled")
	got, _ := wordsOf("x", "a.b/"+templates.Word).replace("a.txt", src)
	if want := "x X a.b/exampled xx"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Moved may be said too often, and must not be said too seldom: then gofmt
// would find something to change, which TestLawSound sees.
func TestReplaceMoved(t *testing.T) {
	for src, want := range map[string]bool{
		`import "` + templates.ImportPath + `/internal/wire"`: false,
		"\t// exampled, in a line of comment":                 false,
		"x := 1 // exampled":                                  true,
		"var exampled int":                                    true,
		`x("exampled")`:                                       true,
		`x("EXAMPLED")`:                                       true,
		"x()":                                                 false,
	} {
		if _, moved := wordsOf("feed", "a.b/c").replace("a.go", []byte(src)); moved != want {
			t.Errorf("%q: moved is %v", src, moved)
		}
	}
	if _, moved := wordsOf("feed", "a.b/c").replace("a.toml", []byte("exampled")); moved {
		t.Error("moved is said of what gofmt does not lay out")
	}
}

func TestPathOf(t *testing.T) {
	w := wordsOf("my-feed", "github.com/acme/feeds")
	for path, want := range map[string]string{
		"exampled.go":               "myfeed.go",
		"exampled_test.go":          "myfeed_test.go",
		"cmd/exampled/main.go":      "cmd/my-feed/main.go",
		"cmd/exampled/exampled.go":  "cmd/my-feed/myfeed.go",
		"configs/exampled.toml":     "configs/my-feed.toml",
		"deploy/exampled-dog.sh":    "deploy/my-feed-dog.sh",
		"internal/wire/wire.go":     "internal/wire/wire.go",
		"internal/exampled/data.go": "internal/my-feed/data.go",
	} {
		if got := w.pathOf(path); got != want {
			t.Errorf("%s goes to %s, want %s", path, got, want)
		}
	}
}
