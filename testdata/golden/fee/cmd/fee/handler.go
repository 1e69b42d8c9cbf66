package main

import (
	fee "example.com/fee"
	"example.com/fee/internal/config"
	"example.com/fee/internal/database"
	"example.com/fee/internal/worker"
)

// ownSettings are the sections of the configuration that are the handler's own.
type ownSettings struct{ fee.Settings }

// newSettings returns them with their defaults.
func newSettings() config.Section { return &ownSettings{*fee.DefaultSettings()} }

// Validate implements config.Section, with the method of fee.Settings if it
// has one.
func (s *ownSettings) Validate(f func(string, string)) {
	if v, ok := any(&s.Settings).(interface{ Validate(func(string, string)) }); ok {
		v.Validate(f)
	}
}

// newHandler makes the handler of this service; db is nil without a database.
func newHandler(db *database.DB, section config.Section) (worker.Handler, error) {
	s := &section.(*ownSettings).Settings
	if db == nil {
		return fee.New(nil, s)
	}
	return fee.New(db, s)
}

// handlerReload is the method Reload of a handler, nil if it has none.
func handlerReload(h worker.Handler) func(section config.Section) error {
	r, ok := h.(interface {
		Reload(*fee.Settings) error
	})
	if !ok {
		return nil
	}
	return func(section config.Section) error { return r.Reload(&section.(*ownSettings).Settings) }
}
