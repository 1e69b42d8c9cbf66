package main

// The command that works with the messages that failed for good. All but replay
// need no daemon: they work on the files, beside one that runs.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/edm/internal/daemon"
	"example.com/edm/internal/deadletters"
	"example.com/edm/internal/process"
)

// deadLettersUsage are the forms of the command, as help shows them.
const deadLettersUsage = `list [--limit N]
show [--raw] ID...
replay [--timeout 0s] ID...|--all
drop ID...|--all|--before TIME|--before 24h|--unreadable`

func (c *call) deadLetters() (int, error) {
	flags := c.flags("deadletters")
	if err := parseFlags(flags, c.args); err != nil {
		return 0, err
	}
	act, ok := map[string]func(*call) (int, error){
		"list":   (*call).listLetters,
		"show":   (*call).showLetters,
		"replay": (*call).replayLetters,
		"drop":   (*call).dropLetters,
	}[flags.Arg(0)]
	switch {
	case flags.NArg() == 0:
		return 0, usageError{"deadletters: list, show, replay or drop?"}
	case !ok:
		return 0, usageError{fmt.Sprintf("deadletters: unknown %q: list, show, replay or drop?", flags.Arg(0))}
	}
	c.args = flags.Args()[1:]
	return act(c)
}

// parseIDs reads the flags of a command, before and after its arguments, which it
// returns.
func (c *call) parseIDs(flags *flag.FlagSet) (ids []string, err error) {
	for args := c.args; ; args = flags.Args()[1:] {
		if err := parseFlags(flags, args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return ids, nil
		}
		ids = append(ids, flags.Arg(0))
	}
}

// requireOne fails unless exactly one way is used to say which letters.
func requireOne(what string, ways ...bool) error {
	n := 0
	for _, used := range ways {
		if used {
			n++
		}
	}
	switch n {
	case 0:
		return usageError{"deadletters: " + what + ": name the ids, or which"}
	case 1:
		return nil
	}
	return usageError{"deadletters: " + what + ": ids and flags that say which exclude each other"}
}

// openLetters opens the dead letters of the service. They are nil if there is no
// state directory yet, and so none.
func (c *call) openLetters() (*deadletters.Store, error) {
	dirs, err := c.stateDirs()
	if err != nil {
		return nil, err
	}
	store, err := deadletters.Open(dirs.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w (try as root, or as the user of the service)", err)
	}
	return store, err
}

