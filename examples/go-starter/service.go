package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// backend is what the routes need of DBOS.
type backend interface {
	Enqueue(seconds int) (string, error)
	Start(seconds int) (string, error)
	Wait(topic string) (string, error)
	Status(id string) (dbos.WorkflowStatus, error)
	QueueLength(queue string) (int64, error)
}

// service answers HTTP; it has no backend until DBOS is launched.
type service struct {
	log      *slog.Logger
	backend  atomic.Pointer[backend]
	draining atomic.Bool
}

func (s *service) start(b backend) { s.backend.Store(&b) }

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("/enqueue/{seconds}", s.launched(task(backend.Enqueue)))
	mux.HandleFunc("/start/{seconds}", s.launched(task(backend.Start)))
	mux.HandleFunc("/wait/{topic}", s.launched(wait))
	mux.HandleFunc("GET /workflow/{id}", s.launched(workflow))
	mux.HandleFunc("GET /metrics/{queue}", s.launched(metrics))
	return mux
}

func (s *service) healthz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.draining.Load():
		reply(w, http.StatusServiceUnavailable, map[string]any{"status": "draining"})
	case s.backend.Load() == nil:
		reply(w, http.StatusServiceUnavailable, map[string]any{"status": "launching"})
	default:
		reply(w, http.StatusOK, map[string]any{"status": "ok"})
	}
}

// failure is an error with the HTTP status that tells whose fault it is.
type failure struct {
	status int
	error
}

type handler func(backend, *http.Request) (any, error)

// launched runs a handler once there is a backend, and turns its result into JSON.
func (s *service) launched(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := s.backend.Load()
		if b == nil {
			reply(w, http.StatusServiceUnavailable, map[string]any{"error": "DBOS is not launched yet"})
			return
		}
		result, err := handle(*b, r)
		if err == nil {
			reply(w, http.StatusOK, result)
			return
		}
		status := http.StatusInternalServerError
		if blame := (failure{}); errors.As(err, &blame) {
			status = blame.status
		} else {
			s.log.Error("request failed", "path", r.URL.Path, "error", err.Error())
		}
		reply(w, status, map[string]any{"error": err.Error()})
	}
}

func task(begin func(backend, int) (string, error)) handler {
	return func(b backend, r *http.Request) (any, error) {
		seconds, err := strconv.Atoi(r.PathValue("seconds"))
		if err != nil || seconds < 0 {
			return nil, failure{http.StatusBadRequest, fmt.Errorf("%q is no whole number of seconds", r.PathValue("seconds"))}
		}
		id, err := begin(b, seconds)
		return map[string]any{"workflow_id": id}, err
	}
}

func wait(b backend, r *http.Request) (any, error) {
	id, err := b.Wait(r.PathValue("topic"))
	return map[string]any{"workflow_id": id}, err
}

func workflow(b backend, r *http.Request) (any, error) {
	id := r.PathValue("id")
	status, err := b.Status(id)
	if errors.Is(err, errUnknownWorkflow) {
		return nil, failure{http.StatusNotFound, fmt.Errorf("there is no workflow %q", id)}
	}
	return status, err
}

func metrics(b backend, r *http.Request) (any, error) {
	queue := r.PathValue("queue")
	length, err := b.QueueLength(queue)
	if errors.Is(err, errUnknownQueue) {
		return nil, failure{http.StatusNotFound, fmt.Errorf("there is no queue %q", queue)}
	}
	return map[string]any{"queue_length": length}, err
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that went away is nobody to tell
}
