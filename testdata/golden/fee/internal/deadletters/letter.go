package deadletters

import "time"

// Letter is a message that failed for good.
type Letter struct {
	ID        string    // given when it is stored
	Time      time.Time // when it failed for good, UTC
	Transport string    // the name of its section
	Key       string    // of the message, if its transport gives one
	Message   []byte    // whole
	Reason    string    // the last error
	Attempts  int
}
