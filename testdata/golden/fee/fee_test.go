package fee

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for request, want := range map[string]Trade{
		"1001,17,12.50":                              {1001, 17, "12.50"},
		"9223372036854775807,-1,0":                   {9223372036854775807, -1, "0"},
		"1,2,-0.0000000001":                          {1, 2, "-0.0000000001"},
		"1,2,00099999999999999999999.10000000000000": {1, 2, "00099999999999999999999.10000000000000"},
	} {
		if got, err := parse([]byte(request)); got != want || err != nil {
			t.Errorf("parse(%q) = %v, %v, want %v", request, got, err, want)
		}
	}
	for request, reason := range map[string]string{
		"":                          "it has 1 fields",
		"1,2":                       "it has 2 fields",
		"1,2,3,4":                   "it has 4 fields",
		",2,3":                      "the ticket is no whole number",
		"x,2,3":                     "the ticket is no whole number",
		"1.5,2,3":                   "the ticket is no whole number",
		"+1,2,3":                    "the ticket is no whole number",
		"0x1,2,3":                   "the ticket is no whole number",
		"1_0,2,3":                   "the ticket is no whole number",
		" 1,2,3":                    "the ticket is no whole number",
		"1,2 ,3":                    "the login is no whole number",
		"9223372036854775808,2,3":   "the ticket is larger than 64 bits can hold",
		"1,jane,3":                  "the login is no whole number",
		"1,2,":                      "the volume is no decimal number",
		"1,2,.5":                    "the volume is no decimal number",
		"1,2,5.":                    "the volume is no decimal number",
		"1,2,1e3":                   "the volume is no decimal number",
		"1,2,--1":                   "the volume is no decimal number",
		"1,2,1.2.3":                 "the volume is no decimal number",
		"1,2,NaN":                   "the volume is no decimal number",
		"1,2,3\n":                   "the volume is no decimal number",
		"1,2,3'":                    "the volume is no decimal number",
		"1,2,0.00000000001":         "the volume has more than 20 digits before the point, or 10 after it",
		"1,2,100000000000000000000": "the volume has more than 20 digits before the point, or 10 after it",
	} {
		if _, err := parse([]byte(request)); err == nil || !strings.HasPrefix(err.Error(), reason) {
			t.Errorf("parse(%q): %v, want %s", request, err, reason)
		}
	}
}

// Whatever comes in, it is refused or it is three fields that mean the same.
func FuzzParse(f *testing.F) {
	for _, request := range []string{"1,2,3", "1001,17,12.50", "-1,-2,-3.0", ",,", "1,2,.", "\x00,1,2"} {
		f.Add([]byte(request))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		trade, err := parse(request)
		if err != nil {
			return
		}
		if strings.Count(string(request), ",") != 2 || !strings.HasSuffix(string(request), ","+trade.Volume) ||
			strings.Trim(trade.Volume, "-.0123456789") != "" {
			t.Errorf("parse(%q) = %v", request, trade)
		}
	})
}

// The reply is TRUE when the row is stored and its work done, and not before.
func TestHandle(t *testing.T) {
	db := newDatabase()
	handler := newHandler(t, db)
	if reply, err := handler.Handle(t.Context(), []byte("1001,17,12.50")); string(reply) != "TRUE" || err != nil {
		t.Fatalf("%q, %v", reply, err)
	}
	if want := (row{Trade{1001, 17, "12.50"}, "Y"}); db.rows[1001] != want {
		t.Errorf("stored is %v, want %v", db.rows[1001], want)
	}
	if want := "begin INSERT UPDATE commit"; strings.Join(db.did, " ") != want {
		t.Errorf("it did %v, want %s", db.did, want)
	}
}

// Of a batch, each has its own reply, and all that are trades are one transaction.
func TestHandleBatch(t *testing.T) {
	log := logged(t)
	db := newDatabase()
	results := newHandler(t, db).HandleBatch(t.Context(), split("3,1,1 nonsense 2,1,1 3,1,1.0 1,jane,3"))
	want := []string{"TRUE", "FALSE", "TRUE", "TRUE", "FALSE"}
	for i, result := range results {
		if string(result.Reply) != want[i] || result.Err != nil {
			t.Errorf("result %d is %q, %v, want %s", i, result.Reply, result.Err, want[i])
		}
	}
	if len(db.rows) != 2 || db.rows[2].status != "Y" || db.rows[3].status != "Y" {
		t.Errorf("stored is %v", db.rows)
	}
	if want := "begin INSERT UPDATE commit"; strings.Join(db.did, " ") != want {
		t.Errorf("it did %v, want %s", db.did, want)
	}
	for _, text := range []string{`request=nonsense reason="it has 1 fields`, `request=1,jane,3 reason="the login is no whole number"`} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log has no %s:\n%s", text, log)
		}
	}
}

