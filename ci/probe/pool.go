package probe

import (
	"sync"
	"time"
)

const (
	// reuseEvery is how often a kept connection is used, if the rate allows.
	// An application that is going away has to get a chance to answer
	// "Connection: close" on each within its grace period.
	reuseEvery = 250 * time.Millisecond
	// maxPool keeps the pool small at high rates; connections are then used
	// more often than every reuseEvery.
	maxPool = 16
)

func poolSize(rate int, s Shares) int {
	kept := float64(rate) * s.Kept / s.sum()
	return int(max(1, min(kept*reuseEvery.Seconds(), maxPool)))
}

// pool holds the kept-alive connections, in the order in which they were last
// used. It never looks whether one is still alive: that is for the next request
// to find out. Safe for concurrent use.
type pool struct {
	size int

	mu   sync.Mutex
	open int // idle, in use or being dialled
	idle []*conn
}

// take returns the connection that was idle for longest, or nil: then the caller
// dials one, which belongs to the pool. Each take is followed by put or drop.
func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	// All busy means slow answers; the schedule goes on, over the size.
	if p.open < p.size || len(p.idle) == 0 {
		p.open++
		return nil
	}
	c := p.idle[0]
	p.idle = p.idle[1:]
	return c
}

func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open > p.size {
		p.open--
		c.Close()
		return
	}
	p.idle = append(p.idle, c)
}

// drop says that a connection is gone.
func (p *pool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
}

// close ends the idle connections.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.open -= len(p.idle)
	p.idle = nil
}
