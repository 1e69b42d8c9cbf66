module github.com/daemongen/daemongen/templates/exampled

go 1.26.0

require github.com/netresearch/go-cron v0.9.1
