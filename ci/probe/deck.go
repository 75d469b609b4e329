package probe

// role is the part a Request plays.
type role string

const (
	read  role = "read"
	write role = "write"
	slow  role = "slow"
)

// deck deals out class and role of one request after the other. The shares are
// exact and evenly spread, and writes are dealt within each class: were they
// dealt over all requests, half fresh and half written could mean that every
// fresh request is a write. Not safe for concurrent use.
type deck struct {
	classes *rota
	roles   map[Class]*rota
}

func newDeck(s Shares, writes float64) *deck {
	return &deck{
		classes: newRota(s.weights()...),
		roles: map[Class]*rota{
			Fresh: newRota(1-writes, writes),
			Kept:  newRota(1-writes, writes),
		},
	}
}

func (d *deck) next() (Class, role) {
	class := classes[d.classes.next()]
	if class == Slow {
		return class, slow
	}
	return class, []role{read, write}[d.roles[class].next()]
}

// rota takes turns by weight, evenly spread ("smooth weighted round robin"):
// with weights 2 and 1 it goes 0 1 0, 0 1 0, …
type rota struct {
	weights, credit []float64
	sum             float64
}

func newRota(weights ...float64) *rota {
	r := &rota{weights: weights, credit: make([]float64, len(weights))}
	for _, w := range weights {
		r.sum += w
	}
	return r
}

func (r *rota) next() int {
	best := -1
	for i, w := range r.weights {
		if w == 0 {
			continue
		}
		r.credit[i] += w
		if best < 0 || r.credit[i] > r.credit[best] {
			best = i
		}
	}
	r.credit[best] -= r.sum
	return best
}
