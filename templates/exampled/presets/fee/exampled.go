// Package exampled is the work of the service: it takes trades, stores each as a row
// of the table exampled, and answers TRUE when the row is safe on the disk.
//
// This file and its test are yours. They need nothing but the standard library,
// and daemongen never touches them again. Begin with the function work.
package exampled

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// The two replies: the trade is stored and its work done, or it is not.
const (
	yes = "TRUE"
	no  = "FALSE"
)

// Trade is what a request asks for: "ticket,login,volume".
type Trade struct {
	Ticket int64
	Login  int64
	Volume string // a decimal number, digit by digit as it was sent
}

// work is what the service does with a trade, beyond keeping it. It is yours to
// write. The row is there, with the status 'N', and becomes 'Y' when work has
// returned: in the same transaction, so that what work writes by tx is in the
// database if the sender was told TRUE, and not if it was told FALSE.
//
// After an error the transaction is undone and the trade tried again, alone, up to
// worker.attempts times. Then its sender is told FALSE, and it is kept with the dead
// letters. If no further attempt can help, return an error with a method
// Permanent() bool that says true.
func work(ctx context.Context, tx *sql.Tx, trade Trade) error {
	return nil
}

// The precision of the column volume, in digits: what it can't hold is refused,
// where the database might round it.
const (
	wholeDigits    = 20
	fractionDigits = 10
)

// parse reads a request.
func parse(request []byte) (trade Trade, err error) {
	fields := strings.Split(string(request), ",")
	if len(fields) != 3 {
		return trade, fmt.Errorf("it has %d fields, and not ticket,login,volume", len(fields))
	}
	if trade.Ticket, err = integer("ticket", fields[0]); err != nil {
		return trade, err
	}
	if trade.Login, err = integer("login", fields[1]); err != nil {
		return trade, err
	}
	trade.Volume = fields[2]
	return trade, decimal("volume", fields[2])
}

// integer reads a whole number of 64 bits.
func integer(name, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("the %s is larger than 64 bits can hold", name)
	}
	if err != nil || text[0] == '+' {
		return 0, fmt.Errorf("the %s is no whole number", name)
	}
	return n, nil
}

// decimal checks that a text is a decimal number that the column volume can hold.
func decimal(name, text string) error {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if !digits(whole) || point && !digits(fraction) {
		return fmt.Errorf("the %s is no decimal number", name)
	}
	if len(strings.TrimLeft(whole, "0")) > wholeDigits || len(strings.TrimRight(fraction, "0")) > fractionDigits {
		return fmt.Errorf("the %s has more than %d digits before the point, or %d after it", name, wholeDigits, fractionDigits)
	}
	return nil
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// Database is what the handler uses of the database. The other methods with
// which *sql.DB reads and writes are there too. Only Prepare is missing, since a
// reload may exchange the connections behind the Database: prepare within a
// transaction. Tables are made by the files in the folder migrations: for another
// one, add a file.
type Database interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)

	// Rebind writes the question marks in query as this database wants them.
	Rebind(query string) string

	// SkipDuplicates has an INSERT, which ends in its values, leave out the rows
	// whose unique key is there already.
	SkipDuplicates(insert string) string
}

// Settings are sections of your own in the configuration: one a field, with a key
// for each field of its struct. For a section [db] with the keys host and port,
// and with EXAMPLED_DB_HOST and EXAMPLED_DB_PORT in the environment, write
//
//	DB struct {
//		Host string `toml:"host"`
//		Port int    `toml:"port"`
//	} `toml:"db"`
//
// A key is a string, number, bool, time.Duration ("30s"), a list of them, or a
// type that reads itself by UnmarshalText. The tag reload:"restart" says that it
// can't change while the service runs. To check the values, add a method
//
//	func (s *Settings) Validate(report func(key, reason string))
//
// that calls report("db.port", "must be at least 1") for each fault.
type Settings struct{}

// DefaultSettings returns the values of the keys that a configuration leaves out.
func DefaultSettings() *Settings { return &Settings{} }

// Handler stores the trades and has their work done.
type Handler struct {
	db Database // nil: there is none, and every trade fails
}

// New returns the handler; db is nil in a service without a database. After an
// error the service does not start, and says why. What the handler logs with
// log/slog goes to the log of the service.
//
// A handler with a method Reload(settings *Settings) error takes part in each reload
// of the configuration, and one with a method Close() error is told when the service
// ends, after the last message.
func New(db Database, settings *Settings) (*Handler, error) {
	return &Handler{db}, nil
}

// Result is what became of one message of a batch.
type Result = struct {
	Reply []byte
	Err   error
}

// Handle does the work of one request, and returns the reply to its sender. It
// gets those that failed in a batch.
func (h *Handler) Handle(ctx context.Context, request []byte) ([]byte, error) {
	result := h.HandleBatch(ctx, [][]byte{request})[0]
	return result.Reply, result.Err
}

