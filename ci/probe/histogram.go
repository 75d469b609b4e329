package probe

import (
	"math"
	"math/bits"
	"time"
)

const (
	// Each power of two microseconds is divided into 16 buckets, so that a
	// quantile is at most 1/16 too high.
	subBits = 4
	// Latencies of 2^27 µs (134 s) and more share the last bucket; the maximum
	// stays exact.
	topBits = 27
	buckets = (topBits - subBits + 1) << subBits
)

// histogram counts latencies in buckets of growing width, in a few KiB whatever
// their number. The zero value is empty. Not safe for concurrent use.
type histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.max = max(h.max, d)
}

// quantile returns an upper bound of the q-quantile, 0 when empty.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.total)))
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen >= rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

func (h *histogram) latency() Latency {
	return Latency{P50: milliseconds(h.quantile(0.50)), P99: milliseconds(h.quantile(0.99)), Max: milliseconds(h.max)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	return min(shift<<subBits+int(us>>shift), buckets-1)
}

// upper is the end of a bucket: the least latency above it.
func upper(i int) time.Duration {
	if i < 1<<subBits {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i>>subBits - 1
	mantissa := i - shift<<subBits
	if i == buckets-1 {
		return math.MaxInt64
	}
	return time.Duration((mantissa+1)<<shift) * time.Microsecond
}
