package main

import (
	edm "example.com/edm"
	"example.com/edm/internal/config"
	"example.com/edm/internal/database"
	"example.com/edm/internal/worker"
)

// ownSettings are the sections of the configuration that are the handler's own.
type ownSettings struct{ edm.Settings }

// newSettings returns them with their defaults.
func newSettings() config.Section { return &ownSettings{*edm.DefaultSettings()} }

// Validate implements config.Section, with the method of edm.Settings if it
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
		return edm.New(nil, s)
	}
	return edm.New(db, s)
}

// handlerReload is the method Reload of a handler, nil if it has none.
func handlerReload(h worker.Handler) func(section config.Section) error {
	r, ok := h.(interface {
		Reload(*edm.Settings) error
	})
	if !ok {
		return nil
	}
	return func(section config.Section) error { return r.Reload(&section.(*ownSettings).Settings) }
}
