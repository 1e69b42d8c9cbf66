package templates

// PresetFolder is the folder of the exemplar in which each preset has one, by its
// name. It is no part of a project.
const PresetFolder = "presets"

// A Preset is a service that is ready: answers to the questions, and the user's
// files of a project, with which it does a job that is known.
//
// Its files are in a folder of its own, as they are in a project, and compile
// there: packages below those of the exemplar, which they may import, with [Word] for
// the name. In a project they stand in the place of all files of the exemplar of
// their kind, by extension, in their folder. What is below the folder of a feature is
// in projects with that feature only. There are two files besides: sections of its own
// for the configuration, at the path of [Config], and what the README says of the
// service, in [PresetProse].
type Preset struct {
	Name    string
	Summary string // one line for a person, lower case, no period
	Needs   []Kind // kinds of which a project has to have something

	// The answers.
	Transports  []string
	Database    string
	User, Group string
	Set         map[string]string // values of the configuration, by "section.key"
}

// PresetProse is the file of a preset, and of the text of any project, that says
// what the service does: a template that is part of the README.
const PresetProse = "service.md.tmpl"

// Presets returns the table of presets, in the order in which it is listed.
func Presets() []Preset {
	return []Preset{
		{
			Name:       "fee",
			Summary:    "trades as ZeroMQ requests into MySQL, answered when they are committed",
			Needs:      []Kind{Database},
			Transports: []string{"zeromq"},
			Database:   "mysql",
			User:       "80",
			Group:      "80",
		},
		{
			Name:       "edm",
			Summary:    "mails from a queue of RabbitMQ into a spool folder, or to an SMTP server",
			Transports: []string{"amqp"},
			Database:   "",
			Set: map[string]string{
				"daemon.umask":        "0077",
				"log.daily":           "true",
				"transport.amqp.urls": `["amqp://127.0.0.1:5672"]`,
				// As programs declare them that were there before: a queue with the
				// arguments of dead letters would be another one.
				"transport.amqp.exchange":             "email",
				"transport.amqp.queues":               `{ email = ["email"] }`,
				"transport.amqp.queue_type":           "classic",
				"transport.amqp.dead_letter_exchange": "",
			},
		},
		{
			Name:       "job",
			Summary:    "a job of your own, begun again and again, without a peer",
			Transports: []string{"timer"},
			User:       "80",
			Group:      "80",
			Set: map[string]string{
				"worker.count":             "1",
				"worker.timeout":           "1h",
				"transport.timer.every":    "5s",
				"transport.timer.at_start": "true",
			},
		},
	}
}
