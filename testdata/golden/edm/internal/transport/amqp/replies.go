// Replies to those who have asked for one.

package amqp

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	// maxReplies is how many replies may wait to be sent.
	maxReplies = 1024

	// replyLimit is the time to send the last of them when the service stops.
	replyLimit = 2 * time.Second
)

// reply is what goes back to the sender of a message.
type reply struct {
	to            string // the queue
	correlationID string
	contentType   string // that of the message
	body          []byte
}

// replier sends replies, by a goroutine of its own. What can't be sent is lost,
// and counted: the message is handled by then, and whoever has asked and gets no
// reply has a time after which he asks again, which a reply that comes later would
// not help. So nobody waits until the broker confirms a reply either.
type replier struct {
	publisher *publisher
	log       *slog.Logger
	queue     chan reply
	end       chan struct{}
	ended     chan struct{}
	lost      atomic.Uint64
	told      atomic.Int64 // when it was last told of, in nanoseconds since 1970
}

func newReplier(p *publisher, log *slog.Logger) *replier {
	return &replier{
		publisher: p,
		log:       log,
		queue:     make(chan reply, maxReplies),
		end:       make(chan struct{}),
		ended:     make(chan struct{}),
	}
}

// send takes a reply. It does not block.
func (r *replier) send(answer reply) {
	select {
	case r.queue <- answer:
	default:
		r.lose(errors.New("too many wait to be sent"))
	}
}

// run sends replies until stop.
func (r *replier) run() {
	defer close(r.ended)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case answer := <-r.queue:
			r.publish(ctx, answer)
			continue
		case <-r.end:
		}
		break
	}
	ctx, cancelLast := context.WithTimeout(ctx, replyLimit)
	defer cancelLast()
	for len(r.queue) > 0 {
		r.publish(ctx, <-r.queue)
	}
}

// stop returns when all replies are sent that can be, and replyLimit at most after
// that. It is called once, after run has begun.
func (r *replier) stop() {
	close(r.end)
	<-r.ended
}

// publish sends a reply; once more if the link was lost, or exchanged, under it.
func (r *replier) publish(ctx context.Context, answer reply) {
	err := r.try(ctx, answer)
	if errors.Is(err, amqp091.ErrClosed) {
		err = r.try(ctx, answer)
	}
	if err != nil {
		r.lose(err)
	}
}

func (r *replier) try(ctx context.Context, answer reply) error {
	l, err := r.publisher.get(ctx)
	if err != nil {
		return err
	}
	_, free := l.gates()
	select {
	case <-free:
	case <-r.end:
		if !isClosed(free) {
			return errBlocked
		}
	}
	const mandatory = false // the queue may be gone, and with it who has asked
	return l.replies.PublishWithContext(ctx, "", answer.to, mandatory, false, amqp091.Publishing{
		CorrelationId: answer.correlationID,
		ContentType:   answer.contentType,
		Body:          answer.body,
	})
}

// lose counts a reply that could not be sent, and tells of it now and then.
func (r *replier) lose(err error) {
	n := r.lost.Add(1)
	const pause = 10 * time.Second
	now, last := time.Now().UnixNano(), r.told.Load()
	if now-last >= int64(pause) && r.told.CompareAndSwap(last, now) {
		r.log.Warn("a reply could not be sent", "error", err, "lost", n)
	}
}