// A trade that is sent again is one row, and its work is not done again, unless it
// never was. One that says another thing is told in the log.
func TestSentAgain(t *testing.T) {
	log := logged(t)
	db := newDatabase()
	db.rows[1], db.rows[2] = row{Trade{1, 7, "5.0000000000"}, "Y"}, row{Trade{2, 7, "5"}, "N"}
	for _, result := range newHandler(t, db).HandleBatch(t.Context(), split("1,7,5 2,7,5 3,7,5")) {
		if string(result.Reply) != "TRUE" || result.Err != nil {
			t.Errorf("%q, %v", result.Reply, result.Err)
		}
	}
	if len(db.rows) != 3 || db.rows[2].status != "Y" || !slices.Equal(db.updated, []int64{2, 3}) {
		t.Errorf("stored is %v, updated are %v", db.rows, db.updated)
	}
	if log.Len() > 0 {
		t.Errorf("the log says of trades that are the same:\n%s", log)
	}
	if reply, err := newHandler(t, db).Handle(t.Context(), []byte("1,7,6")); string(reply) != "TRUE" || err != nil {
		t.Errorf("%q, %v", reply, err)
	}
	if db.rows[1].Volume != "5.0000000000" || !strings.Contains(log.String(), "ticket=1 login=7 volume=5.0000000000 other_login=7 other_volume=6") {
		t.Errorf("stored is %v, the log says %s", db.rows[1], log)
	}
}

// What fails leaves nothing, and is not answered: the pool tries it again.
func TestFails(t *testing.T) {
	for _, step := range []string{"begin", "INSERT", "SELECT", "UPDATE", "commit"} {
		db := newDatabase()
		db.rows[1], db.fails = row{Trade{1, 7, "5"}, "Y"}, step
		for _, result := range newHandler(t, db).HandleBatch(t.Context(), split("1,7,5 2,7,5")) {
			if result.Reply != nil || !errors.Is(result.Err, errBroken) {
				t.Errorf("%s fails: %q, %v", step, result.Reply, result.Err)
			}
		}
		if len(db.rows) != 1 {
			t.Errorf("%s fails, and stored is %v", step, db.rows)
		}
	}
}

// Without a database no trade is answered TRUE, nor tried again in vain.
func TestNoDatabase(t *testing.T) {
	handler, err := New(nil, DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	reply, err := handler.Handle(t.Context(), []byte("1,2,3"))
	var permanent interface{ Permanent() bool }
	if reply != nil || !errors.As(err, &permanent) || !permanent.Permanent() {
		t.Errorf("%q, %v", reply, err)
	}
}

func newHandler(t *testing.T, db *database) *Handler {
	t.Helper()
	handler, err := New(db, DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// split makes requests of words.
func split(words string) (requests [][]byte) {
	for _, word := range strings.Fields(words) {
		requests = append(requests, []byte(word))
	}
	return requests
}

// logged returns what is logged from now on, for the length of the test.
func logged(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}

// database is one table in memory, for one session at a time. It knows the statements
// of the handler by their first word.
type database struct {
	*sql.DB
	rows    map[int64]row
	before  map[int64]row // of the transaction
	did     []string
	updated []int64
	fails   string // at this step
}

type row struct {
	Trade
	status string
}

var errBroken = errors.New("broken")

func newDatabase() *database {
	db := &database{rows: make(map[int64]row)}
	db.DB = sql.OpenDB(db)
	return db
}

func (db *database) Rebind(query string) string          { return query }
func (db *database) SkipDuplicates(insert string) string { return insert + " once" }

func (db *database) do(step string) error {
	db.did = append(db.did, step)
	if step == db.fails {
		return errBroken
	}
	return nil
}

// It is a connector, a driver, a session, and a transaction.
func (db *database) Connect(context.Context) (driver.Conn, error) { return session{db}, nil }
func (db *database) Driver() driver.Driver                        { return nil }

type session struct{ db *database }

func (s session) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (s session) Close() error                        { return nil }

func (s session) Begin() (driver.Tx, error) {
	s.db.before = make(map[int64]row)
	for ticket, row := range s.db.rows {
		s.db.before[ticket] = row
	}
	return s, s.db.do("begin")
}

func (s session) Rollback() error {
	s.db.rows = s.db.before
	return nil
}

func (s session) Commit() error {
	if err := s.db.do("commit"); err != nil {
		return errors.Join(err, s.Rollback())
	}
	return nil
}

func (s session) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	step, _, _ := strings.Cut(query, " ")
	if err := s.db.do(step); err != nil {
		return nil, err
	}
	if step == "UPDATE" {
		for _, arg := range args {
			ticket := arg.Value.(int64)
			s.db.updated = append(s.db.updated, ticket)
			s.db.rows[ticket] = row{s.db.rows[ticket].Trade, "Y"}
		}
		return driver.RowsAffected(len(args)), nil
	}
	inserted := 0
	for fields := range slices.Chunk(args, 3) {
		trade := Trade{fields[0].Value.(int64), fields[1].Value.(int64), fields[2].Value.(string)}
		if _, there := s.db.rows[trade.Ticket]; !there {
			s.db.rows[trade.Ticket] = row{trade, "N"}
			inserted++
		}
	}
	return driver.RowsAffected(inserted), nil
}

func (s session) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	return &result{s.db, args}, s.db.do("SELECT")
}

// result are the rows of some tickets.
type result struct {
	db      *database
	tickets []driver.NamedValue
}

func (r *result) Columns() []string { return []string{"ticket", "login", "volume", "status"} }
func (r *result) Close() error      { return nil }

func (r *result) Next(values []driver.Value) error {
	if len(r.tickets) == 0 {
		return io.EOF
	}
	row := r.db.rows[r.tickets[0].Value.(int64)]
	r.tickets = r.tickets[1:]
	copy(values, []driver.Value{row.Ticket, row.Login, row.Volume, row.status})
	return nil
}
