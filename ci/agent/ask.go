package agent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// Metrics says what to ask Prometheus, all of it every Interval from the start on.
type Metrics struct {
	// URL is the base address of the HTTP API.
	URL string
	// Interval is more than zero.
	Interval time.Duration
	// Queries are expressions in PromQL by their names.
	Queries map[string]string
}

// Measurement is one answer of Prometheus.
type Measurement struct {
	Metric string `json:"metric"`
	// At is when it was asked, by the agent's clock.
	At time.Time `json:"at"`
	// Least and Most are the bounds of all series of the answer, equal where it has
	// one. An infinite value is the greatest finite one.
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
	// NoData is why there is no value; then the other two mean nothing.
	NoData string `json:"no_data,omitempty"`
}

// answering bounds one question.
const answering = 10 * time.Second

// server returns the client of the HTTP API; that asks nothing yet.
func (m Metrics) server() (prometheus.API, error) {
	if m.Interval <= 0 {
		return nil, fmt.Errorf("cannot ask Prometheus every %s", m.Interval)
	}
	client, err := api.NewClient(api.Config{Address: m.URL})
	if err != nil {
		return nil, fmt.Errorf("the address of Prometheus: %w", err)
	}
	return prometheus.NewAPI(client), nil
}

// run asks until ctx ends. A question that takes long delays no other.
func (m Metrics) run(ctx context.Context, emit func(Measurement)) {
	server, err := m.server()
	if err != nil {
		return // which validate has found
	}
	var wg sync.WaitGroup
	for name, expr := range m.Queries {
		wg.Go(func() {
			tick := time.NewTicker(m.Interval)
			defer tick.Stop()
			for {
				got := measure(ctx, server, expr)
				if ctx.Err() != nil {
					return // cut off by our own end, which says nothing
				}
				got.Metric = name
				emit(got)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	wg.Wait()
}

// measure asks once.
func measure(ctx context.Context, server prometheus.API, expr string) Measurement {
	got := Measurement{At: time.Now().UTC()}
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	answer, _, _, err := server.Query(ctx, expr, time.Time{}) // no time: its own clock's
	var values []float64
	if err == nil {
		values, err = valuesOf(answer)
	}
	if err != nil {
		got.NoData = err.Error()
		return got
	}
	got.Least, got.Most = math.MaxFloat64, -math.MaxFloat64
	for _, v := range values {
		got.Least, got.Most = min(got.Least, finite(v)), max(got.Most, finite(v))
	}
	return got
}

// finite keeps a value within what JSON can hold.
func finite(v float64) float64 { return min(max(v, -math.MaxFloat64), math.MaxFloat64) }

// valuesOf returns the values of an answer, at least one.
func valuesOf(answer model.Value) (values []float64, err error) {
	switch answer := answer.(type) {
	case *model.Scalar:
		values = append(values, float64(answer.Value))
	case model.Vector:
		for _, series := range answer {
			if series.Histogram != nil {
				return nil, errors.New("the answer is a histogram, not a number")
			}
			values = append(values, float64(series.Value))
		}
	default:
		return nil, fmt.Errorf("the answer is a %s, not numbers of one moment", answer.Type())
	}
	for _, v := range values {
		if math.IsNaN(v) { // such as 0/0, where nothing happened
			return nil, errors.New("the answer is not a number (NaN)")
		}
	}
	if len(values) == 0 {
		return nil, errors.New("the answer is empty")
	}
	return values, nil
}
