package job

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A run is done when the reply is there, and the log tells of it.
func TestHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logged(t)
		handler := newHandler(t, DefaultSettings())
		began := time.Now()
		if reply, err := handler.Handle(t.Context(), nil); string(reply) != "TRUE" || err != nil {
			t.Errorf("%q, %v", reply, err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
		if n := strings.Count(log.String(), "msg=test"); n != 3 {
			t.Errorf("%d steps:\n%s", n, log)
		}
		for _, text := range []string{`msg="the job begins" job=test`, `msg="the job ends" job=test took=3s`} {
			if strings.Count(log.String(), text) != 1 {
				t.Errorf("the log does not say once %s:\n%s", text, log)
			}
		}
	})
}

// A run ends with its context.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := newHandler(t, DefaultSettings())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if reply, err := handler.Handle(ctx, nil); reply != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", reply, err)
		}
	})
}

// Other settings hold from the next run on, and the log has them.
func TestReload(t *testing.T) {
	log := logged(t)
	settings := DefaultSettings()
	settings.Job.Step = 0
	handler := newHandler(t, settings)
	other := *settings
	other.DB.Host, other.DB.User = "db1", "test"
	if err := handler.Reload(&other); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "msg=settings job=test db.host=db1 db.port=3306 db.user=test") {
		t.Errorf("the log says\n%s", log)
	}
	if _, err := handler.Handle(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "msg=test db.host=db1") {
		t.Errorf("the log says\n%s", log)
	}
}

func TestValidate(t *testing.T) {
	found := func(change func(s *Settings)) (keys []string) {
		s := DefaultSettings()
		change(s)
		s.Validate(func(key, _ string) { keys = append(keys, key) })
		return keys
	}
	if keys := found(func(*Settings) {}); keys != nil {
		t.Errorf("found wrong with the defaults: %q", keys)
	}
	keys := found(func(s *Settings) { s.Job.Name, s.Job.Steps, s.Job.Step, s.DB.Port = "none", -1, -1, 65536 })
	if want := []string{"job.name", "job.steps", "job.step", "db.port"}; !slices.Equal(keys, want) {
		t.Errorf("found wrong: %q, want %q", keys, want)
	}
}

func newHandler(t *testing.T, settings *Settings) *Handler {
	t.Helper()
	handler, err := New(nil, settings)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// logged returns what is logged from now on, for the length of the test.
func logged(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}
