package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is what /metrics tells Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	created  prometheus.Counter
}

func newMetrics(pool *pgxpool.Pool) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests answered, by route and status code.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time to answer a request, by route.",
			Buckets: prometheus.DefBuckets,
		}, []string{"route"}),
		created: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notes_created_total",
			Help: "Notes created by this process.",
		}),
	}
	m.registry.MustRegister(
		m.requests, m.duration, m.created,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		poolGauge(pool, "used", "Database connections in use.", (*pgxpool.Stat).AcquiredConns),
		poolGauge(pool, "idle", "Database connections open but not in use.", (*pgxpool.Stat).IdleConns),
		poolGauge(pool, "max", "Database connections that may be open at once.", (*pgxpool.Stat).MaxConns),
	)
	return m
}

func poolGauge(pool *pgxpool.Pool, name, help string, value func(*pgxpool.Stat) int32) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "notes_db_connections_" + name,
		Help: help,
	}, func() float64 { return float64(value(pool.Stat())) })
}

// begin starts the clock of a request; the function it answers counts the
// request under its route, which is a pattern such as "GET /notes/{id}". (Its
// path would be a label without bound.)
func (m *metrics) begin() func(route string, code int) {
	start := time.Now()
	return func(route string, code int) {
		if route == "" {
			route = "none"
		}
		m.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
		m.duration.WithLabelValues(route).Observe(time.Since(start).Seconds())
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
