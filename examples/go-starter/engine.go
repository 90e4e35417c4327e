package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

var (
	errUnknownQueue    = errors.New("no such queue")
	errUnknownWorkflow = errors.New("no such workflow")
)

// engine is a launched DBOS with this application's workflows and its one queue.
type engine struct {
	ctx     dbos.Context
	queue   dbos.Queue
	running atomic.Int64
}

// task is the workflow: a durable sleep, which a recovered execution goes on with.
func (e *engine) task(ctx dbos.Context, seconds int) (string, error) {
	e.running.Add(1)
	defer e.running.Add(-1)
	_, err := dbos.Sleep(ctx, time.Duration(seconds)*time.Second)
	return "done", err
}

// wait ends when a message of that topic arrives; what sends one finds it by its ID.
func (e *engine) wait(ctx dbos.Context, topic string) (string, error) {
	e.running.Add(1)
	defer e.running.Add(-1)
	return dbos.Recv[string](ctx, topic, 24*time.Hour)
}

// tick is what a schedule starts: a row of dbos.workflow_schedules names it. Every version's pods fire every schedule,
// and the latest version runs it.
func (e *engine) tick(_ dbos.Context, input dbos.ScheduledWorkflowInput) (any, error) {
	return input.ScheduledTime, nil
}

func (e *engine) Version() string { return dbos.GetApplicationVersion(e.ctx) }

func (e *engine) Enqueue(seconds int) (string, error) {
	handle, err := dbos.RunWorkflow(e.ctx, e.task, seconds, dbos.WithQueue(e.queue))
	if err != nil {
		return "", err
	}
	return handle.GetWorkflowID(), nil
}

// Start runs a workflow here and now, on no queue.
func (e *engine) Start(seconds int) (string, error) {
	handle, err := dbos.RunWorkflow(e.ctx, e.task, seconds)
	if err != nil {
		return "", err
	}
	return handle.GetWorkflowID(), nil
}

func (e *engine) Wait(topic string) (string, error) {
	handle, err := dbos.RunWorkflow(e.ctx, e.wait, topic)
	if err != nil {
		return "", err
	}
	return handle.GetWorkflowID(), nil
}

func (e *engine) Status(id string) (dbos.WorkflowStatus, error) {
	rows, err := dbos.ListWorkflows(e.ctx, dbos.WithFilterWorkflowIDs(id))
	switch {
	case err != nil:
		return dbos.WorkflowStatus{}, err
	case len(rows) == 0:
		return dbos.WorkflowStatus{}, errUnknownWorkflow
	}
	return rows[0], nil
}

// QueueLength counts, in the database, what this version has running or waiting in a queue: work
// that needs an executor now. DELAYED rows become ENQUEUED when they are due.
func (e *engine) QueueLength(queue string) (int64, error) {
	rows, err := dbos.GetWorkflowAggregates(e.ctx, dbos.GetWorkflowAggregatesInput{
		GroupByQueueName:   true,
		SelectCount:        true,
		QueueName:          []string{queue},
		ApplicationVersion: []string{e.Version()},
		Status:             []dbos.WorkflowStatusType{dbos.WorkflowStatusEnqueued, dbos.WorkflowStatusPending},
	})
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		return *rows[0].Count, nil
	}
	// Zero of a queue that doesn't exist would scale an application in for a typing error.
	if _, err = dbos.RetrieveQueue(e.ctx, queue); errors.Is(err, dbos.ErrQueueNotFound) {
		err = errUnknownQueue
	}
	return 0, err
}

// finish claims no more work and waits for what runs; it returns how many workflows it left running.
func (e *engine) finish(ctx context.Context) int64 {
	// A listen set that names no queue stops the workers at their next poll, a second away at most.
	// What they claim until then is running when the wait begins.
	dbos.ListenQueues(e.ctx, "draining")
	for wait := 2 * time.Second; ; wait = 100 * time.Millisecond {
		select {
		case <-ctx.Done():
			return e.running.Load()
		case <-time.After(wait):
			if e.running.Load() == 0 {
				return 0
			}
		}
	}
}
