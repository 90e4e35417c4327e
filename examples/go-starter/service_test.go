package main

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

type fakeBackend struct{ broken bool }

func (f fakeBackend) Enqueue(int) (string, error) {
	if f.broken {
		return "", errors.New("database is gone")
	}
	return "w1", nil
}

func (f fakeBackend) Start(int) (string, error) { return "w2", nil }

func (f fakeBackend) Wait(topic string) (string, error) { return "waits for " + topic, nil }

func (f fakeBackend) Status(id string) (dbos.WorkflowStatus, error) {
	if id != "w1" {
		return dbos.WorkflowStatus{}, errUnknownWorkflow
	}
	return dbos.WorkflowStatus{ID: id, Status: dbos.WorkflowStatusSuccess}, nil
}

func (f fakeBackend) QueueLength(queue string) (int64, error) {
	if queue != queueName {
		return 0, errUnknownQueue
	}
	return 7, nil
}

func TestRoutes(t *testing.T) {
	ready := &service{log: slog.New(slog.DiscardHandler)}
	ready.start(fakeBackend{})
	draining := &service{log: slog.New(slog.DiscardHandler)}
	draining.start(fakeBackend{})
	draining.draining.Store(true)
	broken := &service{log: slog.New(slog.DiscardHandler)}
	broken.start(fakeBackend{broken: true})
	launching := &service{log: slog.New(slog.DiscardHandler)}

	for _, c := range []struct {
		service *service
		path    string
		status  int
		body    string
	}{
		{launching, "/healthz", 503, `"launching"`},
		{launching, "/enqueue/1", 503, "not launched"},
		{ready, "/healthz", 200, `"ok"`},
		{draining, "/healthz", 503, `"draining"`},
		{ready, "/enqueue/60", 200, `{"workflow_id":"w1"}`},
		{ready, "/enqueue/soon", 400, "whole number"},
		{ready, "/enqueue/-1", 400, "whole number"},
		{ready, "/start/60", 200, `{"workflow_id":"w2"}`},
		{ready, "/start/soon", 400, "whole number"},
		{ready, "/wait/paid", 200, `"waits for paid"`},
		{ready, "/workflow/w1", 200, `"status":"SUCCESS"`},
		{ready, "/workflow/other", 404, "no workflow"},
		{ready, "/metrics/taskQueue", 200, `{"queue_length":7}`},
		{ready, "/metrics/taskqueue", 404, "no queue"},
		{broken, "/enqueue/1", 500, "database is gone"},
	} {
		answer := httptest.NewRecorder()
		c.service.routes().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, c.path, nil))
		if answer.Code != c.status || !strings.Contains(answer.Body.String(), c.body) {
			t.Errorf("%s: %d %s, not %d %s", c.path, answer.Code, answer.Body, c.status, c.body)
		}
	}
}

func TestSettings(t *testing.T) {
	read := func(values map[string]string) (settings, error) {
		return readSettings(func(name string) string { return values[name] })
	}
	s, err := read(map[string]string{"DBOS_SYSTEM_DATABASE_URL": "postgresql://h/d"})
	if err != nil || s.application != "dbos-app" || s.port != "8080" || s.drain != 20*time.Second {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	if _, err = read(nil); err == nil || !strings.Contains(err.Error(), "DBOS_SYSTEM_DATABASE_URL") {
		t.Errorf("no database: %v", err)
	}
	s, err = read(map[string]string{"DBOS_SYSTEM_DATABASE_URL": "postgresql://u:p%40@h/d?sslmode=require", "DBOS_POOL_SIZE": "5"})
	if err != nil || s.databaseURL != "postgresql://u:p%40@h/d?pool_max_conns=5&sslmode=require" {
		t.Errorf("pool size: %s, %v", s.databaseURL, err)
	}
	for _, values := range [][2]string{{"postgresql://h/d", "0"}, {"host=h", "5"}} {
		_, err = read(map[string]string{"DBOS_SYSTEM_DATABASE_URL": values[0], "DBOS_POOL_SIZE": values[1]})
		if err == nil || !strings.Contains(err.Error(), "DBOS_POOL_SIZE") {
			t.Errorf("DBOS_POOL_SIZE=%s with %s: %v", values[1], values[0], err)
		}
	}
	for _, text := range []string{"soon", "-1", "1.5"} {
		_, err = read(map[string]string{"DBOS_SYSTEM_DATABASE_URL": "x", "DBOS_DRAIN_SECONDS": text})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("DBOS_DRAIN_SECONDS=%s: %v", text, err)
		}
	}
}

func TestConductorNeedsTheEnterpriseModule(t *testing.T) {
	_, err := launch(settings{application: "dbos-app", databaseURL: "postgresql://h/d", conductorKey: "key"}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), dbos.EnterpriseModule) {
		t.Errorf("launched with a key and no Conductor client: %v", err)
	}
}