// stateDirs finds the directories by the configuration, or the usual ones where
// none is installed or the caller may not read it.
func (c *call) stateDirs() (process.Dirs, error) {
	path, named, err := c.configFile()
	if err != nil {
		return process.Dirs{}, err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !named || errors.Is(err, fs.ErrPermission) {
		return process.FindDirs(process.Dirs{
			Name: name, Run: c.runDir, State: os.Getenv(parts().EnvPrefix() + "DAEMON_STATE_DIR"),
		})
	}
	if err == nil {
		_ = file.Close()
	}
	_, dirs, err := c.load()
	return dirs, err
}

// closeLetters ends the use of what openLetters has returned.
func closeLetters(store *deadletters.Store) {
	if store != nil {
		_ = store.Close()
	}
}

func (c *call) listLetters() (int, error) {
	flags := c.flags("deadletters")
	limit := flags.Int("limit", 0, "how many to show, the newest; 0: all")
	if err := parseFlags(flags, c.args); err != nil {
		return 0, err
	}
	if flags.NArg() > 0 || *limit < 0 {
		return 0, usageError{"deadletters: list: takes no ids, and a limit that is not negative"}
	}
	store, err := c.openLetters()
	if err != nil {
		return 0, err
	}
	defer closeLetters(store)
	table := newTable(c.stdout)
	total, newest := 0, []summary{}
	err = c.eachLetter(store, func(l deadletters.Letter) bool {
		total++
		switch {
		case c.json || *limit > 0:
			newest = append(newest, summarize(l))
			if *limit > 0 && len(newest) == 2**limit { // cut now and then only
				newest = append(newest[:0], newest[*limit:]...)
			}
		case !c.quiet:
			table.row(summarize(l)) // however many there are
		}
		return true
	})
	if *limit > 0 {
		newest = newest[max(0, len(newest)-*limit):]
	}
	r := result{Result: count(total), Letters: newest}
	if n := len(newest); 0 < n && n < total {
		r.Result += fmt.Sprintf(", of which the last %d are shown", n)
	}
	if !c.json && !c.quiet {
		for _, s := range newest {
			table.row(s)
		}
	}
	table.flush()
	if err != nil {
		return 0, err
	}
	c.say(r)
	return exitOK, nil
}

func (c *call) showLetters() (int, error) {
	flags := c.flags("deadletters")
	raw := flags.Bool("raw", false, "print the bytes of the message alone")
	ids, err := c.parseIDs(flags)
	if err != nil {
		return 0, err
	}
	if len(ids) == 0 || *raw && len(ids) > 1 {
		return 0, usageError{"deadletters: show: name the ids, or one with --raw"}
	}
	store, err := c.openLetters()
	if err != nil {
		return 0, err
	}
	defer closeLetters(store)
	missing := make(map[string]bool)
	for _, id := range ids {
		missing[id] = true
	}
	shown := []deadletters.Letter{}
	err = c.eachLetter(store, func(l deadletters.Letter) bool {
		if missing[l.ID] {
			delete(missing, l.ID)
			shown = append(shown, l)
		}
		return len(missing) > 0
	})
	if err != nil {
		return 0, err
	}
	unknown := unknownIDs(slices.DeleteFunc(ids, func(id string) bool { return !missing[id] }))
	if c.json && !*raw {
		return c.sayLetters(result{Result: count(len(shown)), Letters: shown}, unknown)
	}
	for i, l := range shown {
		switch {
		case *raw:
			_, _ = c.stdout.Write(l.Message)
		case !c.quiet:
			printLetter(c.stdout, l, i > 0)
		}
	}
	return exitOK, unknown
}

// eachLetter visits all letters until visit returns false, and warns of lines that
// are none.
func (c *call) eachLetter(store *deadletters.Store, visit func(deadletters.Letter) bool) error {
	if store == nil {
		return nil
	}
	var first *deadletters.UnreadableError
	others := 0
	for l, err := range store.Letters() {
		switch unreadable := (*deadletters.UnreadableError)(nil); {
		case errors.As(err, &unreadable) && first == nil:
			first = unreadable
			continue
		case unreadable != nil:
			others++
			continue
		case err != nil:
			return err
		}
		if !visit(l) {
			break
		}
	}
	switch {
	case others > 0:
		c.warn(fmt.Sprintf("%v, nor on %d other lines", first, others))
	case first != nil:
		c.warn(first.Error())
	}
	return nil
}

// sayLetters prints the result of a command that did what it could; err is what it
// could not do.
func (c *call) sayLetters(r result, err error) (int, error) {
	switch {
	case err == nil:
		c.say(r)
	case c.json:
		r.Error = err.Error()
		c.say(r)
		return exitCode(err), nil
	}
	return exitOK, err
}

// unknownIDs is the error for ids that there is no letter with, or nil.
func unknownIDs(ids []string) error {
	const most = 10
	switch n := len(ids); {
	case n == 0:
		return nil
	case n > most:
		return fmt.Errorf("no dead letter has the ids %s, and %d more", strings.Join(ids[:most], ", "), n-most)
	case n > 1:
		return fmt.Errorf("no dead letter has the ids %s", strings.Join(ids, ", "))
	}
	return fmt.Errorf("no dead letter has the id %s", ids[0])
}

// count is a number of letters in words.
func count(n int) string {
	switch n {
	case 0:
		return "no dead letters"
	case 1:
		return "1 dead letter"
	}
	return fmt.Sprintf("%d dead letters", n)
}

func (c *call) dropLetters() (int, error) {
	flags := c.flags("deadletters")
	all := flags.Bool("all", false, "drop all of them")
	unreadable := flags.Bool("unreadable", false, "drop the lines that are no dead letters")
	var before time.Time
	flags.Func("before", "drop those from before a `time`, or a length of time ago", func(text string) (err error) {
		before, err = parseTime(text)
		return err
	})
	ids, err := c.parseIDs(flags)
	if err == nil {
		err = requireOne("drop", len(ids) > 0, *all, *unreadable, !before.IsZero())
	}
	if err != nil {
		return 0, err
	}
	store, err := c.openLetters()
	if err != nil {
		return 0, err
	}
	defer closeLetters(store)
	var n int
	var unknown []string
	switch {
	case store == nil:
		unknown = ids
	case *unreadable:
		n, err = store.DropUnreadable()
	case len(ids) > 0:
		n, unknown, err = store.DropIDs(ids)
	default:
		n, err = store.Drop(func(l deadletters.Letter) bool { return *all || l.Time.Before(before) })
	}
	if err != nil {
		return 0, fmt.Errorf("%w; dropped are %d", err, n)
	}
	what := count(n)
	if *unreadable {
		what = fmt.Sprintf("%d unreadable lines", n)
	}
	r := result{Result: "dropped " + what, Dropped: &n}
	if err := unknownIDs(unknown); err != nil {
		return c.sayLetters(r, fmt.Errorf("%w; dropped %s", err, what))
	}
	return c.sayLetters(r, nil)
}

// parseTime reads a time, a day, or how long ago it is.
func parseTime(text string) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return time.Now().Add(-ago), nil
	}
	for _, format := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(format, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New(`must be a time such as "2006-01-02T15:04:05Z", a day in UTC, or how long ago, such as "24h"`)
}