// HandleBatch does the work of the requests that arrived while a worker was busy, in
// one transaction, and returns a result for each, in their order. With 100 senders
// that stores several times as many as a transaction for each.
//
// What is no trade is answered FALSE, and the log tells why. A result with an error
// has the request handed to Handle, alone, so that it harms no other.
func (h *Handler) HandleBatch(ctx context.Context, requests [][]byte) []Result {
	results := make([]Result, len(requests))
	trades := make([]Trade, 0, len(requests))
	for i, request := range requests {
		trade, err := parse(request)
		if err != nil {
			slog.Warn("refused", "request", excerpt(request), "reason", err)
			results[i].Reply = []byte(no)
			continue
		}
		trades = append(trades, trade)
	}
	err := h.store(ctx, trades)
	for i := range results {
		switch {
		case results[i].Reply != nil: // refused
		case err != nil:
			results[i].Err = err
		default:
			results[i].Reply = []byte(yes)
		}
	}
	return results
}

// excerpt returns as much of a request as a line of the log has room for.
func excerpt(request []byte) string {
	const most = 256
	if len(request) > most {
		return fmt.Sprintf("%s... (%d bytes)", request[:most], len(request))
	}
	return string(request)
}

// errNoDatabase is permanent: a restart with a database is what helps.
var errNoDatabase error = permanentError{errors.New("the service has no database to store trades in")}

type permanentError struct{ error }

func (permanentError) Permanent() bool { return true }

// store stores the trades and has their work done: of all of them, or of none.
func (h *Handler) store(ctx context.Context, trades []Trade) error {
	if len(trades) == 0 {
		return nil
	}
	if h.db == nil {
		return errNoDatabase
	}
	// Rows are locked in this order: transactions that have trades in common wait for
	// each other, and never each for the other. A trade that came twice is one.
	slices.SortStableFunc(trades, func(a, b Trade) int { return cmp.Compare(a.Ticket, b.Ticket) })
	trades = slices.CompactFunc(trades, repeats)

	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	open, err := h.insert(ctx, tx, trades)
	if err != nil {
		return fmt.Errorf("insert %d trades: %w", len(trades), err)
	}
	for _, trade := range open {
		if err := work(ctx, tx, trade); err != nil {
			return fmt.Errorf("work on ticket %d: %w", trade.Ticket, err)
		}
	}
	if len(open) > 0 {
		update := "UPDATE exampled SET status = 'Y' WHERE status = 'N' AND ticket IN " + list(len(open))
		if _, err := tx.ExecContext(ctx, h.db.Rebind(update), tickets(open)...); err != nil {
			return fmt.Errorf("update %d trades: %w", len(open), err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// insert adds the rows of those trades that have none, and returns the trades whose
// work is to be done.
func (h *Handler) insert(ctx context.Context, tx *sql.Tx, trades []Trade) (open []Trade, err error) {
	args := make([]any, 0, 3*len(trades))
	for _, trade := range trades {
		args = append(args, trade.Ticket, trade.Login, trade.Volume)
	}
	insert := "INSERT INTO exampled (ticket, login, volume, status) VALUES (?, ?, ?, 'N')" +
		strings.Repeat(", (?, ?, ?, 'N')", len(trades)-1)
	result, err := tx.ExecContext(ctx, h.db.Rebind(h.db.SkipDuplicates(insert)), args...)
	if err != nil {
		return nil, err
	}
	if n, err := result.RowsAffected(); err != nil || n == int64(len(trades)) {
		return trades, err
	}
	return h.undone(ctx, tx, trades)
}

// undone returns those of the trades, all of which have a row, whose work is not done:
// their rows are of this transaction, or of a program that did not come to its end.
func (h *Handler) undone(ctx context.Context, tx *sql.Tx, trades []Trade) (open []Trade, err error) {
	query := "SELECT ticket, login, volume, status FROM exampled WHERE ticket IN " + list(len(trades))
	rows, err := tx.QueryContext(ctx, h.db.Rebind(query), tickets(trades)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	type row struct {
		Trade
		status string
	}
	stored := make(map[int64]row)
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.Ticket, &r.Login, &r.Volume, &r.status); err != nil {
			return nil, err
		}
		stored[r.Ticket] = r
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, trade := range trades {
		switch r := stored[trade.Ticket]; r.status {
		case "N":
			open = append(open, trade)
		case "Y":
			repeats(trade, r.Trade)
		default:
			return nil, fmt.Errorf("the row of ticket %d was removed meanwhile", trade.Ticket)
		}
	}
	return open, nil
}

// repeats reports whether a trade has the ticket of one that was there before, whose
// row it shares. If it says another thing, that is lost, and so the log has it.
func repeats(trade, before Trade) bool {
	if trade.Ticket != before.Ticket {
		return false
	}
	if trade.Login != before.Login || plain(trade.Volume) != plain(before.Volume) {
		slog.Warn("a ticket came twice, with another trade: the first one counts", "ticket", trade.Ticket,
			"login", before.Login, "volume", before.Volume, "other_login", trade.Login, "other_volume", trade.Volume)
	}
	return true
}

// plain is a decimal number without the zeros that say nothing.
func plain(volume string) string {
	number, minus := strings.CutPrefix(volume, "-")
	whole, fraction, _ := strings.Cut(number, ".")
	number = strings.TrimLeft(whole, "0") + "." + strings.TrimRight(fraction, "0")
	if minus && number != "." {
		number = "-" + number
	}
	return number
}

// list returns a list of so many question marks.
func list(n int) string { return "(?" + strings.Repeat(", ?", n-1) + ")" }

func tickets(trades []Trade) []any {
	all := make([]any, len(trades))
	for i, trade := range trades {
		all[i] = trade.Ticket
	}
	return all
}
