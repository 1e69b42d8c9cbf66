// Less work for the garbage collector.

package daemon

// reserve is how much memory a service has that it never uses, so that it costs
// none: no page of it is touched. But the collector counts it. Without it a
// collection begins whenever there are 4 MiB, which a busy service with little to
// remember fills a hundred times a second; with it, when there is this much to
// collect, and as much again as is in use.
const reserve = 8 << 20