// replayMost is how many ids go to the daemon at once: a request is bounded.
const replayMost = 20000

func (c *call) replayLetters() (int, error) {
	flags := c.flags("deadletters")
	all := flags.Bool("all", false, "try all of them")
	timeout := flags.Duration("timeout", 0, "how long to wait for the result; 0s: as long as it takes")
	ids, err := c.parseIDs(flags)
	if err == nil {
		err = requireOne("replay", len(ids) > 0, *all)
	}
	if err != nil {
		return 0, err
	}
	dirs, err := c.findRunning()
	if err != nil {
		return 0, err
	}
	var sum daemon.Replay
	deadline := time.Now().Add(*timeout)
	for part := range slices.Chunk(ids, replayMost) {
		if sum.Stopped != "" {
			break
		}
		wait := *timeout
		if wait > 0 {
			wait = max(time.Until(deadline), time.Millisecond)
		}
		if err := c.replayPart(dirs, part, wait, &sum); err != nil {
			return 0, err
		}
	}
	if *all {
		if err := c.replayPart(dirs, nil, *timeout, &sum); err != nil {
			return 0, err
		}
	}
	r := result{Result: "replayed " + describe(sum), Replay: &sum}
	return c.sayLetters(r, undone(sum))
}

// replayPart has the daemon try letters again, and adds what came of it to sum.
func (c *call) replayPart(dirs process.Dirs, ids []string, wait time.Duration, sum *daemon.Replay) error {
	// The daemon bounds the wait.
	const grace = 10 * time.Second
	ctx, cancel := context.Background(), func() {}
	if wait > 0 {
		ctx, cancel = context.WithTimeout(ctx, wait+grace)
	}
	defer cancel()
	answer, err := daemon.AskReplay(ctx, dirs, ids, wait)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return err
	case err != nil:
		return errUnknownResult(err)
	}
	if r := answer.Replay; r != nil {
		sum.Done += r.Done
		sum.Failed += r.Failed
		sum.GivenBack += r.GivenBack
		sum.UnderWay += r.UnderWay
		sum.Unknown = append(sum.Unknown, r.Unknown...)
		sum.Stopped = r.Stopped
	}
	return answer.Err()
}

// describe says what became of letters that were tried again.
func describe(r daemon.Replay) string {
	parts := []string{fmt.Sprintf("%d done", r.Done)}
	for _, part := range []struct {
		n    int
		what string
	}{{r.Failed, "failed again"}, {r.GivenBack, "given back"}, {r.UnderWay, "still under way"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

// undone is the error for what was not done, or nil.
func undone(r daemon.Replay) error {
	err := unknownIDs(r.Unknown)
	switch {
	case r.Stopped != "":
		return fmt.Errorf("not all were tried, %s: %s", r.Stopped, describe(r))
	case r.Failed+r.GivenBack+r.UnderWay > 0 && err != nil:
		return fmt.Errorf("%s; %w", describe(r), err)
	case r.Failed+r.GivenBack+r.UnderWay > 0:
		return errors.New(describe(r))
	case err != nil:
		return fmt.Errorf("%w; %s", err, describe(r))
	}
	return nil
}
