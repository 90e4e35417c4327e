// A DBOS application as the guide deploys it: HTTP routes that enqueue durable workflows, and a
// queue whose depth the autoscaler reads. Everything about a deployment comes by environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

const (
	queueName         = "taskQueue"
	workerConcurrency = 2
	// An unreachable database is reported this fast; Kubernetes starts the pod again.
	databaseTimeout = 30 * time.Second
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, log, os.Getenv); err != nil {
		log.Error("dbos-app stopped", "error", err.Error())
		os.Exit(1)
	}
}

// run serves until ctx ends, then drains. The HTTP server is up before DBOS, so that probes get an
// answer (503) while it launches.
func run(ctx context.Context, log *slog.Logger, getenv func(string) string) error {
	s, err := readSettings(getenv)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", ":"+s.port)
	if err != nil {
		return err
	}
	service := &service{log: log}
	server := &http.Server{Handler: service.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	engine, err := launch(s, log)
	if err != nil {
		return err
	}
	service.start(engine)
	log.Info("ready", "address", listener.Addr().String(), "application", s.application,
		"version", engine.Version(), "executor", dbos.GetExecutorID(engine.ctx))

	<-ctx.Done()
	return drain(service, server, engine, s.drain, log)
}

func launch(s settings, log *slog.Logger) (*engine, error) {
	if s.conductorURL != "" && s.conductorKey == "" {
		log.Warn("DBOS_CONDUCTOR_URL is set without DBOS_CONDUCTOR_KEY: not connecting to Conductor")
	}
	// With a key, SDK 1.8 wants `import _ "go.dbos.dev/dbos-enterprise-go"` (a licensed module) and
	// NewContext says so; going on without Conductor would silently lose recovery.
	// The version and the executor's id are taken from DBOS__APPVERSION and DBOS__VMID by the SDK.
	ctx, err := dbos.NewContext(context.Background(), dbos.Config{
		AppName:                s.application,
		DatabaseURL:            s.databaseURL,
		ConductorURL:           s.conductorURL,
		ConductorAPIKey:        s.conductorKey,
		SkipMigrations:         true, // `dbos migrate` has run; the application's role may not alter the schema
		SystemDBStartupTimeout: databaseTimeout,
		Logger:                 log,
	})
	if err != nil {
		return nil, err
	}
	e := &engine{ctx: ctx}
	dbos.RegisterWorkflow(ctx, e.task, dbos.WithWorkflowName("task"))
	dbos.RegisterWorkflow(ctx, e.wait, dbos.WithWorkflowName("wait"))
	dbos.RegisterWorkflow(ctx, e.tick, dbos.WithWorkflowName("tick"))
	e.queue, err = dbos.RegisterQueue(ctx, queueName, dbos.WithWorkerConcurrency(workerConcurrency))
	if err == nil {
		err = dbos.Launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, dbos.Shutdown(ctx, time.Second))
	}
	return e, nil
}

// drain stops taking work, gives running workflows the time that is allowed, and leaves the rest
// PENDING: whoever has this executor's id next resumes them.
func drain(service *service, server *http.Server, engine *engine, limit time.Duration, log *slog.Logger) error {
	log.Info("draining", "running", engine.running.Load(), "seconds", limit.Seconds())
	service.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Warn("HTTP requests cut off", "error", err.Error())
	}
	left := engine.finish(ctx)
	log.Info("drained", "left_pending", left)
	if err := dbos.Shutdown(engine.ctx, 5*time.Second); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}
