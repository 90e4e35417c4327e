package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

type settings struct {
	application  string
	databaseURL  string
	conductorURL string
	conductorKey string
	port         string
	drain        time.Duration
}

func readSettings(getenv func(string) string) (settings, error) {
	s := settings{
		application:  getenv("DBOS_APPLICATION_NAME"),
		databaseURL:  getenv("DBOS_SYSTEM_DATABASE_URL"),
		conductorURL: getenv("DBOS_CONDUCTOR_URL"),
		conductorKey: getenv("DBOS_CONDUCTOR_KEY"),
		port:         getenv("PORT"),
		drain:        20 * time.Second,
	}
	if s.application == "" {
		s.application = "dbos-app"
	}
	if s.port == "" {
		s.port = "8080"
	}
	if s.databaseURL == "" {
		return s, errors.New("DBOS_SYSTEM_DATABASE_URL is not set: give the system database's URL")
	}
	if text := getenv("DBOS_DRAIN_SECONDS"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 {
			return s, fmt.Errorf("DBOS_DRAIN_SECONDS is %q: give a whole number of seconds, 0 or more", text)
		}
		s.drain = time.Duration(seconds) * time.Second
	}
	if text := getenv("DBOS_POOL_SIZE"); text != "" {
		if size, err := strconv.Atoi(text); err != nil || size < 1 {
			return s, fmt.Errorf("DBOS_POOL_SIZE is %q: give a whole number of connections, 1 or more", text)
		}
		// The SDK's only way to set it, and only a URL has it.
		location, err := url.Parse(s.databaseURL)
		if err != nil || location.Scheme == "" {
			return s, errors.New("DBOS_POOL_SIZE needs DBOS_SYSTEM_DATABASE_URL to be a URL")
		}
		query := location.Query()
		query.Set("pool_max_conns", text)
		location.RawQuery = query.Encode()
		s.databaseURL = location.String()
	}
	return s, nil
}
